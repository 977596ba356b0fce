//! The foreground: bytes between the user's descriptors and a container's attach stream, signals forwarded, the terminal's size
//! followed, detach keys watched for.
//!
//! One poll(2) loop. The stream is non-blocking in our direction only: what the program does not take is kept here, and standard
//! input is not read meanwhile; what the program writes goes out before more is read.

use crate::failure::Failure;
use crate::terminal::{self, RawMode};
use anyhow::Context;
use carboy_engine::Engine;
use carboy_sys::signal::{Mask, read_signal, set_mask, signalfd};
use carboy_wire::attach::{self, Decoder};
use carboy_wire::monitor::Exit;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

/// How a client takes part.
#[derive(Debug, Clone)]
pub(crate) struct AttachOptions {
    /// The container has a terminal.
    pub(crate) terminal: bool,
    /// Standard input goes to the program.
    pub(crate) stdin: bool,
    /// Signals go to the program.
    pub(crate) signals: bool,
    /// Keys that detach.
    pub(crate) detach_keys: Vec<u8>,
}

/// How it ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The program ended.
    Exit(Exit),
    /// The user detached.
    Detached,
    /// The monitor went away without a word.
    Lost,
}

const WINCH: i32 = 28;
/// Signals that are passed on: HUP, INT, QUIT, USR1, USR2, ALRM, TERM, CONT. Those of job control keep their meaning for us.
const FORWARDED: [i32; 8] = [1, 2, 3, 10, 12, 14, 15, 18];
/// Bytes kept for a program that does not read.
const MAX_PENDING: usize = 128 * 1024;

/// Signals blocked and readable from a descriptor. To be made before the container starts, so that none is lost.
pub(crate) struct Signals(OwnedFd);

impl Signals {
    pub(crate) fn take(forward: bool) -> Result<Self, Failure> {
        let mut mask = Mask::EMPTY.with(WINCH);
        if forward {
            mask = FORWARDED.iter().fold(mask, |mask, signal| mask.with(*signal));
        }
        let fd = set_mask(mask).and_then(|_| signalfd(mask)).context("block signals")?;
        Ok(Signals(fd))
    }
}

struct Pump<'a> {
    engine: &'a Engine,
    id: &'a str,
    options: &'a AttachOptions,
    pending: Vec<u8>,
    stdin_open: bool,
    stdin_gone: bool,
    keys: KeyWatch,
    detached: bool,
}

/// Runs the foreground until the program ends or the user detaches.
pub(crate) fn foreground(
    engine: &Engine,
    id: &str,
    stream: OwnedFd,
    signals: &Signals,
    options: &AttachOptions,
) -> Result<Ended, Failure> {
    let raw = options.terminal && options.stdin && terminal::stdin_is_terminal();
    let _raw = if raw { Some(RawMode::enter().context("set the terminal to raw mode")?) } else { None };
    rustix::io::ioctl_fionbio(&stream, true).context("prepare the attach stream")?;
    let mut pump = Pump {
        engine,
        id,
        options,
        pending: Vec::new(),
        stdin_open: options.stdin,
        stdin_gone: false,
        keys: KeyWatch::new(if options.terminal { &options.detach_keys } else { &[] }),
        detached: false,
    };
    pump.run(stream, signals)
}

