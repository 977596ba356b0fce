//! mount_setattr(2) (Linux 5.12) and open_tree_attr(2) (Linux 6.15).

use crate::check;
use rustix::io::Errno;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Attribute bits: `MOUNT_ATTR_…`.
pub mod attr {
    /// Read-only.
    pub const RDONLY: u64 = 0x1;
    /// Set-user-ID bits are ignored.
    pub const NOSUID: u64 = 0x2;
    /// Device nodes cannot be opened.
    pub const NODEV: u64 = 0x4;
    /// Nothing can be executed.
    pub const NOEXEC: u64 = 0x8;
    /// The bits of the access time mode. Zero in them means relatime.
    pub const ATIME_MASK: u64 = 0x70;
    /// Access times are not kept.
    pub const NOATIME: u64 = 0x10;
    /// Access times are kept strictly.
    pub const STRICTATIME: u64 = 0x20;
    /// Access times of directories are not kept.
    pub const NODIRATIME: u64 = 0x80;
    /// Map IDs by a user namespace.
    pub const IDMAP: u64 = 0x10_0000;
    /// Symbolic links are not followed (Linux 5.14).
    pub const NOSYMFOLLOW: u64 = 0x20_0000;
}

/// How mounts below a mount point reach its peers (mount_namespaces(7)).
pub mod propagation {
    /// Unchanged.
    pub const KEEP: u64 = 0;
    /// Not at all.
    pub const PRIVATE: u64 = libc::MS_PRIVATE;
    /// From the master only.
    pub const SLAVE: u64 = libc::MS_SLAVE;
    /// Both ways.
    pub const SHARED: u64 = libc::MS_SHARED;
    /// Not at all, and it cannot be bound.
    pub const UNBINDABLE: u64 = libc::MS_UNBINDABLE;
}

/// What to change on a mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// Bits of [`attr`] to set.
    pub set: u64,
    /// Bits to clear, before `set`.
    pub clear: u64,
    /// One of [`propagation`].
    pub propagation: u64,
}

/// Changes the mount that `path` below `dir` names (or `dir` itself if it is empty), with all mounts below it if `recursive`.
///
/// `id_map` is a user namespace descriptor; it must be given exactly if `set` holds [`attr::IDMAP`].
pub fn mount_setattr(
    dir: BorrowedFd<'_>,
    path: &CStr,
    recursive: bool,
    change: Change,
    id_map: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    let arguments = arguments(change, id_map);
    let flags = libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path ends with NUL and the structure is valid for the size given.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            dir.as_raw_fd(),
            path.as_ptr(),
            flags,
            &raw const arguments,
            size_of::<libc::mount_attr>(),
        )
    };
    check(ret).map(drop)
}

fn arguments(change: Change, id_map: Option<BorrowedFd<'_>>) -> libc::mount_attr {
    libc::mount_attr {
        attr_set: change.set,
        attr_clr: change.clear,
        propagation: change.propagation,
        userns_fd: id_map.map_or(0, |fd| fd.as_raw_fd() as u64),
    }
}

/// A detached copy of the mount that `path` below `dir` names, with the mounts below it if `recursive`, all changed before anybody sees
/// them. A link at the end of the path is not followed unless `follow`.
pub fn open_changed(
    dir: BorrowedFd<'_>,
    path: &CStr,
    recursive: bool,
    follow: bool,
    change: Change,
) -> Result<OwnedFd, Errno> {
    // One call since Linux 6.15; whoever refuses it, a kernel or a filter, is not asked twice.
    static REFUSED: AtomicBool = AtomicBool::new(false);
    let mut flags = libc::OPEN_TREE_CLOEXEC as libc::c_int | OPEN_TREE_CLONE | libc::AT_EMPTY_PATH;
    flags |= if recursive { libc::AT_RECURSIVE } else { 0 } | if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
    if !REFUSED.load(Ordering::Relaxed) {
        let arguments = arguments(change, None);
        // SAFETY: the path ends with NUL and the structure is valid for the size given.
        let opened = check(unsafe {
            let size = size_of::<libc::mount_attr>();
            libc::syscall(SYS_OPEN_TREE_ATTR, dir.as_raw_fd(), path.as_ptr(), flags, &raw const arguments, size)
        });
        match opened {
            // SAFETY: a new descriptor, which nothing else owns.
            Ok(raw) => return Ok(unsafe { OwnedFd::from_raw_fd(raw as libc::c_int) }),
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => REFUSED.store(true, Ordering::Relaxed),
            Err(e) => return Err(e),
        }
    }
    // SAFETY: the path ends with NUL.
    let raw = check(unsafe { libc::syscall(libc::SYS_open_tree, dir.as_raw_fd(), path.as_ptr(), flags) })?;
    // SAFETY: a new descriptor, which nothing else owns.
    let mount = unsafe { OwnedFd::from_raw_fd(raw as libc::c_int) };
    mount_setattr(std::os::fd::AsFd::as_fd(&mount), c"", recursive, change, None)?;
    Ok(mount)
}

/// The same number on all architectures (asm-generic/unistd.h).
const SYS_OPEN_TREE_ATTR: libc::c_long = 467;
/// linux/mount.h.
const OPEN_TREE_CLONE: libc::c_int = 1;
