//! Signals: sigprocmask(2), signalfd(2), sigaction(2) of the default action, kill(2) with any number.

use crate::check;
use rustix::io::Errno;
use std::os::fd::{FromRawFd, OwnedFd};

/// Bit of a signal in a mask.
const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// A set of signals, bit n-1 being signal n.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mask(u64);

impl Mask {
    /// No signal.
    pub const EMPTY: Mask = Mask(0);
    /// All signals. (The kernel never blocks SIGKILL and SIGSTOP.)
    pub const ALL: Mask = Mask(!0);

    /// This set without one signal.
    pub const fn without(self, signal: i32) -> Mask {
        Mask(self.0 & !bit(signal))
    }

    /// This set with one signal.
    pub const fn with(self, signal: i32) -> Mask {
        Mask(self.0 | bit(signal))
    }
}

/// Blocks exactly these signals and returns what was blocked before.
pub fn set_mask(mask: Mask) -> Result<Mask, Errno> {
    let mut old = 0u64;
    // SAFETY: both sets are 8 bytes, the size that is named, as the kernel's.
    let ret = unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask.0, &raw mut old, size_of::<u64>())
    };
    check(ret).map(|_| Mask(old))
}

/// A non-blocking descriptor that yields the signals of `mask`, which must be blocked.
pub fn signalfd(mask: Mask) -> Result<OwnedFd, Errno> {
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: the set is 8 bytes, the size that is named, as the kernel's.
    let fd = unsafe { libc::syscall(libc::SYS_signalfd4, -1, &raw const mask.0, size_of::<u64>(), flags) };
    // SAFETY: the kernel has just made this descriptor for us alone.
    check(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// The number of the next pending signal of a [`signalfd`]; `None` if there is none.
pub fn read_signal(fd: &OwnedFd) -> Result<Option<i32>, Errno> {
    let mut buffer = [0u8; size_of::<libc::signalfd_siginfo>()];
    match rustix::io::read(fd, &mut buffer) {
        Ok(n) if n == buffer.len() => Ok(Some(u32::from_ne_bytes([buffer[0], buffer[1], buffer[2], buffer[3]]) as i32)),
        Ok(_) => Ok(None),
        Err(Errno::AGAIN) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Gives a signal its default action (Rust ignores SIGPIPE, and an ignored signal stays ignored over execve).
pub fn set_default(signal: i32) -> Result<(), Errno> {
    // SAFETY: the default action runs no code of ours.
    let old = unsafe { libc::signal(signal, libc::SIG_DFL) };
    if old == libc::SIG_ERR { check(-1).map(drop) } else { Ok(()) }
}

/// Sends a signal by number, real-time ones included, to a process.
pub fn kill(pid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: no pointers.
    check(unsafe { libc::kill(pid, signal) }.into()).map(drop)
}

/// Sends a signal by number to the process behind a pidfd.
pub fn pidfd_kill(pidfd: std::os::fd::BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    use std::os::fd::AsRawFd;
    // SAFETY: the information is null, for which the kernel fills in that of kill(2).
    let ret = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, std::ptr::null::<libc::siginfo_t>(), 0)
    };
    check(ret).map(drop)
}
