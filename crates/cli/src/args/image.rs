//! `image …`, and the same commands without that word.

use super::{InspectArgs, PullArgs};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// What can be done to images by the same word with and without `image` before it.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageVerb {
    /// Get an image from a registry
    Pull(PullArgs),
    /// Take images from a docker-archive or oci-archive file
    Load(LoadArgs),
}

/// `image …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    #[command(flatten)]
    Verb(ImageVerb),
    /// List images
    #[command(visible_alias = "list")]
    Ls(ImagesArgs),
    /// Remove images
    #[command(visible_alias = "remove")]
    Rm(RmiArgs),
    /// Print everything known of images, as JSON
    Inspect(InspectArgs),
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

/// `load`.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// Archive [default: standard input]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Print nothing but the names of the images
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// `rmi`.
#[derive(Debug, Args)]
pub(crate) struct RmiArgs {
    /// Remove even if a stopped container uses it or it has several names
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Names, IDs, or beginnings of IDs
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
}
