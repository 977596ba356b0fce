//! The bytes of a tree's objects: each is a record in one of a few large blocks, known by where it begins.
//!
//! ```text
//! 0  u32     a number for whoever writes the tree: where the object goes
//! 4  u8      what it is (`Tag`), and whether other names link to it
//! 5  u8      length of its name
//! 6  …       the name; empty for the root and for what only hard links name
//!    …       by tag, numbers as LEB128:
//!            Link             the object that it is a name of
//!            Directory        index of the directory
//!            Whiteout         nothing
//!            Below            length of the path, path
//!            all others       class, mtime (zigzag), nanoseconds, then
//!              File           size, first block of 512 bytes in the tar
//!              Sparse         index of the sparse file
//!              Symlink        length of the target, target
//!              Char, Block    the device number
//!              Fifo           nothing
//! ```
//!
//! A file whose name has 12 bytes takes some 30: a layer may have a million of them, and a pull has to fit in 64 MiB.

/// Where a record begins: its block in the upper bits, its byte there in the lower ones.
pub(crate) type Id = u32;

/// Bits of a block's length. A record is at most a name, a path, and some numbers.
const BLOCK_BITS: u32 = 20;
const BLOCK: usize = 1 << BLOCK_BITS;

const NAME_AT: usize = 6;
const LINKED: u8 = 0x80;

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

/// All records of a tree.
#[derive(Default)]
pub(super) struct Records {
    blocks: Vec<Vec<u8>>,
    /// The record that is being made.
    draft: Vec<u8>,
}

impl Records {
    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        self.blocks.len() * BLOCK
    }

    /// Begins a record, which [`Records::finish`] ends.
    pub(super) fn begin(&mut self, tag: Tag, name: &[u8]) -> &mut Self {
        self.draft.clear();
        self.draft.extend([0, 0, 0, 0, tag as u8, name.len() as u8]);
        self.draft.extend(&name[..name.len().min(255)]);
        self
    }

    pub(super) fn number(&mut self, mut value: u64) -> &mut Self {
        while value >= 0x80 {
            self.draft.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.draft.push(value as u8);
        self
    }

    /// A number that may be negative.
    pub(super) fn signed(&mut self, value: i64) -> &mut Self {
        self.number((value << 1 ^ value >> 63) as u64)
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64);
        self.draft.extend(bytes);
        self
    }

    /// Keeps the record.
    pub(super) fn finish(&mut self) -> Result<Id, String> {
        if self.blocks.last().is_none_or(|block| block.len() + self.draft.len() > BLOCK) {
            // Pages that are not written to take no memory.
            self.blocks.push(Vec::with_capacity(BLOCK));
        }
        let number = self.blocks.len() - 1;
        let block = &mut self.blocks[number];
        let id = Id::try_from(number << BLOCK_BITS | block.len()).map_err(|_| "too many entries".to_owned())?;
        block.extend(&self.draft);
        Ok(id)
    }

    /// The record, and what comes after it.
    fn at(&self, id: Id) -> &[u8] {
        &self.blocks[(id >> BLOCK_BITS) as usize][id as usize % BLOCK..]
    }

    fn at_mut(&mut self, id: Id) -> &mut [u8] {
        &mut self.blocks[(id >> BLOCK_BITS) as usize][id as usize % BLOCK..]
    }

    pub(super) fn tag(&self, id: Id) -> Tag {
        Tag::ALL[usize::from(self.at(id)[4] & !LINKED)]
    }

    /// Whether [`Records::set_linked`] was called of it.
    pub(super) fn is_linked(&self, id: Id) -> bool {
        self.at(id)[4] & LINKED != 0
    }

    pub(super) fn set_linked(&mut self, id: Id) {
        self.at_mut(id)[4] |= LINKED;
    }

    pub(super) fn place(&self, id: Id) -> u32 {
        let record = self.at(id);
        u32::from_le_bytes([record[0], record[1], record[2], record[3]])
    }

    pub(super) fn set_place(&mut self, id: Id, place: u32) {
        self.at_mut(id)[..4].copy_from_slice(&place.to_le_bytes());
    }

    pub(super) fn name(&self, id: Id) -> &[u8] {
        let record = self.at(id);
        &record[NAME_AT..NAME_AT + usize::from(record[5])]
    }

    /// Reads what follows the name.
    pub(super) fn fields(&self, id: Id) -> Fields<'_> {
        let record = self.at(id);
        Fields(&record[NAME_AT + usize::from(record[5])..])
    }
}

/// The fields of a record, in the order in which they were written.
pub(super) struct Fields<'a>(&'a [u8]);

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
        let mut records = Records::default();
        let (long, path) = ([b'n'; 255], vec![b'p'; 4095]);
        let mut ids = Vec::new();
        for _ in 0..600 {
            ids.push(records.begin(Tag::Below, &long).bytes(&path).number(u64::MAX).finish().unwrap());
            ids.push(records.begin(Tag::File, b"").signed(i64::MIN).signed(-1).number(0).finish().unwrap());
        }
        assert!(records.blocks.len() > 2, "records of several blocks");
        records.set_place(ids[1000], 7);
        records.set_linked(ids[1000]);
        for pair in ids.chunks(2) {
            let mut fields = records.fields(pair[0]);
            assert_eq!((records.tag(pair[0]), records.name(pair[0])), (Tag::Below, &long[..]));
            assert_eq!((fields.bytes(), fields.number()), (&path[..], u64::MAX));
            let mut fields = records.fields(pair[1]);
            assert_eq!((records.tag(pair[1]), records.name(pair[1])), (Tag::File, &b""[..]));
            assert_eq!((fields.signed(), fields.signed(), fields.number()), (i64::MIN, -1, 0));
            let marked = pair[0] == ids[1000];
            assert_eq!((records.is_linked(pair[0]), records.place(pair[0])), (marked, if marked { 7 } else { 0 }));
        }
    }
}
