//! `trash/`: where things are moved to by one rename, and deleted afterwards by whoever has the time.
//!
//! The folder's own lock is held by whoever empties it. Deleting hundreds of megabytes takes a fraction of a second; a command that
//! should not take that long moves things only, and leaves a process behind that empties.

use crate::open::names_in;
use crate::{Store, StoreError};
use carboy_state::fault;
use carboy_state::file::FileError;
use carboy_state::lock::Lock;
use carboy_state::tree::{remove_tree, remove_tree_counting};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

static SERIAL: AtomicU32 = AtomicU32::new(0);

/// What is deleted without hurry by a process of its own: more bytes, or more files, than this.
const AT_ONCE_BYTES: u64 = 8 << 20;
const AT_ONCE_FILES: usize = 128;

impl Store {
    /// Moves a file or a folder into `trash/` and answers where it is now; `None` if it does not exist.
    pub fn trash(&self, path: &Path) -> Result<Option<PathBuf>, StoreError> {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let target = self.trash_folder().join(format!("{}-{serial}-{name}", std::process::id()));
        fault::point("trash: nothing moved");
        match std::fs::rename(path, &target) {
            Ok(()) => {
                fault::point("trash: moved");
                Ok(Some(target))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            // Left there by a dead process with this PID.
            Err(e) if matches!(e.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => {
                self.trash(path)
            }
            Err(e) => Err(FileError::at("move to trash", path)(e).into()),
        }
    }

    /// Deletes what is in `trash/`, whoever put it there, and answers how many bytes that gave back. Waits for whoever is at it.
    pub fn empty_trash(&self) -> Result<u64, StoreError> {
        let _lock = Lock::wait_folder(&self.trash_folder())?;
        self.empty_locked_trash()
    }

    /// The right to empty the trash, if nobody has it.
    pub fn lock_trash(&self) -> Result<Option<Lock>, StoreError> {
        Ok(Lock::attempt_folder(&self.trash_folder())?)
    }

    /// [`Store::empty_trash`], by whoever has its lock: what is moved there meanwhile goes too.
    pub fn empty_locked_trash(&self) -> Result<u64, StoreError> {
        let mut bytes = 0;
        loop {
            let names = names_in(&self.trash_folder())?;
            if names.is_empty() {
                return Ok(bytes);
            }
            for name in names {
                fault::point("trash: being emptied");
                bytes += remove_tree_counting(&self.trash_folder().join(name))?;
            }
        }
    }

    /// Whether what is in the trash is deleted in no time.
    pub fn trash_is_small(&self) -> bool {
        let (mut open, mut bytes, mut files) = (vec![self.trash_folder()], 0, 0);
        while let Some(path) = open.pop() {
            let Ok(meta) = path.symlink_metadata() else { continue };
            bytes += meta.len();
            if meta.is_dir() {
                let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
                open.extend(entries.take(AT_ONCE_FILES + 1).map(|entry| entry.path()));
            }
            files += 1;
            if bytes > AT_ONCE_BYTES || files > AT_ONCE_FILES {
                return false;
            }
        }
        true
    }

    /// Deletes what a process left in the trash that did not live to delete it. Cheap when there is nothing.
    pub(crate) fn clean_trash(&self) -> Result<(), StoreError> {
        if names_in(&self.trash_folder())?.is_empty() {
            return Ok(());
        }
        if let Some(_lock) = self.lock_trash()? {
            // Files of somebody else's IDs (rootless) are not ours to remove; who may, will.
            let _ = self.empty_locked_trash();
        }
        Ok(())
    }

    /// Removes what was just moved to the trash.
    pub(crate) fn remove_trashed(&self, path: &Path) -> Result<(), StoreError> {
        Ok(remove_tree(path)?)
    }

    fn trash_folder(&self) -> PathBuf {
        self.root().join("trash")
    }
}
