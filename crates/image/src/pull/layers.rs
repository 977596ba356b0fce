//! Layers in parallel: a few threads take them from a list, the first error ends all.

use super::{Event, LayerPhase, Progress, PullError, PullOptions};
use crate::Intake;
use crate::workers::Workers;
use carboy_distribution::Repository;
use carboy_oci::Digest;
use carboy_oci::image::{Descriptor, Manifest};
use std::collections::HashSet;

/// Layers taken in at once unless the caller says otherwise. Each has threads of its own for hashing and inflating, so that even two
/// layers keep a small machine busy; more hide the latency of a distant registry.
const PARALLEL: usize = 4;

/// A layer to be taken in: number, blob, diff ID.
type Todo<'w> = (usize, &'w Descriptor, &'w Digest);

/// What the threads share.
struct Work<'w> {
    intake: &'w Intake<'w>,
    repository: &'w Repository,
    /// For each layer.
    connections: usize,
    progress: &'w dyn Progress,
    workers: &'w Workers<'w, Todo<'w>, PullError>,
}

/// Takes all layers of `manifest` into the store.
pub(super) fn pull(
    intake: &Intake<'_>,
    repository: &Repository,
    manifest: &Manifest,
    diff_ids: &[Digest],
    options: &PullOptions,
    progress: &dyn Progress,
) -> Result<(), PullError> {
    progress.event(Event::Layers(&manifest.layers));
    let mut seen = HashSet::new();
    let mut todo = Vec::new();
    for (number, (blob, diff_id)) in manifest.layers.iter().zip(diff_ids).enumerate() {
        let failed = |source| PullError::Layer { digest: blob.digest.clone(), source };
        // The same layer twice in one image is common (empty layers); the second is there when the first is.
        if !seen.insert((&blob.digest, diff_id)) || intake.has_layer(blob, diff_id).map_err(failed)? {
            progress.event(Event::Phase(number, LayerPhase::Exists));
        } else {
            progress.event(Event::Phase(number, LayerPhase::Waiting));
            todo.push((number, blob, diff_id));
        }
    }
    if todo.is_empty() {
        return Ok(());
    }
    // The largest first: it is what the others are waited for with.
    todo.sort_by_key(|(number, blob, _)| (blob.size, std::cmp::Reverse(*number)));
    let threads = options.parallel.unwrap_or(PARALLEL).clamp(1, todo.len());
    let left = if repository.is_local() { 1 } else { (PARALLEL / threads).max(1) };
    let connections = options.connections.unwrap_or(left);
    let cancel = || repository.cancel();
    let workers = Workers::new(todo, &cancel);
    let work = Work { intake, repository, connections, progress, workers: &workers };
    workers.run(("pull-layer", threads), PullError::Thread, |(number, blob, diff_id)| {
        work.layer(number, blob, diff_id).map_err(|source| Work::failed(blob, source))
    })
}

impl Work<'_> {
    fn layer(&self, number: usize, blob: &Descriptor, diff_id: &Digest) -> Result<(), crate::LayerError> {
        match self.intake.begin_layer(blob, diff_id)? {
            // Another process was at it and has finished.
            None => self.progress.event(Event::Phase(number, LayerPhase::Exists)),
            Some(layer) => {
                self.progress.event(Event::Phase(number, LayerPhase::Downloading));
                let received = |bytes| self.progress.event(Event::Received(number, bytes));
                let done = self.repository.with_blob(blob, self.connections, |src| {
                    // Told at once: the layer's other connections end by that.
                    layer.run(src, &received).map_err(|source| self.workers.fail(Self::failed(blob, source)))
                });
                if done.is_ok() {
                    self.progress.event(Event::Phase(number, LayerPhase::Done));
                }
            }
        }
        Ok(())
    }

    fn failed(blob: &Descriptor, source: crate::LayerError) -> PullError {
        PullError::Layer { digest: blob.digest.clone(), source }
    }
}
