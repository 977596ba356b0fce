//! Masked and read-only paths.

use super::mounts::{attach, detach, mount_flags, new_file_system};
use super::{Init, tree};
use crate::error::{Context, Error, Result};
use carboy_sys::mount::{Change, attr, open_changed};
use rustix::fs::{AtFlags, CWD, FileType, fstat, makedev, statat};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, mount, move_mount};
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
    fn new(mount: OwnedFd) -> Stamp {
        Stamp { mount, used: false }
    }

    fn put(&mut self, target: &Target<'_>) -> Result<(), Errno> {
        if !self.used {
            target.cover(self.mount.as_fd())?;
            self.used = true;
            return Ok(());
        }
        // Only for a target that is there: to take a copy away again costs the kernel an RCU grace period.
        let copy = detach(self.mount.as_fd(), "", false)?;
        target.cover(copy.as_fd())?;
        tree::release(copy);
        Ok(())
    }
}

/// Empty read-only directories.
#[derive(Default)]
struct Empty<'a> {
    /// SELinux's label of them.
    label: Option<&'a str>,
    stamp: Option<Stamp>,
    /// The first one, if it was put there by name.
    first: Option<(BorrowedFd<'a>, &'a str)>,
}

impl<'a> Empty<'a> {
    fn is_new(&self) -> bool {
        self.stamp.is_none() && self.first.is_none()
    }

    fn put(&mut self, target: &Target<'a>) -> Result<Result<(), Errno>> {
        let attributes = attr::RDONLY | attr::NOSUID | attr::NODEV | attr::NOEXEC;
        if let (None, None, None, Target::InProc(proc, name)) = (self.label, &self.stamp, self.first, target) {
            // mount(2) takes a path only; one call there, where the newer ones need six.
            let flags = mount_flags(attributes);
            let entered = rustix::process::fchdir(proc);
            match entered.and_then(|()| mount(c"tmpfs", *name, c"tmpfs", flags, c"nr_inodes=1")) {
                Ok(()) => {
                    self.first = Some((*proc, name));
                    return Ok(Ok(()));
                }
                Err(e @ (Errno::NOENT | Errno::NOTDIR)) => return Ok(Err(e)),
                // The other way says what is wrong.
                Err(_) => {}
            }
        }
        if self.stamp.is_none() {
            let mount = match self.first {
                Some((proc, name)) => detach(proc, name, false).context(|| format!("open_tree {name}"))?,
                None => {
                    let label = self.label.map(|label| ("context", label));
                    let data = [("nr_inodes", "1")].into_iter().chain(label);
                    let data: Vec<_> = data.map(|(key, value)| (key.to_owned(), Some(value.to_owned()))).collect();
                    new_file_system("tmpfs", Some("tmpfs"), &data, attributes)?
                }
            };
            self.stamp = Some(Stamp::new(mount));
        }
        Ok(self.stamp.as_mut().map_or(Ok(()), |stamp| stamp.put(target)))
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

/// Directories of procfs that are masked as a rule.
const DIRECTORIES: [&str; 3] = ["acpi", "asound", "scsi"];

impl Init<'_> {
    /// Covers files with /dev/null and directories with an empty read-only tmpfs. What does not exist needs no mask.
    pub fn mask(&mut self, paths: &[String], label: Option<&str>) -> Result<()> {
        let mut null = self.null.take().map(Stamp::new);
        // Changed on the way to the first directory.
        self.at_root = false;
        let mut empty = Empty { label, ..Empty::default() };
        for path in paths {
            let Some(target) = self.target(path)? else { continue };
            // Rather tried than asked, where trying takes nothing that would be left.
            let covered = match (&target, &mut null) {
                (Target::InProc(_, name), _) if DIRECTORIES.contains(name) && empty.is_new() => empty.put(&target)?,
                (Target::InProc(..), Some(null)) if !null.used => null.put(&target),
                _ => Err(Errno::INVAL),
            };
            let covered = match (covered, &mut null) {
                // Not what its name made it seem.
                (Err(Errno::INVAL | Errno::NOTDIR), null) => match (target.is_directory(), null) {
                    (Ok(true), _) => empty.put(&target)?,
                    (Ok(false), Some(null)) => null.put(&target),
                    (Ok(false), None) => Ok(()),
                    (Err(e), _) => Err(e),
                },
                (result, _) => result,
            };
            match covered {
                Ok(()) => target.release(),
                Err(Errno::NOENT) => {}
                Err(e) => return Err(e).context(|| format!("mask {path}")),
            }
        }
        [null, empty.stamp].into_iter().flatten().for_each(|stamp| tree::release(stamp.mount));
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
