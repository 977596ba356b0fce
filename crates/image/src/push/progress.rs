//! What a push tells while it goes on.

use carboy_oci::image::Descriptor;
use carboy_oci::{Digest, Reference};

/// Something happened. Layers are named by their number in the manifest.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'e> {
    /// Blobs are about to be sent to this reference's repository.
    Started(&'e Reference),
    /// Layers were compressed anew: the manifest's digest before, and the one that it has now.
    Repacked(&'e Digest, &'e Digest),
    /// The image's layers.
    Layers(&'e [Descriptor]),
    /// A layer enters a phase.
    Phase(usize, LayerPhase<'e>),
    /// So many bytes of a layer were sent so far; fewer than before when something has to be sent again.
    Sent(usize, u64),
}

/// Where a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerPhase<'p> {
    /// It waits for its turn.
    Waiting,
    /// It is being sent.
    Pushing,
    /// It was there.
    Exists,
    /// The registry took it from this repository.
    Mounted(&'p str),
    /// It was sent.
    Done,
}

/// Is told of a push. Called from several threads.
pub trait Progress: Sync {
    /// Something happened.
    fn event(&self, event: Event<'_>);
}

impl Progress for crate::pull::NoProgress {
    fn event(&self, _event: Event<'_>) {}
}
