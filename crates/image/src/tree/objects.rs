//! A tree's objects as they are kept: records, and what is known of directories and of what has several names.

use super::arena::{Arena, Id, NONE};
use super::children::{Children, Position};
use super::classes::{Class, Classes};
use super::fixed::{DirectoryRecord, Names};
use super::inode::{Body, Directory, Inode};
use super::lists::Free;
use super::records::{self, Records, Tag};
use super::segments::{self, Kept, SparseMap};
use super::sort;
use std::hash::{BuildHasher, RandomState};

/// The root's.
pub(crate) const ROOT: Id = 0;

/// A tar lays content out in blocks of this many bytes.
const TAR_BLOCK: u64 = 512;

/// All objects, reachable or not.
pub(super) struct Objects {
    records: Records,
    classes: Classes,
    free: Free,
    /// Directories whose children have hashes.
    hashed: Vec<Id>,
    /// What makes the hashes: another one for each tree, so that no layer is made for it.
    hasher: RandomState,
}

/// Where a name is in its directory, or would be.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    directory: Id,
    position: Result<Position, Position>,
}

impl Objects {
    /// The root only.
    pub(super) fn new(folder: &std::path::Path) -> Self {
        let mut objects = Objects {
            records: Records::new(folder),
            classes: Classes::default(),
            free: Free::NONE,
            hashed: Vec::new(),
            hasher: RandomState::new(),
        };
        // The very first thing in an arena is at 0, and in memory.
        let _root = objects.records.begin(Tag::Directory, b"").raw(&[0; DirectoryRecord::BYTES]).finish();
        objects.describe_as(ROOT, ROOT, &Inode::implicit_directory()).unwrap_or_default();
        objects
    }

    /// Keeps an object. A name is not yet in its directory by that.
    pub(super) fn push(&mut self, name: &[u8], parent: Id, inode: &Inode<'_>) -> Result<Id, String> {
        let tag = inode.tag();
        match inode.body {
            Body::Whiteout => return self.records.begin(tag, name).finish(),
            Body::Below(path) => return self.records.begin(tag, name).bytes(path).finish(),
            Body::Directory(_) => {
                let id = self.records.begin(tag, name).raw(&[0; DirectoryRecord::BYTES]).finish()?;
                self.describe_as(id, parent, inode)?;
                return Ok(id);
            }
            _ => {}
        }
        let class = self.class(inode)?;
        let map = match inode.body {
            Body::File { sparse: Some(map), .. } => {
                let segments = map.read();
                Some((segments.len(), segments::keep(&mut self.records, &segments)?))
            }
            _ => None,
        };
        let Inode { mtime, mtime_ns, body, .. } = *inode;
        let record = self.records.begin(tag, name).number(u64::from(class)).signed(mtime).number(u64::from(mtime_ns));
        match (body, map) {
            (Body::File { size, offset, .. }, Some((count, first))) => {
                record.number(size).number(offset).number(count as u64).number(u64::from(first))
            }
            (Body::File { size, offset, .. }, None) => record.number(size).number(offset / TAR_BLOCK),
            (Body::Symlink(target), _) => record.bytes(target),
            (Body::Device(device), _) => record.number(u64::from(device)),
            _ => record,
        };
        self.records.finish()
    }

    fn class(&mut self, inode: &Inode<'_>) -> Result<u32, String> {
        let Inode { mode, uid, gid, xattrs, .. } = *inode;
        self.classes.number(&mut self.records, Class { mode, uid, gid, xattrs })
    }

    /// Keeps another name of an object.
    pub(super) fn push_link(&mut self, name: &[u8], object: Id) -> Result<Id, String> {
        if !self.records.is_linked(object) {
            let names = Names { place: self.records.head(object), ..Names::default() };
            let names = self.records.keep(&names.bytes())?;
            self.records.set_head(object, names);
            self.records.set_linked(object);
        }
        self.records.begin(Tag::Link, name).number(u64::from(object)).finish()
    }

    /// Looks a name up.
    pub(super) fn slot(&self, directory: Id, name: &[u8]) -> Slot {
        let children = self.record(directory).children;
        let named = |child| self.records.name(child);
        let position = match children.hashed {
            true => children.find_hashed(&self.records.arena, self.hash(name), |child| named(child) == name),
            false => children.find(&self.records.arena, |child| named(child).cmp(name)),
        };
        Slot { directory, position }
    }

    /// What has the name.
    pub(super) fn known(&self, slot: Slot) -> Option<Id> {
        let Ok(position) = slot.position else { return None };
        Some(self.object(self.record(slot.directory).children.get(&self.records.arena, position)))
    }

    /// Gives the name to an object or to a link, which was kept under this name.
    pub(super) fn put(&mut self, slot: Slot, id: Id) -> Result<(), String> {
        let mut record = self.record(slot.directory);
        match slot.position {
            Ok(position) => record.children.replace(&mut self.records.arena, position, id),
            Err(mut position) => {
                let Objects { records, free, hasher, .. } = self;
                let hash = |arena: &Arena, id| hasher.hash_one(records::name(arena, id)) as u32;
                let own = if record.children.wants_hashes(&records.arena, position) {
                    record.children = record.children.with_hashes(&mut records.arena, free, hash)?;
                    self.hashed.push(slot.directory);
                    let own = hash(&records.arena, id);
                    position =
                        record.children.find_hashed(&records.arena, own, |_| false).unwrap_or_else(|place| place);
                    own
                } else if record.children.hashed {
                    hash(&records.arena, id)
                } else {
                    0
                };
                record.children.insert(&mut records.arena, free, position, (own, id))?;
                self.set_record(slot.directory, record);
            }
        }
        Ok(())
    }

