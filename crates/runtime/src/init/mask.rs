//! Masked and read-only paths.

use super::mounts::{attach, detach, new_file_system};
use super::{Init, tree};
use crate::error::{Context, Error, Result};
use carboy_sys::mount::{Change, attr, open_changed};
use rustix::fs::{AtFlags, CWD, FileType, fstat, makedev, statat};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, move_mount};
use rustix::path::Arg;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The host's /dev/null, detached, checked to be that device (CVE-2025-31133: the container's own may be anything).
pub fn detached_null() -> Result<OwnedFd> {
    let null = detach(CWD, "/dev/null", false).context(|| "open_tree /dev/null")?;
    let stat = fstat(&null).context(|| "fstat /dev/null")?;
    let right = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == makedev(1, 3);
    if right { Ok(null) } else { Err(Error::Other("the host's /dev/null is not the null device".into())) }
}

/// A mount that is put in many places: the first time itself, then copies of it.
struct Stamp {
    mount: OwnedFd,
    used: bool,
}

impl Stamp {
    fn put(&mut self, target: &Target<'_>) -> Result<(), Errno> {
        if !self.used {
            self.used = true;
            return target.cover(self.mount.as_fd());
        }
        let copy = detach(self.mount.as_fd(), "", false)?;
        target.cover(copy.as_fd())?;
        tree::release(copy);
        Ok(())
    }
}

/// What is to be covered.
enum Target<'a> {
    /// Looked up from the root.
    Found(OwnedFd),
    /// A name in a procfs of our own, in which nobody can exchange it.
    InProc(BorrowedFd<'a>, &'a str),
}

impl Target<'_> {
    fn cover(&self, mount: BorrowedFd<'_>) -> Result<(), Errno> {
        match self {
            Target::Found(handle) => attach(mount, handle.as_fd()),
            Target::InProc(proc, name) => move_mount(mount, "", proc, *name, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH),
        }
    }

    fn is_directory(&self) -> Result<bool, Errno> {
        match self {
            Target::Found(handle) => tree::is_directory(handle.as_fd()),
            Target::InProc(proc, name) => {
                let stat = statat(proc, *name, AtFlags::SYMLINK_NOFOLLOW)?;
                Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
            }
        }
    }

    /// A detached copy of it, with what lies below, read-only.
    fn read_only_copy(&self) -> Result<OwnedFd, Errno> {
        let change = Change { set: attr::RDONLY, ..Change::default() };
        match self {
            Target::Found(handle) => open_changed(handle.as_fd(), c"", true, false, change),
            Target::InProc(proc, name) => name.into_with_c_str(|name| open_changed(*proc, name, true, false, change)),
        }
    }

    fn release(self) {
        if let Target::Found(handle) = self {
            tree::release(handle);
        }
    }
}

impl Init<'_> {
    /// Covers files with /dev/null and directories with an empty read-only tmpfs. What does not exist needs no mask.
    pub fn mask(&mut self, paths: &[String]) -> Result<()> {
        let mut null = self.null.take().map(|mount| Stamp { mount, used: false });
        let mut empty: Option<Stamp> = None;
        for path in paths {
            let Some(target) = self.target(path)? else { continue };
            let directory = match target.is_directory() {
                Err(Errno::NOENT) => continue,
                result => result.context(|| format!("stat {path}"))?,
            };
            let stamp = if directory {
                if empty.is_none() {
                    let attributes = attr::RDONLY | attr::NOSUID | attr::NODEV | attr::NOEXEC;
                    let data = [("nr_inodes".to_owned(), Some("1".to_owned()))];
                    empty =
                        Some(Stamp { mount: new_file_system("tmpfs", Some("tmpfs"), &data, attributes)?, used: false });
                }
                &mut empty
            } else {
                &mut null
            };
            let Some(stamp) = stamp else { continue };
            stamp.put(&target).context(|| format!("mask {path}"))?;
            target.release();
        }
        [null, empty].into_iter().flatten().for_each(|stamp| tree::release(stamp.mount));
        Ok(())
    }

    /// Makes paths read-only, with what lies below them.
    pub fn make_readonly(&mut self, paths: &[String]) -> Result<()> {
        for path in paths {
            let Some(target) = self.target(path)? else { continue };
            let mount = match target.read_only_copy() {
                Err(Errno::NOENT) => continue,
                result => result.context(|| format!("open_tree_attr {path}"))?,
            };
            target.cover(mount.as_fd()).context(|| format!("move_mount {path}"))?;
            tree::release(mount);
            target.release();
        }
        Ok(())
    }

    /// What a path names; `None` if it is known not to exist.
    fn target<'a>(&'a self, path: &'a str) -> Result<Option<Target<'a>>> {
        if let Some((proc, name)) = self.fresh.in_proc(path) {
            return Ok(Some(Target::InProc(proc, name)));
        }
        match tree::find(self.root()?, path) {
            Ok(handle) => Ok(Some(Target::Found(handle))),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(e) => Err(e).context(|| format!("openat2 {path}")),
        }
    }
}
