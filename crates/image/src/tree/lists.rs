//! Lists of numbers that grow, in an arena: each in a place for a power of two of them, which others get when it has become too small.

use super::arena::{Arena, BLOCK, Id, NONE};

const ITEM: usize = size_of::<u32>();
/// Places for 1 to 262,144 numbers.
const CLASSES: usize = (BLOCK / ITEM).ilog2() as usize + 1;

/// A list, known by where it is. Whoever has changed it has to remember the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct List {
    at: Id,
    pub(super) len: u32,
    class: u8,
}

/// The places that are free, of each size the first; each begins with the next.
pub(super) struct Free([Id; CLASSES]);

impl Free {
    pub(super) const NONE: Free = Free([NONE; CLASSES]);

    fn take(&mut self, arena: &mut Arena, class: u8) -> Result<Id, String> {
        let first = self.0.get_mut(usize::from(class)).ok_or("a directory with too many names")?;
        if *first == NONE {
            return arena.take(ITEM << class);
        }
        let taken = *first;
        *first = number(arena.at(taken));
        Ok(taken)
    }

    pub(super) fn give(&mut self, arena: &mut Arena, list: List) {
        if list.at != NONE {
            let first = &mut self.0[usize::from(list.class)];
            arena.at_mut(list.at)[..ITEM].copy_from_slice(&first.to_le_bytes());
            *first = list.at;
        }
    }
}

impl List {
    pub(super) const EMPTY: List = List { at: NONE, len: 0, class: 0 };

    /// As two numbers.
    pub(super) fn pack(self) -> [u32; 2] {
        [self.at, self.len << 5 | u32::from(self.class)]
    }

    pub(super) fn unpack([at, rest]: [u32; 2]) -> Self {
        List { at, len: rest >> 5, class: (rest & 31) as u8 }
    }

    pub(super) fn get(self, arena: &Arena, at: u32) -> u32 {
        number(arena.at(self.id(at)))
    }

    pub(super) fn set(self, arena: &mut Arena, at: u32, value: u32) {
        arena.at_mut(self.id(at))[..ITEM].copy_from_slice(&value.to_le_bytes());
    }

    /// Puts numbers before the one at `at`.
    pub(super) fn insert(&mut self, arena: &mut Arena, free: &mut Free, at: u32, values: &[u32]) -> Result<(), String> {
        let len = self.len + values.len() as u32;
        if self.at == NONE || len > 1 << self.class {
            let class = len.next_power_of_two().ilog2() as u8;
            let grown = List { at: free.take(arena, class)?, len: self.len, class };
            if self.at != NONE {
                self.copy(arena, grown, self.len);
            }
            free.give(arena, *self);
            *self = grown;
        }
        let moved = (self.len - at) as usize * ITEM;
        let bytes = &mut arena.at_mut(self.id(at))[..moved + values.len() * ITEM];
        bytes.copy_within(..moved, values.len() * ITEM);
        for (target, value) in bytes.chunks_exact_mut(ITEM).zip(values) {
            target.copy_from_slice(&value.to_le_bytes());
        }
        self.len = len;
        Ok(())
    }

    /// Takes the numbers from `at` on into a list of their own, which has as much room.
    pub(super) fn split_off(&mut self, arena: &mut Arena, free: &mut Free, at: u32) -> Result<List, String> {
        let upper = List { at: free.take(arena, self.class)?, len: self.len - at, class: self.class };
        List { at: self.id(at), ..*self }.copy(arena, upper, upper.len);
        self.len = at;
        Ok(upper)
    }

    fn copy(self, arena: &mut Arena, target: List, len: u32) {
        let bytes = arena.span(self.at, len as usize * ITEM).to_vec();
        arena.at_mut(target.at)[..bytes.len()].copy_from_slice(&bytes);
    }

    fn id(self, at: u32) -> Id {
        self.at + at * ITEM as u32
    }
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
