//! Fills a new volume with what the image has at its destination, as Docker does.
//!
//! Reads the merged folder straight out of the layers, without a mount; links are copied, never followed.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::helper::run_helper;
use crate::record::Record;
use crate::request::RunRequest;
use crate::union::{Entry, Union};
use carboy_wire::monitor::RootMount;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

impl Engine {
    /// Fills the container's new volumes. A volume that holds anything is left alone.
    pub(crate) fn copy_up(&self, request: &RunRequest, mount: &RootMount, record: &Record) -> Result<()> {
        let RootMount::Overlay { lower, .. } = mount else { return Ok(()) };
        for point in record.resolved.mounts.iter().filter(|point| point.volume.is_some()) {
            let no_copy = request.volumes.iter().any(|v| v.destination == point.destination && v.no_copy);
            if no_copy || !is_empty(&point.source) {
                continue;
            }
            if self.user_namespace().is_none() {
                copy_up(lower, &point.destination, &point.source)?;
                continue;
            }
            let mut words: Vec<OsString> = vec![self.own_program()?.into(), "internal".into(), "copy-up".into()];
            words.extend([OsString::from(&point.destination), point.source.clone().into()]);
            words.extend(lower.iter().map(OsString::from));
            run_helper(&self.mapped(words)?)?;
        }
        Ok(())
    }
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// Copies the folder `destination` of the layers (topmost first) into `target`, which exists: content, owners, modes, times and links.
/// A destination that is no folder, or not there, copies nothing.
///
/// # Errors
/// At the first file that cannot be read or made.
pub fn copy_up(lower: &[PathBuf], destination: &str, target: &Path) -> Result<()> {
    let union = Union::open(lower)?;
    let fail = |errno| Error::errno("read in the image", Path::new(destination))(errno);
    let Some(folder) = union.folder(destination).map_err(fail)? else { return Ok(()) };
    copy_folder(&folder, target)
}

fn copy_folder(layers: &[std::rc::Rc<OwnedFd>], target: &Path) -> Result<()> {
    let fail = |errno| Error::errno("copy to", target)(errno);
    for (name, entry) in Union::entries(layers).map_err(fail)? {
        let path = target.join(&name);
        let fail = |errno| Error::errno("copy to", &path)(errno);
        match entry {
            Entry::Folder(inner) => {
                std::fs::create_dir(&path).map_err(Error::at("copy to", &path))?;
                copy_folder(&inner, &path)?;
            }
            Entry::Other(fd) => {
                copy_file(&fd, &path)?;
                copy_metadata(&fd, &path).map_err(fail)?;
            }
        }
    }
    match layers.first() {
        Some(top) => copy_metadata(top, target).map_err(fail),
        None => Ok(()),
    }
}

fn copy_file(fd: &OwnedFd, path: &Path) -> Result<()> {
    let fail = |errno| Error::errno("copy to", path)(errno);
    let stat = rustix::fs::fstat(fd).map_err(fail)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            let from = File::open(format!("/proc/self/fd/{}", fd.as_raw_fd()));
            let mut from = from.map_err(Error::at("read for", path))?;
            let mut to = File::create_new(path).map_err(Error::at("copy to", path))?;
            io::copy(&mut from, &mut to).map_err(Error::at("copy to", path))?;
            Ok(())
        }
        FileType::Symlink => {
            let link = rustix::fs::readlinkat(fd, "", Vec::new()).map_err(fail)?;
            rustix::fs::symlinkat(&link, CWD, path).map_err(fail)
        }
        kind => {
            rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(stat.st_mode & 0o7777), stat.st_rdev).map_err(fail)
        }
    }
}

fn copy_metadata(fd: &OwnedFd, path: &Path) -> rustix::io::Result<()> {
    let stat = rustix::fs::fstat(fd)?;
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(CWD, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        rustix::fs::chmodat(CWD, path, Mode::from_raw_mode(stat.st_mode & 0o7777), AtFlags::empty())?;
    }
    let time = |sec: i64, nsec: u64| Timespec { tv_sec: sec, tv_nsec: nsec as i64 };
    let times = Timestamps {
        last_access: time(stat.st_atime as i64, stat.st_atime_nsec as u64),
        last_modification: time(stat.st_mtime as i64, stat.st_mtime_nsec as u64),
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn the_merged_folder_is_copied() {
        let dir = tempfile::tempdir().unwrap();
        let (top, base, target) = (dir.path().join("top"), dir.path().join("base"), dir.path().join("target"));
        for folder in [top.join("data/sub"), base.join("data/sub"), target.clone()] {
            std::fs::create_dir_all(folder).unwrap();
        }
        std::fs::write(base.join("data/sub/low"), "low").unwrap();
        std::fs::write(base.join("data/both"), "base").unwrap();
        std::fs::write(top.join("data/both"), "top").unwrap();
        symlink("/etc/passwd", top.join("data/link")).unwrap();
        std::fs::set_permissions(top.join("data"), std::fs::Permissions::from_mode(0o750)).unwrap();
        let lower = [top, base];
        copy_up(&lower, "/data", &target).unwrap();
        assert_eq!(std::fs::read_to_string(target.join("sub/low")).unwrap(), "low");
        assert_eq!(std::fs::read_to_string(target.join("both")).unwrap(), "top");
        assert_eq!(std::fs::read_link(target.join("link")).unwrap(), Path::new("/etc/passwd"));
        assert_eq!(std::fs::metadata(&target).unwrap().mode() & 0o777, 0o750);
        copy_up(&lower, "/none", &target).unwrap();
    }
}
