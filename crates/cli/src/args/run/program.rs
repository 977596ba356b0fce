//! The program, its environment and what it is called.

use crate::failure::{Failure, usage};
use carboy_engine::parse_signal;
use clap::Args;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The program and its surroundings.
#[derive(Debug, Clone, Args)]
pub(crate) struct ProgramArgs {
    /// Set a variable; without a value, this environment's
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Read variables from a file
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Set a label
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    label: Vec<String>,
    /// Working directory
    #[arg(short, long, value_name = "DIR")]
    pub(super) workdir: Option<String>,
    /// User, and group, by name or number
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(super) user: Option<String>,
    /// Further group
    #[arg(long, value_name = "GROUP")]
    pub(super) group_add: Vec<String>,
    /// Program instead of the image's entrypoint; empty for none
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Signal that asks the program to end
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// Seconds between that signal and SIGKILL
    #[arg(long, value_name = "SECONDS")]
    pub(super) stop_timeout: Option<u32>,
}

impl ProgramArgs {
    /// An empty one means none.
    pub(super) fn entrypoint(&self) -> Option<Vec<String>> {
        self.entrypoint.as_ref().map(|e| if e.is_empty() { Vec::new() } else { vec![e.clone()] })
    }

    pub(super) fn environment(&self) -> Result<Vec<String>, Failure> {
        environment(&self.env_file, &self.env)
    }

    pub(super) fn stop_signal(&self) -> Result<Option<String>, Failure> {
        if let Some(signal) = &self.stop_signal {
            parse_signal(signal)?;
        }
        Ok(self.stop_signal.clone())
    }

    pub(super) fn labels(&self) -> Result<BTreeMap<String, String>, Failure> {
        let mut labels = BTreeMap::new();
        for label in &self.label {
            let (name, value) = label.split_once('=').unwrap_or((label, ""));
            if name.is_empty() {
                return Err(usage(format!("invalid label {label:?}: its name is empty")));
            }
            labels.insert(name.to_owned(), value.to_owned());
        }
        Ok(labels)
    }
}

/// Files first, then flags. A flag without a value takes it from our own environment, or is left out if it is not set there.
pub(crate) fn environment(files: &[PathBuf], flags: &[String]) -> Result<Vec<String>, Failure> {
    let mut list = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(path)
            .map_err(|e| usage(format!("open environment file {}: {e}", path.display())))?;
        for line in text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            add_variable(&mut list, line)?;
        }
    }
    for flag in flags {
        add_variable(&mut list, flag)?;
    }
    Ok(list)
}

fn add_variable(list: &mut Vec<String>, entry: &str) -> Result<(), Failure> {
    let name = entry.split('=').next().unwrap_or_default();
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(usage(format!("invalid environment variable: {entry:?}")));
    }
    if entry.contains('=') {
        list.push(entry.to_owned());
    } else if let Ok(value) = std::env::var(name) {
        list.push(format!("{name}={value}"));
    }
    Ok(())
}
