//! Waiting for a program in the foreground: its exit status, signals on their way to it, its terminal's bytes.

use crate::error::{Context, Error, Result};
use carboy_oci::runtime::ConsoleSize;
use carboy_sys::signal::{self, Mask, pidfd_kill, read_signal, signalfd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, WaitOptions, WaitStatus, waitid};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};
use std::os::fd::{AsFd, OwnedFd};

const SIGCHLD: i32 = 17;
const SIGURG: i32 = 23;
const SIGWINCH: i32 = 28;

/// Signals of faults of this process itself: not for the program.
const FAULTS: [i32; 6] = [4, 5, 7, 8, 11, 31];

fn forwarded() -> Mask {
    FAULTS.iter().fold(Mask::ALL, |mask, signal| mask.without(*signal))
}

/// Blocks what [`Foreground`] will read.
pub fn block_signals() -> Result<()> {
    signal::set_mask(forwarded()).map(drop).context(|| "sigprocmask")
}

/// The terminal that this process was called from, made raw; restored when dropped.
struct RawTerminal(Termios);

impl RawTerminal {
    fn new() -> Result<Option<RawTerminal>> {
        let stdin = rustix::stdio::stdin();
        if !isatty(stdin) {
            return Ok(None);
        }
        let before = tcgetattr(stdin).context(|| "tcgetattr")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin, OptionalActions::Now, &raw).context(|| "tcsetattr")?;
        Ok(Some(RawTerminal(before)))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.0);
    }
}

/// The size of the terminal that this process was called from, for the program to begin with.
pub fn own_size() -> Option<ConsoleSize> {
    let terminals = [rustix::stdio::stdin(), rustix::stdio::stdout()];
    let size = terminals.into_iter().find_map(|terminal| tcgetwinsize(terminal).ok())?;
    Some(ConsoleSize { height: size.ws_row, width: size.ws_col })
}

/// Bytes on their way from one descriptor to another.
#[derive(Default)]
struct Pipe {
    pending: Vec<u8>,
    closed: bool,
}

/// A program in the foreground.
pub struct Foreground {
    pidfd: OwnedFd,
    signals: OwnedFd,
    console: Option<OwnedFd>,
    terminal: Option<RawTerminal>,
    input: Pipe,
    /// The program's end, if it came while orphans were reaped.
    taken: Option<WaitStatus>,
}

impl Foreground {
    /// Takes over. Signals have been blocked before the process was made.
    pub fn new(pidfd: OwnedFd, console: Option<OwnedFd>) -> Result<Foreground> {
        let signals = signalfd(forwarded()).context(|| "signalfd")?;
        let terminal = if console.is_some() { RawTerminal::new()? } else { None };
        let foreground = Foreground { pidfd, signals, console, terminal, input: Pipe::default(), taken: None };
        foreground.resize();
        Ok(foreground)
    }

