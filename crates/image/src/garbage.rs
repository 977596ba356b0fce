//! What a collection has taken away but not yet given back: files in the trash, and mounts that are attached to nothing any more.
//!
//! Freeing the pages and blocks of a few hundred megabytes takes a fraction of a second. Whoever should not wait for it hands the
//! descriptors to another process, which empties the trash and ends.

use crate::ImageError;
use carboy_state::lock::Lock;
use carboy_store::Store;
use std::os::fd::OwnedFd;

/// See the module. Dropping it gives back the mounts only.
#[derive(Debug)]
pub struct Garbage {
    pub(crate) lock: Option<Lock>,
    pub(crate) mounts: Vec<OwnedFd>,
}

impl Garbage {
    /// Gives everything back now, and answers how many bytes of the disk that were.
    pub fn empty(self, store: &Store) -> Result<u64, ImageError> {
        drop(self.mounts);
        Ok(match self.lock {
            Some(_lock) => store.empty_locked_trash()?,
            None => store.empty_trash()?,
        })
    }

    /// What another process must hold until it has emptied the trash, and whether the trash's lock is among it.
    pub fn into_descriptors(self) -> (Vec<OwnedFd>, bool) {
        let locked = self.lock.is_some();
        let lock = self.lock.map(OwnedFd::from);
        (self.mounts.into_iter().chain(lock).collect(), locked)
    }
}
