//! `dir:`, a folder with one image's files side by side, as skopeo writes it: `version`, `manifest.json`, `DIGEST.manifest.json` of the images
//! of a list, and blobs under the hexadecimal digits of their digests.

use crate::Error;
use crate::content::{Blob, Destination, Phase, Source, unwrap, verified};
use carboy_distribution::{MANIFEST_LIMIT, Manifest as Document};
use carboy_oci::Digest;
use carboy_oci::image::{Descriptor, Manifest};
use carboy_state::file::{Durability, FileError, sync_folder, write_atomic};
use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

const VERSION: &str = "Directory Transport Version: 1.1\n";

/// A folder with an image.
pub struct DirectorySource {
    path: PathBuf,
}

impl DirectorySource {
    /// Nothing is read yet.
    pub fn new(path: PathBuf) -> Self {
        DirectorySource { path }
    }

    fn document(&self, name: &str) -> Result<Document, Error> {
        let path = self.path.join(name);
        let bytes = read_document(&path)?;
        Ok(Document::from_bytes(bytes, "", &path.display().to_string())?)
    }
}

/// Reads a manifest, which is small.
pub(crate) fn read_document(path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(FileError::at("open", path))?;
    file.take(MANIFEST_LIMIT + 1).read_to_end(&mut bytes).map_err(FileError::at("read", path))?;
    if bytes.len() as u64 > MANIFEST_LIMIT {
        return Err(Error::Unsupported(format!("{} is larger than 4 MiB, which no manifest is", path.display())));
    }
    Ok(bytes)
}

impl Source for DirectorySource {
    fn describe(&self) -> String {
        format!("dir:{}", self.path.display())
    }

    fn root(&self) -> Result<Document, Error> {
        self.document("manifest.json")
    }

    fn manifest(&self, entry: &Descriptor) -> Result<Document, Error> {
        let document = self.document(&format!("{}.manifest.json", entry.digest.hex()))?;
        if document.digest != entry.digest && entry.digest.algorithm() == "sha256" {
            return Err(Error::Digest { expected: entry.digest.clone(), actual: document.digest });
        }
        Ok(document)
    }

    fn blob(&self, blob: &Descriptor) -> Result<Box<dyn Read + '_>, Error> {
        let path = self.path.join(blob.digest.hex());
        Ok(Box::new(File::open(&path).map_err(FileError::at("open", &path))?))
    }
}

/// A folder that takes an image.
pub struct DirectoryDestination {
    path: PathBuf,
    written: Mutex<HashSet<String>>,
    root: Mutex<Option<Vec<u8>>>,
}

impl DirectoryDestination {
    /// Makes the folder; one that is there must be empty or hold an image already, which is replaced.
    ///
    /// # Errors
    /// If it holds something else, or cannot be made.
    pub fn new(path: PathBuf) -> Result<Self, Error> {
        std::fs::create_dir_all(&path).map_err(FileError::at("create folder", &path))?;
        let mut entries = std::fs::read_dir(&path).map_err(FileError::at("read folder", &path))?;
        if entries.next().is_some() && !path.join("version").exists() {
            return Err(Error::Unsupported(format!("{} is not empty and holds no image (dir:)", path.display())));
        }
        Ok(DirectoryDestination { path, written: Mutex::default(), root: Mutex::default() })
    }

    fn note(&self, name: String) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
    }
}

impl Destination for DirectoryDestination {
    fn accepts(&self, _: &str) -> bool {
        true
    }

    fn put_blob(&self, blob: Blob<'_>, source: &dyn Source, progress: &dyn Fn(u64)) -> Result<Phase, Error> {
        let phase = write_blob(&self.path, blob, source, progress)?;
        self.note(blob.descriptor.digest.hex().to_owned());
        Ok(phase)
    }

    fn put_manifest(&self, document: &Document, _: Option<&Manifest>, is_root: bool) -> Result<(), Error> {
        if is_root {
            *self.root.lock().unwrap_or_else(PoisonError::into_inner) = Some(document.bytes.clone());
            return Ok(());
        }
        let name = format!("{}.manifest.json", document.digest.hex());
        write_atomic(&self.path.join(&name), &document.bytes, 0o644, Durability::Machine)?;
        self.note(name);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        let root = self.root.into_inner().unwrap_or_else(PoisonError::into_inner).unwrap_or_default();
        write_atomic(&self.path.join("version"), VERSION.as_bytes(), 0o644, Durability::Machine)?;
        write_atomic(&self.path.join("manifest.json"), &root, 0o644, Durability::Machine)?;
        // What an earlier image left.
        let written = self.written.into_inner().unwrap_or_else(PoisonError::into_inner);
        let entries = std::fs::read_dir(&self.path).map_err(FileError::at("read folder", &self.path))?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let hex = name.strip_suffix(".manifest.json").unwrap_or(&name);
            let is_ours = matches!(hex.len(), 64 | 128) && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
            if is_ours && !written.contains(&name) {
                std::fs::remove_file(entry.path()).map_err(FileError::at("remove", &entry.path()))?;
            }
        }
        Ok(sync_folder(&self.path)?)
    }
}

/// Copies a blob into a folder under its digits: checked and synced before it has its name. One that is there with the right size is kept.
pub(crate) fn write_blob(
    folder: &Path,
    blob: Blob<'_>,
    source: &dyn Source,
    progress: &dyn Fn(u64),
) -> Result<Phase, Error> {
    let digest = &blob.descriptor.digest;
    let path = folder.join(digest.hex());
    if std::fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() == blob.descriptor.size) {
        progress(blob.descriptor.size);
        return Ok(Phase::Exists);
    }
    let mut reader = verified(source.blob(blob.descriptor)?, blob.descriptor, progress);
    let temporary = Temporary::create(folder, digest)?;
    let mut file = &temporary.file;
    copy_apart(&mut reader, &mut file, digest, &temporary.path)?;
    file.sync_data().map_err(FileError::at("sync", &temporary.path))?;
    std::fs::rename(&temporary.path, &path).map_err(FileError::at("rename to", &path))?;
    Ok(Phase::Done)
}

/// Copies with the two sides' errors told apart: a full disk is no damaged download.
pub(crate) fn copy_apart(
    from: &mut dyn Read,
    to: &mut dyn std::io::Write,
    digest: &Digest,
    path: &Path,
) -> Result<(), Error> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&buffer[..count]).map_err(FileError::at("write", path))?,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(unwrap(digest)(e)),
        }
    }
}

/// A file that is removed unless it was renamed.
struct Temporary {
    path: PathBuf,
    file: File,
}

impl Temporary {
    fn create(folder: &Path, digest: &Digest) -> Result<Self, Error> {
        let path = folder.join(format!(".{}.{}", digest.hex(), std::process::id()));
        let file = File::create(&path).map_err(FileError::at("create", &path))?;
        Ok(Temporary { path, file })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
