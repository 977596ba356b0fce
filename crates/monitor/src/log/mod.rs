//! The container's log: Docker's json-file, buffered, rotated.
//!
//! Invariant: the file holds whole lines only, whatever fails. A write that fails costs the lines in the buffer, never the program.

mod json;
mod time;

use crate::error::{Error, chain};
use carboy_wire::monitor::LogConfig;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// One of the program's two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A longer line is cut into several records, as Docker does; the cut ones end without `\n`.
const LINE_MAX: usize = 16 * 1024;
/// The buffer is written at the latest when it has this many bytes.
const BUFFER_MAX: usize = 16 * 1024;

/// Takes the program's output; see the module.
#[derive(Debug, Default)]
pub(crate) struct Log {
    sink: Option<Sink>,
    /// Begun lines of stdout and stderr, with the time of their first byte.
    begun: [Begun; 2],
}

#[derive(Debug, Default)]
struct Begun {
    bytes: Vec<u8>,
    at_ns: u64,
}

impl Log {
    /// Opens the file, or nothing if there is to be no log.
    pub(crate) fn open(config: &LogConfig) -> Result<Log, Error> {
        let LogConfig::JsonFile { path, max_size, max_files } = config else { return Ok(Log::default()) };
        let (file, length) = open(path).map_err(Error::io(format!("open log {}", path.display())))?;
        let sink = Sink {
            path: path.clone(),
            file: Some(file),
            length,
            max_size: max_size.unwrap_or(u64::MAX),
            max_files: (*max_files).max(1),
            buffer: Vec::new(),
            lost: None,
        };
        Ok(Log { sink: Some(sink), begun: Default::default() })
    }

    /// Records output that was read at `at_ns` (nanoseconds since the epoch).
    pub(crate) fn write(&mut self, stream: Stream, bytes: &[u8], at_ns: u64) {
        let Some(sink) = &mut self.sink else { return };
        let begun = &mut self.begun[stream as usize];
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            begun.push(sink, stream, part, at_ns);
        }
    }

    /// Records what was begun without a line's end.
    pub(crate) fn end(&mut self) {
        let Some(sink) = &mut self.sink else { return };
        for (begun, stream) in self.begun.iter_mut().zip([Stream::Stdout, Stream::Stderr]) {
            begun.emit(sink, stream);
        }
        sink.flush();
    }

    /// Whether something waits to be written.
    pub(crate) fn is_dirty(&self) -> bool {
        self.sink.as_ref().is_some_and(|sink| !sink.buffer.is_empty())
    }

    /// Writes what waits.
    pub(crate) fn flush(&mut self) {
        if let Some(sink) = &mut self.sink {
            sink.flush();
        }
    }

    /// Gives the buffer's memory back.
    pub(crate) fn settle(&mut self) {
        if let Some(sink) = &mut self.sink {
            sink.flush();
            sink.buffer = Vec::new();
        }
    }

    /// What could not be recorded and why, if anything.
    pub(crate) fn complaint(&self) -> Option<String> {
        let sink = self.sink.as_ref()?;
        let lost = sink.lost.as_ref()?;
        Some(format!("log {}: {}; {} lines were not recorded", sink.path.display(), lost.cause, lost.lines))
    }
}

impl Begun {
    fn push(&mut self, sink: &mut Sink, stream: Stream, part: &[u8], at_ns: u64) {
        let mut rest = part;
        while !rest.is_empty() {
            if self.bytes.is_empty() {
                self.at_ns = at_ns;
                // The common case is copied once only.
                if rest.len() <= LINE_MAX && rest.ends_with(b"\n") {
                    return sink.record(stream, rest, at_ns);
                }
            }
            let taken = rest.len().min(LINE_MAX - self.bytes.len());
            self.bytes.extend_from_slice(&rest[..taken]);
            rest = &rest[taken..];
            if self.bytes.ends_with(b"\n") {
                self.emit(sink, stream);
            } else if self.bytes.len() == LINE_MAX {
                // A character is not cut in two: its first bytes begin the next record.
                let kept = self.bytes.split_off(LINE_MAX - unfinished_character(&self.bytes));
                self.emit(sink, stream);
                self.bytes = kept;
            }
        }
    }

    fn emit(&mut self, sink: &mut Sink, stream: Stream) {
        if !self.bytes.is_empty() {
            sink.record(stream, &self.bytes, self.at_ns);
            self.bytes = Vec::new();
        }
    }
}

/// How many bytes at the end begin a UTF-8 character without finishing it; at most 3.
fn unfinished_character(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    let Some(start) = tail.iter().rposition(|byte| byte & 0xc0 != 0x80) else { return 0 };
    let needed = match tail[start] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    let have = tail.len() - start;
    if have < needed { have } else { 0 }
}

#[derive(Debug)]
struct Sink {
    path: PathBuf,
    /// Absent when a rotation could not make the new file; each flush tries again.
    file: Option<File>,
    /// Bytes in the file, all of whole lines.
    length: u64,
    max_size: u64,
    max_files: u32,
    buffer: Vec<u8>,
    lost: Option<Lost>,
}

#[derive(Debug)]
struct Lost {
    cause: String,
    lines: u64,
}

impl Sink {
    fn record(&mut self, stream: Stream, bytes: &[u8], at_ns: u64) {
        let start = self.buffer.len();
        json::push_record(&mut self.buffer, stream, bytes, at_ns);
        if self.length + self.buffer.len() as u64 > self.max_size && self.length + start as u64 > 0 {
            let record = self.buffer.split_off(start);
            self.flush();
            self.rotate();
            self.buffer = record;
        }
        if self.buffer.len() >= BUFFER_MAX {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        if let Err(e) = self.try_write() {
            let lines = self.buffer.iter().filter(|byte| **byte == b'\n').count() as u64;
            self.note_loss(&e, lines);
        }
        self.buffer.clear();
    }

    fn try_write(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            let (file, length) = open(&self.path)?;
            (self.file, self.length) = (Some(file), length);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        match file.write_all(&self.buffer) {
            Ok(()) => {
                self.length += self.buffer.len() as u64;
                Ok(())
            }
            Err(e) => {
                // Part of it may have been written; the next record must begin a line.
                let _ = file.set_len(self.length);
                Err(e)
            }
        }
    }

    fn note_loss(&mut self, cause: &io::Error, lines: u64) {
        let lost = self.lost.get_or_insert_with(|| Lost { cause: chain(cause), lines: 0 });
        lost.lines += lines;
    }

    /// `log` → `log.1` → `log.2` …; the oldest goes. With one file, it is emptied.
    fn rotate(&mut self) {
        let result = if self.max_files == 1 { self.empty() } else { self.shift() };
        if let Err(e) = result {
            self.note_loss(&e, 0);
        }
    }

    fn empty(&mut self) -> io::Result<()> {
        if let Some(file) = &self.file {
            file.set_len(0)?;
        }
        self.length = 0;
        Ok(())
    }

    fn shift(&mut self) -> io::Result<()> {
        for number in (1..self.max_files).rev() {
            let from = if number == 1 { self.path.clone() } else { numbered(&self.path, number - 1) };
            match std::fs::rename(&from, numbered(&self.path, number)) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        self.file = None;
        self.length = 0;
        let (file, length) = open(&self.path)?;
        (self.file, self.length) = (Some(file), length);
        Ok(())
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = File::from(rustix::fs::open(path, flags, Mode::from_raw_mode(0o640))?);
    let length = file.metadata()?.len();
    Ok((file, length))
}

#[cfg(test)]
mod tests;
