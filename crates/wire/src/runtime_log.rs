//! What an OCI runtime says of its failures: the log that `--log … --log-format json` makes, and what its words mean for the
//! exit code. Understood of runc, crun and ours.

use serde::Deserialize;

/// Exit code when a container could not be made, for a reason that is not its program (docker-run(1), "EXIT STATUS").
pub const NOT_MADE: i32 = 125;

#[derive(Deserialize)]
struct LogLine<'a> {
    #[serde(default, borrow)]
    level: std::borrow::Cow<'a, str>,
    #[serde(default, borrow)]
    msg: std::borrow::Cow<'a, str>,
}

/// The errors of a log in JSON lines, as `--log-format json` of runc, crun and ours; one that another contains is left out.
pub fn logged_errors(log: &str) -> String {
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
pub fn exit_code(message: &str) -> i32 {
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
