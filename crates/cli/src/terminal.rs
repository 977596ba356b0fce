//! The user's terminal: raw mode that is always undone, and its size.

use rustix::fd::{AsFd, BorrowedFd};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use std::io;
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
