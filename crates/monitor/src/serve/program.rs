//! The program that is served: signals for it, and how it ended.

use super::Serve;
use crate::error::Error;
use carboy_sys::signal::{pidfd_kill, read_signal};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, waitid};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long a program that has ended may still be the child of the runtime's launcher.
const ORPHAN_LIMIT: Duration = Duration::from_secs(1);

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

impl Serve {
    pub(super) fn take_signals(&mut self) -> Result<Option<Ended>, Error> {
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
    pub(super) fn take_exit(&mut self) -> Option<Ended> {
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

    pub(super) fn was_told_to_end(&mut self) -> Result<bool, Error> {
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
