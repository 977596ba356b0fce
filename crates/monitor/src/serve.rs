//! The event loop while the program runs: output to the log and to clients, input to the program, children reaped.
//!
//! Output reaches the log before the clients. It waits for a client that is behind: for the one that started the container as
//! long as that takes (nothing of `carboy run … | slow` may be lost), for others only while they make progress.
//!
//! TERM, INT, QUIT, HUP, USR1 and USR2 sent to the monitor are passed on to the program, so that a supervisor that knows the
//! monitor's PID controls the program; the monitor ends only after it.

use crate::client::Client;
use crate::error::Error;
use crate::input::Input;
use crate::log::{Log, Stream};
use crate::oom::OomWatch;
use carboy_sys::signal::{pidfd_kill, read_signal};
use carboy_wire::attach;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, waitid};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

/// After so long without anything to do, memory is given back. Containers that live shorter are not made slower by it.
const SETTLE: Duration = Duration::from_secs(1);
/// How long a program that has ended may still be the child of the runtime's launcher.
const ORPHAN_LIMIT: Duration = Duration::from_secs(1);
/// How often it is looked at then.
const ORPHAN_LOOK: Duration = Duration::from_millis(1);

/// Bytes read at once from the program.
const READ_LEN: usize = 32 * 1024;

/// How the program ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) signal: Option<i32>,
    /// Why the code is not the program's own.
    pub(crate) error: Option<String>,
}

/// The program as its monitor knows it.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
}

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

const STREAMS: [(Stream, u8); 2] = [(Stream::Stdout, attach::STDOUT), (Stream::Stderr, attach::STDERR)];

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

    fn is_paused(&self, client: &Client) -> bool {
        self.input.is_full() && matches!(client.decoder.peek_kind(), Ok(Some(attach::STDIN)))
    }

    fn take_signals(&mut self) -> Result<Option<Ended>, Error> {
        let mut ended = None;
        while let Some(number) = read_signal(&self.signals).map_err(Error::call("read signalfd"))? {
            if number == Signal::CHILD.as_raw() {
                ended = ended.or(self.reap());
            } else {
                // A program that has ended needs no signal.
                let _ = pidfd_kill(self.program.pidfd.as_fd(), number);
            }
        }
        Ok(ended)
    }

    /// Waits for whatever has ended: the program, or an orphan that came here.
    fn reap(&self) -> Option<Ended> {
        let mut ended = None;
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            if pid == self.program.pid {
                ended = Some(Ended::from(status.exit_status(), status.terminating_signal()));
            }
        }
        ended
    }

    /// How the program ended; `None` if it cannot be told yet.
    fn take_exit(&mut self) -> Option<Ended> {
        match waitid(WaitId::PidFd(self.program.pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(Some(status)) => Some(Ended::from(status.exit_status(), status.terminating_signal())),
            Ok(None) | Err(Errno::INTR) => None,
            // crun's launcher may outlive its `run` by a moment; a program that ended within that is not orphaned to us yet.
            Err(Errno::CHILD) if self.may_become_ours() => None,
            // Some runtimes name a process that never is; then its end is all there is to know.
            Err(e) => Some(Ended { code: 255, signal: None, error: Some(format!("exit code unknown: waitid: {e}")) }),
        }
    }

    /// Whether somebody else's child may be orphaned to us soon. One that has been reaped takes no signal, not even none.
    fn may_become_ours(&mut self) -> bool {
        let now = Instant::now();
        let limit = *self.somebody_else_s.get_or_insert(now + ORPHAN_LIMIT);
        now < limit && pidfd_kill(self.program.pidfd.as_fd(), 0).is_ok()
    }

    /// Takes in the clients that are connecting.
    pub(crate) fn accept(&mut self) {
        while let Some(listener) = &self.listener {
            match listener.accept() {
                Ok((stream, _)) => self.clients.push(Client::new(stream.into(), false)),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
    }

    /// Carries what can be read of one output now, at most one buffer full. Whether there may be more.
    fn pump(&mut self, index: usize) -> bool {
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

    fn serve_client(&mut self, index: usize) {
        let paused = self.is_paused(&self.clients[index]);
        let client = &mut self.clients[index];
        client.flush();
        if !paused {
            client.receive();
        }
        self.take_frames(index);
    }

    /// Deals with the whole frames of a client, up to input for which there is no room.
    fn take_frames(&mut self, index: usize) {
        let client = &mut self.clients[index];
        loop {
            match client.decoder.peek_kind() {
                Ok(Some(attach::STDIN)) if self.input.is_full() => return,
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_) => return client.give_up(),
            }
            let Ok(Some(frame)) = client.decoder.next_frame() else { return };
            match frame.kind {
                attach::STDIN => {
                    client.sent_input = true;
                    self.input.push(frame.payload);
                }
                attach::CLOSE_STDIN => self.input.close(),
                attach::RESIZE => {
                    if let Some((rows, columns)) = attach::decode_size(frame.payload) {
                        self.input.resize(rows, columns);
                    }
                }
                _ => {}
            }
        }
    }

    fn drop_clients(&mut self) {
        let now = Instant::now();
        let mut input_ended = false;
        let stdin_once = self.stdin_once;
        self.clients.retain(|client| {
            let stays = !client.is_gone() && !client.is_stuck(now);
            input_ended |= !stays && stdin_once && (client.primary || client.sent_input);
            stays
        });
        if input_ended {
            self.input.close();
        }
    }

    /// Sends a last frame to everybody.
    pub(crate) fn broadcast(&mut self, kind: u8, payload: &[u8]) {
        self.clients.iter_mut().for_each(|client| client.send(kind, payload));
        self.clients.retain(|client| !client.is_gone());
    }

    /// Waits until the clients have taken what waits for them, those other than the first only while they make progress. A signal
    /// ends the wait.
    pub(crate) fn linger(&mut self) -> Result<(), Error> {
        loop {
            let now = Instant::now();
            self.clients.iter_mut().for_each(Client::discard_input);
            self.clients.retain(|client| client.is_behind() && !client.is_gone() && !client.is_idle(now));
            if self.clients.is_empty() {
                return Ok(());
            }
            let mut sources = vec![(Source::Signals, self.signals.as_fd(), PollFlags::IN)];
            let clients = self.clients.iter().enumerate();
            sources.extend(clients.map(|(index, client)| (Source::Client(index), client.as_fd(), PollFlags::OUT)));
            let others = self.clients.iter().any(|client| !client.primary);
            for source in ready(&sources, others.then_some(Duration::from_millis(100)), false)? {
                match source {
                    Source::Client(index) => self.clients[index].flush(),
                    _ if self.was_told_to_end()? => return Ok(()),
                    _ => {}
                }
            }
        }
    }

    fn was_told_to_end(&mut self) -> Result<bool, Error> {
        let number = read_signal(&self.signals).map_err(Error::call("read signalfd"))?;
        Ok(number.is_some_and(|number| number != Signal::CHILD.as_raw()))
    }
}

impl Ended {
    fn from(code: Option<i32>, signal: Option<i32>) -> Ended {
        let code = code.or(signal.map(|signal| 128 + signal)).unwrap_or(255);
        Ended { code, signal, error: None }
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

/// Nanoseconds since the epoch.
pub(crate) fn now_ns() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}
