//! Work in progress: one folder for each digest, under a lock that its holder's death releases.

use crate::open::{make_folder, names_in};
use crate::{Store, StoreError};
use carboy_oci::Digest;
use carboy_state::fault;
use carboy_state::file::FileError;
use carboy_state::lock::{Lock, LockMode};
use std::fs::DirBuilder;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
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
            make_claim(&folder)?;
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

/// Makes a claim's folder; it may exist. By one call: the standard library's way of making several looks again at what exists already, and
/// whoever has the claim may take it away between the two.
fn make_claim(folder: &Path) -> Result<(), FileError> {
    let made = || DirBuilder::new().mode(0o700).create(folder);
    let result = match made() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            make_folder(folder.parent().unwrap_or(folder))?;
            made()
        }
        other => other,
    };
    match result {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(FileError::at("create folder", folder)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hasher;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// A claim lasts a moment here, so that folders vanish and come back while others look at them.
    #[test]
    fn many_claim_one_digest_and_one_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("root"), &dir.path().join("run")).unwrap();
        let digest = Hasher::digest_of(b"x");
        let taken = AtomicBool::new(false);
        let claim = || {
            for _ in 0..1500 {
                let ingest = store.ingest(&digest).unwrap();
                assert!(!taken.swap(true, Ordering::SeqCst), "two have it");
                assert_eq!(names_in(ingest.folder()).unwrap(), ["lock"]);
                taken.store(false, Ordering::SeqCst);
                drop(ingest);
                store.clean_ingest().unwrap();
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(claim)).collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
        assert_eq!(names_in(&store.root().join("ingest")).unwrap(), [""; 0]);
        assert_eq!(names_in(&store.root().join("trash")).unwrap(), [""; 0]);
    }
}
