//! Which of an image's layers are put over each other.

use crate::layer::LayerRecord;
use crate::remove::chain_ids;
use crate::{ImageError, Images};
use carboy_oci::Digest;
use std::collections::HashSet;

/// The layers that are stacked, of these (base first), from the `lowest` that is seen: diff IDs with chain IDs, topmost first, each once.
/// Of a layer that occurs twice only the topmost counts: what it adds and hides, it adds and hides there over everything below; and
/// overlayfs refuses one directory twice.
pub(crate) fn stacked(base_first: &[Digest], lowest: usize) -> Vec<(Digest, Digest)> {
    let mut seen = HashSet::new();
    let layers = base_first.iter().cloned().zip(chain_ids(base_first)).skip(lowest).rev();
    layers.filter(|(diff_id, _)| seen.insert(diff_id.clone())).collect()
}

impl Images {
    /// The number of the lowest layer of which anything is seen, where there is no [`crate::Image`] to ask.
    ///
    /// # Errors
    /// If a layer's record cannot be read.
    pub(crate) fn lowest_seen(&self, base_first: &[Digest]) -> Result<usize, ImageError> {
        for (number, diff_id) in base_first.iter().enumerate().rev() {
            if LayerRecord::read(&self.store.layer_dir(diff_id))?.is_some_and(|record| record.opaque) {
                return Ok(number);
            }
        }
        Ok(0)
    }
}
