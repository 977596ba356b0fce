//! The user's terminal: raw mode that is always undone, and its size.

use carboy_sys::signal::{Mask, read_signal, set_mask, signalfd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::process::Signal;
use rustix::termios::{LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use std::io::{self, BufRead, Write};
use std::sync::Mutex;

/// What to go back to; also for the panic hook, since a release build ends without unwinding.
static SAVED: Mutex<Option<Termios>> = Mutex::new(None);

/// Raw mode of standard input, undone when dropped and on a panic.
#[derive(Debug)]
pub(crate) struct RawMode(());

impl RawMode {
    /// Switches standard input to raw mode, as cfmakeraw(3) does.
    pub(crate) fn enter() -> io::Result<Self> {
        let stdin = io::stdin();
        let saved = tcgetattr(stdin.as_fd())?;
        let mut raw = saved.clone();
        raw.make_raw();
        *lock() = Some(saved);
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            before(info);
        }));
        tcsetattr(stdin.as_fd(), OptionalActions::Drain, &raw)?;
        Ok(RawMode(()))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    if let Some(saved) = lock().take() {
        let _ = tcsetattr(io::stdin().as_fd(), OptionalActions::Drain, &saved);
    }
}

fn lock() -> std::sync::MutexGuard<'static, Option<Termios>> {
    SAVED.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Whether standard input is a terminal.
pub(crate) fn stdin_is_terminal() -> bool {
    isatty(io::stdin().as_fd())
}

/// Rows and columns of the terminal, if there is one.
pub(crate) fn size() -> Option<(u16, u16)> {
    let of = |fd: BorrowedFd<'_>| tcgetwinsize(fd).ok().filter(|s| s.ws_row > 0 && s.ws_col > 0);
    of(io::stdout().as_fd()).or_else(|| of(io::stdin().as_fd())).map(|s| (s.ws_row, s.ws_col))
}

/// Asks for a line, on standard error as standard output may be read by a program.
pub(crate) fn ask_line(prompt: &str) -> io::Result<String> {
    write!(io::stderr(), "{prompt}")?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// The same for a secret, which is not shown. A signal that ends this program meanwhile ends it with the terminal as it was: not every shell
/// looks after that.
pub(crate) fn ask_hidden(prompt: &str) -> io::Result<String> {
    let stdin = io::stdin();
    let saved = tcgetattr(stdin.as_fd())?;
    let mut hidden = saved.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    let deadly = DEADLY.into_iter().fold(Mask::EMPTY, |mask, signal| mask.with(signal.as_raw()));
    let before = set_mask(deadly)?;
    let signals = signalfd(deadly)?;
    tcsetattr(stdin.as_fd(), OptionalActions::Drain, &hidden)?;
    let _ = write!(io::stderr(), "{prompt}");
    // A terminal can be read once there is a whole line, or its end.
    let line = wait(&signals).and_then(|signal| signal.map_or_else(|| ask_line("").map(Ok), |signal| Ok(Err(signal))));
    tcsetattr(stdin.as_fd(), OptionalActions::Drain, &saved)?;
    let _ = writeln!(io::stderr());
    let line = line?;
    if let Err(signal) = line {
        carboy_sys::signal::kill(rustix::process::getpid().as_raw_pid(), signal)?;
    }
    set_mask(before)?;
    line.map_err(|_| io::ErrorKind::Interrupted.into())
}

/// What a terminal, or whoever has lost patience, sends.
const DEADLY: [Signal; 4] = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT];

/// Waits for standard input, or for the signal that comes before.
fn wait(signals: &OwnedFd) -> io::Result<Option<i32>> {
    let stdin = io::stdin();
    loop {
        let mut fds = [PollFd::new(signals, PollFlags::IN), PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => continue,
            result => result?,
        };
        if !fds[0].revents().is_empty() {
            return Ok(read_signal(signals)?);
        }
        if !fds[1].revents().is_empty() {
            return Ok(None);
        }
    }
}
