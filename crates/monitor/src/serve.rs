//! The event loop while the program runs: output to the log and to clients, input to the program, children reaped.
//!
//! Output reaches the log before the clients. It waits for a client that is behind: for the one that started the container as
//! long as that takes (nothing of `carboy run … | slow` may be lost), for others only while they make progress.
//!
//! TERM, INT, QUIT, HUP, USR1 and USR2 sent to the monitor are passed on to the program, so that a supervisor that knows the
//! monitor's PID controls the program; the monitor ends only after it.

mod clients;
mod output;
mod program;

use crate::client::Client;
use crate::error::Error;
use crate::input::Input;
use crate::log::Log;
use crate::oom::OomWatch;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

pub(crate) use output::now_ns;
pub(crate) use program::{Ended, Program};

/// After so long without anything to do, memory is given back. Containers that live shorter are not made slower by it.
const SETTLE: Duration = Duration::from_secs(1);
/// How often the end of a program is looked for while it may still be the child of the launcher.
const ORPHAN_LOOK: Duration = Duration::from_millis(1);

/// Everything the loop serves.
#[derive(Debug)]
pub(crate) struct Serve {
    pub(crate) signals: OwnedFd,
    pub(crate) program: Program,
    pub(crate) listener: Option<UnixListener>,
    /// Standard output or the terminal, and standard error; non-blocking; `None` after their end.
    pub(crate) outputs: [Option<OwnedFd>; 2],
    pub(crate) input: Input,
    pub(crate) stdin_once: bool,
    pub(crate) clients: Vec<Client>,
    pub(crate) log: Log,
    pub(crate) oom: OomWatch,
    pub(crate) buffer: Vec<u8>,
    /// Whether nothing has happened since memory was given back.
    pub(crate) settled: bool,
    /// Set once the program has ended but is somebody else's child: how long that may last.
    pub(crate) somebody_else_s: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    Signals,
    Program,
    Listener,
    Output(usize),
    Input,
    Client(usize),
    Oom,
}

impl Serve {
    /// Serves until the program has ended. Output may be left in its pipes.
    pub(crate) fn until_end(&mut self) -> Result<Ended, Error> {
        loop {
            let mut ended = None;
            for source in self.wait()? {
                match source {
                    Source::Signals => ended = ended.or(self.take_signals()?),
                    Source::Program => ended = ended.or_else(|| self.take_exit()),
                    Source::Listener => self.accept(),
                    Source::Output(index) => {
                        self.pump(index);
                    }
                    Source::Input => self.input.flush(),
                    Source::Client(index) => self.serve_client(index),
                    Source::Oom => self.oom.look(),
                }
            }
            if self.somebody_else_s.is_some() {
                ended = ended.or_else(|| self.take_exit());
            }
            // Room in the input may let go on what is already here.
            (0..self.clients.len()).for_each(|index| self.take_frames(index));
            self.drop_clients();
            if let Some(ended) = ended {
                return Ok(ended);
            }
        }
    }

    /// Waits for something to do. What the log holds back is written before the wait is a real one.
    fn wait(&mut self) -> Result<Vec<Source>, Error> {
        if self.log.is_dirty() {
            let ready = self.poll(Some(Duration::ZERO))?;
            if !ready.is_empty() {
                return Ok(ready);
            }
            self.log.flush();
        }
        if self.somebody_else_s.is_some() {
            return self.poll(Some(ORPHAN_LOOK));
        }
        if let Some(deadline) = self.clients.iter().filter_map(Client::deadline).min() {
            self.settled = false;
            return self.poll(Some(deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(1)));
        }
        if !self.settled {
            let ready = self.poll(Some(SETTLE))?;
            if !ready.is_empty() {
                return Ok(ready);
            }
            self.buffer = Vec::new();
            self.log.settle();
            carboy_sys::memory::trim_heap();
        }
        self.settled = true;
        let ready = self.poll(None);
        self.settled = false;
        ready
    }

    fn poll(&self, timeout: Option<Duration>) -> Result<Vec<Source>, Error> {
        let mut sources = vec![(Source::Signals, self.signals.as_fd(), PollFlags::IN)];
        // Its end is told for as long as nobody has reaped it.
        if self.somebody_else_s.is_none() {
            sources.push((Source::Program, self.program.pidfd.as_fd(), PollFlags::IN));
        }
        sources.extend(self.listener.as_ref().map(|fd| (Source::Listener, fd.as_fd(), PollFlags::IN)));
        if !self.clients.iter().any(Client::holds_up) {
            let outputs = self.outputs.iter().enumerate();
            sources
                .extend(outputs.filter_map(|(i, fd)| Some((Source::Output(i), fd.as_ref()?.as_fd(), PollFlags::IN))));
        }
        sources.extend(self.input.poll_fd().map(|fd| (Source::Input, fd, PollFlags::OUT)));
        sources.extend(self.oom.poll_fd().map(|fd| (Source::Oom, fd, PollFlags::PRI)));
        for (index, client) in self.clients.iter().enumerate() {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, !self.is_paused(client));
            flags.set(PollFlags::OUT, client.is_behind());
            // With no flags the hang-up of a paused client would still be reported, over and over.
            if !flags.is_empty() {
                sources.push((Source::Client(index), client.as_fd(), flags));
            }
        }
        ready(&sources, timeout, self.settled)
    }
}

/// Polls, and keeps of the sources those with something to tell. With `lean`, the program's pages are given back at the last moment,
/// so that few come back before the wait.
fn ready(
    sources: &[(Source, BorrowedFd<'_>, PollFlags)],
    timeout: Option<Duration>,
    lean: bool,
) -> Result<Vec<Source>, Error> {
    let mut fds: Vec<PollFd<'_>> = sources.iter().map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
    let timeout =
        timeout.map(|wait| Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) });
    if lean {
        carboy_sys::memory::trim_image();
    }
    match poll(&mut fds, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(e) => return Err(Error::call("poll")(e)),
    }
    let told = sources.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
    Ok(told.map(|((source, ..), _)| *source).collect())
}
