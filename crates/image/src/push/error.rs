//! Why an image cannot be pushed.

use crate::ImageError;
use carboy_oci::Digest;
use carboy_store::StoreError;

/// A failed push.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] carboy_distribution::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The images in it.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A manifest in the store cannot be read.
    #[error("manifest {digest} is not valid")]
    Manifest {
        /// Its digest.
        digest: Digest,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// A blob is not kept.
    #[error("blob {0} is not in the store any more, so that the image cannot be sent as it was: pull it again")]
    Missing(Digest),
    /// Layers were compressed anew, which a name with a digest does not allow.
    #[error(
        "its layers compressed anew, the image's digest is {after}, not {before}: push it without a digest (blobs that were dropped come back with a pull)"
    )]
    Repacked {
        /// The image's digest.
        before: Digest,
        /// What it would be.
        after: Digest,
    },
    /// There is no such manifest of the other kind.
    #[error("the image has no manifest of the other kind")]
    Convert(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A thread could not be started.
    #[error("start a thread")]
    Thread(#[source] std::io::Error),
}
