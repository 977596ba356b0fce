//! What can go wrong between two places.

use carboy_image::{ImageError, LayerError};
use carboy_oci::{Digest, ReferenceError};
use carboy_state::file::FileError;
use carboy_store::StoreError;
use std::io;

/// An error of a transport.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A registry, or a manifest that is none.
    #[error(transparent)]
    Registry(#[from] carboy_distribution::Error),
    /// The store, or an archive.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The kernel or the disk refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not a reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A document that is no JSON or lacks what it must have.
    #[error("{what} is not valid")]
    Json {
        /// Which.
        what: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A blob could not be copied.
    #[error("copy blob {digest}")]
    Blob {
        /// Its digest.
        digest: Digest,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The content does not have its digest.
    #[error("digest mismatch: expected {expected}, got {actual}")]
    Digest {
        /// What it should have.
        expected: Digest,
        /// What it has.
        actual: Digest,
    },
    /// The content does not have its size.
    #[error("size mismatch of {digest}: expected {expected} bytes, got {actual}")]
    Size {
        /// Whose.
        digest: Digest,
        /// What it should have.
        expected: u64,
        /// What it has, or has at least.
        actual: u64,
    },
    /// Nothing of that name there.
    #[error("{0}")]
    NotFound(String),
    /// What this place or this conversion cannot do.
    #[error("{0}")]
    Unsupported(String),
    /// A thread could not be made.
    #[error("start a thread")]
    Thread(#[source] io::Error),
}

impl Error {
    pub(crate) fn json(what: impl Into<String>) -> impl FnOnce(serde_json::Error) -> Error {
        let what = what.into();
        move |source| Error::Json { what, source }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Error::Image(error.into())
    }
}

impl From<LayerError> for Error {
    fn from(error: LayerError) -> Self {
        match error {
            LayerError::Store(e) => e.into(),
            LayerError::File(e) => e.into(),
            other => Error::Unsupported(other.to_string()),
        }
    }
}
