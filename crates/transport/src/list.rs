//! Lists of images that are being made here, before they are pushed: `<root>/lists/NAME.json`, an index and where each of its images can
//! be copied from.

use crate::content::{Destination, Observer, Source, whole};
use crate::convert::{self, Format};
use crate::copy::{CopyOptions, copy_instance};
use crate::{Copied, Error};
use carboy_distribution::Manifest as Document;
use carboy_oci::image::{Descriptor, ImageConfig, Index, Manifest, Platform, media_type};
use carboy_oci::{Digest, Reference};
use carboy_state::file::{Durability, FileError, read_json_if_exists, sync_folder, write_json};
use carboy_state::lock::{Lock, LockMode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Opens the place of an entry.
pub type Opener<'s> = dyn Fn(&str) -> Result<Box<dyn Source + 's>, Error> + 's;

/// An image of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListEntry {
    /// Its entry in the index.
    pub descriptor: Descriptor,
    /// The place to copy it from, as [`crate::Location`] reads it.
    pub from: String,
}

/// A list of images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// Its name.
    pub name: String,
    /// Its images.
    pub entries: Vec<ListEntry>,
    /// Its annotations.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// The lists of one store. Held while one of them is changed.
pub struct Lists {
    folder: PathBuf,
    _lock: Lock,
}

impl Lists {
    /// Opens the lists below a store's root, and waits until nobody else changes one.
    ///
    /// # Errors
    /// If the folder cannot be made or locked.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let folder = root.join("lists");
        match std::fs::create_dir(&folder) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(FileError::at("create folder", &folder)(e).into());
            }
            _ => {}
        }
        let lock = Lock::wait(&folder.join("lock"), LockMode::Exclusive).map_err(Error::from)?;
        Ok(Lists { folder, _lock: lock })
    }

    fn path(&self, name: &Reference) -> PathBuf {
        // `/` does not occur in a file's name, `%` not in a reference.
        self.folder.join(format!("{}.json", name.to_string().replace('/', "%")))
    }

    /// The list of that name.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn get(&self, name: &Reference) -> Result<Option<List>, Error> {
        Ok(read_json_if_exists(&self.path(name))?)
    }

    /// Keeps a list.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn put(&self, name: &Reference, list: &List) -> Result<(), Error> {
        Ok(write_json(&self.path(name), list, Durability::Machine)?)
    }

    /// Forgets a list; false if there was none.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(&self, name: &Reference) -> Result<bool, Error> {
        let path = self.path(name);
        match std::fs::remove_file(&path) {
            Ok(()) => sync_folder(&self.folder).map(|()| true).map_err(Error::from),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(FileError::at("remove", &path)(e).into()),
        }
    }
}

impl List {
    /// A list without images.
    pub fn new(name: &Reference) -> Self {
        List { name: name.to_string(), entries: Vec::new(), annotations: BTreeMap::new() }
    }

    /// Adds what a place means, or with `all` everything in the list that it means. An image that is in the list already is replaced.
    /// `from` makes the place's name for one manifest. Answers the digests.
    ///
    /// # Errors
    /// If it cannot be read, or is a list and `all` is not given.
    pub fn add(
        &mut self,
        source: &dyn Source,
        all: bool,
        from: &dyn Fn(&Digest) -> String,
    ) -> Result<Vec<Digest>, Error> {
        let root = source.root()?;
        let mut added = Vec::new();
        if root.is_index() {
            if !all {
                let one = crate::image_manifest(source, root, None)?;
                added.push(self.add_one(source, &one, None, from)?);
                return Ok(added);
            }
            let index: Index = serde_json::from_slice(&root.bytes).map_err(Error::json("list"))?;
            for entry in &index.manifests {
                let document = source.manifest(entry)?;
                added.push(self.add_one(source, &document, entry.platform.clone(), from)?);
            }
            return Ok(added);
        }
        added.push(self.add_one(source, &root, None, from)?);
        Ok(added)
    }

