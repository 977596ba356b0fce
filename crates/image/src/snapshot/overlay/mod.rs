//! The directory snapshotter: layers as directory trees, where EROFS cannot be mounted.
//!
//! ```text
//! layers/<hex>/fs       the layer's tree, with overlayfs's marks: character device 0:0, and the attribute overlay.opaque
//! ```
//!
//! Rootless, the process runs inside a user namespace as its root. IDs that are not mapped there cannot be given to files; such
//! files keep the owner that unpacks, lose their set-ID bits, and are counted in the layer's record.

mod place;
mod unpack;

use super::{Snapshotter, SnapshotterKind};
use crate::tar::TarSummary;
use crate::{ImageError, LayerError};
use carboy_oci::Digest;
use carboy_state::file::FileError;
use carboy_store::Store;
use std::fs::File;
use std::io::BufRead;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

const TREE: &str = "fs";

pub(super) struct Overlay {
    /// Whether this is root of the whole machine.
    privileged: bool,
}

impl Overlay {
    /// For who runs this: `trusted.` attributes, and any owner, need privilege over the whole machine.
    pub(super) fn here() -> Self {
        let whole = std::fs::read_to_string("/proc/self/uid_map")
            .is_ok_and(|map| map.split_ascii_whitespace().eq(["0", "0", "4294967295"]));
        Overlay { privileged: whole && rustix::process::geteuid().is_root() }
    }
}

impl Snapshotter for Overlay {
    fn kind(&self) -> SnapshotterKind {
        SnapshotterKind::Overlay
    }

    fn has(&self, layer_dir: &Path) -> bool {
        rustix::fs::access(layer_dir.join(TREE), rustix::fs::Access::EXISTS).is_ok()
    }

    fn unpack(&self, tar: &mut dyn BufRead, work: &Path) -> Result<TarSummary, LayerError> {
        unpack::unpack(tar, work, TREE, self.privileged)
    }

    fn tar_in(&self, _folder: &Path) -> Option<PathBuf> {
        None
    }

    fn sync(&self, work: &Path) -> Result<(), LayerError> {
        // One sync of the file system is quicker than one for each of thousands of files.
        let synced = File::open(work).and_then(|folder| rustix::fs::syncfs(folder).map_err(Into::into));
        Ok(synced.map_err(FileError::at("sync the file system of", work))?)
    }

    fn publish(&self, work: &Path, layer_dir: &Path) -> Result<(), LayerError> {
        let target = layer_dir.join(TREE);
        Ok(std::fs::rename(work.join(TREE), &target).map_err(FileError::at("rename to", &target))?)
    }

    fn open_root(&self, store: &Store, diff_id: &Digest) -> Result<OwnedFd, ImageError> {
        let path = self.lower(store, diff_id);
        Ok(File::open(&path).map_err(FileError::at("open", &path))?.into())
    }

    fn lower(&self, store: &Store, diff_id: &Digest) -> PathBuf {
        store.layer_dir(diff_id).join(TREE)
    }

    fn mount(&self, _store: &Store, _diff_ids: &[&Digest]) -> Result<(), ImageError> {
        Ok(())
    }

    fn mount_calls(&self, _store: &Store, _diff_id: &Digest) -> Vec<String> {
        Vec::new()
    }

    fn userxattr(&self) -> bool {
        !self.privileged
    }
}
