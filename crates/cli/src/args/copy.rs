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
        }
    }

    pub(crate) fn destination(&self) -> RegistryArgs {
        let to = &self.destination;
        RegistryArgs {
            tls_verify: to.dest_tls_verify,
            creds: to.dest_creds.clone(),
            authfile: to.dest_authfile.clone().or_else(|| self.authfile.clone()),
            cert_dir: to.dest_cert_dir.clone(),
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

/// `list-tags`.
#[derive(Debug, Args)]
pub(crate) struct ListTagsArgs {
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// docker://REPOSITORY, docker-archive:FILE, oci:FOLDER or oci-archive:FILE
    #[arg(value_name = "PLACE")]
    pub(crate) place: String,
}

/// `delete`.
#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// docker://NAME, oci:FOLDER[:NAME], dir:FOLDER or carboy:IMAGE
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
}

/// Kinds of places that are synchronized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SyncPlace {
    /// A registry.
    Docker,
    /// A folder with a folder for each image.
    Dir,
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
    #[command(flatten)]
    pub(crate) registries: BothRegistriesArgs,
    /// Repository, with a tag for that one only; or a folder
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,
    /// Registry with a path; or a folder
    #[arg(value_name = "DESTINATION")]
    pub(crate) destination: String,
}
