//! Removing whole trees by descriptors.
//!
//! No path below the top is ever looked up, no symbolic link followed, so that a tree made by someone hostile can be removed
//! by root. Mounts are not entered into: a mount point answers `EBUSY`.

use crate::file::FileError;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Directories open at once. What lies deeper is moved to the top first.
const DEPTH_MAX: usize = 64;

/// How often the top is emptied again because somebody, who had found the folder before it was given away, made a file in it meanwhile.
const LATECOMERS_MAX: usize = 16;

/// Removes a file, or a directory with all that is in it; no error if there is nothing.
///
/// Directories that their owner cannot read (overlayfs makes its `work/work` with mode 000) are made readable first.
pub fn remove_tree(path: &Path) -> Result<(), FileError> {
    remove_from(path, None)
}

/// [`remove_tree`], and how many bytes that gave back to the file system: of a file with several names, none before the last of them
/// goes. What is held open by somebody counts all the same. Another process may be removing the same tree.
pub fn remove_tree_counting(path: &Path) -> Result<u64, FileError> {
    let mut bytes = 0;
    remove_from(path, Some(&mut bytes)).map(|()| bytes)
}

fn remove_from(path: &Path, freed: Option<&mut u64>) -> Result<(), FileError> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().and_then(|name| CString::new(name.as_encoded_bytes()).ok());
    let Some(name) = name else { return Err(FileError::at("remove", path)(Errno::INVAL.into())) };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = match rustix::fs::open(parent, flags, Mode::empty()) {
        Ok(parent) => parent,
        Err(Errno::NOENT) => return Ok(()),
        Err(e) => return Err(FileError::at("open folder of", path)(e.into())),
    };
    remove_entry(parent.as_fd(), &name, &mut Freed(freed)).map_err(|e| FileError::at("remove", path)(e.into()))
}

/// Where what is given back is counted, if anybody wants to know: it costs a call more for each file.
struct Freed<'a>(Option<&'a mut u64>);

impl Freed<'_> {
    /// Removes a name of what is not a directory.
    fn unlink(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
        let stat = match &self.0 {
            Some(_) => statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).ok(),
            None => None,
        };
        unlinkat(parent, name, AtFlags::empty())?;
        self.add(stat.filter(|stat| stat.st_nlink == 1));
        Ok(())
    }

    /// Removes the name of an empty folder; somebody else may have been quicker.
    fn rmdir(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
        let stat = match &self.0 {
            Some(_) => statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).ok(),
            None => None,
        };
        match unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOENT) => return Ok(()),
            other => other?,
        }
        self.add(stat);
        Ok(())
    }

    fn add(&mut self, stat: Option<Stat>) {
        if let (Some(bytes), Some(stat)) = (&mut self.0, stat) {
            **bytes += u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
        }
    }
}

fn remove_entry(parent: BorrowedFd<'_>, name: &CStr, freed: &mut Freed<'_>) -> Result<(), Errno> {
    match freed.unlink(parent, name) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        // POSIX lets unlink(2) of a directory answer EPERM; what is no directory is refused for good.
        Err(e @ Errno::PERM) => {
            let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                return Err(e);
            }
        }
        Err(e) => return Err(e),
    }
    let top = match open_folder(parent, name) {
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    };
    let mut serial = 0;
    for _ in 0..LATECOMERS_MAX {
        // Each round brings what was too deep to the top, so that the number of open descriptors is bounded.
        while empty(top.as_fd(), top.as_fd(), 0, &mut serial, freed)? {}
        match freed.rmdir(parent, name) {
            Err(Errno::NOTEMPTY) => {}
            other => return other,
        }
    }
    freed.rmdir(parent, name)
}

