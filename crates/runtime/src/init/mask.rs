//! Masked and read-only paths.

use super::mounts::{attach, detach, new_file_system};
use super::{Init, tree};
use crate::error::{Context, Error, Result};
use carboy_sys::mount::{Change, attr, mount_setattr};
use rustix::fs::{CWD, FileType, fstat, makedev};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};

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
    fn put(&mut self, target: &OwnedFd) -> Result<(), Errno> {
        if !self.used {
            self.used = true;
            return attach(self.mount.as_fd(), target.as_fd());
        }
        let copy = detach(self.mount.as_fd(), "", false)?;
        attach(copy.as_fd(), target.as_fd())?;
        tree::release(copy);
        Ok(())
    }
}

impl Init<'_> {
    /// Covers files with /dev/null and directories with an empty read-only tmpfs. What does not exist needs no mask.
    pub fn mask(&mut self, paths: &[String]) -> Result<()> {
        let mut null = self.null.take().map(|mount| Stamp { mount, used: false });
        let mut empty: Option<Stamp> = None;
        for path in paths {
            let target = match tree::find(self.root()?, path) {
                Ok(target) => target,
                Err(Errno::NOENT | Errno::NOTDIR) => continue,
                Err(e) => return Err(e).context(|| format!("openat2 {path}")),
            };
            let stamp = if tree::is_directory(target.as_fd()).context(|| format!("fstat {path}"))? {
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
            tree::release(target);
        }
        [null, empty].into_iter().flatten().for_each(|stamp| tree::release(stamp.mount));
        Ok(())
    }

    /// Makes paths read-only, with what lies below them.
    pub fn make_readonly(&mut self, paths: &[String]) -> Result<()> {
        let change = Change { set: attr::RDONLY, ..Change::default() };
        for path in paths {
            let target = match tree::find(self.root()?, path) {
                Ok(target) => target,
                Err(Errno::NOENT | Errno::NOTDIR) => continue,
                Err(e) => return Err(e).context(|| format!("openat2 {path}")),
            };
            let mount = detach(target.as_fd(), "", true).context(|| format!("open_tree {path}"))?;
            mount_setattr(mount.as_fd(), c"", true, change, None).context(|| format!("mount_setattr {path}"))?;
            attach(mount.as_fd(), target.as_fd()).context(|| format!("move_mount {path}"))?;
            tree::release(mount);
            tree::release(target);
        }
        Ok(())
    }
}
