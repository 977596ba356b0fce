//! This process's own attributes: prctl(2), capset(2), close_range(2).

use crate::check;
use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Ends this process without running destructors or flushing anything, as a forked child must.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

/// Closes every descriptor from `first` on but those to keep (close_range(2), Linux 5.9).
///
/// Only where nothing that owns one of the others is used or dropped any more: before this process becomes another program.
pub fn close_all_but(first: u32, keep: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut keep: Vec<u32> = keep.iter().map(|fd| fd.as_raw_fd() as u32).filter(|fd| *fd >= first).collect();
    keep.sort_unstable();
    let mut first = first;
    for fd in keep {
        if first < fd {
            close_range(first, fd - 1)?;
        }
        first = fd + 1;
    }
    close_range(first, u32::MAX)
}

fn close_range(first: u32, last: u32) -> Result<(), Errno> {
    // SAFETY: by the contract of its caller nobody uses what is closed.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}

/// Sets the `dumpable` attribute: without it, only a privileged process may look into this one (proc(5), ptrace(2)).
pub fn set_dumpable(dumpable: bool) -> Result<(), Errno> {
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, libc::c_ulong::from(dumpable), 0, 0, 0) }.into()).map(drop)
}

/// Keeps the permitted capabilities when the user ID changes (PR_SET_KEEPCAPS).
pub fn set_keep_capabilities(keep: bool) -> Result<(), Errno> {
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, libc::c_ulong::from(keep), 0, 0, 0) }.into()).map(drop)
}

/// Sets PR_SET_NO_NEW_PRIVS.
pub fn set_no_new_privileges() -> Result<(), Errno> {
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1 as libc::c_ulong, 0, 0, 0) }.into()).map(drop)
}

/// Makes orphaned descendants children of this process (PR_SET_CHILD_SUBREAPER).
pub fn set_subreaper() -> Result<(), Errno> {
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1 as libc::c_ulong, 0, 0, 0) }.into()).map(drop)
}

/// Drops a capability from the bounding set. `EINVAL` if the kernel does not know it.
pub fn drop_bounding(capability: u8) -> Result<(), Errno> {
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0) }.into()).map(drop)
}

/// Empties the ambient set.
pub fn clear_ambient() -> Result<(), Errno> {
    ambient(libc::PR_CAP_AMBIENT_CLEAR_ALL, 0)
}

/// Adds a capability, permitted and inheritable already, to the ambient set.
pub fn raise_ambient(capability: u8) -> Result<(), Errno> {
    ambient(libc::PR_CAP_AMBIENT_RAISE, capability)
}

fn ambient(operation: libc::c_int, capability: u8) -> Result<(), Errno> {
    // SAFETY: no pointers.
    let ret =
        unsafe { libc::prctl(libc::PR_CAP_AMBIENT, operation as libc::c_ulong, libc::c_ulong::from(capability), 0, 0) };
    check(ret.into()).map(drop)
}

/// Effective, permitted and inheritable set, bit n being capability n.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CapabilitySets {
    /// In force.
    pub effective: u64,
    /// May be put in force.
    pub permitted: u64,
    /// Kept over execve.
    pub inheritable: u64,
}

/// Sets the three sets of this thread (capset(2), version 3).
pub fn capset(sets: CapabilitySets) -> Result<(), Errno> {
    const VERSION_3: u32 = 0x2008_0522;
    let header: [u32; 2] = [VERSION_3, 0];
    let half = |shift: u32| [sets.effective, sets.permitted, sets.inheritable].map(|set| (set >> shift) as u32);
    let data: [[u32; 3]; 2] = [half(0), half(32)];
    // SAFETY: header and data have the layout of version 3, 8 and 24 bytes.
    check(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) }).map(drop)
}

/// The three sets of this thread (capget(2)).
pub fn capget() -> Result<CapabilitySets, Errno> {
    const VERSION_3: u32 = 0x2008_0522;
    let header: [u32; 2] = [VERSION_3, 0];
    let mut data: [[u32; 3]; 2] = [[0; 3]; 2];
    // SAFETY: header and data have the layout of version 3, 8 and 24 bytes.
    check(unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), data.as_mut_ptr()) })?;
    let set = |index: usize| u64::from(data[0][index]) | u64::from(data[1][index]) << 32;
    Ok(CapabilitySets { effective: set(0), permitted: set(1), inheritable: set(2) })
}

/// Sets the user IDs (real, effective, saved, file system) of this thread.
pub fn setresuid(uid: u32) -> Result<(), Errno> {
    // SAFETY: no pointers. The raw call, as the process has one thread.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
}

/// Sets the group IDs (real, effective, saved, file system) of this thread.
pub fn setresgid(gid: u32) -> Result<(), Errno> {
    // SAFETY: no pointers. The raw call, as the process has one thread.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) }).map(drop)
}

/// Sets the supplementary groups of this thread.
pub fn setgroups(groups: &[u32]) -> Result<(), Errno> {
    // SAFETY: the kernel reads `len` group IDs.
    check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) }).map(drop)
}

/// Whether all user and group IDs of this program were 0 when it was started: the real ones, the effective ones, and with them the saved ones
/// (getauxval(3)).
pub fn is_root_from_the_start() -> bool {
    // SAFETY: reads what the kernel has put beside the arguments; these entries are always there.
    [libc::AT_UID, libc::AT_EUID, libc::AT_GID, libc::AT_EGID].iter().all(|kind| unsafe { libc::getauxval(*kind) } == 0)
}

/// The effective user and group ID with which this program was started (getauxval(3)): no system call, where they have not changed since.
pub fn ids_at_start() -> (u32, u32) {
    // SAFETY: reads what the kernel has put beside the arguments; these two entries are always there.
    unsafe { (libc::getauxval(libc::AT_EUID) as u32, libc::getauxval(libc::AT_EGID) as u32) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_the_own_capabilities_changes_nothing() {
        let sets = capget().unwrap();
        capset(sets).unwrap();
        assert_eq!(capget().unwrap(), sets);
    }
}
