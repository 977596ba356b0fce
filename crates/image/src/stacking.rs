//! Which of an image's layers are put over each other.

use crate::layer::LayerRecord;
use crate::remove::chain_ids;
use crate::{ImageError, Images};
use carboy_oci::Digest;
use std::collections::HashSet;

impl Images {
    /// The layers that are stacked, of these (base first): diff IDs with chain IDs, topmost first, each once. Of a layer that occurs twice
    /// only the topmost counts: what it adds and hides, it adds and hides there over everything below; and overlayfs refuses one directory
    /// twice.
    ///
    /// # Errors
    /// If a layer's record cannot be read.
    pub(crate) fn stacked(&self, base_first: &[Digest]) -> Result<Vec<(Digest, Digest)>, ImageError> {
        let mut seen = HashSet::new();
        let layers = base_first.iter().cloned().zip(chain_ids(base_first)).skip(self.lowest_seen(base_first)?).rev();
        Ok(layers.filter(|(diff_id, _)| seen.insert(diff_id.clone())).collect())
    }

    /// The number of the lowest layer of which anything is seen: the topmost whose root directory is opaque, or the base.
    ///
    /// # Errors
    /// As [`Images::stacked`].
    pub(crate) fn lowest_seen(&self, base_first: &[Digest]) -> Result<usize, ImageError> {
        for (number, diff_id) in base_first.iter().enumerate().rev() {
            if LayerRecord::read(&self.store.layer_dir(diff_id))?.is_some_and(|record| record.opaque) {
                return Ok(number);
            }
        }
        Ok(0)
    }
}
