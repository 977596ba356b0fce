//! One attached client: what it sent and has not been dealt with, what it is to get and has not taken.
//!
//! Nothing here blocks. How much a client may be behind before the program's output waits for it, and for how long, is decided
//! here; see [`Client::holds_up`] and [`Client::is_stuck`].

use carboy_wire::attach::{self, Decoder, STALL_LIMIT_MS};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmsg};
use std::io::{self, IoSlice, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// Bytes that wait for a client before the program's output is held up.
const BEHIND_MAX: usize = 64 * 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Client {
    socket: OwnedFd,
    /// The client that started the container: never cut off.
    pub(crate) primary: bool,
    /// Whether it has sent input.
    pub(crate) sent_input: bool,
    pub(crate) decoder: Decoder,
    waiting: Vec<u8>,
    /// When it last took something, or had nothing to take.
    progress: Instant,
    gone: bool,
}

impl Client {
    pub(crate) fn new(socket: OwnedFd, primary: bool) -> Client {
        Client {
            socket,
            primary,
            sent_input: false,
            decoder: Decoder::new(),
            waiting: Vec::new(),
            progress: Instant::now(),
            gone: false,
        }
    }

    /// Sends a frame, or keeps of it what the client does not take now.
    pub(crate) fn send(&mut self, kind: u8, payload: &[u8]) {
        let header = attach::header(kind, payload.len());
        let mut sent = 0;
        if self.waiting.is_empty() {
            sent = self.try_send(&[IoSlice::new(&header), IoSlice::new(payload)]);
            self.progress = Instant::now();
        }
        if self.gone {
            return;
        }
        if sent < header.len() {
            self.waiting.extend_from_slice(&header[sent..]);
        }
        self.waiting.extend_from_slice(&payload[sent.saturating_sub(header.len())..]);
    }

    /// Sends what waits, as far as the client takes it.
    pub(crate) fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut self.waiting);
        let sent = self.try_send(&[IoSlice::new(&waiting)]);
        if sent > 0 {
            self.progress = Instant::now();
        }
        if sent < waiting.len() && !self.gone {
            self.waiting = waiting;
            self.waiting.drain(..sent);
        }
    }

    fn try_send(&mut self, parts: &[IoSlice<'_>]) -> usize {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        loop {
            match sendmsg(&self.socket, parts, &mut SendAncillaryBuffer::default(), flags) {
                Ok(n) => return n,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return 0,
                Err(_) => {
                    self.gone = true;
                    return 0;
                }
            }
        }
    }

    /// Reads what the client sent into its decoder. After this, [`Client::is_gone`] may be true.
    pub(crate) fn receive(&mut self) {
        let mut reader = Receive(self.socket.as_fd());
        match self.decoder.read_from(&mut reader) {
            Ok(0) => self.gone = true,
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.gone = true,
        }
    }

    /// Discards what it sent. A socket that is closed with something unread resets the connection instead of ending it.
    pub(crate) fn discard_input(&mut self) {
        let mut buffer = [0u8; 4096];
        while let Ok((1.., _)) = recv(&self.socket, &mut buffer, RecvFlags::DONTWAIT) {}
    }

    /// Drops the client at the next opportunity, for a protocol error.
    pub(crate) fn give_up(&mut self) {
        self.gone = true;
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Whether something waits for it.
    pub(crate) fn is_behind(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether the program's output is to wait for it.
    pub(crate) fn holds_up(&self) -> bool {
        self.waiting.len() >= BEHIND_MAX
    }

    /// When this client, if it takes nothing until then, is cut off for holding up the others.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        (!self.primary && self.holds_up()).then(|| self.progress + Duration::from_millis(STALL_LIMIT_MS))
    }

    /// Whether it, not being the first client, has taken nothing for that long.
    pub(crate) fn is_idle(&self, now: Instant) -> bool {
        !self.primary && now >= self.progress + Duration::from_millis(STALL_LIMIT_MS)
    }

    /// Whether that moment has come.
    pub(crate) fn is_stuck(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| now >= deadline)
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

struct Receive<'fd>(BorrowedFd<'fd>);

impl Read for Receive<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(recv(self.0, buffer, RecvFlags::DONTWAIT)?.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_is_not_taken_waits_and_arrives_in_order() {
        let (mut theirs, ours) = UnixStream::pair().unwrap();
        let mut client = Client::new(ours.into(), true);
        let payloads: Vec<Vec<u8>> = (0..200u8).map(|n| vec![n; 10_000]).collect();
        for payload in &payloads {
            client.send(attach::STDOUT, payload);
        }
        assert!(client.is_behind() && client.holds_up());
        let mut decoder = Decoder::new();
        let mut got = 0;
        while got < payloads.len() {
            client.flush();
            decoder.read_from(&mut theirs).unwrap();
            while let Some(frame) = decoder.next_frame().unwrap() {
                assert_eq!(frame.payload, payloads[got]);
                got += 1;
            }
        }
        assert!(!client.is_behind() && client.deadline().is_none());
    }

    #[test]
    fn a_client_that_left_is_noticed_by_either_direction() {
        let (theirs, ours) = UnixStream::pair().unwrap();
        let mut client = Client::new(ours.into(), false);
        drop(theirs);
        client.send(attach::STDOUT, b"x");
        assert!(client.is_gone());
        let (theirs, ours) = UnixStream::pair().unwrap();
        let mut client = Client::new(ours.into(), false);
        drop(theirs);
        client.receive();
        assert!(client.is_gone());
    }
}
