//! Looking at everything that is in a store, readable or not.

use crate::open::names_in;
use crate::refs::{read_image, read_ref};
use crate::{Hasher, Ref, Store, StoreError};
use carboy_oci::Digest;
use carboy_oci::image::Descriptor;
use carboy_state::file::FileError;
use std::io::Read;
use std::path::PathBuf;

/// The records of a store. Those that cannot be read are named with the reason.
#[derive(Debug, Default)]
pub struct Scanned {
    /// Names.
    pub refs: Vec<Ref>,
    /// Images.
    pub images: Vec<(Digest, Descriptor)>,
    /// Files that are no records, and why.
    pub unreadable: Vec<(PathBuf, String)>,
}

impl Store {
    /// Reads all records.
    ///
    /// # Errors
    /// If a folder cannot be read.
    pub fn scan(&self) -> Result<Scanned, StoreError> {
        let mut scanned = Scanned::default();
        let folder = self.root().join("refs");
        for path in names_in(&folder)?.into_iter().map(|name| folder.join(name)) {
            match read_ref(&path) {
                Ok(found) => scanned.refs.extend(found),
                Err(e) => scanned.unreadable.push((path, e.source.to_string())),
            }
        }
        let folder = self.root().join("images");
        for path in names_in(&folder)?.into_iter().map(|name| folder.join(name)) {
            match read_image(&path) {
                Ok(found) => scanned.images.extend(found),
                Err(e) => scanned.unreadable.push((path, e.source.to_string())),
            }
        }
        Ok(scanned)
    }

    /// The digests of all blobs.
    pub fn blobs(&self) -> Result<Vec<Digest>, StoreError> {
        let mut blobs = Vec::new();
        for algorithm in names_in(&self.root().join("blobs"))? {
            let names = names_in(&self.root().join("blobs").join(&algorithm))?;
            blobs.extend(names.into_iter().filter_map(|hex| format!("{algorithm}:{hex}").parse::<Digest>().ok()));
        }
        Ok(blobs)
    }

    /// Whether a blob has the digest that it is named by. Reads all of it.
    pub fn is_intact(&self, digest: &Digest) -> Result<bool, StoreError> {
        let path = self.blob_path(digest);
        let mut hasher = Hasher::like(digest);
        let mut file = self.open_blob(digest)?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            match file.read(&mut buffer).map_err(FileError::at("read", &path))? {
                0 => return Ok(hasher.finish() == *digest),
                count => hasher.update(&buffer[..count]),
            }
        }
    }
}
