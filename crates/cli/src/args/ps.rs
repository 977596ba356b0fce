//! `ps`.

use clap::Args;

/// `ps`.
#[derive(Debug, Args)]
pub(crate) struct PsArgs {
    /// Also those that do not run
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Only IDs
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Whole IDs and commands
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// The N containers made last
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) last: Option<usize>,
    /// The container made last
    #[arg(short, long)]
    pub(crate) latest: bool,
    /// id=, name=, status=, ancestor=, label=, exited=
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
    /// table, json, or a template such as "{{.ID}} {{.Names}}"
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
}
