//! Opening a store, its paths and its lock.

use crate::StoreError;
use carboy_oci::Digest;
use carboy_state::file::{Durability, FileError, write_atomic};
use carboy_state::lock::{Lock, LockMode};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const VERSION: &str = "carboy-store 1";
const FOLDERS: [&str; 7] = ["blobs/sha256", "ingest", "layers", "refs", "images", "leases", "trash"];

/// An open store. Cheap to clone paths from; holds no lock and no descriptor.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    runroot: PathBuf,
}

impl Store {
    /// Opens the store in `root`, making it if there is none, and removes what dead processes left in progress.
    ///
    /// # Errors
    /// If a folder cannot be made, or the store is of another format.
    pub fn open(root: &Path, runroot: &Path) -> Result<Store, StoreError> {
        let store = Store { root: root.to_owned(), runroot: runroot.to_owned() };
        let version = root.join("version");
        match std::fs::read_to_string(&version) {
            Ok(text) if text.trim_end() == VERSION => {}
            Ok(text) => {
                let found = text.lines().next().unwrap_or_default().to_owned();
                return Err(StoreError::Version { path: root.to_owned(), found, expected: VERSION });
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => store.create(&version)?,
            Err(e) => return Err(FileError::at("read", &version)(e).into()),
        }
        make_folder(&runroot.join("layers"))?;
        store.clean_ingest()?;
        store.clean_trash()?;
        Ok(store)
    }

    /// The version file comes last: a store that has one is whole.
    fn create(&self, version: &Path) -> Result<(), StoreError> {
        for folder in FOLDERS {
            make_folder(&self.root.join(folder))?;
        }
        write_atomic(version, format!("{VERSION}\n").as_bytes(), 0o644, Durability::Machine)?;
        Ok(())
    }

    /// The folder of what lasts.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of what a reboot may take.
    pub fn runroot(&self) -> &Path {
        &self.runroot
    }

    /// Waits for the store's lock, shared: things may be added, and nothing is collected meanwhile.
    pub fn lock_shared(&self) -> Result<Lock, StoreError> {
        Ok(Lock::wait(&self.root.join("lock"), LockMode::Shared)?)
    }

    /// Waits for the store's lock, exclusive: nobody adds.
    pub fn lock_exclusive(&self) -> Result<Lock, StoreError> {
        Ok(Lock::wait(&self.root.join("lock"), LockMode::Exclusive)?)
    }

    /// Where the layer of this diff ID is, or would be.
    pub fn layer_dir(&self, diff_id: &Digest) -> PathBuf {
        self.root.join("layers").join(diff_id.hex())
    }

    /// The hexadecimal names of all layers.
    pub fn layer_names(&self) -> Result<Vec<String>, StoreError> {
        names_in(&self.root.join("layers"))
    }
}

/// Makes a folder, mode 0700, and those above it; it may exist.
pub(crate) fn make_folder(path: &Path) -> Result<(), FileError> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(FileError::at("create folder", path))
}

/// The names in a folder, sorted; none if there is no folder. Hidden names (temp files) are left out.
pub(crate) fn names_in(folder: &Path) -> Result<Vec<String>, StoreError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(FileError::at("list", folder)(e).into()),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(FileError::at("list", folder))?;
        if let Ok(name) = entry.file_name().into_string()
            && !name.starts_with('.')
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// The temp files of records that a folder holds.
pub(crate) fn temp_files_in(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = std::fs::read_dir(folder).map_err(FileError::at("list", folder))?;
    let is_temp = |name: &str| name.starts_with('.') && name.ends_with(".tmp");
    Ok(entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_temp)).map(|e| e.path()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_of_another_format_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (root, run) = (dir.path().join("a/root"), dir.path().join("run"));
        Store::open(&root, &run).unwrap();
        Store::open(&root, &run).unwrap();
        std::fs::write(root.join("version"), "carboy-store 9\nx").unwrap();
        let error = Store::open(&root, &run).unwrap_err().to_string();
        assert!(error.contains("\"carboy-store 9\"") && error.contains("\"carboy-store 1\""), "{error}");
    }
}
