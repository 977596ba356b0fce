//! runc's `tmpcopyup`: a new tmpfs begins with what it covers.

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid, chmodat, chownat, mkdirat, mknodat, openat, readlinkat,
    statat, symlinkat,
};
use rustix::io::Errno;
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Copies what is in `from` (a handle) to `to`, with owners and modes.
pub fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let from = open_directory(from, c".")?;
    copy_directory(&from, &open_directory(to, c".")?, 0)
}

fn open_directory(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

fn copy_directory(from: &OwnedFd, to: &OwnedFd, depth: u32) -> Result<(), Errno> {
    if depth > 256 {
        return Err(Errno::NAMETOOLONG);
    }
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            copy_entry(from, to, name, depth)?;
        }
    }
    Ok(())
}

fn copy_entry(from: &OwnedFd, to: &OwnedFd, name: &CStr, depth: u32) -> Result<(), Errno> {
    let stat: Stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let mode = Mode::from_raw_mode(stat.st_mode);
    match kind {
        FileType::Directory => {
            mkdirat(to, name, mode)?;
            copy_directory(&open_directory(from.as_fd(), name)?, &open_directory(to.as_fd(), name)?, depth + 1)?;
        }
        FileType::Symlink => symlinkat(readlinkat(from, name, Vec::new())?, to, name)?,
        FileType::RegularFile => {
            let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
            // Should it be a FIFO by now, nobody waits for it.
            let mut source = File::from(openat(from, name, flags | OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())?);
            let flags = flags | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
            let mut target = File::from(openat(to, name, flags, mode)?);
            std::io::copy(&mut source, &mut target).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        }
        kind => mknodat(to, name, kind, mode, stat.st_rdev)?,
    }
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    // chown clears set-user-ID bits.
    if kind != FileType::Symlink { chmodat(to, name, mode, AtFlags::empty()) } else { Ok(()) }
}
