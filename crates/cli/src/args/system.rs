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
