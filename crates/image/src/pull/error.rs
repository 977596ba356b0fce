//! Why an image cannot be pulled.

use crate::{ImageError, LayerError};
use carboy_oci::Digest;
use carboy_store::StoreError;

/// A failed pull.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] carboy_distribution::Error),
    /// The store.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A layer.
    #[error("pull layer {digest}")]
    Layer {
        /// Digest of its blob.
        digest: Digest,
        /// Why.
        source: LayerError,
    },
    /// JSON from the registry.
    #[error("{what} of {reference} is not valid")]
    Json {
        /// Manifest, index or configuration.
        what: &'static str,
        /// The reference.
        reference: String,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// Nothing for this platform in an index. The wording is Docker's.
    #[error("no matching manifest for {wanted} in the manifest list entries: it has {available}")]
    NoPlatform {
        /// What was wanted.
        wanted: String,
        /// What there is.
        available: String,
    },
    /// Indexes within indexes.
    #[error("{0}: indexes are nested too deeply")]
    Nested(String),
    /// Something that is no container image, or has parts that cannot be used.
    #[error("{reference} cannot be used: {why}")]
    Unsupported {
        /// The reference.
        reference: String,
        /// Why.
        why: String,
    },
    /// A thread could not be started.
    #[error("start a thread")]
    Thread(#[source] std::io::Error),
}

/// What kind of failure a [`PullError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullErrorKind {
    /// The registry does not have the image, or not for the platform.
    NotFound,
    /// Credentials are missing or not sufficient.
    Unauthorized,
    /// The registry cannot be reached or is overloaded.
    Unavailable,
    /// What was received is damaged, dishonest or not supported.
    BadContent,
    /// A request or a setting is not valid.
    Invalid,
    /// This machine: disk, memory, threads.
    Local,
}

impl PullError {
    /// What kind of failure this is.
    pub fn kind(&self) -> PullErrorKind {
        match self {
            PullError::Registry(error) => kind_of(error),
            PullError::Layer { source: LayerError::Read(error), .. } => {
                let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<carboy_distribution::Error>());
                inner.map_or(PullErrorKind::Unavailable, kind_of)
            }
            PullError::Layer { source: LayerError::File(_) | LayerError::Thread(_) | LayerError::Internal, .. }
            | PullError::Image(_)
            | PullError::Thread(_) => PullErrorKind::Local,
            PullError::NoPlatform { .. } => PullErrorKind::NotFound,
            PullError::Layer { .. } | PullError::Json { .. } | PullError::Nested(_) | PullError::Unsupported { .. } => {
                PullErrorKind::BadContent
            }
        }
    }
}

impl From<StoreError> for PullError {
    fn from(error: StoreError) -> Self {
        PullError::Image(ImageError::Store(error))
    }
}

pub(crate) fn kind_of(error: &carboy_distribution::Error) -> PullErrorKind {
    use carboy_distribution::ErrorKind as Kind;
    match error.kind() {
        Kind::NotFound => PullErrorKind::NotFound,
        Kind::Unauthorized => PullErrorKind::Unauthorized,
        Kind::Unavailable | Kind::Tls | Kind::Cancelled => PullErrorKind::Unavailable,
        Kind::Integrity | Kind::Unsupported | Kind::Protocol => PullErrorKind::BadContent,
        Kind::Invalid => PullErrorKind::Invalid,
    }
}
