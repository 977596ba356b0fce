//! A tree's objects as bytes: each is a record, known by where it begins.
//!
//! ```text
//! 0  u32     a number for whoever writes the tree: where the object goes; of what has several names, where its `Names` are
//! 4  u8      what it is (`Tag`), whether other names link to it, and a mark for whoever writes the tree
//! 5  u8      length of its name
//! 6  …       the name; empty for the root and for what only hard links name
//!    …       by tag, numbers as LEB128:
//!            Link             the object that it is a name of
//!            Directory        what may change of it (`DirectoryRecord`)
//!            Whiteout         nothing
//!            Below            length of the path, path
//!            all others       class, mtime (zigzag), nanoseconds, then
//!              File           size, first block of 512 bytes in the tar
//!              Sparse         size, byte in the tar, number of segments, where the first of them are
//!              Symlink        length of the target, target
//!              Char, Block    the device number
//!              Fifo           nothing
//! ```
//!
//! A file whose name has 12 bytes takes some 30: a layer may have a million of them.

use super::arena::{Arena, Id};
use std::path::Path;

const NAME_AT: usize = 6;
const LINKED: u8 = 0x80;
const MARKED: u8 = 0x40;

/// What a record is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Tag {
    Link,
    Directory,
    File,
    Sparse,
    Symlink,
    Char,
    Block,
    Fifo,
    Whiteout,
    Below,
}

impl Tag {
    const ALL: [Tag; 10] = [
        Tag::Link,
        Tag::Directory,
        Tag::File,
        Tag::Sparse,
        Tag::Symlink,
        Tag::Char,
        Tag::Block,
        Tag::Fifo,
        Tag::Whiteout,
        Tag::Below,
    ];
}

/// Appends a number as LEB128.
pub(super) fn put_number(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// The name in a record.
pub(super) fn name(arena: &Arena, id: Id) -> &[u8] {
    name_of(arena.at(id))
}

/// The name in these bytes, which begin with a record.
pub(super) fn name_of(record: &[u8]) -> &[u8] {
    &record[NAME_AT..NAME_AT + usize::from(record[5])]
}

/// All records of a tree, and what else is in its arena.
pub(super) struct Records {
    pub(super) arena: Arena,
    /// The record that is being made.
    draft: Vec<u8>,
}

impl Records {
    pub(super) fn new(folder: &Path) -> Self {
        Records { arena: Arena::new(folder), draft: Vec::new() }
    }

    /// Begins a record, which [`Records::finish`] ends.
    pub(super) fn begin(&mut self, tag: Tag, name: &[u8]) -> &mut Self {
        self.draft.clear();
        self.draft.extend([0, 0, 0, 0, tag as u8, name.len() as u8]);
        self.draft.extend(&name[..name.len().min(255)]);
        self
    }

    pub(super) fn number(&mut self, value: u64) -> &mut Self {
        put_number(&mut self.draft, value);
        self
    }

    /// A number that may be negative.
    pub(super) fn signed(&mut self, value: i64) -> &mut Self {
        self.number((value << 1 ^ value >> 63) as u64)
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64);
        self.raw(bytes)
    }

    /// Bytes whose number is known.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.draft.extend(bytes);
        self
    }

    /// Keeps the record.
    pub(super) fn finish(&mut self) -> Result<Id, String> {
        let draft = std::mem::take(&mut self.draft);
        let id = self.keep(&draft);
        self.draft = draft;
        id
    }

    /// Keeps bytes that are no record.
    pub(super) fn keep(&mut self, bytes: &[u8]) -> Result<Id, String> {
        let id = self.arena.take(bytes.len())?;
        self.arena.at_mut(id)[..bytes.len()].copy_from_slice(bytes);
        Ok(id)
    }

    pub(super) fn tag(&self, id: Id) -> Tag {
        Tag::ALL[usize::from(self.arena.at(id)[4] & !(LINKED | MARKED))]
    }

    /// Whether [`Records::set_linked`] was called of it.
    pub(super) fn is_linked(&self, id: Id) -> bool {
        self.arena.at(id)[4] & LINKED != 0
    }

    pub(super) fn set_linked(&mut self, id: Id) {
        self.arena.at_mut(id)[4] |= LINKED;
    }

    /// Whether [`Records::mark`] was called of it.
    pub(super) fn is_marked(&self, id: Id) -> bool {
        self.arena.at(id)[4] & MARKED != 0
    }

    pub(super) fn mark(&mut self, id: Id) {
        self.arena.at_mut(id)[4] |= MARKED;
    }

    /// The number at the beginning.
    pub(super) fn head(&self, id: Id) -> u32 {
        let record = self.arena.at(id);
        u32::from_le_bytes([record[0], record[1], record[2], record[3]])
    }

    pub(super) fn set_head(&mut self, id: Id, head: u32) {
        self.arena.at_mut(id)[..4].copy_from_slice(&head.to_le_bytes());
    }

    pub(super) fn name(&self, id: Id) -> &[u8] {
        name(&self.arena, id)
    }

    /// The bytes of a record, and whether it may be kept elsewhere, as only the directory that it is in refers to it; of others no more
    /// than their names.
    pub(super) fn whole(&self, id: Id) -> (&[u8], bool) {
        let (record, mut fields) = (self.arena.at(id), self.fields(id));
        let numbers = match self.tag(id) {
            Tag::Directory | Tag::Below => None,
            _ if self.is_linked(id) => None,
            Tag::Whiteout => Some(0),
            Tag::Link => Some(1),
            Tag::Fifo | Tag::Symlink => Some(3),
            Tag::Char | Tag::Block => Some(4),
            Tag::File => Some(5),
            Tag::Sparse => Some(7),
        };
        (0..numbers.unwrap_or(0)).for_each(|_| {
            fields.number();
        });
        if self.tag(id) == Tag::Symlink && numbers.is_some() {
            fields.bytes();
        }
        (&record[..record.len() - fields.0.len()], numbers.is_some())
    }

    /// Reads what follows the name.
    pub(super) fn fields(&self, id: Id) -> Fields<'_> {
        let record = self.arena.at(id);
        Fields(&record[NAME_AT + usize::from(record[5])..])
    }

    /// What follows the name, to be changed.
    pub(super) fn fields_mut(&mut self, id: Id) -> &mut [u8] {
        let record = self.arena.at_mut(id);
        let name = usize::from(record[5]);
        &mut record[NAME_AT + name..]
    }
}

