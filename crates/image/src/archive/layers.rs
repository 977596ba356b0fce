//! Taking the layers of an archive in, several at once.

use super::members::Members;
use super::{Found, LoadProgress};
use crate::{ImageError, Intake, LayerError};
use carboy_oci::Digest;
use carboy_oci::image::{Descriptor, ImageConfig};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Layers at once: each keeps more than one core busy.
const AT_ONCE: usize = 3;

pub(super) fn take_in(
    intake: &Intake<'_>,
    members: &Members,
    found: &Found,
    progress: LoadProgress<'_>,
) -> Result<(), ImageError> {
    let config: ImageConfig =
        serde_json::from_slice(&found.config).map_err(|e| ImageError::invalid("image configuration", e))?;
    let diff_ids = &config.rootfs.diff_ids;
    if diff_ids.len() != found.parsed.layers.len() || diff_ids.len() != found.layers.len() {
        return Err(ImageError::Inconsistent(format!(
            "manifest and configuration do not belong together: {} layers, {} diff IDs",
            found.layers.len(),
            diff_ids.len()
        )));
    }
    let work = found.parsed.layers.iter().zip(diff_ids).zip(&found.layers);
    let queue = Mutex::new(work);
    let failed = AtomicBool::new(false);
    let one_after_the_other = || -> Result<(), ImageError> {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(((blob, diff_id), member)) = next.filter(|_| !failed.load(Ordering::Relaxed)) else {
                return Ok(());
            };
            if let Err(e) = one(intake, members, (blob, diff_id, member), progress) {
                failed.store(true, Ordering::Relaxed);
                return Err(e);
            }
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE.min(diff_ids.len())).map(|_| scope.spawn(one_after_the_other)).collect();
        let results = threads.into_iter().map(|thread| {
            let digest = || found.parsed.config.digest.clone();
            thread.join().unwrap_or_else(|_| Err(ImageError::Layer { digest: digest(), source: LayerError::Internal }))
        });
        results.fold(Ok(()), Result::and)
    })
}

fn one(
    intake: &Intake<'_>,
    members: &Members,
    (blob, diff_id, member): (&Descriptor, &Digest, &str),
    progress: LoadProgress<'_>,
) -> Result<(), ImageError> {
    let failed = |source| ImageError::Layer { digest: blob.digest.clone(), source };
    let Some(layer) = intake.begin_layer(blob, diff_id).map_err(failed)? else {
        progress(&blob.digest, blob.size, blob.size);
        return Ok(());
    };
    let (mut content, _) = members.open_member(member)?;
    layer.run(&mut content, &|done| progress(&blob.digest, done, blob.size)).map_err(failed)
}
