//! Where everything goes, decided before anything is written.

use super::directory::{self, Name};
use super::format::{self, BLOCK, CHUNK_INDEX, FIRST_INODE, INODE, SLOT};
use super::sparse::{self, Chunks, blocks_of};
use crate::tree::{Body, Id, Inode, ROOT, Tree};
use std::collections::HashMap;

/// The place of one inode.
#[derive(Clone, Copy, Default)]
pub(super) struct Place {
    /// Byte of the inode; 0 for one that cannot be reached.
    pub(super) at: u64,
    /// Bytes of its data.
    pub(super) size: u64,
    /// Bytes of its attributes.
    pub(super) xattr_size: u64,
    /// Number of names; of a directory, as the kernel counts them.
    pub(super) nlink: u32,
    /// Whether its data follow it.
    pub(super) inline: bool,
    /// First block of its data, or of its copied chunks.
    pub(super) block: u32,
}

/// The whole layout.
pub(super) struct Layout {
    /// Reachable inodes in the order of their places.
    pub(super) order: Vec<Id>,
    /// By [`Id`].
    pub(super) places: Vec<Place>,
    /// Chunks of sparse files.
    pub(super) sparse: HashMap<Id, Chunks>,
    /// Where the blocks begin, in bytes.
    pub(super) blocks_at: u64,
    /// Blocks in all.
    pub(super) blocks: u32,
}

impl Layout {
    /// Lays a tree out.
    ///
    /// # Errors
    /// If it is too large for the format.
    pub(super) fn of(tree: &Tree) -> Result<Self, String> {
        let mut order = Vec::new();
        tree.walk(|id, _| order.push(id));
        let mut layout = Layout {
            order,
            places: vec![Place::default(); tree.len()],
            sparse: HashMap::new(),
            blocks_at: 0,
            blocks: 0,
        };
        layout.count_links(tree);
        let end = layout.place_inodes(tree)?;
        layout.place_blocks(tree, end)?;
        Ok(layout)
    }

    /// The number by which directories name an inode.
    pub(super) fn nid(&self, id: Id) -> u64 {
        self.places[id as usize].at / SLOT
    }

    fn count_links(&mut self, tree: &Tree) {
        for &id in &self.order {
            let Body::Directory(directory) = &tree.inode(id).body else { continue };
            let mut subdirectories = 0;
            for &child in directory.children.values() {
                match tree.inode(child).body {
                    Body::Directory(_) => subdirectories += 1,
                    _ => self.places[child as usize].nlink += 1,
                }
            }
            self.places[id as usize].nlink = 2 + subdirectories;
        }
    }

    fn place_inodes(&mut self, tree: &Tree) -> Result<u64, String> {
        let mut cursor = FIRST_INODE;
        let mut parents = HashMap::new();
        for &id in &self.order {
            let inode = tree.inode(id);
            let mut after = 0;
            let size = match &inode.body {
                Body::Directory(_) => directory::size(&names(tree, id, *parents.get(&id).unwrap_or(&ROOT))),
                Body::Symlink(target) => target.len() as u64,
                Body::File { size, offset, sparse: Some(segments) } => {
                    let chunks = sparse::sparse(*size, *offset, segments)?;
                    after = chunks.chunks.len() as u64 * CHUNK_INDEX;
                    self.sparse.insert(id, chunks);
                    *size
                }
                Body::File { size, offset, .. } => {
                    after = sparse::whole(*size, *offset).chunks.len() as u64 * CHUNK_INDEX;
                    *size
                }
                _ => 0,
            };
            if let Body::Directory(directory) = &inode.body {
                let children = directory.children.values();
                parents.extend(children.filter(|&&child| is_directory(tree, child)).map(|&child| (child, id)));
            }
            let place = &mut self.places[id as usize];
            (place.size, place.xattr_size) = (size, xattrs(inode).len() as u64);
            let head = INODE + place.xattr_size;
            place.inline = matches!(inode.body, Body::Directory(_) | Body::Symlink(_)) && head + size <= BLOCK;
            let whole = if place.inline { head + size } else { INODE };
            let room = BLOCK - cursor % BLOCK;
            place.at = if room < whole { cursor.next_multiple_of(BLOCK) } else { cursor };
            let end = place.at + head + if place.inline { size } else { 0 };
            cursor = if after > 0 { end.next_multiple_of(CHUNK_INDEX) + after } else { end }.next_multiple_of(SLOT);
        }
        Ok(cursor)
    }

    fn place_blocks(&mut self, tree: &Tree, end: u64) -> Result<(), String> {
        let mut block = blocks_of(end);
        self.blocks_at = block * BLOCK;
        for &id in &self.order {
            let place = &mut self.places[id as usize];
            place.block = u32::try_from(block).map_err(|_| "the layer's index is larger than 2 TiB".to_owned())?;
            match &tree.inode(id).body {
                Body::Directory(_) | Body::Symlink(_) if !place.inline => block += blocks_of(place.size),
                Body::File { .. } => {
                    block += self.sparse.get(&id).map_or(0, |chunks| u64::from(chunks.copied_blocks));
                }
                _ => {}
            }
        }
        self.blocks = u32::try_from(block).map_err(|_| "the layer's index is larger than 2 TiB".to_owned())?;
        Ok(())
    }
}

fn is_directory(tree: &Tree, id: Id) -> bool {
    matches!(tree.inode(id).body, Body::Directory(_))
}

/// The names in a directory, its own and its parent's among them, in the order of the format.
pub(super) fn names(tree: &Tree, id: Id, parent: Id) -> Vec<Name<'_>> {
    let Body::Directory(directory) = &tree.inode(id).body else { return Vec::new() };
    let mut names = Vec::with_capacity(directory.children.len() + 2);
    names.push(Name { name: b".", inode: id, file_type: 2 });
    names.push(Name { name: b"..", inode: parent, file_type: 2 });
    for (name, &child) in &directory.children {
        names.push(Name { name, inode: child, file_type: tree.inode(child).file_type() });
    }
    names.sort_unstable_by_key(|name| name.name);
    names
}

/// An inode's attributes as bytes, with overlayfs's mark of an opaque directory.
pub(super) fn xattrs(inode: &Inode) -> Vec<u8> {
    let opaque = matches!(&inode.body, Body::Directory(directory) if directory.opaque);
    let mark = opaque.then_some((&b"trusted.overlay.opaque"[..], &b"y"[..]));
    if inode.xattrs.is_empty() && !opaque {
        return Vec::new();
    }
    format::xattrs(inode.xattrs.iter().map(|(name, value)| (&name[..], &value[..])).chain(mark))
}
