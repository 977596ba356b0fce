//! OCI layouts (image-spec, "Image Layout"): `oci:` folders, and the same in archives. Reading is one thing for both.

use crate::Error;
use crate::content::{Blob, Destination, Phase, Source};
use crate::directory::write_blob;
use carboy_distribution::Manifest as Document;
use carboy_image::Members;
use carboy_oci::Digest;
use carboy_oci::image::{Descriptor, Index, Manifest, media_type};
use carboy_state::file::{Durability, FileError, sync_folder, write_atomic};
use carboy_store::Hasher;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// containerd's annotation: the whole name.
pub(crate) const WHOLE_NAME: &str = "io.containerd.image.name";
/// The standard's: a name or only a tag.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Content of `oci-layout`.
pub(crate) const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// An image of a layout, in a folder or an archive.
pub struct LayoutSource {
    members: Members,
    described: String,
    entry: Descriptor,
}

impl LayoutSource {
    /// The image of that name; without a name the only one.
    ///
    /// # Errors
    /// If there is none, or several.
    pub fn open(members: Members, described: String, name: Option<&str>) -> Result<Self, Error> {
        let index: Index = serde_json::from_slice(&members.document("index.json")?)
            .map_err(Error::json(format!("index.json of {described}")))?;
        let entry = choose(&index.manifests, &described, name)?.clone();
        Ok(LayoutSource { members, described, entry })
    }

    /// All names in a layout.
    ///
    /// # Errors
    /// If its index cannot be read.
    pub fn names(members: &Members, described: &str) -> Result<Vec<String>, Error> {
        let index: Index = serde_json::from_slice(&members.document("index.json")?)
            .map_err(Error::json(format!("index.json of {described}")))?;
        Ok(index.manifests.iter().filter_map(name_of).map(str::to_owned).collect())
    }
}

fn name_of(entry: &Descriptor) -> Option<&str> {
    entry.annotations.get(REF_NAME).or_else(|| entry.annotations.get(WHOLE_NAME)).map(String::as_str)
}

fn choose<'e>(entries: &'e [Descriptor], described: &str, name: Option<&str>) -> Result<&'e Descriptor, Error> {
    let names = || {
        let known: Vec<&str> = entries.iter().filter_map(name_of).collect();
        if known.is_empty() { String::new() } else { format!(" (it has {})", known.join(", ")) }
    };
    match (name, entries) {
        (None, [only]) => Ok(only),
        (None, []) => Err(Error::NotFound(format!("{described} has no image"))),
        (None, _) => Err(Error::NotFound(format!("{described} has several images: a name must be given{}", names()))),
        (Some(name), _) => {
            let is_called = |entry: &&Descriptor| {
                [REF_NAME, WHOLE_NAME].iter().any(|key| entry.annotations.get(*key).is_some_and(|found| found == name))
            };
            entries
                .iter()
                .find(is_called)
                .ok_or_else(|| Error::NotFound(format!("{described} has no image {name:?}{}", names())))
        }
    }
}

impl Source for LayoutSource {
    fn describe(&self) -> String {
        self.described.clone()
    }

    fn root(&self) -> Result<Document, Error> {
        self.manifest(&self.entry)
    }

    fn manifest(&self, entry: &Descriptor) -> Result<Document, Error> {
        let bytes = self.members.document(&blob_name(&entry.digest))?;
        let mut hasher = Hasher::like(&entry.digest);
        hasher.update(&bytes);
        let actual = hasher.finish();
        if actual != entry.digest {
            return Err(Error::Digest { expected: entry.digest.clone(), actual });
        }
        let what = format!("manifest {} of {}", entry.digest, self.described);
        let mut document = Document::from_bytes(bytes, &entry.media_type, &what)?;
        document.digest = actual;
        Ok(document)
    }

    fn blob(&self, blob: &Descriptor) -> Result<Box<dyn Read + '_>, Error> {
        Ok(self.members.open_member(&blob_name(&blob.digest))?.0)
    }
}

/// Where a layout has a blob.
pub(crate) fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

/// An entry of `index.json`.
pub(crate) fn entry(document: &Document, annotations: BTreeMap<String, String>) -> Descriptor {
    Descriptor {
        media_type: document.media_type.clone(),
        digest: document.digest.clone(),
        size: document.bytes.len() as u64,
        urls: Vec::new(),
        annotations,
        platform: None,
        artifact_type: None,
    }
}

/// `index.json`.
pub(crate) fn index(manifests: Vec<Descriptor>) -> Result<Vec<u8>, Error> {
    let index = Index {
        schema_version: 2,
        media_type: Some(media_type::OCI_INDEX.to_owned()),
        manifests,
        annotations: BTreeMap::new(),
    };
    serde_json::to_vec(&index).map_err(Error::json("index.json"))
}

/// A folder that takes an image. Others in it stay; one of the same name loses it.
pub struct LayoutDestination {
    path: PathBuf,
    name: Option<String>,
    root: Mutex<Option<Document>>,
}

