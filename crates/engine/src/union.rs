//! Reads a small file out of a stack of layers as an overlay mount would show it, without mounting anything.
//!
//! Each component is looked up with `openat(O_PATH | O_NOFOLLOW)` in every layer that still takes part, and symbolic links are
//! followed by this walk itself, so that no link of an image can lead out of it. Whiteouts and opaque folders are honoured as
//! overlayfs defines them (Documentation/filesystems/overlayfs.rst). With one layer it is a plain look-up within a root.

use crate::error::{Error, Result};
use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, openat};
use rustix::io::Errno;
use std::collections::{BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Links followed before the walk gives up, as the kernel's own limit (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// A stack of root folders, topmost first.
pub(crate) struct Union {
    layers: Vec<Rc<OwnedFd>>,
}

/// An entry of a merged folder.
pub(crate) enum Entry {
    /// A folder, as the layers that make it up.
    Folder(Vec<Rc<OwnedFd>>),
    /// Anything else, opened with `O_PATH`.
    Other(OwnedFd),
}

enum Found {
    Nothing,
    Folder(Vec<Rc<OwnedFd>>),
    Link(OwnedFd, String),
    File(OwnedFd),
    Special(OwnedFd),
}

impl Union {
    /// Opens the folders, topmost first.
    pub(crate) fn open(folders: &[PathBuf]) -> Result<Self> {
        let open = |path: &PathBuf| {
            openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map(Rc::new)
                .map_err(Error::errno("open", path))
        };
        Ok(Union { layers: folders.iter().map(open).collect::<Result<_>>()? })
    }

    /// The text of a regular file of at most `limit` bytes; empty if there is none.
    pub(crate) fn read(&self, path: &str, limit: u64) -> Result<String> {
        let fail = |errno: Errno| Error::errno("read in the image", Path::new(path))(errno);
        let Some(file) = self.resolve(path).map_err(fail)? else { return Ok(String::new()) };
        // Reopened through procfs, because an O_PATH descriptor cannot be read; it can only be the inode already found.
        let magic = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        let mut bytes = Vec::new();
        let read = File::open(&magic).and_then(|f| f.take(limit).read_to_end(&mut bytes));
        read.map_err(Error::at("read in the image", Path::new(path)))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn resolve(&self, path: &str) -> Result<Option<OwnedFd>, Errno> {
        Ok(match self.walk(path)? {
            Found::File(file) => Some(file),
            _ => None,
        })
    }

    /// A folder as the layers that make it up, topmost first; `None` if there is none.
    pub(crate) fn folder(&self, path: &str) -> Result<Option<Vec<Rc<OwnedFd>>>, Errno> {
        Ok(match self.walk(path)? {
            Found::Folder(folders) => Some(folders),
            _ => None,
        })
    }

    /// What is in a folder that [`Union::folder`] answered, merged. Links are not followed.
    pub(crate) fn entries(layers: &[Rc<OwnedFd>]) -> Result<Vec<(OsString, Entry)>, Errno> {
        let mut names = BTreeSet::new();
        for layer in layers {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let folder = openat(layer.as_fd(), ".", flags, Mode::empty())?;
            for entry in Dir::new(folder)? {
                let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
                if name != "." && name != ".." {
                    names.insert(name);
                }
            }
        }
        let mut entries = Vec::new();
        for name in names {
            match look_up(layers, &name)? {
                Found::Nothing => {}
                Found::Folder(folders) => entries.push((name, Entry::Folder(folders))),
                Found::Link(fd, _) | Found::File(fd) | Found::Special(fd) => entries.push((name, Entry::Other(fd))),
            }
        }
        Ok(entries)
    }

    fn walk(&self, path: &str) -> Result<Found, Errno> {
        let mut rest: VecDeque<String> = components(path).collect();
        let mut parents: Vec<Vec<Rc<OwnedFd>>> = vec![self.layers.clone()];
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                if parents.len() > 1 {
                    parents.pop();
                }
                continue;
            }
            let here = parents.last().map_or(&self.layers[..], Vec::as_slice);
            match look_up(here, OsStr::new(&name))? {
                Found::Folder(folders) => parents.push(folders),
                Found::Link(_, target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP);
                    }
                    if target.starts_with('/') {
                        parents.truncate(1);
                    }
                    for part in components(&target).collect::<Vec<_>>().into_iter().rev() {
                        rest.push_front(part);
                    }
                }
                found if rest.is_empty() => return Ok(found),
                _ => return Ok(Found::Nothing),
            }
        }
        Ok(parents.pop().map_or(Found::Nothing, Found::Folder))
    }
}

