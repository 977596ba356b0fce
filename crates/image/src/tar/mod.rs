//! Reading tar streams that nobody vouches for: headers, PAX and GNU extensions, sparse maps, and names made harmless.
//!
//! A stream is read once from front to back; it knows nothing of what is made of the entries. Whatever the bytes are, reading them
//! ends, takes bounded memory, and answers an entry or a [`LayerError`].
//!
//! Formats: POSIX.1-1988 (ustar), POSIX.1-2001 (pax), GNU tar 1.35 ("Standard", "Extensions", "Sparse Formats" in its manual), and the
//! layer rules of image-spec 1.1 ("Image Layer Filesystem Changeset").

mod entry;
mod header;
mod name;
mod pax;
mod reader;
mod sparse;
mod write;

pub(crate) use entry::Entry;
pub use entry::{Kind, Xattr};
pub(crate) use name::{Name, components, join};
pub(crate) use reader::Reader;
pub(crate) use sparse::Segment;
pub use write::{TarHeader, TarWriter};

use crate::layer::RootDirectory;

/// What a whole layer amounts to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TarSummary {
    /// Entries, without those that only describe others.
    pub(crate) entries: u64,
    /// Bytes of the files.
    pub(crate) size: u64,
    /// The root directory, if it has an entry.
    pub(crate) root: Option<RootDirectory>,
    /// Whether the root directory is opaque: nothing of lower layers is seen.
    pub(crate) opaque: bool,
    /// Unpacked only: objects whose owner could not be set, because the ID is not mapped.
    pub(crate) unowned: u64,
    /// Unpacked only: devices that could not be made.
    pub(crate) skipped_devices: u64,
}
