//! Reads what a container wrote: Docker's json-file, rotated files first, and follows it while the container runs.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::lifecycle::running;
use carboy_state::process::ProcessRef;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The bytes, usually with a newline at the end.
    pub text: String,
    /// Whether it is from standard error.
    pub is_stderr: bool,
    /// When it was written, RFC 3339.
    pub time: String,
}

/// Which lines.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// Whether to wait for more while the container runs.
    pub follow: bool,
    /// How many lines from the end; all when absent.
    pub tail: Option<usize>,
    /// Only lines from this time on, RFC 3339 in UTC.
    pub since: Option<String>,
    /// Only lines before this time, likewise.
    pub until: Option<String>,
}

/// The lines of a container's log, in order.
pub struct LogReader {
    options: LogOptions,
    path: PathBuf,
    file: Option<BufReader<File>>,
    older: VecDeque<PathBuf>,
    ready: VecDeque<LogLine>,
    partial: Vec<u8>,
    monitor: Option<(OwnedFd, OwnedFd)>,
    ended: bool,
}

#[derive(Deserialize)]
struct JsonLine<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    #[serde(borrow, default)]
    stream: Cow<'a, str>,
    #[serde(borrow, default)]
    time: Cow<'a, str>,
}

impl Engine {
    /// Opens a container's log.
    ///
    /// # Errors
    /// [`Error::Conflict`] if its output is not recorded.
    pub fn logs(&self, text: &str, options: LogOptions) -> Result<LogReader> {
        let container = self.container(text)?;
        let path = container
            .log_path()
            .ok_or_else(|| Error::Conflict("configured logging driver does not support reading".into()))?;
        let monitor = match running(&container).filter(|_| options.follow) {
            Some(started) => ProcessRef { pid: started.monitor_pid, start: started.monitor_start }.pidfd(),
            None => None,
        };
        let monitor = match monitor {
            Some(pidfd) => Some((watch(&container.dir)?, pidfd)),
            None => None,
        };
        let mut older: VecDeque<PathBuf> = (1..1000).map(|n| rotated(&path, n)).take_while(|p| p.exists()).collect();
        older.make_contiguous().reverse();
        let mut reader = LogReader {
            options,
            path,
            file: None,
            older,
            ready: VecDeque::new(),
            partial: Vec::new(),
            monitor,
            ended: false,
        };
        reader.skip_to_tail()?;
        Ok(reader)
    }
}

fn rotated(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn watch(folder: &Path) -> Result<OwnedFd> {
    let fail = |errno| Error::errno("watch", folder)(errno);
    let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).map_err(fail)?;
    let events = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
    inotify::add_watch(&fd, folder, events).map_err(fail)?;
    Ok(fd)
}

impl LogReader {
    /// The next line; `None` at the end, which with `follow` is the end of the container.
    ///
    /// # Errors
    /// If the file cannot be read or a line is not in the format.
    pub fn next_line(&mut self) -> Result<Option<LogLine>> {
        loop {
            let line = match self.ready.pop_front() {
                Some(line) => Some(line),
                None => self.read_line()?,
            };
            match line {
                Some(line) if self.options.since.as_ref().is_some_and(|since| line.time < *since) => {}
                Some(line) if self.options.until.as_ref().is_some_and(|until| line.time >= *until) => return Ok(None),
                Some(line) => return Ok(Some(line)),
                None if self.ended || self.monitor.is_none() => return Ok(None),
                None => self.ended = !self.wait()?,
            }
        }
    }

    /// Reads through everything there is, keeping only the last lines.
    fn skip_to_tail(&mut self) -> Result<()> {
        let Some(tail) = self.options.tail else { return Ok(()) };
        let mut last = VecDeque::new();
        while let Some(line) = self.read_line()? {
            last.push_back(line);
            if last.len() > tail {
                last.pop_front();
            }
        }
        self.ready = last;
        Ok(())
    }