fn components(path: &str) -> impl Iterator<Item = String> + '_ {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned)
}

fn look_up(layers: &[Rc<OwnedFd>], name: &OsStr) -> Result<Found, Errno> {
    let mut folders = Vec::new();
    for layer in layers {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match openat(layer.as_fd(), name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => continue,
            Err(e) => return Err(e),
        };
        let stat = rustix::fs::fstat(&fd)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let opaque = is_opaque(fd.as_fd());
                folders.push(Rc::new(fd));
                if opaque {
                    break;
                }
            }
            // A whiteout: what lies below is deleted.
            FileType::CharacterDevice if stat.st_rdev == 0 => break,
            // Anything under a folder of an upper layer is hidden by it.
            _ if !folders.is_empty() => break,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&fd, "", Vec::new())?;
                return Ok(Found::Link(fd, target.to_string_lossy().into_owned()));
            }
            FileType::RegularFile => return Ok(Found::File(fd)),
            _ => return Ok(Found::Special(fd)),
        }
    }
    Ok(if folders.is_empty() { Found::Nothing } else { Found::Folder(folders) })
}

fn is_opaque(folder: BorrowedFd<'_>) -> bool {
    let magic = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&folder));
    ["trusted.overlay.opaque", "user.overlay.opaque"].iter().any(|name| {
        let mut value = [0u8; 1];
        matches!(rustix::fs::getxattr(&*magic, *name, &mut value), Ok(1)) && value[0] == b'y'
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn layers_merge_and_links_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        let (top, base) = (dir.path().join("top"), dir.path().join("base"));
        for folder in [top.join("etc"), base.join("etc"), base.join("usr/lib")] {
            std::fs::create_dir_all(folder).unwrap();
        }
        std::fs::write(base.join("etc/group"), "base group").unwrap();
        std::fs::write(base.join("usr/lib/passwd"), "lib passwd").unwrap();
        std::fs::write(top.join("etc/hosts"), "top hosts").unwrap();
        std::fs::write(base.join("etc/hosts"), "base hosts").unwrap();
        // Across layers, absolute, and with more `..` than there are folders.
        symlink("/../../usr/./lib/passwd", top.join("etc/passwd")).unwrap();
        symlink("loop", top.join("etc/loop")).unwrap();
        symlink("/etc/group/x", top.join("etc/through")).unwrap();
        let union = Union::open(&[top, base]).unwrap();
        assert_eq!(union.read("/etc/group", 99).unwrap(), "base group");
        assert_eq!(union.read("/etc/hosts", 3).unwrap(), "top");
        assert_eq!(union.read("/etc/passwd", 99).unwrap(), "lib passwd");
        assert_eq!(union.read("/etc/none", 99).unwrap(), "");
        assert_eq!(union.read("/etc", 99).unwrap(), "");
        assert_eq!(union.read("/etc/through", 99).unwrap(), "");
        assert!(union.read("/etc/loop", 99).is_err());
    }

    #[test]
    #[ignore = "needs root: mknod and trusted attributes"]
    fn whiteouts_and_opaque_folders_hide_what_lies_below() {
        let dir = tempfile::tempdir().unwrap();
        let (top, base) = (dir.path().join("top"), dir.path().join("base"));
        for folder in [top.join("etc"), top.join("srv"), base.join("etc"), base.join("srv")] {
            std::fs::create_dir_all(folder).unwrap();
        }
        std::fs::write(base.join("etc/passwd"), "x").unwrap();
        std::fs::write(base.join("srv/file"), "x").unwrap();
        let whiteout = top.join("etc/passwd");
        rustix::fs::mknodat(CWD, &whiteout, FileType::CharacterDevice, Mode::empty(), 0).unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(top.join("srv"), "trusted.overlay.opaque", b"y", flags).unwrap();
        let union = Union::open(&[top, base]).unwrap();
        assert_eq!(union.read("/etc/passwd", 99).unwrap(), "");
        assert_eq!(union.read("/srv/file", 99).unwrap(), "");
    }
}
