//! Paths in the container's root file system, by descriptors only.
//!
//! Every lookup starts from the root's descriptor with RESOLVE_IN_ROOT, so that symbolic links and `..` end inside, whoever moves
//! what meanwhile; links of procfs that lead elsewhere are refused.

use crate::error::{Context, Error, Result};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2, readlinkat};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What a mount point must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// A directory.
    Directory,
    /// Anything else.
    File,
}

const LOOKUP: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// Opens what `path` names in the root, following links inside it.
pub fn open(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    loop {
        // EAGAIN: something was renamed during the lookup and the kernel could not be sure (openat2(2)).
        match openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), LOOKUP) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
}

/// A handle of what `path` names.
pub fn find(root: BorrowedFd<'_>, path: &str) -> Result<OwnedFd, Errno> {
    open(root, path, OFlags::PATH)
}

/// A handle of the directory that `path` names, which must be no link anywhere: for mounts that the runtime itself relies on.
pub fn find_plain(root: BorrowedFd<'_>, path: &str) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    loop {
        match openat2(root, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
}

/// A handle of a directory, made if it is missing, to which no link may lead. The error says what is not to be one.
pub fn plain_directory(root: BorrowedFd<'_>, path: &str, what: &str) -> Result<OwnedFd> {
    let ordinary = || Error::Other(format!("{what} must be mounted on ordinary directory"));
    match find_plain(root, path) {
        Ok(fd) => Ok(fd),
        Err(Errno::LOOP | Errno::NOTDIR) => Err(ordinary()),
        Err(Errno::NOENT) => {
            find_or_make(root, path, Want::Directory)?;
            find_plain(root, path).map_err(|_| ordinary())
        }
        Err(e) => Err(e).context(|| format!("openat2 {path}")),
    }
}

/// A handle of a file, made if it is missing, that is no link itself.
pub fn plain_file(root: BorrowedFd<'_>, path: &str) -> Result<OwnedFd> {
    let (parent, name) = parent_of(root, path)?;
    match make_one(parent.as_fd(), name, Want::File) {
        Err(Errno::EXIST) => {}
        result => return result.context(|| format!("make {path}")),
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&parent, name, flags, Mode::empty()).context(|| format!("openat {path}"))?;
    let stat = rustix::fs::fstat(&file).context(|| format!("fstat {path}"))?;
    let linked = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
    if linked { Err(Error::Other(format!("{path} is a symbolic link"))) } else { Ok(file) }
}

/// Whether a handle is a directory.
pub fn is_directory(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    rustix::fs::fstat(fd).map(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

/// A handle of `path`, which is made, with the directories that lead to it, if it is missing.
pub fn find_or_make(root: BorrowedFd<'_>, path: &str, want: Want) -> Result<OwnedFd> {
    match find(root, path) {
        Err(Errno::NOENT) => {}
        result => return result.context(|| format!("openat2 {path}")),
    }
    // Most often only the last name is missing.
    if let Some((parent, name)) = path.rsplit_once('/').filter(|(_, name)| !matches!(*name, "" | "." | ".."))
        && let Ok(parent) = find(root, if parent.is_empty() { "/" } else { parent })
    {
        let made = make_one(parent.as_fd(), name, want);
        release(parent);
        if let Ok(fd) = made {
            return Ok(fd);
        }
    }
    make(root, path, want, 40)
}

/// Makes what is missing of `path`, component by component. `budget` bounds the dangling links that are followed.
fn make(root: BorrowedFd<'_>, path: &str, want: Want, budget: u32) -> Result<OwnedFd> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let mut at = find(root, "/").context(|| "openat2 /")?;
    let mut known = String::from("/");
    for (index, part) in parts.iter().enumerate() {
        let last = index + 1 == parts.len();
        let next = format!("{}/{part}", known.trim_end_matches('/'));
        match find(root, &next) {
            Ok(fd) => release(std::mem::replace(&mut at, fd)),
            Err(Errno::NOENT) => match make_one(at.as_fd(), part, if last { want } else { Want::Directory }) {
                Ok(fd) => release(std::mem::replace(&mut at, fd)),
                Err(Errno::EXIST) => return follow(root, at.as_fd(), &known, part, &parts[index + 1..], want, budget),
                Err(e) => return Err(e).context(|| format!("make {next}")),
            },
            Err(e) => return Err(e).context(|| format!("openat2 {next}")),
        }
        known = next;
    }
    Ok(at)
}

/// Makes one name in a directory; `EEXIST` if it is there.
pub fn make_one(parent: BorrowedFd<'_>, name: &str, want: Want) -> Result<OwnedFd, Errno> {
    if want == Want::Directory {
        mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
        return openat(parent, name, flags, Mode::empty());
    }
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::from_raw_mode(0o644))
}

/// A name that exists but leads nowhere is a dangling link: go on where it points to, inside the root.
fn follow(
    root: BorrowedFd<'_>,
    parent: BorrowedFd<'_>,
    known: &str,
    name: &str,
    rest: &[&str],
    want: Want,
    budget: u32,
) -> Result<OwnedFd> {
    if budget == 0 {
        return Err(Errno::LOOP).context(|| format!("openat2 {known}/{name}"));
    }
    let link = readlinkat(parent, name, Vec::new()).context(|| format!("readlink {known}/{name}"))?;
    let link =
        link.to_str().map_err(|_| Error::Other(format!("{known}/{name} is a link to a name that is not UTF-8")))?;
    let base = if link.starts_with('/') { "" } else { known };
    let path = crate::plan::clean(&format!("{base}/{link}/{}", rest.join("/")));
    make(root, &path, want, budget - 1)
}

/// Parent directory of `path`, made if missing, and its last component.
pub fn parent_of<'p>(root: BorrowedFd<'_>, path: &'p str) -> Result<(OwnedFd, &'p str)> {
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    let parent = if parent.is_empty() { "/" } else { parent };
    Ok((find_or_make(root, parent, Want::Directory)?, name))
}

/// Lets go of a descriptor that is not needed any more. As long as few are open they are left to execve, which closes them for nothing:
/// a system call saved for each.
pub fn release(fd: OwnedFd) {
    use std::os::fd::AsRawFd;
    if fd.as_raw_fd() < 200 {
        std::mem::forget(fd);
    }
}

/// Removes a name that is no directory; a missing one is fine.
pub fn remove_file(parent: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn root_of(dir: &tempfile::TempDir) -> OwnedFd {
        rustix::fs::open(dir.path(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
    }

    #[test]
    fn what_is_missing_is_made_inside() {
        let dir = tempfile::tempdir().unwrap();
        symlink("/target/deep", dir.path().join("dangling")).unwrap();
        symlink("../../../../../../up", dir.path().join("escape")).unwrap();
        let root = root_of(&dir);
        find_or_make(root.as_fd(), "/a/b/c", Want::Directory).unwrap();
        find_or_make(root.as_fd(), "/a/f", Want::File).unwrap();
        find_or_make(root.as_fd(), "/dangling/x", Want::Directory).unwrap();
        find_or_make(root.as_fd(), "/escape", Want::Directory).unwrap();
        assert!(dir.path().join("a/b/c").is_dir() && dir.path().join("a/f").is_file());
        assert!(dir.path().join("target/deep/x").is_dir() && dir.path().join("up").is_dir());
    }

    #[test]
    fn links_end_inside_and_loops_end() {
        let dir = tempfile::tempdir().unwrap();
        symlink("/etc", dir.path().join("etc")).unwrap();
        symlink("loop2", dir.path().join("loop1")).unwrap();
        symlink("loop1", dir.path().join("loop2")).unwrap();
        symlink("/proc/self/root", dir.path().join("magic")).unwrap();
        let root = root_of(&dir);
        assert!(find(root.as_fd(), "/etc/passwd").is_err());
        assert!(find_or_make(root.as_fd(), "/loop1", Want::Directory).is_err());
        assert!(find_plain(root.as_fd(), "/etc").is_err());
        let _ = find_or_make(root.as_fd(), "/magic/x", Want::Directory);
        assert!(!std::path::Path::new("/x").exists());
    }
}
