//! How much room there is, and how much things take.

use crate::{Store, StoreError};
use carboy_state::file::FileError;
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Room on the store's file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// What this user may still take.
    pub available: u64,
}

impl Store {
    /// Room on the file system of the store.
    pub fn space(&self) -> Result<Space, StoreError> {
        let stat = rustix::fs::statvfs(self.root()).map_err(|e| FileError::at("statvfs", self.root())(e.into()))?;
        Ok(Space { total: stat.f_blocks * stat.f_frsize, available: stat.f_bavail * stat.f_frsize })
    }
}

/// Bytes on disk of a file or a tree, each inode counted once. What cannot be read counts nothing.
pub fn tree_size(path: &Path) -> u64 {
    tree_size_unseen(path, &mut HashSet::new())
}

/// Bytes in the files below a path, as their lengths say and each file once; folders and the disk's blocks do not count.
pub fn tree_length(path: &Path) -> u64 {
    let (mut open, mut seen, mut bytes) = (vec![path.to_owned()], HashSet::new(), 0);
    while let Some(path) = open.pop() {
        let Ok(meta) = path.symlink_metadata() else { continue };
        if meta.is_dir() {
            open.extend(std::fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        } else if meta.nlink() == 1 || seen.insert((meta.dev(), meta.ino())) {
            bytes += meta.len();
        }
    }
    bytes
}

/// [`tree_size`] without the files of several names that are in `seen` already, to which the others are added: device and inode.
pub fn tree_size_unseen(path: &Path, seen: &mut HashSet<(u64, u64)>) -> u64 {
    let mut open = vec![path.to_owned()];
    let mut bytes = 0;
    while let Some(path) = open.pop() {
        let Ok(meta) = path.symlink_metadata() else { continue };
        if meta.is_dir() {
            open.extend(std::fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        } else if meta.nlink() > 1 && !seen.insert((meta.dev(), meta.ino())) {
            continue;
        }
        bytes += meta.blocks() * 512;
    }
    bytes
}
