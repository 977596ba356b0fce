//! `inspect`.

use super::RegistryArgs;
use clap::Args;

/// `inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// json, or a template such as {{.State.Status}}
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// container or image
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// Of containers: what they have written, and that with their image, in bytes
    #[arg(short, long)]
    pub(crate) size: bool,
    /// Of docker://NAME and other transports: the manifest's very bytes
    #[arg(long)]
    pub(crate) raw: bool,
    /// Of docker://NAME and other transports: the image's configuration
    #[arg(long)]
    pub(crate) config: bool,
    /// Of docker://NAME: do not ask for the repository's tags
    #[arg(short, long)]
    pub(crate) no_tags: bool,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    /// Names, IDs, or beginnings of IDs
    #[arg(required = true, value_name = "NAME|TRANSPORT:IMAGE")]
    pub(crate) names: Vec<String>,
}
