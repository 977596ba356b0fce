//! Where everything goes, decided before anything is written. Only an object's own place is kept, in the tree: all else is found out
//! again when it is written, because a layer may have a million objects.

use super::directory;
use super::format::{self, BLOCK, CHUNK_INDEX, FIRST_INODE, INODE, SLOT};
use super::sparse::{Chunks, blocks_of};
use crate::tree::{Body, Id, Inode, Tree, Walk};

/// What the pieces of sparse files may add to the index beyond [`SPARSE_RATIO`] times what the tar stores of them.
const SPARSE_FREE: u64 = 256 << 20;
const SPARSE_RATIO: u64 = 4;

const TOO_LARGE: &str = "the layer's index is larger than 2 TiB";

/// The place of one inode.
pub(super) struct Place {
    /// Byte of the inode.
    pub(super) at: u64,
    /// Where the next one may be.
    pub(super) next: u64,
    /// Bytes of its data.
    pub(super) size: u64,
    /// Bytes of its attributes.
    pub(super) xattr_size: u64,
    /// Whether its data follow it.
    pub(super) inline: bool,
    /// Blocks that it has elsewhere: of data, or of copied chunks.
    pub(super) blocks: u64,
}

/// The whole layout.
pub(super) struct Layout {
    /// Number of inodes.
    pub(super) inodes: u64,
    /// Where the blocks begin, in bytes.
    pub(super) blocks_at: u64,
    /// Blocks in all.
    pub(super) blocks: u32,
}

impl Layout {
    /// Lays a tree out: its objects' places become the numbers by which directories name them.
    ///
    /// # Errors
    /// If it is too large for the format, or grows out of proportion.
    pub(super) fn of(tree: &mut Tree) -> Result<Self, String> {
        let (mut inodes, mut cursor, mut blocks) = (0, FIRST_INODE, 0u64);
        let (mut grown, mut allowed) = (0u64, SPARSE_FREE);
        let mut walk = Walk::new(tree);
        while let Some(id) = walk.next(tree) {
            let inode = tree.inode(id);
            let place = Place::of(tree, id, &inode, cursor)?;
            if let Body::File { sparse: Some(map), .. } = inode.body {
                grown += place.blocks * BLOCK + (place.next - place.at);
                allowed += SPARSE_RATIO * map.read().iter().map(|segment| segment.length).sum::<u64>();
            }
            if grown > allowed {
                return Err(
                    "its sparse files lie so askew in the tar that the layer would grow out of proportion".into()
                );
            }
            if place.blocks > 0 {
                tree.mark(id);
            }
            tree.set_place(id, u32::try_from(place.at / SLOT).map_err(|_| TOO_LARGE)?);
            (inodes, cursor, blocks) = (inodes + 1, place.next, blocks + place.blocks);
        }
        let first = blocks_of(cursor);
        let blocks = u32::try_from(first + blocks).map_err(|_| TOO_LARGE)?;
        Ok(Layout { inodes, blocks_at: first * BLOCK, blocks })
    }
}

impl Place {
    /// The place of an inode that may begin at `cursor`.
    pub(super) fn of(tree: &Tree, id: Id, inode: &Inode<'_>, cursor: u64) -> Result<Self, String> {
        let (mut after, mut blocks) = (0, 0);
        let size = match inode.body {
            Body::Directory(_) => directory::size(directory::names(tree, id)),
            Body::Symlink(target) => target.len() as u64,
            Body::File { size, offset, sparse } => {
                let chunks = Chunks::of(size, offset, sparse)?;
                after = chunks.count * CHUNK_INDEX;
                blocks = chunks.copied_blocks()?;
                size
            }
            _ => 0,
        };
        let xattr_size = xattrs(inode).len() as u64;
        let head = INODE + xattr_size;
        let may_follow = matches!(inode.body, Body::Directory(_) | Body::Symlink(_));
        let inline = may_follow && head + size <= BLOCK;
        if may_follow && !inline {
            blocks = blocks_of(size);
        }
        let whole = if inline { head + size } else { INODE };
        let room = BLOCK - cursor % BLOCK;
        let at = if room < whole { cursor.next_multiple_of(BLOCK) } else { cursor };
        let end = at + head + if inline { size } else { 0 };
        let end = if after > 0 { end.next_multiple_of(CHUNK_INDEX) + after } else { end };
        Ok(Place { at, next: end.next_multiple_of(SLOT), size, xattr_size, inline, blocks })
    }
}

/// An inode's attributes as bytes, with overlayfs's mark of an opaque directory.
pub(super) fn xattrs(inode: &Inode<'_>) -> Vec<u8> {
    let opaque = matches!(inode.body, Body::Directory(directory) if directory.opaque);
    let mark = opaque.then_some((&b"trusted.overlay.opaque"[..], &b"y"[..]));
    if inode.xattrs.is_empty() && !opaque {
        return Vec::new();
    }
    format::xattrs(inode.xattrs.iter().chain(mark))
}
