//! Unpacking: content first, names last.
//!
//! While the tar streams by, each file's content goes to `data/<n>/<inode>`, a name that we choose; the tree of names is kept in memory,
//! by the same rules as for EROFS. When the tar has ended, the tree is made from the root downwards in an empty folder and the files
//! are renamed into it. No name of the layer is ever looked up in a tree that the layer could have shaped.

use super::place::{Metadata, Placer};
use crate::LayerError;
use crate::layer::is_hole;
use crate::parents::write_open_ends;
use crate::tar::{Kind, Reader, Segment, TarSummary};
use crate::tree::{Body, Id, SparseMap, Tree};
use carboy_state::file::FileError;
use std::fs::File;
use std::io::{self, BufRead};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bits of an inode's number within one folder of `data/`: of a thousand files or so, so that none grows large.
const FOLDER_BITS: u32 = 15;

/// Unpacks a tar into `work/<tree_name>`.
pub(super) fn unpack(
    tar: &mut dyn BufRead,
    work: &Path,
    tree_name: &str,
    privileged: bool,
) -> Result<TarSummary, LayerError> {
    let mut reader = Reader::new(tar);
    let mut tree = Tree::new(work);
    let data = work.join("data");
    let mut content = Content { data: data.clone(), privileged, made: None, summary: TarSummary::default() };
    while let Some(entry) = reader.next_entry()? {
        content.summary.entries += 1;
        let is_file = entry.kind == Kind::File;
        match tree.add(entry) {
            Err(why) => return reader.refuse(why),
            Ok(Some(id)) if is_file => {
                // It may be known by another number later.
                tree.set_place(id, id);
                content.write(&mut reader, &tree, id)?;
            }
            Ok(_) => {}
        }
    }
    reader.drain()?;
    let mut summary = content.summary;
    summary.size = tree.finish().or_else(|why| reader.refuse(why))?;
    summary.root = tree.root_directory();
    summary.opaque = tree.hides_all_below();
    write_open_ends(&tree, work)?;
    Placer::new(&mut tree, &work.join(tree_name), &data, privileged)?.place(&mut summary)?;
    Ok(summary)
}

struct Content {
    data: PathBuf,
    privileged: bool,
    /// The last folder that was made.
    made: Option<u32>,
    summary: TarSummary,
}

impl Content {
    fn write(&mut self, reader: &mut Reader<'_>, tree: &Tree, id: Id) -> Result<(), LayerError> {
        let path = data_path(&self.data, id);
        if self.made != Some(id >> FOLDER_BITS) {
            let folder = path.parent().unwrap_or(&self.data);
            std::fs::create_dir_all(folder).map_err(FileError::at("create folder", folder))?;
            self.made = Some(id >> FOLDER_BITS);
        }
        let file = File::options().write(true).create_new(true).open(&path).map_err(FileError::at("create", &path))?;
        let Body::File { size, sparse, .. } = tree.inode(id).body else { return Ok(()) };
        let whole = [Segment { offset: 0, length: size }];
        let map = sparse.map(SparseMap::read);
        let segments = map.as_deref().unwrap_or(&whole);
        let mut target = Target { file: &file, segments, done: 0, has_holes: map.is_some() };
        reader.content(|bytes| target.write(bytes).map_err(|e| FileError::at("write", &path)(e).into()))?;
        if target.has_holes {
            file.set_len(size).map_err(FileError::at("extend", &path))?;
        }
        let metadata = Metadata { inode: tree.inode(id), privileged: self.privileged };
        metadata.apply_to_file(&file, &path, &mut self.summary)
    }
}

/// Where a file's content waits for its name.
pub(super) fn data_path(data: &Path, id: Id) -> PathBuf {
    data.join(format!("{}/{id}", id >> FOLDER_BITS))
}

/// Writes stored bytes to where they belong.
struct Target<'a> {
    file: &'a File,
    segments: &'a [Segment],
    /// Bytes of the first segment that are written.
    done: u64,
    /// Not everything was written.
    has_holes: bool,
}

impl Target<'_> {
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while let Some((first, others)) = self.segments.split_first() {
            if self.done == first.length {
                (self.segments, self.done) = (others, 0);
                continue;
            }
            if bytes.is_empty() {
                break;
            }
            let count = bytes.len().min(usize::try_from(first.length - self.done).unwrap_or(usize::MAX));
            if is_hole(&bytes[..count]) {
                self.has_holes = true;
            } else {
                self.file.write_all_at(&bytes[..count], first.offset + self.done)?;
            }
            self.done += count as u64;
            bytes = &bytes[count..];
        }
        Ok(())
    }
}
