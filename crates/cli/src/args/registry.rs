//! Commands that talk to registries.

use clap::Args;

/// `pull`.
#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// Platform to choose from a manifest list, os/arch[/variant]
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
    /// Require HTTPS with a valid certificate [default: yes, but for loopback addresses]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) tls_verify: Option<bool>,
    /// Credentials, instead of those in the files that docker and podman log in to
    #[arg(long, value_name = "USER:PASSWORD")]
    pub(crate) creds: Option<String>,
    /// Only print the image's name
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Image name
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
}
