//! clone3(2): a child in new namespaces, with a pidfd, optionally born in a cgroup.

use crate::check;
use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Namespace flags, as in clone(2).
pub mod flag {
    /// New mount namespace.
    pub const NEWNS: u64 = libc::CLONE_NEWNS as u64;
    /// New cgroup namespace.
    pub const NEWCGROUP: u64 = libc::CLONE_NEWCGROUP as u64;
    /// New UTS namespace.
    pub const NEWUTS: u64 = libc::CLONE_NEWUTS as u64;
    /// New IPC namespace.
    pub const NEWIPC: u64 = libc::CLONE_NEWIPC as u64;
    /// New user namespace.
    pub const NEWUSER: u64 = libc::CLONE_NEWUSER as u64;
    /// New PID namespace.
    pub const NEWPID: u64 = libc::CLONE_NEWPID as u64;
    /// New network namespace.
    pub const NEWNET: u64 = libc::CLONE_NEWNET as u64;
    /// New time namespace (Linux 5.6).
    pub const NEWTIME: u64 = 0x80;
    /// The child's parent is the caller's parent.
    pub const PARENT: u64 = libc::CLONE_PARENT as u64;
}

/// Which side of the call this is.
#[derive(Debug)]
pub enum Clone {
    /// The caller.
    Parent {
        /// The child's PID in the caller's PID namespace.
        pid: i32,
        /// Its pidfd, close-on-exec.
        pidfd: OwnedFd,
    },
    /// The new process.
    Child,
}

/// `struct clone_args`, version 2 (Linux 5.7).
#[repr(C)]
#[derive(Default)]
struct Args {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const INTO_CGROUP: u64 = 0x2_0000_0000;

/// Forks into the namespaces of `flags`; with `cgroup`, the child is born in that v2 cgroup (CLONE_INTO_CGROUP, Linux 5.7).
///
/// The child is a copy of the whole process with one thread. Locks that other threads hold at this moment (the allocator's too)
/// stay locked in the child for ever, so a caller with other threads may only exit or execute in it.
pub fn clone3(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> Result<Clone, Errno> {
    let mut pidfd: libc::c_int = -1;
    let mut args = Args {
        flags: flags | libc::CLONE_PIDFD as u64,
        pidfd: (&raw mut pidfd) as u64,
        // With CLONE_PARENT the signal is the caller's own and must be left zero.
        exit_signal: if flags & flag::PARENT == 0 { libc::SIGCHLD as u64 } else { 0 },
        ..Args::default()
    };
    if let Some(fd) = cgroup {
        args.flags |= INTO_CGROUP;
        args.cgroup = fd.as_raw_fd() as u64;
    }
    // SAFETY: the arguments are valid for the kernel to read and `pidfd` to write; no stack is given and memory is not shared, so
    // the child continues on a copy of this stack, as after fork(2).
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<Args>()) })?;
    if pid == 0 {
        return Ok(Clone::Child);
    }
    // SAFETY: the kernel has just installed this descriptor for us alone.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Clone::Parent { pid: pid as i32, pidfd })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    use std::os::fd::AsFd;

    #[test]
    fn a_child_is_waited_for_by_its_pidfd() {
        // The test harness has threads; the child only exits.
        match clone3(0, None).unwrap() {
            Clone::Child => crate::process::exit_now(7),
            Clone::Parent { pidfd, pid } => {
                assert!(pid > 0);
                let status = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).unwrap().unwrap();
                assert_eq!(status.exit_status(), Some(7));
            }
        }
    }
}