    /// Puts a link to a path of lower layers into a list of such, which has hashes; answers the one that is there, if there is one.
    pub(super) fn put_below(&mut self, list: &mut Children, path: &[u8]) -> Result<Id, String> {
        let hash = self.hash(path);
        match list.find_hashed(&self.records.arena, hash, |id| self.records.fields(id).bytes() == path) {
            Ok(position) => Ok(list.get(&self.records.arena, position)),
            Err(position) => {
                let id = self.push(b"", ROOT, &Inode::absent(Body::Below(path)))?;
                list.insert(&mut self.records.arena, &mut self.free, position, (hash, id))?;
                Ok(id)
            }
        }
    }

    /// Puts all directories into the order of their names. Objects in them that are not linked to get other numbers.
    pub(super) fn sort(&mut self) -> Result<(), String> {
        for directory in std::mem::take(&mut self.hashed) {
            let record = self.record(directory);
            let children = sort::by_name(record.children, &mut self.records, &mut self.free)?;
            self.set_record(directory, DirectoryRecord { children, ..record });
        }
        Ok(())
    }

    fn hash(&self, name: &[u8]) -> u32 {
        self.hasher.hash_one(name) as u32
    }

    /// Gives a directory new metadata; its children stay.
    pub(super) fn describe(&mut self, directory: Id, described: &Inode<'_>) -> Result<(), String> {
        let class = self.class(described)?;
        let record = self.record(directory);
        let Inode { mtime, mtime_ns, .. } = *described;
        self.set_record(directory, DirectoryRecord { class, mtime, mtime_ns, implicit: false, ..record });
        Ok(())
    }

    /// Makes a record that of a new directory.
    fn describe_as(&mut self, id: Id, parent: Id, inode: &Inode<'_>) -> Result<(), String> {
        let class = self.class(inode)?;
        let Body::Directory(Directory { children, opaque, implicit }) = inode.body else { return Ok(()) };
        let Inode { mtime, mtime_ns, .. } = *inode;
        self.set_record(id, DirectoryRecord { class, parent, mtime, mtime_ns, children, next: NONE, opaque, implicit });
        Ok(())
    }

    pub(super) fn set_opaque(&mut self, directory: Id) {
        let record = self.record(directory);
        self.set_record(directory, DirectoryRecord { opaque: true, ..record });
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
            Tag::Directory => return self.directory_inode(id),
            _ => {}
        }
        let class = self.classes.get(&self.records, fields.number() as u32);
        let (mtime, mtime_ns) = (fields.signed(), fields.number() as u32);
        let body = match tag {
            Tag::File => Body::File { size: fields.number(), offset: fields.number() * TAR_BLOCK, sparse: None },
            Tag::Sparse => {
                let (size, offset) = (fields.number(), fields.number());
                let (count, first) = (fields.number() as usize, fields.number() as Id);
                Body::File {
                    size,
                    offset,
                    sparse: Some(SparseMap::Kept(Kept { records: &self.records, count, first })),
                }
            }
            Tag::Symlink => Body::Symlink(fields.bytes()),
            Tag::Char | Tag::Block => Body::Device(fields.number() as u32),
            _ => Body::Fifo,
        };
        let Class { mode, uid, gid, xattrs } = class;
        Inode { mode, uid, gid, mtime, mtime_ns, xattrs, body }
    }

    fn directory_inode(&self, id: Id) -> Inode<'_> {
        let DirectoryRecord { children, mtime, mtime_ns, class, opaque, implicit, .. } = self.record(id);
        let Class { mode, uid, gid, xattrs } = self.classes.get(&self.records, class);
        let body = Body::Directory(Directory { children, opaque, implicit });
        Inode { mode, uid, gid, mtime, mtime_ns, xattrs, body }
    }

    pub(super) fn records(&self) -> &Records {
        &self.records
    }

    pub(super) fn mark(&mut self, id: Id) {
        self.records.mark(id);
    }

    pub(super) fn place(&self, id: Id) -> u32 {
        if self.records.is_linked(id) { self.names(id).place } else { self.records.head(id) }
    }

    pub(super) fn set_place(&mut self, id: Id, place: u32) {
        if self.records.is_linked(id) {
            self.set_names(id, Names { place, ..self.names(id) });
        } else {
            self.records.set_head(id, place);
        }
    }

    /// Of an object that is linked to.
    pub(super) fn names(&self, linked: Id) -> Names {
        Names::of(self.records.arena.at(self.records.head(linked)))
    }

    pub(super) fn set_names(&mut self, linked: Id, names: Names) {
        let at = self.records.head(linked);
        self.records.arena.at_mut(at)[..Names::BYTES].copy_from_slice(&names.bytes());
    }

    pub(super) fn parent(&self, directory: Id) -> Id {
        self.record(directory).parent
    }

    /// See [`DirectoryRecord::next`].
    pub(super) fn next(&self, directory: Id) -> Id {
        self.record(directory).next
    }

    pub(super) fn set_next(&mut self, directory: Id, next: Id) {
        let record = self.record(directory);
        self.set_record(directory, DirectoryRecord { next, ..record });
    }

    pub(super) fn children(&self, directory: Id) -> Children {
        self.record(directory).children
    }

    fn record(&self, directory: Id) -> DirectoryRecord {
        debug_assert_eq!(self.records.tag(directory), Tag::Directory);
        DirectoryRecord::of(self.records.fields(directory).0)
    }

    fn set_record(&mut self, directory: Id, record: DirectoryRecord) {
        self.records.fields_mut(directory)[..DirectoryRecord::BYTES].copy_from_slice(&record.bytes());
    }
}
