//! One call of a program: input, a time limit, and everything it said.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A program about to be called. Without [`Call::stdin`] its input is /dev/null.
pub(crate) struct Call {
    command: Command,
    shown: String,
    stdin: Option<Vec<u8>>,
    limit: Duration,
}

/// What a call ended with.
pub(crate) struct Output {
    shown: String,
    /// Exit code; 128 + signal.
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Call {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Call {
        let name = Path::new(program.as_ref()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        Call { command: Command::new(program), shown: name, stdin: None, limit: Duration::from_secs(60) }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Call {
        let _ = write!(self.shown, " {}", arg.as_ref().to_string_lossy());
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(self, args: impl IntoIterator<Item = A>) -> Call {
        args.into_iter().fold(self, Call::arg)
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Call {
        self.command.env(name, value);
        self
    }

    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Call {
        self.stdin = Some(bytes.into());
        self
    }

    pub(crate) fn limit(mut self, seconds: u64) -> Call {
        self.limit = Duration::from_secs(seconds);
        self
    }

    /// The command itself, for what the methods here do not cover.
    pub(crate) fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    /// Starts it with pipes and does not wait. The caller reads and waits.
    pub(crate) fn spawn(mut self) -> Child {
        let shown = self.shown;
        let spawned = self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        spawned.unwrap_or_else(|e| panic!("{shown}: {e}"))
    }

    /// Runs it to its end; panics when it takes longer than its limit.
    #[track_caller]
    pub(crate) fn output(mut self) -> Output {
        let stdin = if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() };
        let spawned = self.command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|e| panic!("{}: {e}", self.shown));
        let writer = self.stdin.take().map(|bytes| {
            let mut to = child.stdin.take().unwrap();
            // A program may leave its input unread; that is the test's business to check.
            std::thread::spawn(move || drop(to.write_all(&bytes)))
        });
        let stdout = drain(child.stdout.take().unwrap());
        let stderr = drain(child.stderr.take().unwrap());
        let status = wait(&mut child, self.limit * super::slowness());
        if status.is_none() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(writer) = writer {
            // Only an ended reader unblocks it.
            let _ = writer.join();
        }
        let Some(code) = status else {
            // Whoever inherited the pipes may hold them still: say what there is, do not wait for their end.
            panic!("{}: not done after {:?}", self.shown, self.limit);
        };
        Output { shown: self.shown, code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
    }

    /// Runs it, which must succeed; gives its standard output.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        let out = self.output();
        assert_eq!(out.code, 0, "{out}");
        out.text()
    }

    /// Runs it, which must fail with this exit code and a message of exactly one line that names the program; gives the line.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        let out = self.output();
        assert_eq!(out.code, code, "{out}");
        let text = String::from_utf8(out.stderr.clone()).unwrap_or_else(|_| panic!("stderr is not UTF-8: {out}"));
        assert!(text.ends_with('\n') && text.lines().count() == 1, "the message is not one line: {out}");
        assert!(!text.contains("panicked"), "{out}");
        text.trim_end().to_owned()
    }
}

impl Output {
    /// Standard output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap_or_else(|_| panic!("stdout is not UTF-8: {self}"))
    }

    /// Standard error as text.
    pub(crate) fn error(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cut = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(4000)]).into_owned();
        write!(
            f,
            "{}\nexit code {}\nstdout: {}\nstderr: {}",
            self.shown,
            self.code,
            cut(&self.stdout),
            cut(&self.stderr)
        )
    }
}

/// Waits for a child's end, at most so long; its exit code, or 128 + signal.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt;
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status.code().unwrap_or_else(|| 128 + status.signal().unwrap()));
        }
        if Instant::now() > end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn drain(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}
