//! Writing the index: from front to back, the first blocks last.

use super::directory;
use super::format::{self, BLOCK, CHUNK_INDEX, Data, FIRST_INODE, InodeFields};
use super::layout::{Layout, Place, names, xattrs};
use super::sparse::{self, Chunks, write_zeros};
use crate::LayerError;
use crate::tree::{Body, Id, ROOT, Tree};
use carboy_state::file::FileError;
use carboy_store::Hasher;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Writes the index of `tree` to the new file `path`.
pub(super) fn write(tree: &Tree, tar: &File, path: &Path) -> Result<(), LayerError> {
    let refused = |why| LayerError::Tar { entry: String::new(), offset: 0, why };
    let layout = Layout::of(tree).map_err(refused)?;
    let tar_size = tar.metadata().map_err(FileError::at("stat", path))?.len();
    let tar_blocks =
        u32::try_from(sparse::blocks_of(tar_size)).map_err(|_| refused("the tar is larger than 2 TiB".into()))?;
    let file = File::options().write(true).create_new(true).open(path).map_err(FileError::at("create", path))?;
    let output = Output { file: BufWriter::with_capacity(256 << 10, &file), hasher: Hasher::sha256(), position: 0 };
    let written = Writer { tree, layout: &layout, tar, parents: parents(tree), output }.write();
    let uuid = written.map_err(FileError::at("write", path))?;
    // The root is placed first, so that its number is small.
    let root_nid = layout.nid(ROOT) as u16;
    let head = format::head(root_nid, layout.order.len() as u64, layout.blocks, tar_blocks, &uuid);
    file.write_all_at(&head, 0).map_err(FileError::at("write", path))?;
    Ok(())
}

struct Writer<'a> {
    tree: &'a Tree,
    layout: &'a Layout,
    tar: &'a File,
    parents: HashMap<Id, Id>,
    output: Output<'a>,
}

impl Writer<'_> {
    /// Answers what makes a UUID: the same tree gives the same index, and different layers have different ones, as overlayfs wants.
    fn write(mut self) -> io::Result<Vec<u8>> {
        self.output.pad_to(FIRST_INODE)?;
        for (number, &id) in self.layout.order.iter().enumerate() {
            self.inode(id, number as u32 + 1)?;
        }
        self.output.pad_to(self.layout.blocks_at)?;
        for &id in &self.layout.order {
            self.blocks(id)?;
        }
        self.output.pad_to(u64::from(self.layout.blocks) * BLOCK)?;
        self.output.file.flush()?;
        let digest = self.output.hasher.finish();
        Ok(digest.hex().as_bytes().chunks_exact(2).map(hex_byte).take(16).collect())
    }

    fn inode(&mut self, id: Id, number: u32) -> io::Result<()> {
        let (inode, place) = (self.tree.inode(id), self.layout.places[id as usize]);
        let whole;
        let (data, chunks) = match &inode.body {
            Body::Directory(_) | Body::Symlink(_) if place.inline => (Data::Inline, None),
            Body::Directory(_) | Body::Symlink(_) => (Data::Plain(place.block), None),
            Body::File { size: 0, .. } => (Data::Plain(0), None),
            Body::File { size, offset, sparse } => {
                let chunks = match sparse {
                    Some(_) => self.layout.sparse.get(&id),
                    None => {
                        whole = sparse::whole(*size, *offset);
                        Some(&whole)
                    }
                };
                (Data::Chunks(chunks.map_or(0, |chunks| chunks.bits)), chunks)
            }
            Body::Device(device) => (Data::Device(*device), None),
            Body::Fifo | Body::Whiteout | Body::Below(_) => (Data::Device(0), None),
        };
        self.output.pad_to(place.at)?;
        let fields = InodeFields {
            mode: inode.mode,
            uid: inode.uid,
            gid: inode.gid,
            mtime: inode.mtime,
            mtime_ns: inode.mtime_ns,
            size: place.size,
            nlink: place.nlink,
            number,
            xattr_size: place.xattr_size,
            data,
        };
        self.output.put(&fields.bytes())?;
        self.output.put(&xattrs(inode))?;
        if place.inline {
            let bytes = self.data(id);
            self.output.put(&bytes)?;
        }
        chunks.map_or(Ok(()), |chunks| self.chunk_indexes(chunks, place))
    }

    fn chunk_indexes(&mut self, chunks: &Chunks, place: Place) -> io::Result<()> {
        self.output.pad_to(self.output.position.next_multiple_of(CHUNK_INDEX))?;
        for chunk in &chunks.chunks {
            let (device, block) = chunk.address(place.block);
            self.output.put(&format::chunk_index(device, block))?;
        }
        Ok(())
    }

    fn blocks(&mut self, id: Id) -> io::Result<()> {
        let (inode, place) = (self.tree.inode(id), self.layout.places[id as usize]);
        match &inode.body {
            Body::Directory(_) | Body::Symlink(_) if !place.inline => {
                let bytes = self.data(id);
                self.output.put(&bytes)?;
                self.output.pad_to(self.output.position.next_multiple_of(BLOCK))
            }
            Body::File { size, offset, sparse: Some(segments) } => match self.layout.sparse.get(&id) {
                Some(chunks) => sparse::write_copied(chunks, *size, *offset, segments, self.tar, &mut self.output),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// The data of a directory or a symbolic link.
    fn data(&self, id: Id) -> Vec<u8> {
        match &self.tree.inode(id).body {
            Body::Symlink(target) => target.to_vec(),
            _ => {
                let parent = self.parents.get(&id).copied().unwrap_or(ROOT);
                directory::bytes(&names(self.tree, id, parent), |child| self.layout.nid(child))
            }
        }
    }
}

/// The parent of each directory.
fn parents(tree: &Tree) -> HashMap<Id, Id> {
    let mut parents = HashMap::new();
    tree.walk(|id, inode| {
        if let Body::Directory(directory) = &inode.body {
            let directories =
                directory.children.values().filter(|&&child| matches!(tree.inode(child).body, Body::Directory(_)));
            parents.extend(directories.map(|&child| (child, id)));
        }
    });
    parents
}

/// What is written, hashed and counted.
struct Output<'a> {
    file: BufWriter<&'a File>,
    hasher: Hasher,
    position: u64,
}

impl Output<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn pad_to(&mut self, position: u64) -> io::Result<()> {
        write_zeros(position.saturating_sub(self.position), self)
    }
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn hex_byte(pair: &[u8]) -> u8 {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
    digit(pair[0]) << 4 | digit(pair[1])
}
