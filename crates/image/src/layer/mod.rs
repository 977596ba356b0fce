//! Taking one layer in: the record that is kept of it, and the claim under which it is made.

mod buffers;
mod inflate;
mod pipeline;

pub(crate) use buffers::is_hole;
pub(crate) use inflate::Format;
pub(crate) use pipeline::Copy;

use crate::{Images, LayerError};
use carboy_oci::Digest;
use carboy_oci::image::Descriptor;
use carboy_state::file::{FileError, read_json_if_exists};
use carboy_store::Ingest;
use carboy_sys::scratch::Budget;
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::Path;

/// Memory that all layers of this process together take for what grows with them: zstd's windows, trees of names. What goes beyond is in
/// a file.
pub(crate) static BUDGET: Budget = Budget::new(16 << 20);

/// Told how many bytes of a blob have been read so far.
pub type Progress<'a> = &'a (dyn Fn(u64) + Sync);

/// `layer.json`: what is known of a layer without looking into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerRecord {
    /// Digest of the uncompressed tar.
    pub(crate) diff_id: Digest,
    /// Digest of the blob that it was made from.
    pub(crate) blob: Digest,
    /// Bytes of the uncompressed tar.
    pub(crate) tar_size: u64,
    /// Bytes of the files in it.
    pub(crate) size: u64,
    /// Number of entries.
    pub(crate) entries: u64,
    /// Metadata of the root directory, if the layer has an entry for it.
    pub(crate) root: Option<RootDirectory>,
    /// Nothing of lower layers is seen. overlayfs does not ask a layer's root directory whether it is opaque: the layers below are not
    /// stacked at all then.
    #[serde(default)]
    pub(crate) opaque: bool,
    /// Unpacked only: objects whose owner could not be set, because the ID is not mapped.
    #[serde(default)]
    pub(crate) unowned: u64,
    /// Unpacked only: devices that could not be made.
    #[serde(default)]
    pub(crate) skipped_devices: u64,
}

/// Metadata of a root directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RootDirectory {
    /// Permission bits.
    pub(crate) mode: u32,
    /// Owner.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
}

impl LayerRecord {
    /// File name within the layer's folder.
    pub(crate) const FILE: &str = "layer.json";

    /// The record of the layer in this folder.
    pub(crate) fn read(layer_dir: &Path) -> Result<Option<Self>, FileError> {
        read_json_if_exists(&layer_dir.join(Self::FILE))
    }
}

/// The right to take one layer in; nobody else does meanwhile. Dropping it leaves nothing behind.
pub struct LayerIngest<'a> {
    images: &'a Images,
    ingest: Ingest,
    blob: Descriptor,
    diff_id: Digest,
    keep_blob: bool,
}

impl<'a> LayerIngest<'a> {
    pub(crate) fn new(images: &'a Images, ingest: Ingest, blob: Descriptor, diff_id: Digest, keep_blob: bool) -> Self {
        LayerIngest { images, ingest, blob, diff_id, keep_blob }
    }

    /// Reads the blob from `src` to its end: bytes → digest of the blob ∥ inflate ∥ digest of the tar ∥ unpack or index. The layer is
    /// published, and synced to the disk, only when size and both digests are right.
    ///
    /// # Errors
    /// See [`LayerError`]; nothing is left behind then.
    pub fn run(self, src: &mut dyn Read, progress: Progress<'_>) -> Result<(), LayerError> {
        pipeline::run(self, src, progress)
    }
}
