//! `manifest …`: lists of images for several platforms.

use super::{ExistsArgs, ManifestFormat, RegistryArgs};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `manifest …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ManifestCommand {
    /// Make a list, and add images to it
    Create(ManifestCreateArgs),
    /// Add images to a list
    Add(ManifestAddArgs),
    /// Say more of an image of a list
    Annotate(ManifestAnnotateArgs),
    /// Print a list that is made here, or a manifest or list in any other place
    Inspect(ManifestInspectArgs),
    /// Copy a list and its images to a registry or another place
    Push(ManifestPushArgs),
    /// Remove lists
    Rm(ManifestRmArgs),
    /// Take an image from a list
    Remove(ManifestRemoveArgs),
    /// Whether a list is here: exit code 0 or 1, and no output
    Exists(ExistsArgs),
}

/// `manifest create`.
#[derive(Debug, Args)]
pub(crate) struct ManifestCreateArgs {
    /// Add to a list that is there already
    #[arg(short, long)]
    pub(crate) amend: bool,
    /// All images, if what is added is a list
    #[arg(long)]
    pub(crate) all: bool,
    /// Annotation of the list
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) annotation: Vec<String>,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// Name of the list
    #[arg(value_name = "LIST")]
    pub(crate) list: String,
    /// Images: of the store, else of a registry, or with a transport
    #[arg(value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
}

/// What is said of an image in a list.
#[derive(Debug, Clone, Args)]
pub(crate) struct PlatformArgs {
    /// Operating system
    #[arg(long, value_name = "OS")]
    pub(crate) os: Option<String>,
    /// Architecture
    #[arg(long, value_name = "ARCH")]
    pub(crate) arch: Option<String>,
    /// Variant of the architecture
    #[arg(long, value_name = "VARIANT")]
    pub(crate) variant: Option<String>,
    /// Version of the operating system
    #[arg(long, value_name = "VERSION")]
    pub(crate) os_version: Option<String>,
    /// What the operating system must have
    #[arg(long, value_name = "FEATURE", value_delimiter = ',')]
    pub(crate) os_features: Vec<String>,
    /// Annotation of the image
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) annotation: Vec<String>,
}

/// What entries of a list become.
#[derive(Debug, Args)]
pub(crate) struct ManifestEntryArgs {
    #[command(flatten)]
    pub(crate) platform: PlatformArgs,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// Name of the list
    #[arg(value_name = "LIST")]
    pub(crate) list: String,
}

/// `manifest add`.
#[derive(Debug, Args)]
pub(crate) struct ManifestAddArgs {
    /// All images, if what is added is a list
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) entry: ManifestEntryArgs,
    /// Images: of the store, else of a registry, or with a transport
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
}

/// `manifest annotate`.
#[derive(Debug, Args)]
pub(crate) struct ManifestAnnotateArgs {
    #[command(flatten)]
    pub(crate) entry: ManifestEntryArgs,
    /// Digest of an image of it, or the image's name
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
}

/// `manifest inspect`.
#[derive(Debug, Args)]
pub(crate) struct ManifestInspectArgs {
    /// Each manifest with its bytes, its platform and where it is, as Docker shows them
    #[arg(short, long)]
    pub(crate) verbose: bool,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// Name of a list made here, or of what a registry has; or with a transport
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

/// `manifest push`.
#[derive(Debug, Args)]
pub(crate) struct ManifestPushArgs {
    /// Kept for Podman's sake: the images are copied always
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) all: Option<bool>,
    /// Kind of the manifests that are written
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) format: Option<ManifestFormat>,
    /// Remove the list here afterwards
    #[arg(short, long, visible_alias = "rm")]
    pub(crate) purge: bool,
    /// Write the digest to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) digestfile: Option<PathBuf>,
    /// Kept for Podman's sake: signatures of that kind are not kept
    #[arg(long)]
    pub(crate) remove_signatures: bool,
    /// Only print the digest
    #[arg(short, long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// Name of the list
    #[arg(value_name = "LIST")]
    pub(crate) list: String,
    /// Where to, with a transport or as a registry's name [default: the list's name]
    #[arg(value_name = "DESTINATION")]
    pub(crate) destination: Option<String>,
}

/// `manifest rm`.
#[derive(Debug, Args)]
pub(crate) struct ManifestRmArgs {
    /// Names of lists
    #[arg(required = true, value_name = "LIST")]
    pub(crate) lists: Vec<String>,
}

/// `manifest remove`.
#[derive(Debug, Args)]
pub(crate) struct ManifestRemoveArgs {
    /// Name of the list
    #[arg(value_name = "LIST")]
    pub(crate) list: String,
    /// Digest of the image
    #[arg(value_name = "DIGEST")]
    pub(crate) digest: String,
}
