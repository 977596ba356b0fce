//! References (names) and images (IDs): both point to a manifest.

use crate::open::names_in;
use crate::{Store, StoreError};
use carboy_oci::image::Descriptor;
use carboy_oci::{Digest, Reference};
use carboy_state::fault;
use carboy_state::file::{Durability, FileError, read_json_if_exists, sync_folder, write_json};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A name and the manifest that it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ref {
    /// The name, with tag or digest.
    pub name: Reference,
    /// The manifest of the platform that was chosen.
    pub manifest: Descriptor,
}

#[derive(Serialize, Deserialize)]
struct Record {
    name: String,
    manifest: Descriptor,
}

impl Store {
    /// Makes `name` mean `manifest`. What it meant before stays in the store until a collection.
    pub fn set_ref(&self, name: &Reference, manifest: &Descriptor) -> Result<(), StoreError> {
        let record = Record { name: name.to_string(), manifest: manifest.clone() };
        let _shared = self.lock_shared()?;
        Ok(write_json(&self.ref_path(name), &record, Durability::Machine)?)
    }

    /// What `name` means.
    pub fn get_ref(&self, name: &Reference) -> Result<Option<Descriptor>, StoreError> {
        Ok(read_json_if_exists::<Record>(&self.ref_path(name))?.map(|record| record.manifest))
    }

    /// When `name` was given to what it means; `None` if it is not known.
    pub fn ref_time(&self, name: &Reference) -> Result<Option<SystemTime>, StoreError> {
        let path = self.ref_path(name);
        match std::fs::metadata(&path).and_then(|data| data.modified()) {
            Ok(time) => Ok(Some(time)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(FileError::at("look at", &path)(e).into()),
        }
    }

    /// Forgets `name`; false if it was not known.
    pub fn remove_ref(&self, name: &Reference) -> Result<bool, StoreError> {
        remove_record(&self.ref_path(name))
    }

    /// All names, in order.
    pub fn list_refs(&self) -> Result<Vec<Ref>, StoreError> {
        let folder = self.root().join("refs");
        let mut refs = Vec::new();
        for file in names_in(&folder)? {
            let path = folder.join(&file);
            // A name may be removed between listing and reading.
            refs.extend(read_ref(&path)?);
        }
        refs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(refs)
    }

    /// Records an image: its ID, which is the digest of its configuration, and its manifest. It stays until it is removed, named or not.
    pub fn set_image(&self, id: &Digest, manifest: &Descriptor) -> Result<(), StoreError> {
        let _shared = self.lock_shared()?;
        Ok(write_json(&self.image_path(id), &(id, manifest), Durability::Machine)?)
    }

    /// The manifest of an image.
    pub fn get_image(&self, id: &Digest) -> Result<Option<Descriptor>, StoreError> {
        Ok(read_json_if_exists::<(Digest, Descriptor)>(&self.image_path(id))?.map(|(_, manifest)| manifest))
    }

    /// Forgets an image; false if it was not known.
    pub fn remove_image(&self, id: &Digest) -> Result<bool, StoreError> {
        remove_record(&self.image_path(id))
    }

    /// All images.
    pub fn list_images(&self) -> Result<Vec<(Digest, Descriptor)>, StoreError> {
        let folder = self.root().join("images");
        let mut images = Vec::new();
        for file in names_in(&folder)? {
            images.extend(read_image(&folder.join(file))?);
        }
        Ok(images)
    }

    fn ref_path(&self, name: &Reference) -> PathBuf {
        self.root().join("refs").join(format!("{}.json", escape(&name.to_string())))
    }

    fn image_path(&self, id: &Digest) -> PathBuf {
        self.root().join("images").join(format!("{}.json", id.hex()))
    }
}

/// The name that a file records; `None` if there is no such file.
pub(crate) fn read_ref(path: &Path) -> Result<Option<Ref>, FileError> {
    let Some(record) = read_json_if_exists::<Record>(path)? else { return Ok(None) };
    let name = Reference::parse(&record.name)
        .map_err(|e| FileError::at("parse", path)(io::Error::new(io::ErrorKind::InvalidData, e)))?;
    Ok(Some(Ref { name, manifest: record.manifest }))
}

/// The image that a file records; `None` if there is no such file.
pub(crate) fn read_image(path: &Path) -> Result<Option<(Digest, Descriptor)>, FileError> {
    read_json_if_exists(path)
}

fn remove_record(path: &Path) -> Result<bool, StoreError> {
    fault::point("record: to be removed");
    match std::fs::remove_file(path) {
        Ok(()) => fault::point("record: removed, not synced"),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(FileError::at("remove", path)(e).into()),
    }
    sync_folder(path.parent().unwrap_or(path))?;
    Ok(true)
}

/// A name as one path component: `/` becomes `%`, which no reference holds. A name too long for a file keeps its beginning and gets
/// its digest; the record has the name itself.
fn escape(name: &str) -> String {
    let escaped = name.replace('/', "%");
    if escaped.len() <= 200 {
        return escaped;
    }
    let digest = crate::Hasher::digest_of(name.as_bytes());
    let mut end = 100;
    while !escaped.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}+{}", &escaped[..end], digest.hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(byte: u8) -> Descriptor {
        serde_json::from_value(serde_json::json!({
            "mediaType": "application/json", "digest": Digest::sha256(&[byte; 32]), "size": 3
        }))
        .unwrap()
    }

    #[test]
    fn names_are_set_listed_moved_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("root"), &dir.path().join("run")).unwrap();
        let long = format!("q.io/{}:{}", "a/".repeat(120) + "b", "t".repeat(128));
        let names: Vec<Reference> =
            ["127.0.0.1:5000/a/b:1", "alpine", &long].iter().map(|n| Reference::parse(n).unwrap()).collect();
        for name in &names {
            assert_eq!(store.get_ref(name).unwrap(), None);
            assert_eq!(store.ref_time(name).unwrap(), None);
            store.set_ref(name, &descriptor(1)).unwrap();
            // The clock of files is a few milliseconds behind.
            assert!(store.ref_time(name).unwrap().unwrap().elapsed().unwrap().as_secs() < 60);
        }
        store.set_ref(&names[1], &descriptor(2)).unwrap();
        assert_eq!(store.get_ref(&names[1]).unwrap(), Some(descriptor(2)));
        assert_eq!(store.list_refs().unwrap().iter().map(|r| r.name.clone()).collect::<Vec<_>>(), names);
        assert!(store.remove_ref(&names[2]).unwrap());
        assert!(!store.remove_ref(&names[2]).unwrap());
        assert_eq!(store.list_refs().unwrap().len(), 2);
    }

    #[test]
    fn images_are_known_by_id() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("root"), &dir.path().join("run")).unwrap();
        let id = Digest::sha256(&[9; 32]);
        store.set_image(&id, &descriptor(1)).unwrap();
        assert_eq!(store.list_images().unwrap(), [(id.clone(), descriptor(1))]);
        assert!(store.remove_image(&id).unwrap());
        assert_eq!(store.get_image(&id).unwrap(), None);
    }
}
