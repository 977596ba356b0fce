//! Commands that talk to registries.

use super::PullPolicy;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// How a registry is reached.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct RegistryArgs {
    /// Require HTTPS with a valid certificate [default: yes, but for loopback addresses and as registries.conf says]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) tls_verify: Option<bool>,
    /// Credentials, instead of those in the files that docker and podman log in to
    #[arg(long, value_name = "USER:PASSWORD")]
    pub(crate) creds: Option<String>,
    /// User name, with --password
    #[arg(long, value_name = "USER", requires = "password", conflicts_with = "creds")]
    pub(crate) username: Option<String>,
    /// Password for --username; whoever lists processes sees it
    #[arg(long, value_name = "PASSWORD", requires = "username")]
    pub(crate) password: Option<String>,
    /// Without credentials, whatever the files have
    #[arg(long, conflicts_with_all = ["creds", "username", "authfile"])]
    pub(crate) no_creds: bool,
    /// File with credentials, instead of docker's and podman's
    #[arg(long, value_name = "FILE")]
    pub(crate) authfile: Option<PathBuf>,
    /// Folder with a CA's certificates (*.crt) and a client's (*.cert, *.key)
    #[arg(long, value_name = "DIR")]
    pub(crate) cert_dir: Option<PathBuf>,
    /// How often to try again what fails in passing [default: 4]
    #[arg(long, visible_alias = "retry", value_name = "N")]
    pub(crate) retry_times: Option<u32>,
    /// Docker's word for --tls-verify=false
    #[arg(long, hide = true, conflicts_with = "tls_verify")]
    pub(crate) insecure: bool,
}

/// The platform of one image.
#[derive(Debug, Args)]
pub(crate) struct PlatformChoice {
    /// Platform of the image, os/arch[/variant] [default: this machine's]
    #[arg(long, value_name = "PLATFORM", conflicts_with_all = ["os", "arch", "variant"])]
    pub(crate) platform: Option<String>,
    /// Operating system of the image
    #[arg(long, value_name = "OS")]
    pub(crate) os: Option<String>,
    /// Architecture of the image
    #[arg(long, value_name = "ARCH")]
    pub(crate) arch: Option<String>,
    /// Variant of the architecture
    #[arg(long, value_name = "VARIANT")]
    pub(crate) variant: Option<String>,
}

/// `pull`.
#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    #[command(flatten)]
    pub(crate) platform: PlatformChoice,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// All tags of the repository
    #[arg(short, long)]
    pub(crate) all_tags: bool,
    /// When to ask the registry
    #[arg(long, visible_alias = "pull", default_value = "always", value_name = "POLICY")]
    pub(crate) policy: PullPolicy,
    /// Kept for Docker's sake: signatures of that kind are not looked at
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) disable_content_trust: Option<bool>,
    /// Do not keep the compressed layers: less space, but the image cannot be pushed as it came
    #[arg(long)]
    pub(crate) drop_blobs: bool,
    /// Only print the image's name, with its digest
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Image names
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
}

/// `push`.
#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// All tags of the repository that are here
    #[arg(short, long)]
    pub(crate) all_tags: bool,
    /// Write the digest of the manifest to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) digestfile: Option<PathBuf>,
    /// Only if the image is for this platform, os/arch[/variant]
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
    /// Kind of the manifest [default: the image's own, and the other if the registry refuses that]
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) format: Option<ManifestFormat>,
    /// Compress layers like this that are not; the image's digest is another then
    #[arg(long, value_name = "FORMAT")]
    pub(crate) compression_format: Option<Compression>,
    /// Send blobs in pieces of so many MiB, for registries behind something that limits requests
    #[arg(long, value_name = "MIB")]
    pub(crate) chunk_size: Option<u64>,
    /// Kept for Docker's sake: nothing is signed
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) disable_content_trust: Option<bool>,
    /// Kept for Podman's sake: signatures of that kind are not kept
    #[arg(long)]
    pub(crate) remove_signatures: bool,
    /// Only print the image's name, with its digest
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Image name or ID
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
    /// Name at the registry, if not the image's
    #[arg(value_name = "DESTINATION")]
    pub(crate) destination: Option<String>,
}

/// Kinds of manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ManifestFormat {
    /// OCI.
    Oci,
    /// Docker, version 2, schema 2.
    #[value(alias = "docker")]
    V2s2,
    /// Docker, version 2, schema 1: refused.
    #[value(hide = true)]
    V2s1,
}

/// Kinds of compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compression {
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
    /// None.
    #[value(name = "none", alias = "uncompressed")]
    Plain,
}

/// `login`.
#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// User name
    #[arg(short, long, value_name = "USER")]
    pub(crate) username: Option<String>,
    /// Password; whoever lists processes sees it
    #[arg(short, long, value_name = "PASSWORD", conflicts_with = "password_stdin")]
    pub(crate) password: Option<String>,
    /// Take the password from standard input
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// File to keep the credentials in, instead of docker's
    #[arg(long, value_name = "FILE")]
    pub(crate) authfile: Option<PathBuf>,
    /// Folder with a CA's certificates (*.crt) and a client's (*.cert, *.key)
    #[arg(long, value_name = "DIR")]
    pub(crate) cert_dir: Option<PathBuf>,
    /// Require HTTPS with a valid certificate [default: yes, but for loopback addresses and as registries.conf says]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) tls_verify: Option<bool>,
    /// Only print the user name that is logged in
    #[arg(long, conflicts_with_all = ["username", "password", "password_stdin"])]
    pub(crate) get_login: bool,
    /// Say where the credentials are kept
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Registry, such as registry.example.org:5000 [default: Docker Hub]
    #[arg(value_name = "REGISTRY")]
    pub(crate) registry: Option<String>,
}

/// `logout`.
#[derive(Debug, Args)]
pub(crate) struct LogoutArgs {
    /// Kept for skopeo's sake: no registry is asked
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) tls_verify: Option<bool>,
    /// File with the credentials, instead of docker's and podman's
    #[arg(long, value_name = "FILE")]
    pub(crate) authfile: Option<PathBuf>,
    /// From all registries
    #[arg(short, long, conflicts_with = "registry")]
    pub(crate) all: bool,
    /// Registry, such as registry.example.org:5000 [default: Docker Hub]
    #[arg(value_name = "REGISTRY")]
    pub(crate) registry: Option<String>,
}

/// `search`.
#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// At most so many
    #[arg(long, default_value_t = 25, value_name = "N")]
    pub(crate) limit: usize,
    /// stars=N, is-official=BOOL, is-automated=BOOL
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(crate) filter: Vec<String>,
    /// Whole descriptions
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// List the tags of a repository
    #[arg(long)]
    pub(crate) list_tags: bool,
    /// table, json, or a template such as "{{.Name}}"
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// What to look for, at Docker Hub, or behind the name of a registry: registry.example.org/term
    #[arg(value_name = "[REGISTRY/]TERM")]
    pub(crate) term: String,
}