    /// Waits for the end. Returns the exit status, or 128 + signal.
    pub fn wait(mut self) -> Result<u8> {
        loop {
            let ended = if self.console.is_some() { self.step_terminal()? } else { self.step()? };
            if ended {
                break;
            }
        }
        self.drain_output();
        drop(self.terminal.take());
        let (code, signal) = match self.taken {
            Some(status) => (status.exit_status(), status.terminating_signal()),
            None => {
                let status = waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED).context(|| "waitid")?;
                let status = status.ok_or_else(|| Error::Other("waitid gave no status".into()))?;
                (status.exit_status(), status.terminating_signal())
            }
        };
        // As good as the last thing that this process does: it need not close them one by one.
        std::mem::forget((self.pidfd, self.signals));
        Ok(match (code, signal) {
            (Some(code), _) => code as u8,
            (None, Some(signal)) => (128 + signal) as u8,
            (None, None) => 1,
        })
    }

    /// Waits for an event; whether the program has ended.
    fn step(&mut self) -> Result<bool> {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN), PollFd::new(&self.signals, PollFlags::IN)];
        wait_for(&mut fds)?;
        let [ended, signalled] = [0, 1].map(|index: usize| !fds[index].revents().is_empty());
        if signalled {
            self.forward_signals()?;
        }
        Ok(ended)
    }

    fn step_terminal(&mut self) -> Result<bool> {
        let Some(console) = &self.console else { return Ok(true) };
        let stdin = rustix::stdio::stdin();
        let to_console = if self.input.pending.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
        let from_stdin = self.input.pending.is_empty() && !self.input.closed;
        let mut fds = vec![
            PollFd::new(&self.pidfd, PollFlags::IN),
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(console, to_console),
        ];
        if from_stdin {
            fds.push(PollFd::new(&stdin, PollFlags::IN));
        }
        wait_for(&mut fds)?;
        let events: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        if !events[1].is_empty() {
            self.forward_signals()?;
        }
        if events[2].intersects(PollFlags::IN | PollFlags::HUP) && !self.copy_output()? {
            // The last process that had it open has closed it; what remains is the end.
            self.console = None;
        }
        if events[2].contains(PollFlags::OUT) {
            self.copy_pending();
        }
        if events.get(3).is_some_and(|events| !events.is_empty()) {
            self.read_input();
        }
        Ok(!events[0].is_empty())
    }

    fn forward_signals(&mut self) -> Result<()> {
        while let Some(number) = read_signal(&self.signals).context(|| "read signalfd")? {
            match number {
                SIGCHLD => self.reap_orphans(),
                SIGURG => {}
                SIGWINCH if self.console.is_some() => self.resize(),
                number => match pidfd_kill(self.pidfd.as_fd(), number) {
                    Ok(()) | Err(Errno::SRCH) => {}
                    Err(e) => return Err(e).context(|| format!("forward signal {number}")),
                },
            }
        }
        Ok(())
    }

    /// As a subreaper this process inherits what the program leaves behind outside a PID namespace of its own.
    fn reap_orphans(&mut self) {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        let program = || waitid(WaitId::PidFd(self.pidfd.as_fd()), look);
        // The program's own status is kept for the end.
        while matches!(program(), Ok(None)) {
            let Ok(Some((_, status))) = rustix::process::wait(WaitOptions::NOHANG) else { return };
            // Unless it has ended between the two, and this was it.
            if matches!(program(), Err(Errno::CHILD)) {
                self.taken = Some(status);
                return;
            }
        }
    }

    fn resize(&self) {
        let Some(console) = &self.console else { return };
        for terminal in [rustix::stdio::stdin(), rustix::stdio::stdout()] {
            if let Ok(size) = tcgetwinsize(terminal) {
                let _ = tcsetwinsize(console, size);
                return;
            }
        }
    }

    /// Copies what the program says; false at its end.
    fn copy_output(&self) -> Result<bool> {
        let Some(console) = &self.console else { return Ok(false) };
        let mut buffer = [0u8; 16384];
        match rustix::io::read(console, &mut buffer) {
            Ok(0) | Err(Errno::IO) => Ok(false),
            Ok(length) => write_all(&buffer[..length]).map(|()| true),
            Err(Errno::INTR | Errno::AGAIN) => Ok(true),
            Err(e) => Err(e).context(|| "read the terminal"),
        }
    }

    fn drain_output(&self) {
        let Some(console) = &self.console else { return };
        let _ = rustix::io::ioctl_fionbio(console, true);
        let mut buffer = [0u8; 16384];
        while let Ok(length @ 1..) = rustix::io::read(console, &mut buffer) {
            let _ = write_all(&buffer[..length]);
        }
    }

    fn read_input(&mut self) {
        let mut buffer = [0u8; 4096];
        match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
            Ok(0) => {
                // A terminal has no half-close: what ends its input is the end-of-file character.
                self.input.closed = true;
                self.input.pending.push(4);
            }
            Ok(length) => self.input.pending.extend_from_slice(&buffer[..length]),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => self.input.closed = true,
        }
    }

    fn copy_pending(&mut self) {
        let Some(console) = &self.console else { return };
        match rustix::io::write(console, &self.input.pending) {
            Ok(length) => drop(self.input.pending.drain(..length)),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => self.input.pending.clear(),
        }
    }
}

fn wait_for(fds: &mut [PollFd<'_>]) -> Result<()> {
    loop {
        match poll(fds, None) {
            Err(Errno::INTR) => {}
            result => return result.map(drop).context(|| "poll"),
        }
    }
}

fn write_all(mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(rustix::stdio::stdout(), bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let stdout = rustix::stdio::stdout();
                wait_for(&mut [PollFd::new(&stdout, PollFlags::OUT)])?;
            }
            Err(e) => return Err(e).context(|| "write to standard output"),
        }
    }
    Ok(())
}
