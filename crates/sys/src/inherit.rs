//! Descriptors that a program was given by number: fcntl(2), close_range(2) (Linux 5.9).
//!
//! Only for the very start of a program, when no value owns a descriptor above 2 yet.

use crate::check;
use rustix::io::Errno;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Takes over a descriptor given by number and makes it close-on-exec; of 0, 1 and 2 a copy is taken. `EBADF` if it is not open.
///
/// Only once for each number: two owners would close each other's.
pub fn take(fd: i32) -> Result<OwnedFd, Errno> {
    let taken = if fd > 2 {
        // SAFETY: changes a flag of what is open, or fails.
        check(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) }.into())?;
        fd
    } else {
        // SAFETY: makes a new descriptor, or fails.
        check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) }.into())? as i32
    };
    // SAFETY: open, as has just been seen, and by the contract above without another owner.
    Ok(unsafe { OwnedFd::from_raw_fd(taken) })
}

/// Closes every descriptor from 3 on except these.
pub fn close_others(keep: &[&OwnedFd]) -> Result<(), Errno> {
    let mut keep: Vec<u32> = keep.iter().map(|fd| fd.as_raw_fd() as u32).collect();
    keep.sort_unstable();
    let mut first = 3;
    for fd in keep {
        close_range(first, fd.wrapping_sub(1))?;
        first = fd + 1;
    }
    close_range(first, u32::MAX)
}

fn close_range(first: u32, last: u32) -> Result<(), Errno> {
    if first > last {
        return Ok(());
    }
    // SAFETY: by the contract of this module nobody owns what is closed.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}
