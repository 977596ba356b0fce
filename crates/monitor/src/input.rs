//! The program's standard input: a pipe, a terminal, or nothing.

use rustix::io::Errno;
use rustix::termios::Winsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Bytes that may wait for the program before clients that send more are left waiting themselves.
const WAITING_MAX: usize = 64 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Input {
    fd: Option<OwnedFd>,
    terminal: bool,
    waiting: Vec<u8>,
    closing: bool,
}

impl Input {
    /// `fd` must be non-blocking; `None` stands for /dev/null.
    pub(crate) fn new(fd: Option<OwnedFd>, terminal: bool) -> Input {
        Input { fd, terminal, waiting: Vec::new(), closing: false }
    }

    /// Passes bytes on, or keeps what the program does not take now; drops them if it takes no more at all.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.fd.is_none() || self.closing {
            return;
        }
        let written = if self.waiting.is_empty() { self.try_write(bytes) } else { 0 };
        if self.fd.is_some() {
            self.waiting.extend_from_slice(&bytes[written..]);
        }
    }

    /// Passes on what waits.
    pub(crate) fn flush(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let written = self.try_write(&waiting);
        if self.fd.is_some() && written < waiting.len() {
            self.waiting = waiting;
            self.waiting.drain(..written);
        }
        if self.closing && self.waiting.is_empty() {
            self.fd = None;
        }
    }

    fn try_write(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while let Some(fd) = &self.fd
            && written < bytes.len()
        {
            match rustix::io::write(fd, &bytes[written..]) {
                Ok(n) => written += n,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                // The program has closed its end.
                Err(_) => self.fd = None,
            }
        }
        written
    }

    /// Ends the input once everything is passed on. A terminal has no such end; it stays as it is, as with docker.
    pub(crate) fn close(&mut self) {
        if self.terminal {
            return;
        }
        self.closing = true;
        if self.waiting.is_empty() {
            self.fd = None;
        }
    }

    /// Gives the terminal a new size; without one, nothing happens.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        if let Some(fd) = self.fd.as_ref().filter(|_| self.terminal) {
            let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
            // Fails only when the terminal is gone, and then there is nothing to resize.
            let _ = rustix::termios::tcsetwinsize(fd, size);
        }
    }

    /// Whether clients must wait before they send more.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_MAX
    }

    /// To be polled for being writable, if something waits.
    pub(crate) fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().filter(|_| !self.waiting.is_empty()).map(AsFd::as_fd)
    }
}
