//! The program's output, on its way to the log and to the clients.

use super::{Serve, Source, ready};
use crate::error::Error;
use crate::log::Stream;
use carboy_wire::attach;
use rustix::event::PollFlags;
use rustix::io::Errno;
use std::os::fd::AsFd;
use std::time::Instant;

/// Bytes read at once from the program.
const READ_LEN: usize = 32 * 1024;

const STREAMS: [(Stream, u8); 2] = [(Stream::Stdout, attach::STDOUT), (Stream::Stderr, attach::STDERR)];

impl Serve {
    /// Carries what can be read of one output now, at most one buffer full. Whether there may be more.
    pub(super) fn pump(&mut self, index: usize) -> bool {
        let Some(fd) = &self.outputs[index] else { return false };
        self.buffer.resize(READ_LEN, 0);
        match rustix::io::read(fd, &mut self.buffer) {
            Ok(n @ 1..) => {
                self.deliver(index, n);
                true
            }
            Err(Errno::INTR) => true,
            Err(Errno::AGAIN) => false,
            // A terminal whose other side is closed answers EIO.
            Ok(_) | Err(_) => {
                self.outputs[index] = None;
                false
            }
        }
    }

    fn deliver(&mut self, index: usize, length: usize) {
        let (stream, kind) = STREAMS[index];
        let bytes = &self.buffer[..length];
        self.log.write(stream, bytes, now_ns());
        for client in &mut self.clients {
            client.send(kind, bytes);
        }
    }

    /// Delivers what the runtime's time has already brought out of standard error.
    pub(crate) fn deliver_early(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(READ_LEN) {
            self.buffer.clear();
            self.buffer.extend_from_slice(part);
            self.deliver(1, part.len());
        }
    }

    /// Carries all that is left in the pipes, without waiting for clients: what a pipe holds is little.
    /// False if somebody still holds an output open.
    pub(crate) fn drain(&mut self) -> bool {
        for index in 0..self.outputs.len() {
            while self.pump(index) {}
        }
        self.outputs.iter().all(Option::is_none)
    }

    /// As [`Serve::drain`], and waits until `limit` for those who hold an output open to let it go.
    pub(crate) fn drain_until(&mut self, limit: Instant) -> Result<bool, Error> {
        while !self.drain() {
            let left = limit.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            let outputs = self.outputs.iter().flatten();
            let sources: Vec<_> = outputs.map(|fd| (Source::Output(0), fd.as_fd(), PollFlags::IN)).collect();
            ready(&sources, Some(left), false)?;
        }
        Ok(true)
    }
}

/// Nanoseconds since the epoch.
pub(crate) fn now_ns() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}
