//! What may change of objects, as bytes of a fixed number.

use super::arena::Id;
use super::children::Children;
use super::lists::List;

/// What may change of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DirectoryRecord {
    pub(super) class: u32,
    pub(super) parent: Id,
    pub(super) mtime: i64,
    pub(super) mtime_ns: u32,
    pub(super) children: Children,
    /// The directory that a walk passes after this one.
    pub(super) next: Id,
    pub(super) opaque: bool,
    pub(super) implicit: bool,
}

/// What is kept of an object that has, or had, several names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Names {
    pub(super) place: u32,
    /// How many can be reached.
    pub(super) count: u32,
    /// The last walk that has met it.
    pub(super) walk: u32,
    /// The directory of the first of them, and what has it there.
    pub(super) directory: Id,
    pub(super) child: Id,
}

impl DirectoryRecord {
    pub(super) const BYTES: usize = 9 * 4;

    /// Nine numbers: class, parent, mtime (two), nanoseconds, children (two), next, flags.
    pub(super) fn bytes(&self) -> [u8; Self::BYTES] {
        let [list, rest] = self.children.list.pack();
        let flags = [self.opaque, self.implicit, self.children.deep, self.children.hashed];
        let flags = flags.iter().rev().fold(0, |flags, &flag| flags << 1 | u32::from(flag));
        let (low, high) = (self.mtime as u32, (self.mtime >> 32) as u32);
        numbers_to_bytes([self.class, self.parent, low, high, self.mtime_ns, list, rest, self.next, flags])
    }

    pub(super) fn of(bytes: &[u8]) -> Self {
        let [class, parent, low, high, mtime_ns, list, rest, next, flags]: [u32; 9] = numbers(bytes);
        DirectoryRecord {
            class,
            parent,
            mtime: (u64::from(high) << 32 | u64::from(low)) as i64,
            mtime_ns,
            children: Children { list: List::unpack([list, rest]), deep: flags & 4 != 0, hashed: flags & 8 != 0 },
            next,
            opaque: flags & 1 != 0,
            implicit: flags & 2 != 0,
        }
    }
}

impl Names {
    pub(super) const BYTES: usize = 5 * 4;

    pub(super) fn bytes(&self) -> [u8; Self::BYTES] {
        numbers_to_bytes([self.place, self.count, self.walk, self.directory, self.child])
    }

    pub(super) fn of(bytes: &[u8]) -> Self {
        let [place, count, walk, directory, child] = numbers(bytes);
        Names { place, count, walk, directory, child }
    }
}

fn numbers<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let mut chunks = bytes.chunks_exact(4);
    std::array::from_fn(|_| chunks.next().map_or(0, |four| u32::from_le_bytes([four[0], four[1], four[2], four[3]])))
}

fn numbers_to_bytes<const N: usize, const BYTES: usize>(numbers: [u32; N]) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    for (target, number) in bytes.chunks_exact_mut(4).zip(numbers) {
        target.copy_from_slice(&number.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let children = Children { list: List::unpack([7, 1 << 31 | 13 << 5 | 11]), deep: true, hashed: false };
        let (class, parent, mtime, mtime_ns, next) = (1, u32::MAX, i64::MIN + 5, 999_999_999, 3);
        let record = DirectoryRecord { class, parent, mtime, mtime_ns, children, next, opaque: false, implicit: true };
        assert_eq!(DirectoryRecord::of(&record.bytes()), record);
        let other =
            DirectoryRecord { children: Children::NONE_HASHED, mtime: -1, opaque: true, implicit: false, ..record };
        assert_eq!(DirectoryRecord::of(&other.bytes()), other);
        let names = Names { place: 1, count: 2, walk: 3, directory: 4, child: u32::MAX };
        assert_eq!(Names::of(&names.bytes()), names);
    }
}