impl Pump<'_> {
    fn run(&mut self, stream: OwnedFd, signals: &Signals) -> Result<Ended, Failure> {
        let mut stream = std::fs::File::from(stream);
        let mut decoder = Decoder::new();
        let stdin = io::stdin();
        loop {
            let wanted = if self.pending.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
            let read_stdin = self.stdin_open && self.pending.len() < MAX_PENDING;
            let mut fds = vec![PollFd::new(&stream, wanted), PollFd::new(&signals.0, PollFlags::IN)];
            if read_stdin {
                fds.push(PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN));
            }
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(e) => return Err(anyhow::Error::new(e).context("poll").into()),
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            if ready[1] {
                self.forward_signals(signals)?;
            }
            if ready.get(2) == Some(&true) {
                self.read_stdin()?;
            }
            self.flush(&mut stream);
            if self.detached {
                return Ok(Ended::Detached);
            }
            if ready[0]
                && let Some(ended) = self.read_stream(&mut stream, &mut decoder)?
            {
                return Ok(ended);
            }
        }
    }

    fn queue(&mut self, kind: u8, payload: &[u8]) {
        for part in payload.chunks(attach::MAX_PAYLOAD) {
            self.pending.extend_from_slice(&attach::header(kind, part.len()));
            self.pending.extend_from_slice(part);
        }
        if payload.is_empty() {
            self.pending.extend_from_slice(&attach::header(kind, 0));
        }
    }

    fn flush(&mut self, stream: &mut std::fs::File) {
        while !self.pending.is_empty() {
            match stream.write(&self.pending) {
                Ok(n) => drop(self.pending.drain(..n)),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    // The monitor takes no more input; its last words are still to be read.
                    self.pending.clear();
                    self.stdin_gone = true;
                    self.stdin_open = false;
                }
            }
        }
    }

    fn read_stdin(&mut self) -> Result<(), Failure> {
        let mut buffer = [0u8; 32 * 1024];
        let n = match rustix::io::read(io::stdin().as_fd(), &mut buffer) {
            Ok(n) => n,
            Err(Errno::INTR | Errno::AGAIN) => return Ok(()),
            // A terminal that was hung up reads as EIO.
            Err(Errno::IO) => 0,
            Err(e) => return Err(anyhow::Error::new(e).context("read standard input").into()),
        };
        if n == 0 {
            self.stdin_open = false;
            self.queue(attach::CLOSE_STDIN, &[]);
            return Ok(());
        }
        let (bytes, detach) = self.keys.feed(&buffer[..n]);
        if !bytes.is_empty() {
            self.queue(attach::STDIN, &bytes);
        }
        self.detached = detach;
        Ok(())
    }

    fn read_stream(&mut self, stream: &mut std::fs::File, decoder: &mut Decoder) -> Result<Option<Ended>, Failure> {
        match decoder.read_from(stream) {
            Ok(0) => return Ok(Some(Ended::Lost)),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ok(Some(Ended::Lost)),
            Err(e) => return Err(anyhow::Error::new(e).context("read the attach stream").into()),
        }
        while let Some(frame) = decoder.next_frame().context("read the attach stream")? {
            match frame.kind {
                attach::STDOUT => write_all(io::stdout().as_fd(), frame.payload)?,
                attach::STDERR => write_all(io::stderr().as_fd(), frame.payload)?,
                attach::EXIT => {
                    let exit = serde_json::from_slice(frame.payload).context("read the exit status")?;
                    return Ok(Some(Ended::Exit(exit)));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn forward_signals(&mut self, signals: &Signals) -> Result<(), Failure> {
        while let Some(signal) = read_signal(&signals.0).context("read a signal")? {
            if signal != WINCH {
                // The program may have ended just now; its exit status is on the way.
                let _ = self.engine.kill(self.id, signal);
            } else if self.options.terminal
                && let Some((rows, columns)) = terminal::size()
            {
                self.queue(attach::RESIZE, &attach::encode_size(rows, columns));
            }
        }
        Ok(())
    }
}

/// Writes to one of the user's descriptors, which another process may have made non-blocking.
fn write_all(fd: rustix::fd::BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Failure> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::new(&fd, PollFlags::OUT)], None);
            }
            Err(e) => return Err(anyhow::Error::new(io::Error::from(e)).context("write output").into()),
        }
    }
    Ok(())
}

/// Watches for the detach keys in what is typed.
#[derive(Debug)]
struct KeyWatch {
    keys: Vec<u8>,
    seen: usize,
}

impl KeyWatch {
    fn new(keys: &[u8]) -> Self {
        KeyWatch { keys: keys.to_vec(), seen: 0 }
    }

    /// What to pass on, and whether to detach. Keys that began a sequence and did not finish it are passed on late.
    fn feed(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::with_capacity(bytes.len());
        for byte in bytes {
            if self.keys.get(self.seen) == Some(byte) {
                self.seen += 1;
                if self.seen == self.keys.len() {
                    return (out, true);
                }
                continue;
            }
            out.extend_from_slice(&self.keys[..self.seen]);
            self.seen = 0;
            if self.keys.first() == Some(byte) {
                self.seen = 1;
                if self.keys.len() == 1 {
                    return (out, true);
                }
            } else {
                out.push(*byte);
            }
        }
        (out, false)
    }
}

/// Parses `ctrl-p,ctrl-q`; an empty text means none.
pub(crate) fn parse_detach_keys(text: &str) -> Result<Vec<u8>, String> {
    let bad =
        |key: &str| format!("invalid detach keys: {key:?} (expected letters, or ctrl- and a letter or one of @[\\]^_)");
    text.split(',')
        .filter(|key| !key.is_empty())
        .map(|key| match key.strip_prefix("ctrl-").map(str::as_bytes) {
            Some([byte @ b'a'..=b'z']) => Ok(byte - b'a' + 1),
            Some([byte @ (b'@' | b'[' | b'\\' | b']' | b'^' | b'_')]) => Ok(byte - b'@'),
            None if key.len() == 1 => Ok(key.as_bytes()[0]),
            _ => Err(bad(key)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detach_keys_parse() {
        assert_eq!(parse_detach_keys("ctrl-p,ctrl-q").unwrap(), [16, 17]);
        assert_eq!(parse_detach_keys("a,ctrl-@").unwrap(), [b'a', 0]);
        assert!(parse_detach_keys("ctrl-1").is_err() && parse_detach_keys("ab").is_err());
    }

    #[test]
    fn detach_keys_are_found_across_reads_and_nothing_is_lost() {
        let mut watch = KeyWatch::new(&[16, 17]);
        assert_eq!(watch.feed(b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(watch.feed(b"c\x10\x10"), (b"\x10c\x10".to_vec(), false));
        assert_eq!(watch.feed(b"\x11d"), (Vec::new(), true));
        assert_eq!(KeyWatch::new(&[]).feed(b"\x10\x11"), (b"\x10\x11".to_vec(), false));
    }
}
