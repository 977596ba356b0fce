//! Blobs: bytes under the name of their digest.

use crate::open::make_folder;
use crate::{Hasher, Ingest, Store, StoreError};
use carboy_oci::Digest;
use carboy_state::fault;
use carboy_state::file::{FileError, sync_folder};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Manifests and configurations are read into memory; layers never are.
const MEMORY_LIMIT: u64 = 32 << 20;

impl Store {
    /// Where the blob is, or would be.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root().join("blobs").join(digest.algorithm()).join(digest.hex())
    }

    /// Whether the blob is here.
    pub fn has(&self, digest: &Digest) -> bool {
        rustix::fs::access(self.blob_path(digest), rustix::fs::Access::EXISTS).is_ok()
    }

    /// Opens a blob for reading.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if it is not here.
    pub fn open_blob(&self, digest: &Digest) -> Result<File, StoreError> {
        let path = self.blob_path(digest);
        File::open(&path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => StoreError::Missing(digest.clone()),
            _ => FileError::at("open", &path)(e).into(),
        })
    }

    /// Reads a small blob (at most 32 MiB) and checks its digest again.
    pub fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.blob_path(digest);
        let mut file = self.open_blob(digest)?;
        let size = file.metadata().map_err(FileError::at("stat", &path))?.len();
        if size > MEMORY_LIMIT {
            return Err(StoreError::TooLarge { digest: digest.clone(), size, limit: MEMORY_LIMIT });
        }
        let mut bytes = Vec::with_capacity(size as usize);
        file.read_to_end(&mut bytes).map_err(FileError::at("read", &path))?;
        let mut hasher = Hasher::like(digest);
        hasher.update(&bytes);
        check(digest, hasher.finish())?;
        Ok(bytes)
    }

    /// Stores a small blob; nothing happens if it is here already.
    pub fn write_blob(&self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        if self.has(digest) {
            return Ok(());
        }
        let mut writer = self.blob_writer(digest)?;
        writer.write_all(bytes).map_err(FileError::at("write", writer.path()))?;
        writer.commit(digest, bytes.len() as u64)
    }

    /// Claims a digest and starts writing its blob. Waits while another process is at it.
    pub fn blob_writer(&self, digest: &Digest) -> Result<BlobWriter, StoreError> {
        let ingest = self.ingest(digest)?;
        BlobWriter::new(self, ingest, Hasher::like(digest))
    }

    /// Publishes a finished file as a blob. The caller has checked its digest and synced it; [`Store::sync_blobs`] makes the name last.
    pub fn publish_blob(&self, file: &Path, digest: &Digest) -> Result<(), StoreError> {
        let path = self.blob_path(digest);
        make_folder(path.parent().unwrap_or(self.root()))?;
        std::fs::set_permissions(file, Permissions::from_mode(0o444)).map_err(FileError::at("chmod", file))?;
        fault::point("blob: not named");
        std::fs::rename(file, &path).map_err(FileError::at("rename to", &path))?;
        fault::point("blob: named, not synced");
        Ok(())
    }

    /// Makes the names of blobs last through a power cut.
    pub fn sync_blobs(&self, algorithm: &str) -> Result<(), StoreError> {
        Ok(sync_folder(&self.root().join("blobs").join(algorithm))?)
    }
}

/// A blob being written: hashed on the way, invisible until [`BlobWriter::commit`].
pub struct BlobWriter {
    store: Store,
    ingest: Ingest,
    path: PathBuf,
    file: File,
    hasher: Hasher,
    size: u64,
}

impl BlobWriter {
    fn new(store: &Store, ingest: Ingest, hasher: Hasher) -> Result<Self, StoreError> {
        let path = ingest.folder().join("blob");
        let file =
            OpenOptions::new().write(true).create_new(true).open(&path).map_err(FileError::at("create", &path))?;
        Ok(BlobWriter { store: store.clone(), ingest, path, file, hasher, size: 0 })
    }

    /// The temporary file, for error messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks size and digest, syncs, and gives the blob its name.
    ///
    /// # Errors
    /// [`StoreError::Digest`], [`StoreError::Size`]; then nothing is kept.
    pub fn commit(self, expected: &Digest, size: u64) -> Result<(), StoreError> {
        if self.size != size {
            return Err(StoreError::Size { digest: expected.clone(), expected: size, actual: self.size });
        }
        check(expected, self.hasher.finish())?;
        self.file.sync_data().map_err(FileError::at("sync", &self.path))?;
        self.store.publish_blob(&self.path, expected)?;
        self.store.sync_blobs(expected.algorithm())?;
        drop(self.ingest);
        Ok(())
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

pub(crate) fn check(expected: &Digest, actual: Digest) -> Result<(), StoreError> {
    if *expected == actual { Ok(()) } else { Err(StoreError::Digest { expected: expected.clone(), actual }) }
}