    /// A line that is there already.
    fn read_line(&mut self) -> Result<Option<LogLine>> {
        loop {
            let path = self.older.front().unwrap_or(&self.path).clone();
            if self.file.is_none() {
                match File::open(&path) {
                    Ok(file) => self.file = Some(BufReader::new(file)),
                    Err(e) if e.kind() == io::ErrorKind::NotFound && self.older.is_empty() => return Ok(None),
                    Err(e) => return Err(Error::at("open", &path)(e)),
                }
            }
            let Some(file) = &mut self.file else { return Ok(None) };
            file.read_until(b'\n', &mut self.partial).map_err(Error::at("read", &path))?;
            if self.partial.ends_with(b"\n") {
                let line = parse(&self.partial);
                self.partial.clear();
                return line.map(Some);
            }
            if self.older.pop_front().is_none() && !self.was_rotated()? {
                return Ok(None);
            }
            self.partial.clear();
            self.file = None;
        }
    }

    /// Whether another file has our file's name now.
    fn was_rotated(&mut self) -> Result<bool> {
        let Some(file) = &mut self.file else { return Ok(false) };
        let Ok(now) = std::fs::metadata(&self.path) else { return Ok(false) };
        let ours = file.get_ref().metadata().map_err(Error::at("stat", &self.path))?;
        if now.ino() != ours.ino() {
            return Ok(true);
        }
        if now.len() < file.stream_position().map_err(Error::at("seek", &self.path))? {
            file.seek(SeekFrom::Start(0)).map_err(Error::at("seek", &self.path))?;
        }
        Ok(false)
    }

    /// Waits for a change. False once the container has ended: what is there then is all there will be.
    fn wait(&mut self) -> Result<bool> {
        let Some((watch, pidfd)) = &self.monitor else { return Ok(false) };
        let mut fds = [PollFd::new(watch, PollFlags::IN), PollFd::new(pidfd, PollFlags::IN)];
        // The limit only guards against a lost event.
        match poll(&mut fds, Some(&Timespec { tv_sec: 1, tv_nsec: 0 })) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(Error::errno("wait for", &self.path)(e)),
        }
        let alive = fds[1].revents().is_empty();
        let mut events = [0u8; 4096];
        while rustix::io::read(watch, &mut events).is_ok_and(|n| n > 0) {}
        Ok(alive)
    }
}

fn parse(line: &[u8]) -> Result<LogLine> {
    let json: JsonLine<'_> =
        serde_json::from_slice(line).map_err(|source| Error::Json { what: "a line of the log", source })?;
    Ok(LogLine { is_stderr: json.stream == "stderr", time: json.time.into_owned(), text: json.log.into_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(dir: &Path, options: LogOptions) -> LogReader {
        let path = dir.join("log");
        let older = (1..9).map(|n| rotated(&path, n)).take_while(|p| p.exists()).collect::<Vec<_>>();
        let mut reader = LogReader {
            options,
            path,
            file: None,
            older: older.into_iter().rev().collect(),
            ready: VecDeque::new(),
            partial: Vec::new(),
            monitor: None,
            ended: false,
        };
        reader.skip_to_tail().unwrap();
        reader
    }

    fn all(mut reader: LogReader) -> Vec<String> {
        std::iter::from_fn(|| reader.next_line().unwrap()).map(|line| line.text).collect()
    }

    #[test]
    fn rotated_files_come_first_and_tail_counts_over_all() {
        let dir = tempfile::tempdir().unwrap();
        let line =
            |n: u32| format!("{{\"log\":\"{n}\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:0{n}Z\"}}\n");
        std::fs::write(dir.path().join("log.2"), line(1)).unwrap();
        std::fs::write(dir.path().join("log.1"), line(2) + &line(3)).unwrap();
        // The last line is still being written.
        std::fs::write(dir.path().join("log"), line(4) + "{\"log\":\"5").unwrap();
        assert_eq!(all(reader(dir.path(), LogOptions::default())), ["1\n", "2\n", "3\n", "4\n"]);
        let tail = LogOptions { tail: Some(2), ..LogOptions::default() };
        assert_eq!(all(reader(dir.path(), tail)), ["3\n", "4\n"]);
        let since = LogOptions {
            since: Some("2026-01-01T00:00:02Z".into()),
            until: Some("2026-01-01T00:00:04Z".into()),
            ..LogOptions::default()
        };
        assert_eq!(all(reader(dir.path(), since)), ["2\n", "3\n"]);
    }
}
