//! Calling the OCI runtime, ours or another with runc's command line, and understanding why it refused.

use crate::error::Error;
use carboy_sys::exec::StringList;
use carboy_sys::spawn::{Spawn, spawn};
use carboy_wire::runtime_log::{exit_code, logged_errors};
use rustix::process::{Pid, WaitStatus};
use std::ffi::{CString, OsStr};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

/// Starts the runtime with these standard streams.
pub(crate) fn start(program: &Path, args: &[String], stdio: [BorrowedFd<'_>; 3]) -> Result<Pid, Error> {
    let args: Vec<&OsStr> = std::iter::once(program.as_os_str()).chain(args.iter().map(OsStr::new)).collect();
    let (path, list) = (found(program), string_list(&args)?);
    let fds = [(stdio[0], 0), (stdio[1], 1), (stdio[2], 2)];
    spawn(&Spawn { path: &c_string(path.as_os_str())?, args: &list, env: None, fds: &fds })
        .map_err(Error::at("execute the runtime", &path))
}

/// The file of a program; a bare name is looked up in `PATH`.
pub(crate) fn found(program: &Path) -> PathBuf {
    if program.as_os_str().as_encoded_bytes().contains(&b'/') {
        return program.to_owned();
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&folders).map(|folder| folder.join(program));
    candidates.find(|path| path.is_file()).unwrap_or_else(|| program.to_owned())
}

/// Arguments as the kernel wants them.
pub(crate) fn string_list(args: &[impl AsRef<OsStr>]) -> Result<StringList, Error> {
    Ok(StringList::new(args.iter().map(|arg| c_string(arg.as_ref())).collect::<Result<_, _>>()?))
}

pub(crate) fn c_string(text: &OsStr) -> Result<CString, Error> {
    CString::new(text.as_encoded_bytes()).map_err(|_| Error::Invalid(format!("the argument {text:?} holds a NUL")))
}

/// Why the runtime failed: its log, or what it wrote to standard error, or how it ended.
pub(crate) fn failure(verb: &str, program: &Path, status: WaitStatus, log: &Path, stderr: &[u8]) -> Error {
    let logged = std::fs::read(log).unwrap_or_default();
    let mut message = logged_errors(&String::from_utf8_lossy(&logged));
    if message.is_empty() {
        let words = String::from_utf8_lossy(stderr);
        message = words.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    }
    if message.is_empty() {
        message = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => format!("{} {verb} exited with {code} and said nothing", program.display()),
            (_, Some(signal)) => format!("{} {verb} was killed by signal {signal}", program.display()),
            _ => format!("{} {verb} ended in an unknown way", program.display()),
        };
    }
    let code = exit_code(&message);
    Error::Runtime { message, code }
}
