//! Global options, and what the options of all commands have in common.

mod parser;

pub use lexopt::Arg;
pub use parser::Parser;

use crate::cgroups::Driver;
use crate::error::{Error, Result};
use crate::log::{Format, Log};
use lexopt::ValueExt;
use std::ffi::OsString;
use std::path::PathBuf;

/// Options before the verb.
#[derive(Debug, Clone, Default)]
pub struct Globals {
    /// Folder of all containers' folders.
    pub root: PathBuf,
    /// The log.
    pub log: Log,
    /// `--systemd-cgroup`, or crun's `--cgroup-manager`.
    pub cgroups: Driver,
    /// `--criu`.
    pub criu: Option<PathBuf>,
}

impl From<lexopt::Error> for Error {
    fn from(error: lexopt::Error) -> Error {
        Error::Usage(error.to_string())
    }
}

/// The verb, or what is printed instead of it.
pub enum Verb {
    /// A verb.
    Do(String),
    /// `--version`.
    Version,
    /// `--help`.
    Help,
}

impl Globals {
    /// The program of checkpoints.
    pub fn criu(&self) -> PathBuf {
        self.criu.clone().unwrap_or_else(|| "criu".into())
    }

    /// Reads options up to the verb.
    pub fn parse(parser: &mut Parser) -> Result<(Globals, Verb)> {
        let mut globals = Globals::default();
        let mut root = None;
        let verb = loop {
            match parser.next()? {
                Some(Arg::Value(verb)) => break Verb::Do(text(verb)?),
                Some(Arg::Long("version") | Arg::Short('v' | 'V')) => break Verb::Version,
                Some(Arg::Long("help") | Arg::Short('h' | '?')) | None => break Verb::Help,
                Some(Arg::Long("debug")) => globals.log.debug = switch(parser)?,
                Some(Arg::Long("log")) => {
                    globals.log.path = Some(parser.value()?.into()).filter(|p: &PathBuf| !p.as_os_str().is_empty())
                }
                Some(Arg::Long("log-format")) => globals.log.format = log_format(&text(parser.value()?)?)?,
                Some(Arg::Long("root")) => root = Some(PathBuf::from(parser.value()?)),
                Some(Arg::Long("systemd-cgroup")) => {
                    globals.cgroups = if switch(parser)? { Driver::Systemd } else { Driver::Cgroupfs }
                }
                Some(Arg::Long("cgroup-manager")) => globals.cgroups = cgroup_manager(&text(parser.value()?)?)?,
                Some(Arg::Long("rootless")) => rootless(&text(parser.value()?)?)?,
                Some(Arg::Long("criu")) => globals.criu = Some(parser.value()?.into()),
                Some(other) => return Err(other.unexpected().into()),
            }
        };
        globals.root = root.unwrap_or_else(default_root);
        Ok((globals, verb))
    }
}

fn log_format(word: &str) -> Result<Format> {
    match word {
        "text" => Ok(Format::Text),
        "json" => Ok(Format::Json),
        other => Err(Error::Usage(format!("unknown log-format {other:?}"))),
    }
}

fn cgroup_manager(word: &str) -> Result<Driver> {
    match word {
        "cgroupfs" => Ok(Driver::Cgroupfs),
        "systemd" => Ok(Driver::Systemd),
        "disabled" => Ok(Driver::Disabled),
        other => Err(Error::Usage(format!("--cgroup-manager={other}: cgroupfs, systemd or disabled"))),
    }
}

/// With `auto` it is found out where it matters.
fn rootless(word: &str) -> Result<()> {
    match word {
        "auto" => Ok(()),
        "true" | "false" => {
            crate::cgroups::set_rootless(word == "true");
            Ok(())
        }
        other => Err(Error::Usage(format!("--rootless={other}: auto, true or false"))),
    }
}

/// /run/carboy-runtime, or the user's own runtime folder.
fn default_root() -> PathBuf {
    let own = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    match own {
        Some(dir) if is_user() => PathBuf::from(dir).join("carboy-runtime"),
        _ => PathBuf::from("/run/carboy-runtime"),
    }
}

/// Whether /run is not this process's: also where it is root of a user namespace of its user's, as below podman (as runc).
fn is_user() -> bool {
    !rustix::process::geteuid().is_root()
        || (std::env::var_os("USER").is_none_or(|user| user != "root") && crate::cgroups::is_no_administrator())
}

/// Text of an argument.
pub fn text(value: OsString) -> Result<String> {
    value.string().map_err(Error::from)
}

/// A number.
pub fn number<T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>>(value: OsString) -> Result<T> {
    value.parse().map_err(Error::from)
}

/// A switch, which may be written `--switch=false`.
pub fn switch(parser: &mut Parser) -> Result<bool> {
    match parser.optional_value() {
        None => Ok(true),
        // Go's words.
        Some(value) => match text(value)?.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            other => Err(Error::Usage(format!("invalid boolean value {other:?}"))),
        },
    }
}

/// The container ID, exactly one.
pub fn one_id(id: Option<String>) -> Result<String> {
    id.ok_or_else(|| Error::Usage("a container ID is needed".into()))
}

/// Takes the ID from a list of options that has no others. Further arguments are refused.
pub fn only_id(parser: &mut Parser) -> Result<String> {
    let mut id = None;
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Value(value) if id.is_none() => id = Some(text(value)?),
            other => return Err(other.unexpected().into()),
        }
    }
    one_id(id)
}
