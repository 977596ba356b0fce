//! Looking paths up in layers that are not mounted over each other, as overlayfs would if they were.

use super::make::OPAQUE;
use crate::ImageError;
use carboy_state::file::FileError;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Symbolic links that one path may lead through (as in Linux).
const LINK_LIMIT: u32 = 40;
const WITHIN: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_XDEV);

/// Layers to look directories up in, topmost first.
pub(super) struct Stack(Vec<Layer>);

struct Layer {
    root: OwnedFd,
    /// Some of the paths that were found not to be there; nothing below them is either.
    absent: HashSet<Vec<u8>>,
    /// Some of the directories that were found, and not to hide what is below.
    open: HashSet<Vec<u8>>,
}

/// Paths that are remembered of a layer at most: a hostile one asks for a million. Neighbours follow each other, so that few are needed.
const REMEMBERED: usize = 4096;

fn remember(paths: &mut HashSet<Vec<u8>>, path: &[u8]) {
    if paths.len() >= REMEMBERED {
        paths.clear();
    }
    paths.insert(path.to_vec());
}

/// What one layer says of a path.
enum Found {
    Directory(OwnedFd),
    /// Nothing: what is below counts.
    Absent,
    /// Something that hides what is below.
    Hidden,
}

impl Stack {
    pub(super) fn new(roots: Vec<OwnedFd>) -> Self {
        Stack(roots.into_iter().map(|root| Layer { root, absent: HashSet::new(), open: HashSet::new() }).collect())
    }

    /// Looks a directory up as overlayfs would.
    pub(super) fn find(&mut self, path: &[u8]) -> Result<Option<OwnedFd>, ImageError> {
        let failed =
            |errno: Errno| FileError::at("look up in layers", Path::new(OsStr::from_bytes(path)))(errno.into());
        for layer in &mut self.0 {
            match layer.find(path).map_err(failed)? {
                Found::Directory(directory) => return Ok(Some(directory)),
                Found::Hidden => return Ok(None),
                Found::Absent => {}
            }
        }
        Ok(None)
    }

