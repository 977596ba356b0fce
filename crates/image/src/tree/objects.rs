//! A tree's objects as they are kept: records, and tables for what does not fit into one.

use super::children::{Children, Position};
use super::classes::{Class, Classes};
use super::inode::{Body, Directory, Inode};
use super::records::{Id, Records, Tag};
use crate::tar::Segment;

/// The root's.
pub(crate) const ROOT: Id = 0;

/// A tar lays content out in blocks of this many bytes.
const TAR_BLOCK: u64 = 512;

/// All objects, reachable or not.
pub(super) struct Objects {
    records: Records,
    directories: Vec<DirectoryRecord>,
    classes: Classes,
    sparse: Vec<SparseFile>,
    /// Names in directories, replaced ones too.
    names: usize,
    /// Segments of sparse files.
    segments: usize,
}

/// What may change of a directory.
struct DirectoryRecord {
    children: Children,
    mtime: i64,
    mtime_ns: u32,
    class: u32,
    parent: Id,
    opaque: bool,
    implicit: bool,
}

struct SparseFile {
    size: u64,
    offset: u64,
    segments: Box<[Segment]>,
}

/// Where a name is in its directory, or would be.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    directory: Id,
    position: Result<Position, Position>,
}

impl Objects {
    /// The root only.
    pub(super) fn new() -> Self {
        let mut objects = Objects {
            records: Records::default(),
            directories: Vec::new(),
            classes: Classes::default(),
            sparse: Vec::new(),
            names: 0,
            segments: 0,
        };
        // The very first record is at 0.
        let _root = objects.push(b"", ROOT, &Inode::implicit_directory());
        objects
    }

    /// Bytes of memory, about.
    pub(super) fn memory(&self) -> usize {
        self.records.memory()
            + self.names * Children::BYTES_EACH
            + self.directories.len() * (size_of::<DirectoryRecord>() + 48)
            + self.classes.memory()
            + self.sparse.len() * size_of::<SparseFile>()
            + self.segments * size_of::<Segment>()
    }

    /// Keeps an object. A name is not yet in its directory by that.
    pub(super) fn push(&mut self, name: &[u8], parent: Id, inode: &Inode<'_>) -> Result<Id, String> {
        let tag = inode.tag();
        if matches!(tag, Tag::Whiteout | Tag::Below) {
            let record = self.records.begin(tag, name);
            return if let Body::Below(path) = inode.body { record.bytes(path).finish() } else { record.finish() };
        }
        let Inode { mode, uid, gid, mtime, mtime_ns, xattrs, body } = *inode;
        let class = self.classes.number(Class { mode, uid, gid, xattrs: xattrs.to_vec() });
        if let Body::Directory(Directory { opaque, implicit, .. }) = body {
            let number = self.directories.len();
            let children = Children::default();
            self.directories.push(DirectoryRecord { children, mtime, mtime_ns, class, parent, opaque, implicit });
            return self.records.begin(tag, name).number(number as u64).finish();
        }
        let record = self.records.begin(tag, name).number(u64::from(class)).signed(mtime).number(u64::from(mtime_ns));
        match body {
            Body::File { size, offset, sparse: None } => record.number(size).number(offset / TAR_BLOCK),
            Body::File { size, offset, sparse: Some(segments) } => {
                self.segments += segments.len();
                self.sparse.push(SparseFile { size, offset, segments: segments.into() });
                record.number(self.sparse.len() as u64 - 1)
            }
            Body::Symlink(target) => record.bytes(target),
            Body::Device(device) => record.number(u64::from(device)),
            _ => record,
        };
        self.records.finish()
    }

    /// Keeps another name of an object.
    pub(super) fn push_link(&mut self, name: &[u8], object: Id) -> Result<Id, String> {
        self.records.set_linked(object);
        self.records.begin(Tag::Link, name).number(u64::from(object)).finish()
    }

