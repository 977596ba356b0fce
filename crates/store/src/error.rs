//! What can go wrong in the store.

use carboy_oci::Digest;
use carboy_state::file::FileError;
use std::path::PathBuf;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The kernel or the disk refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no blob of this digest.
    #[error("blob {0} is not in the store")]
    Missing(Digest),
    /// Content does not have the digest that it was announced with.
    #[error("digest mismatch: expected {expected}, got {actual}")]
    Digest {
        /// The digest announced.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
    /// Content does not have the size that it was announced with.
    #[error("size mismatch of {digest}: expected {expected} bytes, got {actual}")]
    Size {
        /// The content.
        digest: Digest,
        /// Bytes announced.
        expected: u64,
        /// Bytes that came.
        actual: u64,
    },
    /// The folder was written by a program with another idea of the format.
    #[error("{} holds a store of format {found:?}; this program understands {expected:?}", path.display())]
    Version {
        /// The store's root.
        path: PathBuf,
        /// The first line of its `version` file.
        found: String,
        /// What this program writes.
        expected: &'static str,
    },
    /// A blob that is read into memory is larger than that should ever be.
    #[error("blob {digest} has {size} bytes; at most {limit} are read into memory")]
    TooLarge {
        /// The blob.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
}
