//! Our EROFS index of a tar: inodes and names in an image of 512-byte blocks, files' content where it lies in the tar.
//!
//! The tar streams by once ([`index_tar`] builds a [`Tree`]), then the index is laid out and written
//! ([`Index::write`]). Nothing that came from the layer is copied into the index as file system structure: names, numbers and
//! attributes are, after they were checked. Format: fs/erofs/erofs_fs.h of Linux 6.12.
//!
//! ```text
//! byte 0      nothing
//!      1024   superblock (128 bytes)
//!      1152   device slot 1: the tar (128 bytes)
//!      1280   inode of the root (here or in the next block), then all others breadth first; each is followed by its attributes, and by its chunk
//!             indexes or, if it fits into the same block, its directory entries or link target
//!      …      blocks: larger directories, longer link targets, and the pieces of sparse files that lie askew in the tar
//! ```

mod directory;
mod format;
mod layout;
mod sparse;

mod write;

use crate::LayerError;
use crate::parents::write_open_ends;
use crate::tar::{Reader, TarSummary};
use crate::tree::Tree;
use std::fs::File;
use std::io::BufRead;
use std::path::Path;

/// A tar's tree, ready to be written as an index.
pub(crate) struct Index(Tree);

/// Reads a tar to the end of the stream. What of its tree does not fit into memory goes into a nameless file in `folder`.
pub(crate) fn index_tar(tar: &mut dyn BufRead, folder: &Path) -> Result<(Index, TarSummary), LayerError> {
    let mut reader = Reader::new(tar);
    let mut tree = Tree::new(folder);
    let mut entries = 0;
    while let Some(entry) = reader.next_entry()? {
        entries += 1;
        if let Err(why) = tree.add(entry) {
            return reader.refuse(why);
        }
    }
    reader.drain()?;
    let size = tree.finish().or_else(|why| reader.refuse(why))?;
    let summary = TarSummary {
        entries,
        size,
        root: tree.root_directory(),
        opaque: tree.hides_all_below(),
        ..TarSummary::default()
    };
    Ok((Index(tree), summary))
}

impl Index {
    /// Writes what the layer leaves to those below it into the folder `work`.
    pub(crate) fn write_open_ends(&self, work: &Path) -> Result<(), LayerError> {
        Ok(write_open_ends(&self.0, work)?)
    }

    /// Writes the index to the new file `path`. `tar` is the whole tar, for the rare piece that has to be copied.
    pub(crate) fn write(mut self, tar: &File, path: &Path) -> Result<(), LayerError> {
        write::write(&mut self.0, tar, path)
    }
}