    /// Looks a name up.
    pub(super) fn slot(&self, directory: Id, name: &[u8]) -> Slot {
        let position = self.record(directory).children.find(|child| self.records.name(child).cmp(name));
        Slot { directory, position }
    }

    /// What has the name.
    pub(super) fn known(&self, slot: Slot) -> Option<Id> {
        let Ok(position) = slot.position else { return None };
        Some(self.object(self.record(slot.directory).children.get(position)))
    }

    /// Gives the name to an object or to a link, which was kept under this name.
    pub(super) fn put(&mut self, slot: Slot, id: Id) {
        self.names += 1;
        let children = &mut self.record_mut(slot.directory).children;
        match slot.position {
            Ok(position) => children.replace(position, id),
            Err(position) => children.insert(position, id),
        }
    }

    /// Gives a directory new metadata; its children stay.
    pub(super) fn describe(&mut self, directory: Id, described: &Inode<'_>) {
        let Inode { mode, uid, gid, mtime, mtime_ns, xattrs, .. } = *described;
        let class = self.classes.number(Class { mode, uid, gid, xattrs: xattrs.to_vec() });
        let record = self.record_mut(directory);
        (record.class, record.mtime, record.mtime_ns, record.implicit) = (class, mtime, mtime_ns, false);
    }

    pub(super) fn set_opaque(&mut self, directory: Id) {
        self.record_mut(directory).opaque = true;
    }

    /// What a child is: itself, or what it links to.
    pub(super) fn object(&self, child: Id) -> Id {
        if self.records.tag(child) == Tag::Link { self.records.fields(child).number() as Id } else { child }
    }

    pub(super) fn inode(&self, id: Id) -> Inode<'_> {
        let tag = self.records.tag(id);
        let mut fields = self.records.fields(id);
        match tag {
            Tag::Whiteout => return Inode::absent(Body::Whiteout),
            Tag::Below => return Inode::absent(Body::Below(fields.bytes())),
            Tag::Directory => return self.directory_inode(fields.number() as usize),
            _ => {}
        }
        let class = self.classes.get(fields.number() as u32);
        let (mtime, mtime_ns) = (fields.signed(), fields.number() as u32);
        let body = match tag {
            Tag::File => Body::File { size: fields.number(), offset: fields.number() * TAR_BLOCK, sparse: None },
            Tag::Sparse => {
                let SparseFile { size, offset, ref segments } = self.sparse[fields.number() as usize];
                Body::File { size, offset, sparse: Some(segments) }
            }
            Tag::Symlink => Body::Symlink(fields.bytes()),
            Tag::Char | Tag::Block => Body::Device(fields.number() as u32),
            _ => Body::Fifo,
        };
        let Class { mode, uid, gid, ref xattrs } = *class;
        Inode { mode, uid, gid, mtime, mtime_ns, xattrs, body }
    }

    fn directory_inode(&self, number: usize) -> Inode<'_> {
        let DirectoryRecord { ref children, mtime, mtime_ns, class, opaque, implicit, .. } = self.directories[number];
        let Class { mode, uid, gid, ref xattrs } = *self.classes.get(class);
        Inode {
            mode,
            uid,
            gid,
            mtime,
            mtime_ns,
            xattrs,
            body: Body::Directory(Directory { children, opaque, implicit }),
        }
    }

    pub(super) fn records(&self) -> &Records {
        &self.records
    }

    pub(super) fn set_place(&mut self, id: Id, place: u32) {
        self.records.set_place(id, place);
    }

    pub(super) fn parent(&self, directory: Id) -> Id {
        self.record(directory).parent
    }

    fn number(&self, directory: Id) -> usize {
        debug_assert_eq!(self.records.tag(directory), Tag::Directory);
        self.records.fields(directory).number() as usize
    }

    fn record(&self, directory: Id) -> &DirectoryRecord {
        &self.directories[self.number(directory)]
    }

    fn record_mut(&mut self, directory: Id) -> &mut DirectoryRecord {
        let number = self.number(directory);
        &mut self.directories[number]
    }
}
