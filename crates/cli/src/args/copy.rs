//! Commands on images in any place: `copy`, `list-tags`, `delete`, `sync`.

use super::{ManifestFormat, RegistryArgs};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// How the source's registry is reached.
#[derive(Debug, Clone, Args)]
pub(crate) struct SourceRegistryArgs {
    /// Require HTTPS with a valid certificate [default: yes, but for loopback addresses]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    src_tls_verify: Option<bool>,
    /// Credentials for the source
    #[arg(long, value_name = "USER:PASSWORD")]
    src_creds: Option<String>,
    /// User name for the source
    #[arg(long, value_name = "USER", requires = "src_password", conflicts_with = "src_creds")]
    src_username: Option<String>,
    /// Password for the source; whoever lists processes sees it
    #[arg(long, value_name = "PASSWORD", requires = "src_username")]
    src_password: Option<String>,
    /// Without credentials for the source
    #[arg(long, conflicts_with_all = ["src_creds", "src_username"])]
    src_no_creds: bool,
    /// File with credentials for the source
    #[arg(long, value_name = "FILE")]
    src_authfile: Option<PathBuf>,
    /// Folder with certificates for the source
    #[arg(long, value_name = "DIR")]
    src_cert_dir: Option<PathBuf>,
}

/// How the destination's registry is reached.
#[derive(Debug, Clone, Args)]
pub(crate) struct DestinationRegistryArgs {
    /// Require HTTPS with a valid certificate [default: yes, but for loopback addresses]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    dest_tls_verify: Option<bool>,
    /// Credentials for the destination
    #[arg(long, value_name = "USER:PASSWORD")]
    dest_creds: Option<String>,
    /// User name for the destination
    #[arg(long, value_name = "USER", requires = "dest_password", conflicts_with = "dest_creds")]
    dest_username: Option<String>,
    /// Password for the destination; whoever lists processes sees it
    #[arg(long, value_name = "PASSWORD", requires = "dest_username")]
    dest_password: Option<String>,
    /// Without credentials for the destination
    #[arg(long, conflicts_with_all = ["dest_creds", "dest_username"])]
    dest_no_creds: bool,
    /// File with credentials for the destination
    #[arg(long, value_name = "FILE")]
    dest_authfile: Option<PathBuf>,
    /// Folder with certificates for the destination
    #[arg(long, value_name = "DIR")]
    dest_cert_dir: Option<PathBuf>,
}

/// How both registries are reached.
#[derive(Debug, Clone, Args)]
pub(crate) struct BothRegistriesArgs {
    /// File with credentials for both sides, instead of docker's and podman's
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,
    /// How often to try again what fails in passing [default: 4]
    #[arg(long, value_name = "N")]
    retry_times: Option<u32>,
    #[command(flatten)]
    source: SourceRegistryArgs,
    #[command(flatten)]
    destination: DestinationRegistryArgs,
}

impl BothRegistriesArgs {
    pub(crate) fn source(&self) -> RegistryArgs {
        let from = &self.source;
        RegistryArgs {
            tls_verify: from.src_tls_verify,
            creds: from.src_creds.clone(),
            authfile: from.src_authfile.clone().or_else(|| self.authfile.clone()),
            cert_dir: from.src_cert_dir.clone(),
            username: from.src_username.clone(),
            password: from.src_password.clone(),
            no_creds: from.src_no_creds,
            retry_times: self.retry_times,
            insecure: false,
        }
    }

    pub(crate) fn destination(&self) -> RegistryArgs {
        let to = &self.destination;
        RegistryArgs {
            tls_verify: to.dest_tls_verify,
            creds: to.dest_creds.clone(),
            authfile: to.dest_authfile.clone().or_else(|| self.authfile.clone()),
            cert_dir: to.dest_cert_dir.clone(),
            username: to.dest_username.clone(),
            password: to.dest_password.clone(),
            no_creds: to.dest_no_creds,
            retry_times: self.retry_times,
            insecure: false,
        }
    }
}

/// Which images of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MultiArch {
    /// The one for this machine.
    System,
    /// All, and the list.
    All,
    /// The list alone.
    IndexOnly,
}

/// `copy`.
#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// All images of a list, and the list
    #[arg(short, long, conflicts_with = "multi_arch")]
    pub(crate) all: bool,
    /// Which images of a list
    #[arg(long, value_name = "WHICH")]
    pub(crate) multi_arch: Option<MultiArch>,
    /// Platform to choose from a list, os/arch[/variant]
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
    /// Kind of the manifests that are written [default: the source's, if the destination can hold it]
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) format: Option<ManifestFormat>,
    /// Rather fail than change a manifest
    #[arg(long)]
    pub(crate) preserve_digests: bool,
    /// Write the digest to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) digestfile: Option<PathBuf>,
    /// Further names in a docker-archive
    #[arg(long, value_name = "NAME")]
    pub(crate) additional_tag: Vec<String>,
    /// Kept for skopeo's sake: signatures of that kind are not copied
    #[arg(long)]
    pub(crate) remove_signatures: bool,
    /// Only print the digest
    #[arg(short, long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) registries: BothRegistriesArgs,
    /// docker://NAME, oci:FOLDER[:NAME], oci-archive:FILE[:NAME], docker-archive:FILE[:NAME], dir:FOLDER or carboy:IMAGE
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,
    /// The same
    #[arg(value_name = "DESTINATION")]
    pub(crate) destination: String,
}

/// `list-tags` and `delete`.
#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// docker://NAME, oci:FOLDER[:NAME], oci-archive:FILE, docker-archive:FILE, dir:FOLDER or carboy:IMAGE, as far as the command can do it
    #[arg(value_name = "PLACE")]
    pub(crate) place: String,
}

/// Kinds of places that are synchronized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SyncPlace {
    /// A registry.
    Docker,
    /// A folder with a folder for each image.
    Dir,
    /// A file that lists registries and images, as skopeo reads it (source only).
    Yaml,
}

/// `sync`.
#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    /// Kind of the source
    #[arg(short, long, value_name = "KIND")]
    pub(crate) src: SyncPlace,
    /// Kind of the destination
    #[arg(short, long, value_name = "KIND")]
    pub(crate) dest: SyncPlace,
    /// All images of lists, and the lists
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Keep the source's whole name below the destination
    #[arg(long)]
    pub(crate) scoped: bool,
    /// Only say what would be copied
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Go on past images that cannot be copied
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// Kind of the manifests that are written
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) format: Option<ManifestFormat>,
    /// Rather fail than change a manifest
    #[arg(long)]
    pub(crate) preserve_digests: bool,
    /// Kept for skopeo's sake: signatures of that kind are not copied
    #[arg(long)]
    pub(crate) remove_signatures: bool,
    #[command(flatten)]
    pub(crate) registries: BothRegistriesArgs,
    /// Repository, with a tag for that one only; a folder; or a file that lists images
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,
    /// Registry with a path; or a folder
    #[arg(value_name = "DESTINATION")]
    pub(crate) destination: String,
}