/// Removes what is in `folder`; true if something was moved to `top` instead.
fn empty(
    top: BorrowedFd<'_>,
    folder: BorrowedFd<'_>,
    depth: usize,
    serial: &mut u64,
    freed: &mut Freed<'_>,
) -> Result<bool, Errno> {
    let mut moved = false;
    let mut entries = Dir::read_from(folder)?;
    while let Some(entry) = entries.read() {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if entry.file_type() != FileType::Directory {
            match freed.unlink(folder, name) {
                Ok(()) | Err(Errno::NOENT) => continue,
                Err(Errno::ISDIR | Errno::PERM) => {}
                Err(e) => return Err(e),
            }
        }
        if depth >= DEPTH_MAX {
            move_up(folder, name, top, serial)?;
            moved = true;
            continue;
        }
        let child = match open_folder(folder, name) {
            Err(Errno::NOENT) => continue,
            other => other?,
        };
        moved |= empty(top, child.as_fd(), depth + 1, serial, freed)?;
        drop(child);
        freed.rmdir(folder, name)?;
    }
    Ok(moved)
}

fn move_up(folder: BorrowedFd<'_>, name: &CStr, top: BorrowedFd<'_>, serial: &mut u64) -> Result<(), Errno> {
    loop {
        *serial += 1;
        let new = CString::new(format!(".removing-{serial}")).map_err(|_| Errno::INVAL)?;
        match statat(top, &new, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return renameat(folder, name, top, &new),
            Ok(_) => {}
            Err(e) => return Err(e),
        }
    }
}

fn open_folder(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat(parent, name, flags, Mode::empty());
    let fd = match opened {
        Err(Errno::ACCESS) => {
            make_accessible(parent, name)?;
            return openat(parent, name, flags, Mode::empty());
        }
        other => other?,
    };
    // Readable is not yet writable and searchable, which removing entries needs; root may all the same.
    let mode = Mode::from_raw_mode(fstat(&fd)?.st_mode);
    if !mode.contains(Mode::RWXU) {
        let _ = rustix::fs::fchmod(&fd, Mode::RWXU);
    }
    Ok(fd)
}

/// Mode 0700, by a descriptor that needs no permission: the name may not be that of a symbolic link meanwhile.
fn make_accessible(parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    use std::os::fd::AsRawFd;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(parent, name, flags, Mode::empty())?;
    rustix::fs::chmod(format!("/proc/self/fd/{}", fd.as_raw_fd()), Mode::RWXU)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn links_are_removed_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "x").unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("a/b")).unwrap();
        symlink(&outside, tree.join("a/link")).unwrap();
        symlink("/", tree.join("a/b/root")).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists() && outside.join("kept").exists());
        let link = dir.path().join("link");
        symlink(&outside, &link).unwrap();
        remove_tree(&link).unwrap();
        assert!(outside.join("kept").exists() && fs::symlink_metadata(&link).is_err());
    }

    #[test]
    fn what_is_not_there_is_no_error_and_a_file_is_a_tree() {
        let dir = tempfile::tempdir().unwrap();
        remove_tree(&dir.path().join("none")).unwrap();
        remove_tree(&dir.path().join("none/below")).unwrap();
        fs::write(dir.path().join("file"), "x").unwrap();
        remove_tree(&dir.path().join("file")).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_with_two_names_is_given_back_with_the_second() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        fs::create_dir(&one).unwrap();
        fs::write(one.join("x"), vec![1; 1 << 20]).unwrap();
        fs::hard_link(one.join("x"), &two).unwrap();
        assert!(remove_tree_counting(&one).unwrap() < 1 << 20);
        assert!(remove_tree_counting(&two).unwrap() >= 1 << 20);
        assert_eq!(remove_tree_counting(&two).unwrap(), 0);
    }

    #[test]
    fn closed_folders_and_deep_ones_go_too() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("work/work")).unwrap();
        fs::set_permissions(tree.join("work/work"), fs::Permissions::from_mode(0o000)).unwrap();
        let mut deep = tree.clone();
        for level in 0..500 {
            deep.push(format!("{}", level % 10));
        }
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("x"), "x").unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
    }
}
