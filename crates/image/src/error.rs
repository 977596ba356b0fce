//! What can go wrong with images and with layers.

use carboy_oci::{Digest, ReferenceError};
use carboy_state::file::FileError;
use carboy_store::StoreError;
use std::io;

/// An error of an image operation.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The kernel or the disk refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not a reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A layer could not be taken in.
    #[error("layer {digest}")]
    Layer {
        /// The layer's digest.
        digest: Digest,
        /// Why.
        #[source]
        source: LayerError,
    },
    /// Nothing of that name or ID. The wording is Docker's.
    #[error("No such image: {0}")]
    NotFound(String),
    /// Several images have IDs that begin like this.
    #[error("image ID prefix {0:?} is ambiguous: several images begin with it")]
    Ambiguous(String),
    /// In use. The wording is Docker's.
    #[error("conflict: {0}")]
    Conflict(String),
    /// A manifest, configuration or archive that is not what it should be.
    #[error("{what} is not valid")]
    Invalid {
        /// What.
        what: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something of an image is missing or contradicts itself.
    #[error("{0}")]
    Inconsistent(String),
    /// A snapshotter was asked for by name and does not work here.
    #[error("the {name} snapshotter does not work here: {why}")]
    Snapshotter {
        /// Its name.
        name: &'static str,
        /// Why.
        why: String,
    },
}

impl ImageError {
    pub(crate) fn invalid(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        ImageError::Invalid { what: what.into(), source: source.into() }
    }
}

/// Why a layer cannot be taken in.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The store; wrong digests and sizes of the blob are here.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The kernel or the disk refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The source of the bytes failed.
    #[error("read layer")]
    Read(#[source] io::Error),
    /// The compressed stream is damaged or ends early.
    #[error("decompress layer ({format})")]
    Inflate {
        /// `gzip` or `zstd`.
        format: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The uncompressed layer does not have the diff ID that the image's configuration names.
    #[error("digest mismatch of the uncompressed layer: expected {expected}, got {actual}")]
    DiffId {
        /// From the configuration.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// The tar is damaged, or holds what no layer may hold.
    #[error("tar entry {entry:?} at byte {offset}: {why}")]
    Tar {
        /// Name of the entry, as far as known.
        entry: String,
        /// Where its header is in the uncompressed tar.
        offset: u64,
        /// What is wrong.
        why: String,
    },
    /// A hard link to a file of a lower layer that cannot be made.
    #[error("hard link {name:?} to {target:?}: {why}")]
    Link {
        /// The link.
        name: String,
        /// What it links to.
        target: String,
        /// What is wrong.
        why: String,
    },
    /// The tar ends within an entry.
    #[error("layer is truncated: the tar ends within an entry, at byte {0}")]
    Truncated(u64),
    /// A limit against hostile images.
    #[error("layer exceeds the limit of {limit} {what}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How many.
        limit: u64,
    },
    /// A thread of the pipeline could not be made.
    #[error("start a thread")]
    Thread(#[source] io::Error),
    /// A panic in the pipeline, which is a bug.
    #[error("internal error while taking a layer in")]
    Internal,
}
