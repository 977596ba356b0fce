//! Where a container's output is kept.

use crate::failure::{Failure, usage};
use crate::units::parse_size;
use carboy_engine::LogRequest;
use clap::Args;

/// Where a container's output is kept.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogArgs {
    /// json-file or none
    #[arg(long, default_value = "json-file", value_name = "DRIVER")]
    log_driver: String,
    /// max-size=BYTES or max-file=N
    #[arg(long, value_name = "NAME=VALUE")]
    log_opt: Vec<String>,
}

impl LogArgs {
    pub(super) fn request(&self) -> Result<LogRequest, Failure> {
        let (mut max_size, mut max_files) = (None, 1);
        for option in &self.log_opt {
            match option.split_once('=') {
                Some(("max-size", "-1")) => max_size = None,
                Some(("max-size", value)) => max_size = Some(parse_size(value).map_err(usage)?),
                Some(("max-file", value)) => {
                    max_files = value.parse().ok().filter(|n| *n > 0).ok_or_else(|| {
                        usage(format!("invalid value for max-file: {value:?} (expected a number of at least 1)"))
                    })?;
                }
                _ => return Err(usage(format!("unknown log opt {option:?} for {} log driver", self.log_driver))),
            }
        }
        match self.log_driver.as_str() {
            "json-file" => Ok(LogRequest::JsonFile { max_size, max_files }),
            "none" if self.log_opt.is_empty() => Ok(LogRequest::None),
            "none" => Err(usage("the log driver none takes no --log-opt")),
            other => Err(usage(format!("log driver {other:?} is not supported: json-file or none"))),
        }
    }
}
