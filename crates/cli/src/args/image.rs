//! `image …`, and the same commands without that word.

use super::{ImagePruneArgs, InspectArgs, PlatformChoice, PullArgs, PushArgs, RegistryArgs};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// What can be done to images by the same word with and without `image` before it.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageVerb {
    /// Get an image from a registry
    Pull(PullArgs),
    /// Send an image to a registry
    Push(PushArgs),
    /// Take images from a docker-archive or oci-archive file
    Load(LoadArgs),
    /// Write images into an archive
    Save(SaveArgs),
    /// Make an image of a tar
    Import(ImportArgs),
    /// Give an image another name
    Tag(TagArgs),
    /// Take names from an image, which stays
    Untag(UntagArgs),
    /// Print the steps that made an image
    History(HistoryArgs),
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
    /// Remove images that nobody uses
    Prune(ImagePruneArgs),
    /// Whether an image is here: exit code 0 or 1, and no output
    Exists(ExistsArgs),
    /// Draw an image's layers
    Tree(TreeArgs),
    /// Mount images, read-only, and print where; without names print what is mounted
    Mount(ImageMountArgs),
    /// Take mounts of images away
    #[command(visible_alias = "umount")]
    Unmount(ImageUnmountArgs),
    /// Print what an image's topmost layer changes, or what differs from another image
    Diff(ImageDiffArgs),
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
    /// reference=, dangling=, label=, label!=, before=, since=, until=, id=, containers=, readonly=
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
    /// table, json, or a template such as "{{.Repository}}:{{.Tag}}"
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Draw each name with its platform below it
    #[arg(long, conflicts_with_all = ["quiet", "format", "digests"])]
    pub(crate) tree: bool,
    /// Order of the rows
    #[arg(long, value_name = "BY", default_value = "created")]
    pub(crate) sort: ImageSort,
    /// No headings
    #[arg(short, long)]
    pub(crate) noheading: bool,
    /// Only this repository, or this name; a pattern such as "team/*:1.*" matches several
    #[arg(value_name = "REPOSITORY[:TAG]")]
    pub(crate) name: Option<String>,
}

/// Order of `images`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImageSort {
    /// Newest first.
    Created,
    /// By image ID.
    Id,
    /// By repository.
    Repository,
    /// Smallest first.
    Size,
    /// By tag.
    Tag,
}

/// `save`.
#[derive(Debug, Args)]
pub(crate) struct SaveArgs {
    /// File, or folder [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// What is written; docker loads the first, and both docker-archive and oci-archive are loaded here
    #[arg(long, value_name = "FORMAT", default_value = "docker-archive")]
    pub(crate) format: SaveFormat,
    /// Compression of the whole archive; layers stay compressed as they are
    #[arg(long, value_name = "KIND", default_value = "none")]
    pub(crate) compression: ArchiveCompression,
    /// Kept for Podman's sake: several images are several images always
    #[arg(short, long)]
    pub(crate) multi_image_archive: bool,
    /// Kept for Podman's sake: layers are written as they are always
    #[arg(long)]
    pub(crate) uncompressed: bool,
    /// No progress on a terminal
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Names, IDs, or beginnings of IDs; a name without a tag means all tags
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
}

/// What `save` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SaveFormat {
    /// As docker 25 and later: an OCI layout with a manifest.json.
    DockerArchive,
    /// An OCI layout in a tar.
    OciArchive,
    /// An OCI layout in a folder.
    OciDir,
    /// A folder with one image in Docker's format.
    DockerDir,
}

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ArchiveCompression {
    /// Not.
    #[value(name = "none")]
    Uncompressed,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

/// `import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Apply a Dockerfile's instruction: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME, WORKDIR
    #[arg(short, long, value_name = "INSTRUCTION")]
    pub(crate) change: Vec<String>,
    /// Comment in the image's history
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    #[command(flatten)]
    pub(crate) platform: PlatformChoice,
    /// Kept for Podman's sake: only the ID is printed always
    #[arg(short, long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// A file, an address beginning with http:// or https://, or - for standard input
    #[arg(value_name = "FILE|URL|-")]
    pub(crate) source: String,
    /// Name of the image
    #[arg(value_name = "NAME[:TAG]")]
    pub(crate) name: Option<String>,
}

/// `tag`.
#[derive(Debug, Args)]
pub(crate) struct TagArgs {
    /// Name, ID, or beginning of an ID
    #[arg(value_name = "IMAGE[:TAG]")]
    pub(crate) source: String,
    /// New names
    #[arg(required = true, value_name = "NAME[:TAG]")]
    pub(crate) targets: Vec<String>,
}

/// `untag`.
#[derive(Debug, Args)]
pub(crate) struct UntagArgs {
    /// Name, ID, or beginning of an ID
    #[arg(value_name = "IMAGE[:TAG]")]
    pub(crate) image: String,
    /// Names to take [default: all]
    #[arg(value_name = "NAME[:TAG]")]
    pub(crate) names: Vec<String>,
}

/// `history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// table, json, or a template such as "{{.ID}} {{.CreatedBy}}"
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Sizes and times for people
    #[arg(short = 'H', long, default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set, value_name = "BOOL")]
    pub(crate) human: bool,
    /// Whole IDs and commands
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Only IDs
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Name, ID, or beginning of an ID
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
}

/// `image exists`, `container exists`.
#[derive(Debug, Args)]
pub(crate) struct ExistsArgs {
    /// Name, ID, or beginning of an ID
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

/// `image mount`.
#[derive(Debug, Args)]
pub(crate) struct ImageMountArgs {
    /// All images
    #[arg(short, long, conflicts_with = "images")]
    pub(crate) all: bool,
    /// For the list of what is mounted: json
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<DiffFormat>,
    /// Names, IDs, or beginnings of IDs
    #[arg(value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
}

/// `image unmount`.
#[derive(Debug, Args)]
pub(crate) struct ImageUnmountArgs {
    /// All mounted images
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Even if something in it is open
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Names, IDs, or beginnings of IDs
    #[arg(value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
}

/// `image diff`.
#[derive(Debug, Args)]
pub(crate) struct ImageDiffArgs {
    /// json
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<DiffFormat>,
    /// Name, ID, or beginning of an ID
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
    /// What it is compared with [default: the image without its topmost layer]
    #[arg(value_name = "OTHER")]
    pub(crate) other: Option<String>,
}

/// Another form of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DiffFormat {
    /// JSON.
    Json,
}

/// `image tree`.
#[derive(Debug, Args)]
pub(crate) struct TreeArgs {
    /// Show the images that need each layer, not only those that end with it
    #[arg(long)]
    pub(crate) whatrequires: bool,
    /// Name, ID, or beginning of an ID
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
}

/// `load`.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// Archive [default: standard input]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Do not keep the compressed layers: less space, but the image cannot be pushed as it came
    #[arg(long)]
    pub(crate) drop_blobs: bool,
    /// Print nothing but the names of the images
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// `rmi`.
#[derive(Debug, Args)]
pub(crate) struct RmiArgs {
    /// All images
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Ignore missing ones
    #[arg(short, long)]
    pub(crate) ignore: bool,
    /// Kept for Docker's sake: an image here has no untagged parents
    #[arg(long)]
    pub(crate) no_prune: bool,
    /// Remove even if a stopped container uses it or it has several names
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Names, IDs, or beginnings of IDs
    #[arg(value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
}
