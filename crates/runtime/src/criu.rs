//! CRIU, as a program: what it is told of a container, how it is called, what its log says when it fails.
//!
//! A dump by its command line: whoever reads the error can repeat the call. A restore by its RPC ([`worker`]), as only that hands over the
//! master of a terminal, says when hooks are due, and lets the process be put into a cgroup before it begins. Which memory is written
//! and how is CRIU's business.

pub mod message;
pub mod worker;

use crate::error::{Context, Error, Result};
use carboy_sys::exec::StringList;
use carboy_sys::spawn::{Spawn, spawn};
use rustix::process::{WaitOptions, waitpid};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where distributions have it, whatever the caller's PATH is.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/bin"];

/// A call of CRIU.
#[derive(Debug)]
pub struct Call<'a> {
    /// The program; searched for if it is not an absolute path.
    pub program: &'a Path,
    /// `dump` or `pre-dump`.
    pub verb: &'static str,
    /// Where the images are.
    pub images: &'a Path,
    /// Where `dump.log` is.
    pub work: &'a Path,
    /// Further arguments.
    pub args: Vec<String>,
}

impl Call<'_> {
    /// Calls it and waits for its end.
    pub fn run(self) -> Result<()> {
        let program = find(self.program)?;
        let log = self.work.join("dump.log");
        let own = [
            "criu".into(),
            self.verb.into(),
            format!("--images-dir={}", self.images.display()),
            format!("--work-dir={}", self.work.display()),
            format!("--log-file={}", log.display()),
            "-v4".into(),
        ];
        let strings = own.into_iter().chain(self.args).map(CString::new).collect::<Result<Vec<_>, _>>();
        let args = StringList::new(strings.map_err(|_| Error::Usage("a path contains a null byte".into()))?);
        let path = CString::new(program.as_os_str().as_bytes()).unwrap_or_default();
        // What an earlier call said is not what this one says.
        let _ = std::fs::remove_file(&log);
        let what = || format!("execute {}", program.display());
        let pid = spawn(&Spawn { path: &path, args: &args, env: None, fds: &[] }).context(what)?;
        let status = waitpid(Some(pid), WaitOptions::empty()).context(|| "wait for criu")?;
        match status.and_then(|(_, status)| status.exit_status()) {
            Some(0) => Ok(()),
            _ => Err(failure(self.verb, &log)),
        }
    }
}

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
fn failure(verb: &str, log: &Path) -> Error {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let mut errors = text.lines().filter_map(|line| line.find("Error (").map(|at| line[at..].trim()));
    // The first is the cause, the last what came of it.
    let said = match (errors.next(), errors.next_back()) {
        (Some(first), Some(last)) => format!("{first}; {last}"),
        (Some(only), None) => only.to_owned(),
        (None, _) => "its log names no error".to_owned(),
    };
    let kind = verb.to_uppercase();
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
            failure("dump", &log).to_string()
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
