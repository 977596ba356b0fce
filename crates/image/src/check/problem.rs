//! What can be wrong with a store, in words.

use carboy_oci::image::Descriptor;
use carboy_oci::{Digest, Reference};
use std::fmt;
use std::path::PathBuf;

/// Something wrong, and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What is wrong.
    pub problem: Problem,
    /// What was done.
    pub outcome: Outcome,
}

/// What a repair did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: no repair was asked for.
    Left,
    /// It is good again, by this.
    Repaired(String),
    /// Nothing could be done, for this reason.
    Failed(String),
}

/// Something wrong with a store.
#[derive(Debug, Clone, PartialEq)]
pub enum Problem {
    /// A record that is none.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// An image without a part that it cannot be used without.
    Broken {
        /// Its ID.
        image: Digest,
        /// `manifest` or `configuration`.
        part: &'static str,
        /// Why.
        why: String,
    },
    /// A name without an image.
    DanglingName {
        /// The name.
        name: Reference,
    },
    /// An image whose layer is not here in the form that is mounted.
    MissingLayer {
        /// The image.
        image: Digest,
        /// The layer.
        diff_id: Digest,
        /// Its blob, if that is here.
        blob: Option<Descriptor>,
    },
    /// A layer whose blob is gone: containers run, but the image cannot be sent as it came.
    MissingBlob {
        /// The image.
        image: Digest,
        /// The blob.
        blob: Digest,
        /// The layer.
        diff_id: Digest,
    },
    /// A blob with another content than its digest says.
    DamagedBlob {
        /// The digest that it should have.
        digest: Digest,
    },
    /// A layer with another content than its digest says, or with another index than its content has.
    DamagedLayer {
        /// The layer.
        diff_id: Digest,
        /// Which.
        why: String,
    },
    /// A blob that nothing needs.
    OrphanedBlob {
        /// The blob.
        digest: Digest,
        /// Bytes on disk.
        bytes: u64,
    },
    /// A layer that nothing needs.
    OrphanedLayer {
        /// The hexadecimal part of its diff ID.
        name: String,
        /// Bytes on disk.
        bytes: u64,
    },
    /// A mount of a layer that is not here.
    StaleMount {
        /// Where.
        path: PathBuf,
    },
}

impl Problem {
    pub(super) fn damaged_blob(&self) -> Option<Digest> {
        match self {
            Problem::DamagedBlob { digest } => Some(digest.clone()),
            _ => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Unreadable { path, why } => write!(f, "record {}: {why}", path.display()),
            Problem::Broken { image, part, why } => write!(f, "image {}: its {part}: {why}", image.short()),
            Problem::DanglingName { name } => write!(f, "name {}: what it means is not here", name.familiar()),
            Problem::MissingLayer { image, diff_id, .. } => {
                write!(f, "image {}: layer {diff_id} is missing", image.short())
            }
            Problem::MissingBlob { image, blob, .. } => {
                write!(
                    f,
                    "image {}: blob {blob} of a layer is missing: it runs, but cannot be pushed as it came",
                    image.short()
                )
            }
            Problem::DamagedBlob { digest } => write!(f, "blob {digest} is damaged: its content has another digest"),
            Problem::DamagedLayer { diff_id, why } => write!(f, "layer {diff_id} is damaged: {why}"),
            Problem::OrphanedBlob { digest, bytes } => write!(f, "blob {digest}: nothing needs it ({bytes} bytes)"),
            Problem::OrphanedLayer { name, bytes } => {
                write!(f, "layer sha256:{name}: nothing needs it ({bytes} bytes)")
            }
            Problem::StaleMount { path } => write!(f, "{}: a mount of a layer that is not here", path.display()),
        }
    }
}
