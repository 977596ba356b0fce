//! `logs`.

use clap::Args;

/// `logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Wait for more until the container ends
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Number of lines from the end, or all
    #[arg(short = 'n', long, default_value = "all", value_name = "N")]
    pub(crate) tail: String,
    /// Print the time before each line
    #[arg(short, long)]
    pub(crate) timestamps: bool,
    /// Only from this time on: RFC 3339, seconds since the epoch, or a duration back from now
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Name, ID, or beginning of an ID
    pub(crate) container: String,
}