/// The fields of a record, in the order in which they were written.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn number(&mut self) -> u64 {
        let (mut value, mut shift) = (0, 0);
        while let Some((&byte, rest)) = self.0.split_first() {
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
            shift += 7;
        }
        value
    }

    pub(super) fn signed(&mut self) -> i64 {
        let value = self.number();
        (value >> 1) as i64 ^ -((value & 1) as i64)
    }

    pub(super) fn bytes(&mut self) -> &'a [u8] {
        let length = self.number() as usize;
        self.raw(length)
    }

    pub(super) fn raw(&mut self, length: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let mut records = Records::new(Path::new("/var/tmp"));
        let (long, path) = ([b'n'; 255], vec![b'p'; 4095]);
        let mut ids = Vec::new();
        // So many that not all are in memory.
        for _ in 0..16_000 {
            ids.push(records.begin(Tag::Below, &long).bytes(&path).number(u64::MAX).finish().unwrap());
            ids.push(records.begin(Tag::File, b"").signed(i64::MIN).signed(-1).number(0).finish().unwrap());
        }
        records.set_head(ids[1000], 7);
        records.set_linked(ids[1000]);
        records.mark(ids[1002]);
        for pair in ids.chunks(2) {
            let mut fields = records.fields(pair[0]);
            assert_eq!((records.tag(pair[0]), records.name(pair[0])), (Tag::Below, &long[..]));
            assert_eq!((fields.bytes(), fields.number()), (&path[..], u64::MAX));
            let mut fields = records.fields(pair[1]);
            assert_eq!((records.tag(pair[1]), records.name(pair[1])), (Tag::File, &b""[..]));
            assert_eq!((fields.signed(), fields.signed(), fields.number()), (i64::MIN, -1, 0));
            let linked = pair[0] == ids[1000];
            assert_eq!((records.is_linked(pair[0]), records.head(pair[0])), (linked, if linked { 7 } else { 0 }));
            assert_eq!(records.is_marked(pair[0]), pair[0] == ids[1002]);
        }
        assert!(records.arena.in_file() > 40, "blocks in a file: {}", records.arena.in_file());
    }
}
