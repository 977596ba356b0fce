//! Making what is put over a layer: directories and copies of files, with their metadata.

use crate::ImageError;
use carboy_state::file::FileError;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, mknodat, symlinkat};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// overlayfs's marks of a directory that hides what is below it.
pub(super) const OPAQUE: [&str; 2] = ["trusted.overlay.opaque", "user.overlay.opaque"];

/// What is taken over of a file or a directory.
pub(super) struct Metadata {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Timespec,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A file of a lower layer, and the names that it gets.
pub(super) struct Linked<'a> {
    /// Opened as a path.
    pub(super) object: OwnedFd,
    pub(super) names: Vec<&'a [u8]>,
}

/// Reads the metadata of an open file or directory.
pub(super) fn metadata(directory: &OwnedFd) -> Result<Metadata, Errno> {
    let stat = rustix::fs::fstat(directory)?;
    let mut names = vec![0; 64 << 10];
    let size = rustix::fs::flistxattr(directory, &mut names[..]).unwrap_or(0);
    let mut xattrs = Vec::new();
    for name in names[..size].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 64 << 10];
        if !OPAQUE.iter().any(|opaque| opaque.as_bytes() == name)
            && let Ok(size) = rustix::fs::fgetxattr(directory, name, &mut value[..])
        {
            value.truncate(size);
            xattrs.push((name.to_vec(), value));
        }
    }
    Ok(Metadata {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ },
        xattrs,
    })
}

/// Makes directories and links in a new folder: directories from above, then the files, then the directories' metadata from below,
/// because making names in a directory changes its times.
pub(super) fn make(
    folder: &Path,
    directories: &BTreeMap<Vec<u8>, Metadata>,
    linked: &[Linked<'_>],
) -> Result<(), ImageError> {
    let path_of = |path: &[u8]| folder.join(OsStr::from_bytes(path));
    std::fs::create_dir(folder).map_err(FileError::at("create folder", folder))?;
    for path in directories.keys() {
        let path = path_of(path);
        std::fs::create_dir(&path).map_err(FileError::at("create folder", &path))?;
    }
    for file in linked {
        let Some((first, others)) = file.names.split_first() else { continue };
        let first = path_of(first);
        if !copy(&file.object, &first)? {
            continue;
        }
        for other in others {
            let other = path_of(other);
            std::fs::hard_link(&first, &other).map_err(FileError::at("link", &other))?;
        }
    }
    for (path, metadata) in directories.iter().rev() {
        let path = path_of(path);
        apply(&open_folder(&path)?, metadata).map_err(|errno| FileError::at("describe", &path)(errno.into()))?;
    }
    Ok(sync(folder)?)
}

/// File systems whose journal keeps the order: what happened before something that is synced is on the disk too.
const ORDERED: [u64; 2] = [0xef53, 0x5846_5342];

fn sync(folder: &Path) -> Result<(), FileError> {
    let ordered = rustix::fs::statfs(folder).is_ok_and(|fs| ORDERED.contains(&(fs.f_type as u64)));
    let opened = File::open(folder).map_err(FileError::at("open", folder))?;
    let synced = if ordered { opened.sync_all() } else { rustix::fs::syncfs(&opened).map_err(io::Error::from) };
    synced.map_err(FileError::at("sync", folder))
}

/// Copies what is no directory; false for a device that this user may not make.
fn copy(object: &OwnedFd, target: &Path) -> Result<bool, FileError> {
    let failed = |operation| move |errno: Errno| FileError::at(operation, target)(errno.into());
    let stat = rustix::fs::fstat(object).map_err(failed("stat for"))?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind == FileType::RegularFile {
        let source = format!("/proc/self/fd/{}", object.as_raw_fd());
        let mut source = File::open(&source).map_err(FileError::at("open for", target))?;
        let described = metadata(&source.as_fd().try_clone_to_owned().map_err(FileError::at("open for", target))?);
        let described = described.map_err(failed("stat for"))?;
        let mut copy = File::create_new(target).map_err(FileError::at("create", target))?;
        io::copy(&mut source, &mut copy).map_err(FileError::at("write", target))?;
        let copy = OwnedFd::from(copy);
        apply(&copy, &described).map_err(failed("describe"))?;
        File::from(copy).sync_all().map_err(FileError::at("sync", target))?;
        return Ok(true);
    }
    let here = rustix::fs::CWD;
    if kind == FileType::Symlink {
        let leads_to = rustix::fs::readlinkat(object, "", Vec::new()).map_err(failed("read link for"))?;
        symlinkat(&leads_to, here, target).map_err(failed("create link"))?;
    } else {
        match mknodat(here, target, kind, Mode::RUSR, stat.st_rdev) {
            // A user namespace makes no devices; unpacking a layer leaves them out too.
            Err(Errno::PERM) => return Ok(false),
            other => other.map_err(failed("create"))?,
        }
    }
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    let owned = rustix::fs::chownat(here, target, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW);
    tolerated(owned, stat.st_uid).map_err(failed("chown"))?;
    if kind != FileType::Symlink {
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        rustix::fs::chmodat(here, target, mode, AtFlags::empty()).map_err(failed("chmod"))?;
    }
    let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(here, target, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(failed("set times of"))?;
    Ok(true)
}

/// An ID that is not mapped cannot be given; the layers themselves have it likewise.
fn tolerated(owned: Result<(), Errno>, uid: u32) -> Result<(), Errno> {
    match owned {
        Err(Errno::PERM | Errno::INVAL) if !rustix::process::geteuid().is_root() || uid == 65534 => Ok(()),
        other => other,
    }
}

/// Gives an open file or directory its metadata.
fn apply(directory: &OwnedFd, metadata: &Metadata) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid));
    tolerated(rustix::fs::fchown(directory, Some(uid), Some(gid)), metadata.uid)?;
    rustix::fs::fchmod(directory, Mode::from_raw_mode(metadata.mode))?;
    for (name, value) in &metadata.xattrs {
        match rustix::fs::fsetxattr(directory, &name[..], value, XattrFlags::empty()) {
            Err(Errno::PERM | Errno::NOTSUP) => {}
            other => other?,
        }
    }
    let times = Timestamps { last_access: metadata.mtime, last_modification: metadata.mtime };
    rustix::fs::futimens(directory, &times)
}

pub(super) fn open_folder(path: &Path) -> Result<OwnedFd, FileError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(rustix::fs::CWD, path, flags, Mode::empty());
    opened.map_err(|errno| FileError::at("open", path)(errno.into()))
}
