//! Layers without their blobs: for nodes that want the space. Containers run as before; what is sent somewhere else has to be compressed
//! anew, which gives it another digest. A pull that does not drop blobs fetches them again.
//!
//! ```text
//! layers/<hex>/dropped    empty: its blob is not kept
//! ```

use crate::{Image, ImageError, Images};
use carboy_oci::Digest;
use carboy_state::file::{Durability, FileError, write_atomic};
use std::path::PathBuf;

pub(crate) const DROPPED: &str = "dropped";

impl Images {
    /// Whether the layer is here and its blob was dropped on purpose.
    pub fn is_blob_dropped(&self, diff_id: &Digest) -> bool {
        let path = self.store.layer_dir(diff_id).join(DROPPED);
        rustix::fs::access(path, rustix::fs::Access::EXISTS).is_ok()
    }

    /// Where the uncompressed tar of a layer is, if it is kept: then this is what the layer can be made a blob of again. It may have up to
    /// 511 zeros more than the layer had; [`Images::layer_tar_size`] says where it ends.
    pub fn layer_tar(&self, diff_id: &Digest) -> Option<PathBuf> {
        self.snapshotter.tar_in(&self.store.layer_dir(diff_id)).filter(|path| path.exists())
    }

    /// Bytes of a layer's uncompressed tar; `None` if the layer is not here.
    ///
    /// # Errors
    /// If its record cannot be read.
    pub fn layer_tar_size(&self, diff_id: &Digest) -> Result<Option<u64>, ImageError> {
        Ok(crate::layer::LayerRecord::read(&self.store.layer_dir(diff_id))?.map(|record| record.tar_size))
    }

    /// Drops the blobs of an image's layers that are here in the form that is mounted.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn drop_blobs_of(&self, image: &Image) -> Result<(), ImageError> {
        for (blob, diff_id) in image.manifest_data.layers.iter().zip(image.layers()) {
            if self.has_layer(diff_id) && self.store.has(&blob.digest) {
                self.mark_blob_dropped(diff_id)?;
                let _shared = self.store.lock_shared()?;
                self.store.trash(&self.store.blob_path(&blob.digest))?;
            }
        }
        self.store.empty_trash()?;
        Ok(())
    }

    /// Recorded before the blob goes.
    pub(crate) fn mark_blob_dropped(&self, diff_id: &Digest) -> Result<(), FileError> {
        write_atomic(&self.store.layer_dir(diff_id).join(DROPPED), b"", 0o644, Durability::Machine)
    }
}
