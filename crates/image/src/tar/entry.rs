//! One entry of a tar, after all extensions have been applied.

use super::sparse::Segment;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A file with content.
    File,
    /// Another name of what has the name `link`.
    HardLink,
    /// A symbolic link to `link`.
    Symlink,
    /// A directory.
    Directory,
    /// A character device.
    Char {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// An extended attribute: name and value.
pub type Xattr = (Vec<u8>, Vec<u8>);

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name as it stands in the tar.
    pub(crate) path: Vec<u8>,
    /// What it is.
    pub(crate) kind: Kind,
    /// Target of a link, as it stands in the tar.
    pub(crate) link: Vec<u8>,
    /// Permission and set-ID bits (07777).
    pub(crate) mode: u32,
    /// Owner.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
    /// Seconds since the epoch.
    pub(crate) mtime: i64,
    /// And nanoseconds.
    pub(crate) mtime_ns: u32,
    /// Size of the file in bytes, holes included. 0 unless it is a file.
    pub(crate) size: u64,
    /// Extended attributes, last value of each name.
    pub(crate) xattrs: Vec<Xattr>,
    /// Where its content begins in the uncompressed tar.
    pub(crate) offset: u64,
    /// If it is sparse: where the stored bytes belong, in order.
    pub(crate) sparse: Option<Vec<Segment>>,
}