    fn add_one(
        &mut self,
        source: &dyn Source,
        document: &Document,
        platform: Option<Platform>,
        from: &dyn Fn(&Digest) -> String,
    ) -> Result<Digest, Error> {
        let platform = match platform {
            Some(platform) => Some(platform),
            None => platform_of(source, document)?,
        };
        let descriptor = Descriptor {
            media_type: document.media_type.clone(),
            digest: document.digest.clone(),
            size: document.bytes.len() as u64,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            platform,
            artifact_type: None,
        };
        self.entries.retain(|known| known.descriptor.digest != document.digest);
        self.entries.push(ListEntry { descriptor, from: from(&document.digest) });
        Ok(document.digest.clone())
    }

    /// The index as it is now. Docker's kind if all images are of Docker's, else the OCI's.
    ///
    /// # Errors
    /// If it cannot be encoded.
    pub fn document(&self) -> Result<Document, Error> {
        let docker = !self.entries.is_empty()
            && self.annotations.is_empty()
            && self
                .entries
                .iter()
                .all(|e| Format::Docker.is(&e.descriptor.media_type) && e.descriptor.annotations.is_empty());
        let format = if docker { Format::Docker } else { Format::Oci };
        encode(format, self.entries.iter().map(|entry| entry.descriptor.clone()).collect(), &self.annotations)
    }

    /// Copies all images to a destination, and the list after them. `open` opens the place of an entry.
    ///
    /// # Errors
    /// As [`crate::copy`].
    pub fn push<'s>(
        &self,
        open: &Opener<'s>,
        destination: &dyn Destination,
        format: Option<Format>,
        observer: &dyn Observer,
    ) -> Result<Copied, Error> {
        let options = CopyOptions { format, ..CopyOptions::default() };
        let mut entries = Vec::new();
        for entry in &self.entries {
            let source = open(&entry.from)?;
            let copied = copy_instance(&*source, &entry.descriptor, destination, &options, observer)?;
            let mut descriptor = entry.descriptor.clone();
            (descriptor.digest, descriptor.size) = (copied.digest, copied.size);
            descriptor.media_type = copied.media_type;
            entries.push(descriptor);
        }
        let own = Format::Docker.is(&self.document()?.media_type);
        let mut kind = format.unwrap_or(if own { Format::Docker } else { Format::Oci });
        if !destination.accepts(kind.index()) {
            kind = if kind == Format::Oci { Format::Docker } else { Format::Oci };
        }
        let document = encode(kind, entries, &self.annotations)?;
        destination.put_manifest(&document, None, true)?;
        let size = document.bytes.len() as u64;
        Ok(Copied { digest: document.digest, media_type: document.media_type, size })
    }
}

fn encode(
    format: Format,
    manifests: Vec<Descriptor>,
    annotations: &BTreeMap<String, String>,
) -> Result<Document, Error> {
    let kind = format.index();
    let annotations = if format == Format::Oci { annotations.clone() } else { BTreeMap::new() };
    let index = Index { schema_version: 2, media_type: Some(kind.to_owned()), manifests, annotations };
    let bytes = serde_json::to_vec(&index).map_err(Error::json("list"))?;
    Ok(Document::from_bytes(bytes, kind, "list")?)
}

/// What an image runs on, as its configuration says; `None` for what is no container image.
fn platform_of(source: &dyn Source, document: &Document) -> Result<Option<Platform>, Error> {
    let manifest: Manifest =
        serde_json::from_slice(&document.bytes).map_err(Error::json(format!("manifest {}", document.digest)))?;
    if convert::translate(&manifest.config.media_type, Format::Oci)? != media_type::OCI_CONFIG {
        return Ok(None);
    }
    let bytes = whole(source, &manifest.config)?;
    let config: ImageConfig = serde_json::from_slice(&bytes)
        .map_err(Error::json(format!("image configuration {}", manifest.config.digest)))?;
    Ok(Some(Platform {
        architecture: config.architecture,
        os: config.os,
        variant: config.variant.filter(|variant| !variant.is_empty()),
        os_version: config.os_version,
        os_features: config.os_features,
    }))
}
