//! `container …`, and the same commands without that word.

use super::{ExecArgs, ExistsArgs, InspectArgs, LogsArgs, PsArgs, RunArgs};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// What can be done to containers by the same word with and without `container` before it.
#[derive(Debug, Subcommand)]
pub(crate) enum ContainerVerb {
    /// Make a container and run a program in it
    Run(Box<RunArgs>),
    /// Make a container without starting it
    Create(Box<RunArgs>),
    /// Start containers
    Start(StartArgs),
    /// Run another program in a running container
    Exec(ExecArgs),
    /// Print what a container wrote
    Logs(LogsArgs),
    /// Stop containers: their stop signal first, SIGKILL after a while
    Stop(StopArgs),
    /// Stop and start containers
    Restart(StopArgs),
    /// Send a signal to containers
    Kill(KillArgs),
    /// Remove containers
    Rm(RmArgs),
    /// Give a container another name
    Rename(RenameArgs),
    /// Wait until containers end, and print their exit codes
    Wait(Names),
    /// Write a container's files into a tar
    Export(ExportArgs),
    /// Connect to a running container's input and output
    Attach(AttachArgs),
}

/// `container …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ContainerCommand {
    #[command(flatten)]
    Verb(ContainerVerb),
    /// List containers
    #[command(visible_aliases = ["list", "ps"])]
    Ls(PsArgs),
    /// Print everything known of containers, as JSON
    Inspect(InspectArgs),
    /// Whether a container is here: exit code 0 or 1, and no output
    Exists(ExistsArgs),
}

/// Containers by name or ID.
#[derive(Debug, Args)]
pub(crate) struct Names {
    /// Names, IDs, or beginnings of IDs
    #[arg(required = true, value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}

/// `start`.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// Connect to output, forward signals, and end with the program's exit code
    #[arg(short, long)]
    pub(crate) attach: bool,
    /// Connect to standard input too
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Keys that detach
    #[arg(long, default_value = "ctrl-p,ctrl-q", value_name = "KEYS")]
    pub(crate) detach_keys: String,
    #[command(flatten)]
    pub(crate) names: Names,
}

/// `attach`.
#[derive(Debug, Args)]
pub(crate) struct AttachArgs {
    /// Do not connect to standard input
    #[arg(long)]
    pub(crate) no_stdin: bool,
    /// Forward signals to the program
    #[arg(long, default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub(crate) sig_proxy: bool,
    /// Keys that detach
    #[arg(long, default_value = "ctrl-p,ctrl-q", value_name = "KEYS")]
    pub(crate) detach_keys: String,
    /// Name, ID, or beginning of an ID
    pub(crate) container: String,
}

/// `stop`, `restart`.
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// Seconds to wait before SIGKILL [default: the container's, or 10]
    #[arg(short = 't', long, visible_alias = "timeout", value_name = "SECONDS")]
    pub(crate) time: Option<u32>,
    #[command(flatten)]
    pub(crate) names: Names,
}

/// `kill`.
#[derive(Debug, Args)]
pub(crate) struct KillArgs {
    /// Name or number
    #[arg(short, long, default_value = "KILL", value_name = "SIGNAL")]
    pub(crate) signal: String,
    #[command(flatten)]
    pub(crate) names: Names,
}

/// `rm`.
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// Kill running containers; ignore missing ones
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Remove anonymous volumes too
    #[arg(short, long)]
    pub(crate) volumes: bool,
    #[command(flatten)]
    pub(crate) names: Names,
}

/// `rename`.
#[derive(Debug, Args)]
pub(crate) struct RenameArgs {
    /// Name, ID, or beginning of an ID
    pub(crate) container: String,
    /// The new name
    pub(crate) name: String,
}

/// `export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// File [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Name, ID, or beginning of an ID
    pub(crate) container: String,
}
