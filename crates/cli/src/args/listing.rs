//! Arguments of the commands that list and inspect.

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

/// `images`.
#[derive(Debug, Args)]
pub(crate) struct ImagesArgs {
    /// Kept for Docker's sake: every image is listed
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Only IDs
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Whole IDs
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Show digests of manifests
    #[arg(long)]
    pub(crate) digests: bool,
    /// reference=, dangling=, label=
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
    /// table, json, or a template such as "{{.Repository}}:{{.Tag}}"
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Only this repository, or this name
    #[arg(value_name = "REPOSITORY[:TAG]")]
    pub(crate) name: Option<String>,
}

/// `inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// json, or a template such as {{.State.Status}}
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// container or image
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// Names, IDs, or beginnings of IDs
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
}
