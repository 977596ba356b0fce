//! Leases: what a living process is about to use, so that no collection takes it away.
//!
//! A lease is a file of digests whose lock its holder keeps; the kernel releases the lock when the holder ends, however it ends,
//! and the next collection removes the file.

use crate::open::names_in;
use crate::{Store, StoreError};
use carboy_oci::Digest;
use carboy_state::fault;
use carboy_state::file::FileError;
use carboy_state::lock::{Lock, LockMode};
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Protects digests of blobs and layers until it is dropped.
#[derive(Debug)]
pub struct Lease {
    store: Store,
    path: PathBuf,
    _lock: Lock,
}

static SERIAL: AtomicU32 = AtomicU32::new(0);

impl Store {
    /// Takes a new lease, empty at first.
    pub fn lease(&self) -> Result<Lease, StoreError> {
        loop {
            let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
            let path = self.root().join("leases").join(format!("{}-{serial}", std::process::id()));
            // Under the store's lock, so that no collection finds the file before it is locked.
            let _shared = self.lock_shared()?;
            if let Some(lock) = Lock::attempt(&path, LockMode::Exclusive)? {
                // A file of that name can only be left from a dead process with this PID; what it protected is void.
                rustix::fs::ftruncate(lock.as_fd(), 0).map_err(|e| FileError::at("truncate", &path)(e.into()))?;
                fault::point("lease: taken");
                return Ok(Lease { store: self.clone(), path, _lock: lock });
            }
        }
    }

    /// Whether a process died with a lease, at least so long ago: it may have left blobs and layers that nothing names.
    pub fn has_dead_leases(&self, age: Duration) -> Result<bool, StoreError> {
        let folder = self.root().join("leases");
        for name in names_in(&folder)? {
            let path = folder.join(name);
            let Ok(file) = File::open(&path) else { continue };
            // Shared, and for this moment only: a process that wants the name takes another one.
            let held = flock(&file, FlockOperation::NonBlockingLockShared).is_err();
            let is_old = || Some(file.metadata().ok()?.modified().ok()?.elapsed().unwrap_or_default() >= age);
            if !held && is_old().unwrap_or(false) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The digests that living processes protect; the files of dead ones are removed. Only under the exclusive lock.
    pub fn leased(&self) -> Result<Vec<Digest>, StoreError> {
        let mut digests = Vec::new();
        let folder = self.root().join("leases");
        for name in names_in(&folder)? {
            let path = folder.join(name);
            // One that is given up meanwhile protects nothing any more.
            let free = match Lock::attempt(&path, LockMode::Exclusive) {
                Err(e) if e.is_not_found() => continue,
                result => result?.is_some(),
            };
            if free {
                let _ = std::fs::remove_file(&path);
                continue;
            }
            let text = match std::fs::read_to_string(&path) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                result => result.map_err(FileError::at("read", &path))?,
            };
            // A line that a dying process wrote in part protects nothing.
            digests.extend(text.lines().filter_map(|line| line.parse().ok()));
        }
        Ok(digests)
    }
}

impl Lease {
    /// Protects a digest, present or not yet. Once this returns, what is present stays: look only afterwards.
    pub fn protect(&self, digest: &Digest) -> Result<(), StoreError> {
        let _shared = self.store.lock_shared()?;
        OpenOptions::new()
            .append(true)
            .open(&self.path)
            .and_then(|mut file| file.write_all(format!("{digest}\n").as_bytes()))
            .map_err(FileError::at("write", &self.path))?;
        fault::point("lease: protects one more");
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
