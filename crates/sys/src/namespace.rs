//! setns(2) and unshare(2) for processes with one thread.

use crate::check;
use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Joins the namespaces of `flags` ([`crate::clone::flag`]): of a process if `fd` is a pidfd (Linux 5.8), else the namespace that
/// `fd` refers to, whose type is checked.
///
/// Joining a PID namespace concerns children only. Mount and user namespaces need a caller with one thread (`EINVAL`).
pub fn setns(fd: BorrowedFd<'_>, flags: u64) -> Result<(), Errno> {
    // SAFETY: no pointers; memory is not affected.
    check(unsafe { libc::setns(fd.as_raw_fd(), flags as libc::c_int) }.into()).map(drop)
}

/// Moves into new namespaces of the given kinds. Only bits of namespaces are passed on.
pub fn unshare(flags: u64) -> Result<(), Errno> {
    use crate::clone::flag;
    let namespaces = flag::NEWNS
        | flag::NEWCGROUP
        | flag::NEWUTS
        | flag::NEWIPC
        | flag::NEWUSER
        | flag::NEWPID
        | flag::NEWNET
        | flag::NEWTIME;
    // SAFETY: only namespaces are unshared, never the descriptor table on which other code relies.
    check(unsafe { libc::unshare((flags & namespaces) as libc::c_int) }.into()).map(drop)
}
