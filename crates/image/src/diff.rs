//! What differs between two trees, as docker's and podman's `diff` tell it. Walked by descriptors; content is not compared, as a change of
//! it shows in size or time.

use crate::ImageError;
use carboy_state::file::FileError;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, openat, readlinkat, statat};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::ffi::CString;
use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How something differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is another, or a folder in which something differs.
    Changed,
    /// It is gone.
    Deleted,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// How.
    pub kind: ChangeKind,
    /// Where, from the root on.
    pub path: PathBuf,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.kind {
            ChangeKind::Added => 'A',
            ChangeKind::Changed => 'C',
            ChangeKind::Deleted => 'D',
        };
        write!(f, "{letter} {}", self.path.display())
    }
}

/// What must be done to `before` to make it `after`, in the order of the names; without `before` everything is new.
///
/// # Errors
/// If something cannot be read.
pub fn compare(before: Option<OwnedFd>, after: OwnedFd) -> Result<Vec<Change>, ImageError> {
    let mut changes = Vec::new();
    folder(before.as_ref(), Some(&after), Path::new("/"), &mut changes)?;
    Ok(changes)
}

fn failed(path: &Path) -> impl Fn(Errno) -> ImageError + '_ {
    |errno| FileError::at("read", path)(errno.into()).into()
}

/// Answers whether anything differs.
fn folder(
    before: Option<&OwnedFd>,
    after: Option<&OwnedFd>,
    path: &Path,
    changes: &mut Vec<Change>,
) -> Result<bool, ImageError> {
    let mut names: BTreeSet<CString> = BTreeSet::new();
    for fd in before.iter().chain(&after) {
        for entry in Dir::read_from(fd).map_err(failed(path))? {
            let name = entry.map_err(failed(path))?.file_name().to_owned();
            if !matches!(name.to_bytes(), b"." | b"..") {
                names.insert(name);
            }
        }
    }
    let count = changes.len();
    for name in names {
        let child = path.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
        object((before, after), &name, child, changes)?;
    }
    Ok(changes.len() > count)
}

fn object(
    (before, after): (Option<&OwnedFd>, Option<&OwnedFd>),
    name: &CString,
    path: PathBuf,
    changes: &mut Vec<Change>,
) -> Result<(), ImageError> {
    let look = |folder: Option<&OwnedFd>| -> Result<Option<Stat>, ImageError> {
        let Some(folder) = folder else { return Ok(None) };
        match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(None),
            other => other.map(Some).map_err(failed(&path)),
        }
    };
    let (old, new) = (look(before)?, look(after)?);
    let is_folder =
        |stat: &Option<Stat>| stat.as_ref().is_some_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory);
    let kind = match (&old, &new) {
        (None, None) => return Ok(()),
        (None, Some(_)) => Some(ChangeKind::Added),
        (Some(_), None) => Some(ChangeKind::Deleted),
        (Some(old), Some(new)) => {
            let same_target = || same_link(before, after, name, old);
            (differs(old, new) || !same_target()).then_some(ChangeKind::Changed)
        }
    };
    let here = changes.len();
    if let Some(kind) = kind {
        changes.push(Change { kind, path: path.clone() });
    }
    // Of what is gone only the top is told, as docker does.
    if !is_folder(&new) {
        return Ok(());
    }
    let open = |folder: Option<&OwnedFd>| -> Result<Option<OwnedFd>, ImageError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        folder.map(|folder| openat(folder, name, flags, Mode::empty()).map_err(failed(&path))).transpose()
    };
    let old_folder = if is_folder(&old) { open(before)? } else { None };
    let differs = folder(old_folder.as_ref(), open(after)?.as_ref(), &path, changes)?;
    if differs && kind.is_none() {
        changes.insert(here, Change { kind: ChangeKind::Changed, path });
    }
    Ok(())
}

/// Docker's criteria: a folder's time and size are not its own.
fn differs(old: &Stat, new: &Stat) -> bool {
    let is_folder = FileType::from_raw_mode(new.st_mode) == FileType::Directory;
    let time = |stat: &Stat| (stat.st_mtime, stat.st_mtime_nsec);
    old.st_mode != new.st_mode
        || (old.st_uid, old.st_gid, old.st_rdev) != (new.st_uid, new.st_gid, new.st_rdev)
        || (!is_folder && (time(old) != time(new) || old.st_size != new.st_size))
}

fn same_link(before: Option<&OwnedFd>, after: Option<&OwnedFd>, name: &CString, old: &Stat) -> bool {
    if FileType::from_raw_mode(old.st_mode) != FileType::Symlink {
        return true;
    }
    let target = |folder: Option<&OwnedFd>| folder.and_then(|folder| readlinkat(folder, name, Vec::new()).ok());
    target(before) == target(after)
}
