//! Layers in parallel: a few threads take them from a list, the first error ends all.

use super::{Event, LayerPhase, Progress, PullError, PullOptions};
use crate::Intake;
use carboy_distribution::Repository;
use carboy_oci::Digest;
use carboy_oci::image::{Descriptor, Manifest};
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Layers taken in at once unless the caller says otherwise. Each has threads of its own for hashing and inflating, so that even two
/// layers keep a small machine busy; more hide the latency of a distant registry.
const PARALLEL: usize = 4;

/// What the threads share.
struct Work<'w> {
    intake: &'w Intake<'w>,
    repository: &'w Repository,
    /// For each layer.
    connections: usize,
    progress: &'w dyn Progress,
    /// Layers to be taken in: number, blob, diff ID; taken from the end.
    todo: Mutex<Vec<(usize, &'w Descriptor, &'w Digest)>>,
    failed: Mutex<Option<PullError>>,
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
    let work = Work { intake, repository, connections, progress, todo: Mutex::new(todo), failed: Mutex::new(None) };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            let spawned = std::thread::Builder::new().name("pull-layer".to_owned()).spawn_scoped(scope, || work.run());
            if let Err(error) = spawned {
                work.fail(PullError::Thread(error));
                break;
            }
        }
        work.run();
    });
    match work.failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

impl Work<'_> {
    fn run(&self) {
        loop {
            let next = self.todo.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some((number, blob, diff_id)) = next else { return };
            if self.repository.is_cancelled() {
                return;
            }
            if let Err(source) = self.layer(number, blob, diff_id) {
                self.fail_layer(blob, source);
                return;
            }
        }
    }

    fn layer(&self, number: usize, blob: &Descriptor, diff_id: &Digest) -> Result<(), crate::LayerError> {
        match self.intake.begin_layer(blob, diff_id)? {
            // Another process was at it and has finished.
            None => self.progress.event(Event::Phase(number, LayerPhase::Exists)),
            Some(layer) => {
                self.progress.event(Event::Phase(number, LayerPhase::Downloading));
                let received = |bytes| self.progress.event(Event::Received(number, bytes));
                let done = self.repository.with_blob(blob, self.connections, |src| {
                    // Told at once: the layer's other connections end by that.
                    layer.run(src, &received).map_err(|source| self.fail_layer(blob, source))
                });
                if done.is_ok() {
                    self.progress.event(Event::Phase(number, LayerPhase::Done));
                }
            }
        }
        Ok(())
    }

    fn fail_layer(&self, blob: &Descriptor, source: crate::LayerError) {
        self.fail(PullError::Layer { digest: blob.digest.clone(), source });
    }

    /// Keeps the first error and ends the other transfers; the errors that follow from that are not told.
    fn fail(&self, error: PullError) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_none() {
            *failed = Some(error);
            self.repository.cancel();
        }
    }
}
