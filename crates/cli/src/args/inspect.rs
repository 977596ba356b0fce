//! `inspect`.

use clap::Args;

/// `inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// json, or a template such as {{.State.Status}}
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// container or image
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// Names, IDs, or beginnings of IDs
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
}
