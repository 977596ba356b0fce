//! Commands about this program and this machine.

use super::RunArgs;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: ExplainCommand,
}

/// `explain …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ExplainCommand {
    /// What `run` with the same arguments would do
    Run(Box<RunArgs>),
}

/// `internal …`.
#[derive(Debug, Subcommand)]
pub(crate) enum InternalCommand {
    /// Removes a tree
    RemoveTree { path: PathBuf },
    /// Puts the embedded image into the store
    ImportHello,
    /// Deletes what a removal left in the store's trash
    EmptyTrash {
        /// This process was given the trash's lock
        #[arg(long)]
        locked: bool,
    },
    /// Copies a folder of an image into a volume: DESTINATION in the image, TARGET, then the layers, topmost first
    CopyUp { destination: String, target: PathBuf, lower: Vec<PathBuf> },
}

/// `version`, `info`.
#[derive(Debug, Args)]
pub(crate) struct FormatArgs {
    /// json, or a template such as {{.Version}}
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
}

/// `system …`.
#[derive(Debug, Subcommand)]
pub(crate) enum SystemCommand {
    /// Show what images, containers and volumes take on the disk
    Df(DfArgs),
    /// Remove what nobody uses
    Prune(SystemPruneArgs),
    /// Look whether the image store is whole, and repair it
    Check(CheckArgs),
    /// Print where things are and what this machine offers
    Info(FormatArgs),
}

/// `system df`.
#[derive(Debug, Args)]
pub(crate) struct DfArgs {
    /// Each image, container and volume
    #[arg(short, long, conflicts_with = "format")]
    pub(crate) verbose: bool,
    /// table, json, or a template such as "{{.Type}} {{.Size}}"
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
}

/// `system prune`.
#[derive(Debug, Args)]
pub(crate) struct SystemPruneArgs {
    /// All images without a container, not only those without a name
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Anonymous volumes too
    #[arg(long)]
    pub(crate) volumes: bool,
    /// until=, label=, label!=
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
}

/// `image prune`.
#[derive(Debug, Args)]
pub(crate) struct ImagePruneArgs {
    /// All images without a container, not only those without a name
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) force: bool,
    /// dangling=, until=, label=, label!=
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
}

/// `system check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Read and hash every blob and layer
    #[arg(long)]
    pub(crate) deep: bool,
    /// Make layers again from their blobs, and remove what is damaged beyond that or needed by nothing
    #[arg(long)]
    pub(crate) repair: bool,
    /// Print problems only
    #[arg(short, long)]
    pub(crate) quiet: bool,
}