impl LayoutDestination {
    /// Makes the folder; one that is there must be empty or a layout.
    ///
    /// # Errors
    /// If it is something else, or cannot be made.
    pub fn new(path: PathBuf, name: Option<String>) -> Result<Self, Error> {
        std::fs::create_dir_all(&path).map_err(FileError::at("create folder", &path))?;
        let mut entries = std::fs::read_dir(&path).map_err(FileError::at("read folder", &path))?;
        let is_layout = ["oci-layout", "blobs"].iter().any(|name| path.join(name).exists());
        if entries.next().is_some() && !is_layout {
            return Err(Error::Unsupported(format!("{} is not empty and no OCI layout", path.display())));
        }
        Ok(LayoutDestination { path, name, root: Mutex::default() })
    }

    fn folder(&self, digest: &Digest) -> Result<PathBuf, Error> {
        let folder = self.path.join("blobs").join(digest.algorithm());
        std::fs::create_dir_all(&folder).map_err(FileError::at("create folder", &folder))?;
        Ok(folder)
    }
}

impl Destination for LayoutDestination {
    fn accepts(&self, kind: &str) -> bool {
        matches!(kind, media_type::OCI_MANIFEST | media_type::OCI_INDEX)
    }

    fn put_blob(&self, blob: Blob<'_>, source: &dyn Source, progress: &dyn Fn(u64)) -> Result<Phase, Error> {
        write_blob(&self.folder(&blob.descriptor.digest)?, blob, source, progress)
    }

    fn put_manifest(&self, document: &Document, _: Option<&Manifest>, is_root: bool) -> Result<(), Error> {
        let path = self.folder(&document.digest)?.join(document.digest.hex());
        write_atomic(&path, &document.bytes, 0o644, Durability::Machine)?;
        if is_root {
            *self.root.lock().unwrap_or_else(PoisonError::into_inner) = Some(document.clone());
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        let root = self.root.lock().unwrap_or_else(PoisonError::into_inner).take();
        let root = root.ok_or_else(|| Error::NotFound("there was no image to copy".to_owned()))?;
        sync_folder(&self.folder(&root.digest)?)?;
        write_atomic(&self.path.join("oci-layout"), LAYOUT.as_bytes(), 0o644, Durability::Machine)?;
        let mut entries = read_index(&self.path)?;
        let annotations = self.name.iter().map(|name| (REF_NAME.to_owned(), name.clone())).collect();
        let new = entry(&root, annotations);
        entries.retain(|old| match &self.name {
            Some(name) => name_of(old) != Some(name),
            None => old.digest != new.digest || name_of(old).is_some(),
        });
        entries.push(new);
        Ok(write_atomic(&self.path.join("index.json"), &index(entries)?, 0o644, Durability::Machine)?)
    }
}

fn read_index(path: &Path) -> Result<Vec<Descriptor>, Error> {
    let file = path.join("index.json");
    if !file.exists() {
        return Ok(Vec::new());
    }
    let bytes = crate::directory::read_document(&file)?;
    let index: Index = serde_json::from_slice(&bytes).map_err(Error::json(file.display().to_string()))?;
    Ok(index.manifests)
}

/// Takes an image from a layout folder, and the blobs that no other image of it needs.
///
/// # Errors
/// If there is no such image, or the folder cannot be written.
pub fn delete_from_layout(path: &Path, name: Option<&str>) -> Result<Digest, Error> {
    let described = format!("oci:{}", path.display());
    let mut entries = read_index(path)?;
    let chosen = choose(&entries, &described, name)?.clone();
    let at = entries.iter().position(|entry| *entry == chosen);
    at.map(|at| entries.remove(at));
    write_atomic(&path.join("index.json"), &index(entries.clone())?, 0o644, Durability::Machine)?;
    let mut needed = std::collections::HashSet::new();
    for entry in &entries {
        reach(path, &entry.digest, &mut needed, 0)?;
    }
    let mut gone = std::collections::HashSet::new();
    reach(path, &chosen.digest, &mut gone, 0)?;
    for digest in gone.difference(&needed) {
        let blob = path.join(blob_name(digest));
        match std::fs::remove_file(&blob) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(FileError::at("remove", &blob)(e).into()),
            _ => {}
        }
    }
    Ok(chosen.digest)
}

/// Everything that a manifest or index needs.
fn reach(
    path: &Path,
    digest: &Digest,
    found: &mut std::collections::HashSet<Digest>,
    depth: usize,
) -> Result<(), Error> {
    if depth > 4 || !found.insert(digest.clone()) {
        return Ok(());
    }
    let file = path.join(blob_name(digest));
    if !file.exists() {
        return Ok(());
    }
    let bytes = crate::directory::read_document(&file)?;
    if let Ok(index) = serde_json::from_slice::<Index>(&bytes) {
        for entry in &index.manifests {
            reach(path, &entry.digest, found, depth + 1)?;
        }
    } else if let Ok(manifest) = serde_json::from_slice::<Manifest>(&bytes) {
        found.extend(manifest.layers.iter().chain([&manifest.config]).map(|blob| blob.digest.clone()));
    }
    Ok(())
}
