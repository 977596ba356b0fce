//! What a pull tells while it runs. Numbers of layers are positions in the manifest, base first.

use carboy_oci::image::Descriptor;
use carboy_oci::{Digest, Reference};

/// Told what happens, from several threads, often. It must return quickly.
pub trait Progress: Sync {
    /// Something happened.
    fn event(&self, event: Event<'_>);
}

/// What happens during a pull.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The registry knows the reference; what it means is pulled now.
    Started(&'a Reference),
    /// Something the user should know, though it is no error.
    Warning(&'a str),
    /// The layers are known; digests and sizes are in the descriptors.
    Layers(&'a [Descriptor]),
    /// A layer entered a phase.
    Phase(usize, LayerPhase),
    /// So many bytes of a layer's blob have been received.
    Received(usize, u64),
    /// The pull has succeeded.
    Finished {
        /// What the reference means at the registry.
        digest: &'a Digest,
        /// Whether the name was new or meant something else before.
        is_new: bool,
    },
}

/// Where a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerPhase {
    /// In the store already.
    Exists,
    /// Not begun, or another process is taking it in.
    Waiting,
    /// Being received, inflated, hashed and written, all at once.
    Downloading,
    /// In the store.
    Done,
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn event(&self, _: Event<'_>) {}
}
