//! Snapshotters: how a layer is kept so that it can be part of a container's root file system.
//!
//! A *layer* is known by its diff ID; its *folder* is `<root>/layers/<hex>`; its *lower* is the directory that overlayfs is given.
//! Two implementations, one suite that checks both (`tests/`): `erofs` keeps the tar and mounts it through an index, `overlay` keeps
//! a directory tree.

mod erofs;
mod mount;
mod overlay;
mod probe;

use crate::tar::TarSummary;
use crate::{ImageError, LayerError};
use carboy_oci::Digest;
use carboy_store::Store;
use std::fmt;
use std::io::BufRead;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Which snapshotter to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SnapshotterChoice {
    /// EROFS where it works, directories elsewhere.
    #[default]
    Auto,
    /// EROFS, or an error.
    Erofs,
    /// Directories.
    Overlay,
}

/// Which snapshotter is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotterKind {
    /// Tar and index, mounted as EROFS.
    Erofs,
    /// Unpacked directories.
    Overlay,
}

impl fmt::Display for SnapshotterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SnapshotterKind::Erofs => "erofs",
            SnapshotterKind::Overlay => "overlay",
        })
    }
}

/// Keeps and mounts layers.
pub(crate) trait Snapshotter: Send + Sync {
    /// Which one.
    fn kind(&self) -> SnapshotterKind;

    /// Whether the layer's folder holds the layer in this form.
    fn has(&self, layer_dir: &Path) -> bool;

    /// Reads a layer's tar to the end of the stream and makes its form in `work`, which is empty. Nothing is trusted yet.
    fn unpack(&self, tar: &mut dyn BufRead, work: &Path) -> Result<TarSummary, LayerError>;

    /// If the tar itself is kept: its path in `work`, or in the layer's folder.
    fn tar_in(&self, folder: &Path) -> Option<PathBuf>;

    /// Syncs what `unpack` made in `work`.
    fn sync(&self, work: &Path) -> Result<(), LayerError>;

    /// Moves what `unpack` made from `work` into the layer's folder, which exists; afterwards, and not before, [`Snapshotter::has`] holds.
    fn publish(&self, work: &Path, layer_dir: &Path) -> Result<(), LayerError>;

    /// Opens the layer's root directory for reading, without leaving a mount.
    fn open_root(&self, store: &Store, diff_id: &Digest) -> Result<OwnedFd, ImageError>;

    /// The directory for overlayfs.
    fn lower(&self, store: &Store, diff_id: &Digest) -> PathBuf;

    /// Mounts layers on their lower directories, those that need that and are not yet.
    fn mount(&self, store: &Store, diff_ids: &[&Digest]) -> Result<(), ImageError>;

    /// The system calls of [`Snapshotter::mount`] for a layer; empty if there are none.
    fn mount_calls(&self, store: &Store, diff_id: &Digest) -> Vec<String>;

    /// Whether overlayfs marks are in `user.` attributes.
    fn userxattr(&self) -> bool;
}

/// Picks the snapshotter.
pub(crate) fn choose(store: &Store, choice: SnapshotterChoice) -> Result<Box<dyn Snapshotter>, ImageError> {
    let overlay = || Box::new(overlay::Overlay::here()) as Box<dyn Snapshotter>;
    match choice {
        SnapshotterChoice::Overlay => Ok(overlay()),
        SnapshotterChoice::Auto if !probe::erofs_works_cached(store) => Ok(overlay()),
        SnapshotterChoice::Erofs if probe::erofs_works_cached(store) => Ok(Box::new(erofs::Erofs)),
        // Once more, to hear why not.
        SnapshotterChoice::Erofs => match probe::try_erofs(store) {
            Ok(()) => Ok(Box::new(erofs::Erofs)),
            Err(e) => Err(ImageError::Snapshotter { name: "erofs", why: probe::chain(&*e) }),
        },
        SnapshotterChoice::Auto => Ok(Box::new(erofs::Erofs)),
    }
}

pub(crate) use mount::is_mounted;
