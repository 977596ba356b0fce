//! Writing the index: from front to back, the first blocks last.

use super::directory;
use super::format::{self, BLOCK, CHUNK_INDEX, Data, FIRST_INODE, InodeFields};
use super::layout::{Layout, Place, xattrs};
use super::sparse::{self, Chunks, write_zeros};
use crate::LayerError;
use crate::tree::{Body, Id, Inode, ROOT, Tree, Walk};
use carboy_state::file::FileError;
use carboy_store::Hasher;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Writes the index of `tree` to the new file `path`.
pub(super) fn write(tree: &mut Tree, tar: &File, path: &Path) -> Result<(), LayerError> {
    let refused = |why| LayerError::Tar { entry: String::new(), offset: 0, why };
    let layout = Layout::of(tree).map_err(refused)?;
    let tar_size = tar.metadata().map_err(FileError::at("stat", path))?.len();
    let tar_blocks =
        u32::try_from(sparse::blocks_of(tar_size)).map_err(|_| refused("the tar is larger than 2 TiB".into()))?;
    let file = File::options().write(true).create_new(true).open(path).map_err(FileError::at("create", path))?;
    let written = Writer { layout: &layout, tar, output: Output::new(&file) }.write(tree);
    let uuid = written.map_err(FileError::at("write", path))?;
    // The root is placed first, so that its number is small.
    let root_nid = tree.place(ROOT) as u16;
    let head = format::head(root_nid, layout.inodes, layout.blocks, tar_blocks, &uuid);
    file.write_all_at(&head, 0).map_err(FileError::at("write", path))?;
    Ok(())
}

struct Writer<'a> {
    layout: &'a Layout,
    tar: &'a File,
    output: Output<'a>,
}

impl Writer<'_> {
    /// Answers what makes a UUID: the same tree gives the same index, and different layers have different ones, as overlayfs wants.
    fn write(mut self, tree: &mut Tree) -> io::Result<Vec<u8>> {
        let (mut cursor, mut block) = (FIRST_INODE, self.layout.blocks_at / BLOCK);
        let (mut walk, mut number, mut with_blocks) = (Walk::new(tree), 0, false);
        self.output.pad_to(cursor)?;
        while let Some(id) = walk.next(tree) {
            number += 1;
            let inode = tree.inode(id);
            let place = Place::of(tree, id, &inode, cursor).map_err(io::Error::other)?;
            // That all blocks have numbers was seen when they were counted.
            self.inode(tree, id, &inode, &place, (number, block as u32))?;
            with_blocks |= place.blocks > 0;
            (cursor, block) = (place.next, block + place.blocks);
        }
        self.output.pad_to(self.layout.blocks_at)?;
        let mut walk = Walk::new(tree);
        while with_blocks && let Some(id) = walk.next(tree) {
            if tree.is_marked(id) {
                self.blocks(tree, id)?;
            }
        }
        self.output.pad_to(u64::from(self.layout.blocks) * BLOCK)?;
        let digest = self.output.finish()?;
        Ok(digest.hex().as_bytes().chunks_exact(2).map(hex_byte).take(16).collect())
    }

    fn inode(
        &mut self,
        tree: &Tree,
        id: Id,
        inode: &Inode<'_>,
        place: &Place,
        (number, block): (u32, u32),
    ) -> io::Result<()> {
        let chunks = match inode.body {
            Body::File { size: 1.., .. } => chunks(inode)?,
            _ => None,
        };
        let data = match inode.body {
            Body::Directory(_) | Body::Symlink(_) if place.inline => Data::Inline,
            Body::Directory(_) | Body::Symlink(_) => Data::Plain(block),
            Body::File { .. } => chunks.as_ref().map_or(Data::Plain(0), |chunks| Data::Chunks(chunks.bits)),
            Body::Device(device) => Data::Device(device),
            Body::Fifo | Body::Whiteout | Body::Below(_) => Data::Device(0),
        };
        self.output.pad_to(place.at)?;
        let fields = InodeFields {
            mode: inode.mode,
            uid: inode.uid,
            gid: inode.gid,
            mtime: inode.mtime,
            mtime_ns: inode.mtime_ns,
            size: place.size,
            nlink: nlink(tree, id, inode),
            number,
            xattr_size: place.xattr_size,
            data,
        };
        self.output.write_all(&fields.bytes())?;
        self.output.write_all(&xattrs(inode))?;
        if place.inline {
            self.data(tree, id, inode)?;
        }
        let Some(chunks) = chunks else { return Ok(()) };
        self.output.pad_to(self.output.position.next_multiple_of(CHUNK_INDEX))?;
        for chunk in chunks.iter() {
            let (device, block) = chunk.address(block);
            self.output.write_all(&format::chunk_index(device, block))?;
        }
        Ok(())
    }

    fn blocks(&mut self, tree: &Tree, id: Id) -> io::Result<()> {
        let inode = tree.inode(id);
        match chunks(&inode)? {
            Some(chunks) => chunks.write_copied(self.tar, &mut self.output),
            None => {
                self.data(tree, id, &inode)?;
                self.output.pad_to(self.output.position.next_multiple_of(BLOCK))
            }
        }
    }

    /// The data of a directory or a symbolic link.
    fn data(&mut self, tree: &Tree, id: Id, inode: &Inode<'_>) -> io::Result<()> {
        match inode.body {
            Body::Symlink(target) => self.output.write_all(target),
            _ => {
                let nid = |object| u64::from(tree.place(object));
                directory::write(directory::names(tree, id), nid, &mut self.output)
            }
        }
    }
}

/// Number of names; of a directory, as the kernel counts them.
fn nlink(tree: &Tree, id: Id, inode: &Inode<'_>) -> u32 {
    match inode.body {
        Body::Directory(directory) => {
            let children = tree.children(directory);
            2 + children.filter(|&(_, child)| tree.is_directory(child)).count() as u32
        }
        _ => tree.names(id),
    }
}

/// A file's chunks.
fn chunks(inode: &Inode<'_>) -> io::Result<Option<Chunks>> {
    let Body::File { size, offset, sparse } = inode.body else { return Ok(None) };
    Chunks::of(size, offset, sparse).map(Some).map_err(io::Error::other)
}

/// What is written, hashed and counted.
struct Output<'a> {
    file: BufWriter<Hashed<'a>>,
    position: u64,
}

/// A file, and the hash of what was written to it.
struct Hashed<'a> {
    file: &'a File,
    hasher: Hasher,
}

impl<'a> Output<'a> {
    fn new(file: &'a File) -> Self {
        let hashed = Hashed { file, hasher: Hasher::sha256() };
        Output { file: BufWriter::with_capacity(256 << 10, hashed), position: 0 }
    }

    fn pad_to(&mut self, position: u64) -> io::Result<()> {
        write_zeros(position.saturating_sub(self.position), self)
    }

    fn finish(self) -> io::Result<carboy_oci::Digest> {
        let hashed = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(hashed.hasher.finish())
    }
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
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
