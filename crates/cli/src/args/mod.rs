//! The command line's grammar: one file for each noun or big command, and here the commands without a noun.

mod container;
mod copy;
mod exec;
mod image;
mod inspect;
mod logs;
mod manifest;
mod ps;
mod refused;
mod registry;
mod run;
mod system;
mod words;

pub(crate) use container::{
    AttachArgs, ContainerCommand, ContainerVerb, ExportArgs, KillArgs, Names, RenameArgs, RmArgs, StartArgs, StopArgs,
};
pub(crate) use copy::{CopyArgs, MultiArch, PlaceArgs, SyncArgs, SyncPlace};
pub(crate) use exec::ExecArgs;
pub(crate) use image::{
    ArchiveCompression, DiffFormat, ExistsArgs, HistoryArgs, ImageCommand, ImageDiffArgs, ImageMountArgs, ImageSort,
    ImageUnmountArgs, ImageVerb, ImagesArgs, ImportArgs, LoadArgs, RmiArgs, SaveArgs, SaveFormat, TagArgs, TreeArgs,
    UntagArgs,
};
pub(crate) use inspect::InspectArgs;
pub(crate) use logs::LogsArgs;
pub(crate) use manifest::{
    ManifestAddArgs, ManifestAnnotateArgs, ManifestCommand, ManifestCreateArgs, ManifestInspectArgs, ManifestPushArgs,
    ManifestRemoveArgs, ManifestRmArgs, PlatformArgs,
};
pub(crate) use ps::PsArgs;
pub(crate) use refused::instead_of;
pub(crate) use registry::{
    Compression, LoginArgs, LogoutArgs, ManifestFormat, PlatformChoice, PullArgs, PushArgs, RegistryArgs, SearchArgs,
};
pub(crate) use run::{PullPolicy, RunArgs, environment};
pub(crate) use system::{
    CheckArgs, DfArgs, ExplainArgs, ExplainCommand, FormatArgs, ImagePruneArgs, InternalCommand, SystemCommand,
    SystemPruneArgs,
};
pub(crate) use words::{command_words, with_switch_values};

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Containers that you can see into: images, containers and what is done to the kernel for them, without a daemon.
#[derive(Debug, Parser)]
#[command(name = "carboy", version, propagate_version = true, disable_help_subcommand = true, max_term_width = 120)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Folder of images and containers [default: /var/lib/carboy, or $XDG_DATA_HOME/carboy]
    #[arg(long, env = "CARBOY_ROOT", hide_env_values = true, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Folder of what a reboot may take [default: /run/carboy, or $XDG_RUNTIME_DIR/carboy]
    #[arg(long, env = "CARBOY_RUNROOT", hide_env_values = true, value_name = "DIR")]
    pub(crate) runroot: Option<PathBuf>,
    /// Another OCI runtime, by path or name
    #[arg(long, env = "CARBOY_RUNTIME", hide_env_values = true, value_name = "PROGRAM")]
    pub(crate) runtime: Option<String>,
    /// How layers are kept: auto, erofs or overlay
    #[arg(long, env = "CARBOY_SNAPSHOTTER", hide_env_values = true, value_name = "NAME")]
    pub(crate) snapshotter: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    ContainerVerb(ContainerVerb),
    /// List containers
    #[command(visible_alias = "list")]
    Ps(PsArgs),
    /// Print everything known of containers or images, as JSON
    Inspect(InspectArgs),
    #[command(flatten)]
    ImageVerb(ImageVerb),
    /// List images
    Images(ImagesArgs),
    /// Remove images
    Rmi(RmiArgs),
    /// Log in at a registry
    Login(LoginArgs),
    /// Forget the login at a registry
    Logout(LogoutArgs),
    /// Look for repositories
    Search(SearchArgs),
    /// Copy an image from one place to another: registries, layouts, archives, folders, the store
    Copy(CopyArgs),
    /// List the tags of a repository, or the names in an archive
    ListTags(PlaceArgs),
    /// Delete an image from a registry, a layout, a folder or the store
    Delete(PlaceArgs),
    /// Copy all images of a repository or a folder
    Sync(SyncArgs),
    /// Show what a command would do to the kernel, without doing it
    Explain(ExplainArgs),
    /// Print versions
    Version(FormatArgs),
    /// Print where things are and what this machine offers
    Info(FormatArgs),
    /// Container commands, under Docker's longer names
    #[command(subcommand)]
    Container(ContainerCommand),
    /// Image commands, under Docker's longer names
    #[command(subcommand)]
    Image(ImageCommand),
    /// What the store takes, giving it back, and checking it
    #[command(subcommand)]
    System(SystemCommand),
    /// Lists of images for several platforms
    #[command(subcommand)]
    Manifest(ManifestCommand),
    /// Work that an ordinary user's engine does within its user namespace
    #[command(subcommand, hide = true)]
    Internal(InternalCommand),
}

impl Command {
    /// Exit code of an error of the engine's: 125 where a program's own code would be expected otherwise.
    pub(crate) fn error_code(&self) -> i32 {
        match self {
            Command::ContainerVerb(ContainerVerb::Run(_))
            | Command::Container(ContainerCommand::Verb(ContainerVerb::Run(_))) => 125,
            _ => 1,
        }
    }
}