    /// Looks anything up but a directory, as link(2) would in the merged tree: symbolic links lead on, but for the last name. Opened
    /// as a path.
    pub(super) fn find_object(&mut self, path: &[u8]) -> Result<Option<OwnedFd>, ImageError> {
        let failed =
            |errno: Errno| FileError::at("look up in layers", Path::new(OsStr::from_bytes(path)))(errno.into());
        let (mut left, mut links) = (Vec::new(), 0);
        push_components(&mut left, path);
        let mut at: Vec<u8> = Vec::new();
        while let Some(name) = left.pop() {
            if name == b".." {
                at.truncate(at.iter().rposition(|&byte| byte == b'/').unwrap_or(0));
                continue;
            }
            let next = if at.is_empty() { name } else { [&at[..], b"/", &name[..]].concat() };
            let Some(found) = self.find_any(&next).map_err(failed)? else { return Ok(None) };
            let kind = FileType::from_raw_mode(rustix::fs::fstat(&found).map_err(failed)?.st_mode);
            match (kind, left.is_empty()) {
                (FileType::Directory, true) => return Ok(None),
                (_, true) => return Ok(Some(found)),
                (FileType::Directory, false) => at = next,
                (FileType::Symlink, false) => {
                    links += 1;
                    if links > LINK_LIMIT {
                        return Err(failed(Errno::LOOP).into());
                    }
                    let target = rustix::fs::readlinkat(&found, "", Vec::new()).map_err(failed)?.into_bytes();
                    if target.starts_with(b"/") {
                        at.clear();
                    }
                    push_components(&mut left, &target);
                }
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Whether there is anything of this path without passing through a symbolic link.
    pub(super) fn has_directly(&mut self, path: &[u8]) -> Result<bool, ImageError> {
        let failed =
            |errno: Errno| FileError::at("look up in layers", Path::new(OsStr::from_bytes(path)))(errno.into());
        Ok(self.find_any(path).map_err(failed)?.is_some())
    }

    /// Opens whatever the topmost layer that says anything of the path has there; nothing on the way may be a link.
    fn find_any(&mut self, path: &[u8]) -> Result<Option<OwnedFd>, Errno> {
        for layer in &mut self.0 {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match openat2(&layer.root, path, flags, Mode::empty(), WITHIN) {
                Ok(found) => {
                    let stat = rustix::fs::fstat(&found)?;
                    let whiteout =
                        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0;
                    return Ok((!whiteout).then_some(found));
                }
                Err(Errno::NOTDIR | Errno::LOOP) => return Ok(None),
                Err(Errno::NOENT) => match layer.find_missing(path)? {
                    Found::Absent => {}
                    _ => return Ok(None),
                },
                Err(e) => return Err(e),
            }
        }
        Ok(None)
    }
}

/// A path's names onto a stack, the first on top.
fn push_components(left: &mut Vec<Vec<u8>>, path: &[u8]) {
    let names = path.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    left.extend(names.rev().map(<[u8]>::to_vec));
}

impl Layer {
    fn find(&mut self, path: &[u8]) -> Result<Found, Errno> {
        if prefixes(path).any(|prefix| self.absent.contains(prefix)) {
            return Ok(Found::Absent);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match openat2(&self.root, path, flags, Mode::empty(), WITHIN) {
            Ok(directory) => Ok(Found::Directory(directory)),
            // A whiteout, a link, or something else.
            Err(Errno::NOTDIR | Errno::LOOP) => Ok(Found::Hidden),
            Err(Errno::NOENT) => self.find_missing(path),
            Err(e) => Err(e),
        }
    }

    /// Of a path that is not there: which part is missing, and whether its directory is opaque.
    fn find_missing(&mut self, path: &[u8]) -> Result<Found, Errno> {
        let above = path.iter().rposition(|&byte| byte == b'/').map(|end| &path[..end]);
        if above.is_some_and(|above| self.open.contains(above)) {
            remember(&mut self.absent, path);
            return Ok(Found::Absent);
        }
        let mut directory = None;
        for prefix in prefixes(path) {
            let name = prefix.rsplit(|&byte| byte == b'/').next().unwrap_or(prefix);
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let above = directory.as_ref().unwrap_or(&self.root);
            match rustix::fs::openat(above, name, flags, Mode::empty()) {
                Ok(found) if is_opaque(&found) => return Ok(Found::Hidden),
                Ok(found) => {
                    remember(&mut self.open, prefix);
                    directory = Some(found);
                }
                Err(Errno::NOENT) => {
                    remember(&mut self.absent, prefix);
                    return Ok(Found::Absent);
                }
                Err(Errno::NOTDIR | Errno::LOOP) => return Ok(Found::Hidden),
                Err(e) => return Err(e),
            }
        }
        Ok(Found::Absent)
    }
}

/// `a`, `a/b`, `a/b/c` of `a/b/c`.
pub(super) fn prefixes(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end);
    ends.chain([path.len()]).map(|end| &path[..end])
}

fn is_opaque(directory: &OwnedFd) -> bool {
    let mut value = [0; 4];
    OPAQUE.iter().any(|name| rustix::fs::fgetxattr(directory, *name, &mut value[..]) == Ok(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_of_a_layer_does_not_grow_with_what_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("there")).unwrap();
        let mut stack = Stack::new(vec![super::super::make::open_folder(folder.path()).unwrap()]);
        for number in 0..3 * REMEMBERED {
            assert!(stack.find(format!("there/{number}").as_bytes()).unwrap().is_none());
            assert!(stack.find(b"there").unwrap().is_some());
        }
        assert!(stack.0[0].absent.len() <= REMEMBERED && stack.0[0].open.len() <= REMEMBERED);
    }
}
