//! Calling the OCI runtime, ours or another with runc's command line, and understanding why it refused.

use crate::error::{Error, NOT_MADE};
use carboy_sys::exec::StringList;
use carboy_sys::spawn::{Spawn, spawn};
use rustix::process::{Pid, WaitStatus};
use serde::Deserialize;
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

#[derive(Deserialize)]
struct LogLine<'a> {
    #[serde(default, borrow)]
    level: std::borrow::Cow<'a, str>,
    #[serde(default, borrow)]
    msg: std::borrow::Cow<'a, str>,
}

/// The errors of a log in JSON lines, as `--log-format json` of runc, crun and ours; one that another contains is left out.
fn logged_errors(log: &str) -> String {
    let mut errors: Vec<String> = Vec::new();
    for line in log.lines() {
        let Ok(line) = serde_json::from_str::<LogLine<'_>>(line) else { continue };
        let message = line.msg.trim();
        if !matches!(&*line.level, "error" | "fatal" | "panic") || message.is_empty() {
            continue;
        }
        errors.retain(|earlier| !message.contains(earlier.as_str()));
        if !errors.iter().any(|earlier| earlier.contains(message)) {
            errors.push(message.to_owned());
        }
    }
    errors.join("; ")
}

/// 126 or 127 if the words are about executing the program, else 125 (docker-run(1), "EXIT STATUS").
///
/// runc: `exec: "x": executable file not found in $PATH`, `exec: "/x": permission denied`, `exec /x: no such file or directory`;
/// crun: ``executable file `x` not found``, `open executable: Permission denied`, `exec container process`.
fn exit_code(message: &str) -> i32 {
    let message = message.to_lowercase();
    let about_program = [
        "exec: ",
        "exec /",
        "exec \"",
        "exec `",
        "execve",
        "executable",
        "exec container process",
        "exec user process",
    ]
    .iter()
    .any(|words| message.contains(words));
    if !about_program {
        return NOT_MADE;
    }
    let says = |words: &[&str]| words.iter().any(|w| message.contains(w));
    if says(&["not found", "no such file"]) {
        127
    } else if says(&[
        "permission denied",
        "is a directory",
        "not a directory",
        "format error",
        "operation not permitted",
        "text file busy",
    ]) {
        126
    } else {
        NOT_MADE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runtimes_words_become_exit_codes() {
        let cases = [
            (
                r#"runc run failed: unable to start container process: exec: "nope": executable file not found in $PATH"#,
                127,
            ),
            (
                r#"runc run failed: unable to start container process: exec: "/nope": stat /nope: no such file or directory"#,
                127,
            ),
            (r#"runc run failed: unable to start container process: exec: "/etc/passwd": permission denied"#, 126),
            (r#"unable to start container process: exec: "/etc": is a directory"#, 126),
            ("executable file `nope` not found in $PATH: No such file or directory", 127),
            ("open executable: Permission denied", 126),
            ("exec container process `/x`: Exec format error", 126),
            (r#"error mounting "/src" to rootfs at "/dst": stat /src: no such file or directory"#, 125),
            ("writing memory.limit_in_bytes: permission denied", 125),
        ];
        for (words, code) in cases {
            assert_eq!(exit_code(words), code, "{words}");
        }
    }

    #[test]
    fn of_logged_lines_the_errors_are_kept_once() {
        let log = r#"{"level":"warning","msg":"w"}
{"level":"error","msg":"container_linux.go: cause"}
not json
{"level":"error","msg":"runc run failed: container_linux.go: cause"}
{"level":"error","msg":"other \"quoted\""}"#;
        assert_eq!(logged_errors(log), "runc run failed: container_linux.go: cause; other \"quoted\"");
    }
}
