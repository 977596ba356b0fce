//! Work in progress: one folder for each digest, under a lock that its holder's death releases.

use crate::open::{make_folder, names_in};
use crate::{Store, StoreError};
use carboy_oci::Digest;
use carboy_state::fault;
use carboy_state::file::FileError;
use carboy_state::lock::{Lock, LockMode};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// The right to produce one digest, and a folder to do it in. Dropping it removes the folder with whatever is left in it.
#[derive(Debug)]
pub struct Ingest {
    store: Store,
    folder: PathBuf,
    _lock: Lock,
}

impl Ingest {
    /// The folder, empty at first. On the store's own file system, so that a rename publishes.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        // Renamed first: whoever waits for the lock then finds that its file has lost its name, and starts anew in a new folder,
        // which a removal in place could take the files from.
        if let Ok(Some(trashed)) = self.store.trash(&self.folder) {
            let _ = self.store.remove_trashed(&trashed);
        }
    }
}

impl Store {
    /// Waits until nobody else works on this digest, then claims it. The caller checks afterwards whether the one it waited for
    /// has produced it.
    pub fn ingest(&self, digest: &Digest) -> Result<Ingest, StoreError> {
        let folder = self.root().join("ingest").join(digest.hex());
        loop {
            make_folder(&folder)?;
            fault::point("claim: folder made");
            let path = folder.join("lock");
            let lock = match Lock::wait(&path, LockMode::Exclusive) {
                Ok(lock) => lock,
                // Removed between the two lines by who had it before.
                Err(e) if e.is_not_found() => continue,
                Err(e) => return Err(e.into()),
            };
            if is_named(&lock, &path)? {
                clear_except_lock(&folder)?;
                fault::point("claim: taken");
                return Ok(Ingest { store: self.clone(), folder, _lock: lock });
            }
        }
    }

    /// Removes what dead processes left in progress. Cheap when there is nothing.
    pub fn clean_ingest(&self) -> Result<(), StoreError> {
        for name in names_in(&self.root().join("ingest"))? {
            let folder = self.root().join("ingest").join(name);
            let path = folder.join("lock");
            match Lock::attempt(&path, LockMode::Exclusive) {
                Ok(Some(lock)) if is_named(&lock, &path)? => drop(Ingest { store: self.clone(), folder, _lock: lock }),
                // In use, or gone meanwhile, or of somebody else's IDs (rootless): not ours to clean.
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether the locked file is still the one of that name.
fn is_named(lock: &Lock, path: &Path) -> Result<bool, StoreError> {
    let held = rustix::fs::fstat(lock.as_fd()).map_err(|e| FileError::at("stat", path)(e.into()))?;
    match rustix::fs::lstat(path) {
        Ok(named) => Ok((held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(e) => Err(FileError::at("stat", path)(e.into()).into()),
    }
}

fn clear_except_lock(folder: &Path) -> Result<(), StoreError> {
    for entry in std::fs::read_dir(folder).map_err(FileError::at("list", folder))? {
        let entry = entry.map_err(FileError::at("list", folder))?;
        if entry.file_name() == "lock" {
            continue;
        }
        let path = entry.path();
        carboy_state::tree::remove_tree(&path)?;
    }
    Ok(())
}
