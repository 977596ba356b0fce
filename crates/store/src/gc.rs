//! Mark and sweep. Marking happens under the exclusive lock; deleting does not: what is not marked is renamed into `trash/` first.

use crate::open::{names_in, temp_files_in};
use crate::{Store, StoreError};
use carboy_oci::Digest;
use std::collections::HashSet;

/// What a collection must keep.
#[derive(Debug, Default)]
pub struct Marks {
    /// Blobs.
    pub blobs: HashSet<Digest>,
    /// Layers, by diff ID.
    pub layers: HashSet<Digest>,
}

/// What a collection removed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blobs, as `algorithm:hex`.
    pub blobs: Vec<String>,
    /// Layers: the hexadecimal part of their diff IDs.
    pub layers: Vec<String>,
    /// Bytes given back to the disk.
    pub bytes: u64,
}

impl Store {
    /// Removes the blobs and layers that neither `mark` names nor a lease protects. `mark` is called under the exclusive lock, with
    /// the names of all layers; an error of it ends the collection before anything is removed.
    pub fn collect<E: From<StoreError>>(&self, mark: impl FnOnce() -> Result<Marks, E>) -> Result<Collected, E> {
        let mut collected = self.collect_to_trash(mark)?;
        collected.bytes = self.empty_trash()?;
        Ok(collected)
    }

    /// [`Store::collect`], but what is removed is only moved to the trash: its bytes are not given back yet, and not counted.
    pub fn collect_to_trash<E: From<StoreError>>(
        &self,
        mark: impl FnOnce() -> Result<Marks, E>,
    ) -> Result<Collected, E> {
        let mut collected = Collected::default();
        let _exclusive = self.lock_exclusive()?;
        let marks = mark()?;
        let leased: HashSet<Digest> = self.leased()?.into_iter().collect();
        let blobs: HashSet<&str> = marks.blobs.union(&leased).map(Digest::as_str).collect();
        let layers: HashSet<&str> = marks.layers.union(&leased).map(Digest::hex).collect();
        for algorithm in names_in(&self.root().join("blobs"))? {
            let folder = self.root().join("blobs").join(&algorithm);
            for hex in names_in(&folder)? {
                let name = format!("{algorithm}:{hex}");
                if !blobs.contains(name.as_str()) {
                    self.trash(&folder.join(&hex))?;
                    collected.blobs.push(name);
                }
            }
        }
        for name in self.layer_names()?.into_iter().filter(|name| !layers.contains(name.as_str())) {
            self.trash(&self.root().join("layers").join(&name))?;
            collected.layers.push(name);
        }
        // Records are written under the shared lock: a temp file that is here now is a dead process's.
        for folder in ["refs", "images"] {
            for temp in temp_files_in(&self.root().join(folder))? {
                self.trash(&temp)?;
            }
        }
        Ok(collected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hasher;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("root"), &dir.path().join("run")).unwrap();
        (dir, store)
    }

    fn add(store: &Store, text: &str) -> Digest {
        let digest = Hasher::digest_of(text.as_bytes());
        store.write_blob(&digest, text.as_bytes()).unwrap();
        digest
    }

    #[test]
    fn only_what_is_neither_marked_nor_leased_goes() {
        let (_dir, store) = store();
        let (kept, leased, gone) = (add(&store, "kept"), add(&store, "leased"), add(&store, "gone"));
        for digest in [&kept, &leased, &gone] {
            std::fs::create_dir_all(store.layer_dir(digest)).unwrap();
            std::fs::write(store.layer_dir(digest).join("tar"), "x").unwrap();
        }
        let lease = store.lease().unwrap();
        lease.protect(&leased).unwrap();
        let marks = || {
            let one: HashSet<Digest> = [kept.clone()].into();
            Ok::<_, StoreError>(Marks { blobs: one.clone(), layers: one })
        };
        let collected = store.collect(marks).unwrap();
        assert_eq!(collected.blobs, [gone.to_string()]);
        assert_eq!(collected.layers, [gone.hex()]);
        assert!(collected.bytes > 0);
        assert!(store.has(&kept) && store.has(&leased) && !store.has(&gone));
        assert_eq!(std::fs::read_dir(store.root().join("trash")).unwrap().count(), 0);
        drop(lease);
        assert_eq!(store.collect(marks).unwrap().blobs, [leased.to_string()]);
        assert_eq!(std::fs::read_dir(store.root().join("leases")).unwrap().count(), 0);
    }

    #[test]
    fn the_lease_of_a_dead_process_protects_nothing() {
        let (_dir, store) = store();
        let digest = add(&store, "x");
        std::fs::write(store.root().join("leases/1-1"), format!("{digest}\n")).unwrap();
        let collected = store.collect(|| Ok::<_, StoreError>(Marks::default())).unwrap();
        assert_eq!(collected.blobs, [digest.to_string()]);
        assert!(!store.root().join("leases/1-1").exists());
    }

    #[test]
    fn a_failed_mark_removes_nothing() {
        let (_dir, store) = store();
        let digest = add(&store, "x");
        assert!(store.collect(|| Err(StoreError::Missing(digest.clone()))).is_err());
        assert!(store.has(&digest));
    }
}
