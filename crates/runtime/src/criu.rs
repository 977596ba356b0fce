//! CRIU, through its RPC ([`worker`]): where the program is, and what its log says when it fails.
//!
//! Not by its command line: only the RPC leaves the other end of a terminal to others, hands over the master of a restored one, says
//! when hooks are due, and lets the process be put into a cgroup before it begins. Which memory is written and how is CRIU's business.

pub mod message;
pub mod worker;

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// Where distributions have it, whatever the caller's PATH is.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/bin"];

fn find(program: &Path) -> Result<PathBuf> {
    if program.is_absolute() {
        return Ok(program.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(FOLDERS.iter().map(PathBuf::from));
    let mut candidates = folders.map(|folder| folder.join(program)).filter(|path| path.is_absolute());
    candidates.find(|path| path.is_file()).ok_or_else(|| {
        let name = program.display();
        Error::Other(format!(
            "exec: {name}: executable file not found in $PATH; checkpoint and restore are CRIU's work"
        ))
    })
}

/// The last error in CRIU's log, which is the outermost; the ones before it are there to be read.
fn failure(verb: worker::Verb, log: &Path) -> Error {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let mut errors = text.lines().filter_map(|line| line.find("Error (").map(|at| line[at..].trim()));
    // The first is the cause, the last what came of it.
    let said = match (errors.next(), errors.next_back()) {
        (Some(first), Some(last)) => format!("{first}; {last}"),
        (Some(only), None) => only.to_owned(),
        (None, _) => "its log names no error".to_owned(),
    };
    let kind = match verb {
        worker::Verb::Dump => "DUMP",
        worker::Verb::Restore => "RESTORE",
        worker::Verb::PreDump => "PRE_DUMP",
    };
    Error::Other(format!("criu failed: type {kind}: {said} (log file: {})", log.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_log_and_what_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("dump.log");
        let said = |text: &str| {
            std::fs::write(&log, text).unwrap();
            failure(worker::Verb::Dump, &log).to_string()
        };
        let path = log.display();
        let two = said("(00.1) fine\n(00.2) Error (a.c:1): first\n(00.3) Error (b.c:2): then\n(00.4) end\n");
        assert_eq!(
            two,
            format!("criu failed: type DUMP: Error (a.c:1): first; Error (b.c:2): then (log file: {path})")
        );
        assert!(said("Error (a.c:1): only\n").contains("DUMP: Error (a.c:1): only (log"));
        assert!(said("").contains("names no error"));
    }

    #[test]
    fn a_missing_criu_is_named() {
        let error = find(Path::new("no-such-criu")).unwrap_err().to_string();
        assert!(error.contains("no-such-criu: executable file not found"), "{error}");
    }
}
