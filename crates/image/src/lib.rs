//! Images: taking them in (from a registry, from archives, from the binary itself), listing, finding, removing, and preparing a
//! container's root file system from their layers.
//!
//! It knows layers, their EROFS index and overlay directories; it knows nothing of containers but the folder it is given for each,
//! and nothing of terminals. File system bytes that came from an image are never mounted: only indexes written here are.
//!
//! ```text
//! Intake ── begin_layer ─▶ LayerIngest::run ─▶ layers/<hex>/…      Images ── list, find, remove
//!    │                     (pipeline in `layer`)                         └── prepare ─▶ RootMount for the monitor
//!    └───── finish ─▶ blobs (manifest, configuration), images/<hex>.json, refs/…
//! ```
#![forbid(unsafe_code)]

mod archive;
mod change;
mod check;
mod diff;
mod dropped;
mod erofs;
mod error;
mod export;
mod find;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod garbage;
mod image;
mod images;
mod import;
mod intake;
mod layer;
mod mounts;
mod parents;
mod prepare;
pub mod pull;
pub mod push;
mod remove;
mod repack;
mod settings;
mod snapshot;
mod stacking;
mod tag;
mod tar;
mod tree;
mod usage;
mod view;
mod workers;

pub use archive::{LoadProgress, LoadSource, Loaded, Members, docker_archive_images};
pub use change::{ChangeError, apply_change};
pub use check::{CheckOptions, Finding, Outcome, Problem};
pub use diff::{Change, ChangeKind, compare};
pub use error::{ImageError, LayerError};
pub use export::write_tree;
pub use garbage::Garbage;
pub use image::Image;
pub use images::Images;
pub use import::ImportOptions;
pub use intake::{EmbeddedImage, Intake};
pub use layer::{LayerIngest, Progress};
pub use prepare::LAYERS_FILE;
pub use remove::{ImageUser, Removed};
pub use repack::{Compression, Packing, Repacked};
pub use settings::{LayerLimits, StoreSettings};
pub use snapshot::{SnapshotterChoice, SnapshotterKind};
pub use tar::{Kind as TarKind, TarHeader, TarWriter, Xattr};
pub use usage::{ImageUsage, Usage};
pub use view::View;

/// More layers than the kernel's overlay accepts (`OVL_MAX_STACK`, 500) cannot be mounted.
const MAX_LAYERS: usize = 500;
