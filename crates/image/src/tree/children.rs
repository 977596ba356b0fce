//! A directory's names in order: a list of objects' numbers, the names being the objects' own; of many, a list of such lists.
//!
//! The order is that of the names. To find one by bisection, many records have to be looked at, which lie anywhere if the names have come
//! in no order. Of a directory of thousands hashes of the names are kept beside the numbers, and the order is theirs until all
//! names are known.

use super::arena::{Arena, Id, NONE};
use super::lists::{Free, List};
use std::cmp::Ordering;

/// Most numbers in one list: what has to be moved for one that comes out of order.
const PIECE: u32 = 2048;

/// The children of one directory, known by where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Children {
    pub(super) list: List,
    /// The list is of lists, which are not empty: each takes two numbers.
    pub(super) deep: bool,
    /// Each child has two numbers: the hash of its name, and its own.
    pub(super) hashed: bool,
}

/// Where a name is, or where it would be: list, and child therein.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position(u32, u32);

impl Position {
    pub(super) const FIRST: Position = Position(0, 0);
}

impl Children {
    pub(super) const NONE: Children = Children { list: List::EMPTY, deep: false, hashed: false };
    pub(super) const NONE_HASHED: Children = Children { hashed: true, ..Children::NONE };

    /// The one at a position or, if that is the end of a list, the first one after it; the position becomes the next one's.
    pub(super) fn next(self, arena: &Arena, position: &mut Position) -> Option<Id> {
        let (here, piece) = self.settled(arena, *position)?;
        *position = Position(here.0, here.1 + 1);
        Some(piece.get(arena, here.1 * self.width() + self.width() - 1))
    }

    /// Looks a name up; `compare` orders a child's name against it. Not if hashes are kept.
    ///
    /// # Errors
    /// Where it would have to be.
    pub(super) fn find(self, arena: &Arena, compare: impl Fn(Id) -> Ordering) -> Result<Position, Position> {
        let last = self.pieces().saturating_sub(1);
        let Some(piece) = self.piece(arena, last).filter(|piece| piece.len > 0) else {
            return Err(Position::FIRST);
        };
        // Most tars list a directory in order.
        match compare(piece.get(arena, piece.len - 1)) {
            Ordering::Less => return Err(Position(last, piece.len)),
            Ordering::Equal => return Ok(Position(last, piece.len - 1)),
            Ordering::Greater => {}
        }
        let first = |number| self.piece(arena, number).map(|piece| compare(piece.get(arena, 0)));
        let after = partition(self.pieces(), |number| first(number).is_some_and(|order| order != Ordering::Greater));
        let number = after.saturating_sub(1);
        let Some(piece) = self.piece(arena, number) else { return Err(Position::FIRST) };
        let at = partition(piece.len, |at| compare(piece.get(arena, at)) == Ordering::Less);
        let found = at < piece.len && compare(piece.get(arena, at)) == Ordering::Equal;
        if found { Ok(Position(number, at)) } else { Err(Position(number, at)) }
    }

    /// Looks a name up by its hash; `is` tells whether a child has the name.
    ///
    /// # Errors
    /// Where it would have to be.
    pub(super) fn find_hashed(self, arena: &Arena, hash: u32, is: impl Fn(Id) -> bool) -> Result<Position, Position> {
        let before =
            |number| self.piece(arena, number).is_some_and(|piece| piece.len > 0 && piece.get(arena, 0) < hash);
        let number = partition(self.pieces(), before).saturating_sub(1);
        let Some(piece) = self.piece(arena, number) else { return Err(Position::FIRST) };
        let first = Position(number, partition(piece.len / 2, |at| piece.get(arena, 2 * at) < hash));
        let mut position = first;
        while let Some((here, piece)) = self.settled(arena, position)
            && piece.get(arena, 2 * here.1) == hash
        {
            if is(piece.get(arena, 2 * here.1 + 1)) {
                return Ok(here);
            }
            position = Position(here.0, here.1 + 1);
        }
        Err(first)
    }

    pub(super) fn get(self, arena: &Arena, mut position: Position) -> Id {
        self.next(arena, &mut position).unwrap_or(NONE)
    }

    pub(super) fn replace(self, arena: &mut Arena, Position(number, at): Position, id: Id) {
        if let Some(piece) = self.piece(arena, number) {
            piece.set(arena, at * self.width() + self.width() - 1, id);
        }
    }

    /// Puts a child where its name was looked for. `hash`: of its name, if hashes are kept.
    pub(super) fn insert(
        &mut self,
        arena: &mut Arena,
        free: &mut Free,
        Position(mut number, at): Position,
        (hash, id): (u32, Id),
    ) -> Result<(), String> {
        let (mut at, both) = (at * self.width(), [hash, id]);
        let values = if self.hashed { &both[..] } else { &both[1..] };
        if !self.deep {
            if self.list.len < PIECE {
                return self.list.insert(arena, free, at, values);
            }
            let mut outer = List::EMPTY;
            outer.insert(arena, free, 0, &self.list.pack())?;
            *self = Children { list: outer, deep: true, ..*self };
        }
        let mut piece = self.piece(arena, number).unwrap_or(List::EMPTY);
        if piece.len == PIECE {
            // In order, lists become full; out of order, half full.
            let upper = if at == PIECE { List::EMPTY } else { piece.split_off(arena, free, PIECE / 2)? };
            self.set_piece(arena, number, piece);
            self.list.insert(arena, free, 2 * (number + 1), &upper.pack())?;
            if let Some(rest) = at.checked_sub(piece.len) {
                (number, at, piece) = (number + 1, rest, upper);
            }
        }
        piece.insert(arena, free, at, values)?;
        self.set_piece(arena, number, piece);
        Ok(())
    }

    /// Puts a child behind all others.
    pub(super) fn append(&mut self, arena: &mut Arena, free: &mut Free, id: Id) -> Result<(), String> {
        let last = self.pieces().saturating_sub(1);
        let at = self.piece(arena, last).map_or(0, |piece| piece.len / self.width());
        self.insert(arena, free, Position(last, at), (0, id))
    }

    /// Whether a child that would be put there had better be found by its hash.
    pub(super) fn wants_hashes(self, arena: &Arena, position: Position) -> bool {
        let many = self.deep || self.list.len >= PIECE;
        !self.hashed && many && self.settled(arena, position).is_some()
    }

    /// The same children with hashes, in the order of these.
    pub(super) fn with_hashes(
        self,
        arena: &mut Arena,
        free: &mut Free,
        hash: impl Fn(&Arena, Id) -> u32,
    ) -> Result<Self, String> {
        let (mut hashed, mut position) = (Children::NONE_HASHED, Position::FIRST);
        while let Some(id) = self.next(arena, &mut position) {
            let hash = hash(arena, id);
            let place = hashed.find_hashed(arena, hash, |_| false).unwrap_or_else(|place| place);
            hashed.insert(arena, free, place, (hash, id))?;
        }
        self.give_back(arena, free);
        Ok(hashed)
    }

    /// Leaves the lists to others.
    pub(super) fn give_back(self, arena: &mut Arena, free: &mut Free) {
        for number in 0..if self.deep { self.pieces() } else { 0 } {
            if let Some(piece) = self.piece(arena, number) {
                free.give(arena, piece);
            }
        }
        free.give(arena, self.list);
    }

    /// Numbers of one child.
    fn width(self) -> u32 {
        if self.hashed { 2 } else { 1 }
    }

    /// A position, if it is the end of a list that of the next one, with its list. `None` behind the last child.
    fn settled(self, arena: &Arena, Position(mut number, mut at): Position) -> Option<(Position, List)> {
        let mut piece = self.piece(arena, number)?;
        if at * self.width() >= piece.len {
            (number, at) = (number + 1, 0);
            piece = self.piece(arena, number).filter(|piece| piece.len > 0)?;
        }
        Some((Position(number, at), piece))
    }

    /// Number of lists.
    fn pieces(self) -> u32 {
        if self.deep { self.list.len / 2 } else { 1 }
    }

    fn piece(self, arena: &Arena, number: u32) -> Option<List> {
        if number >= self.pieces() {
            return None;
        }
        let inner = || List::unpack([0, 1].map(|half| self.list.get(arena, 2 * number + half)));
        Some(if self.deep { inner() } else { self.list })
    }

    fn set_piece(self, arena: &mut Arena, number: u32, piece: List) {
        let [at, rest] = piece.pack();
        self.list.set(arena, 2 * number, at);
        self.list.set(arena, 2 * number + 1, rest);
    }
}

/// The first number below `end` for which something does not hold that holds for all before it.
fn partition(end: u32, holds: impl Fn(u32) -> bool) -> u32 {
    let (mut from, mut to) = (0, end);
    while from < to {
        let middle = from.midpoint(to);
        if holds(middle) { from = middle + 1 } else { to = middle }
    }
    from
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const COUNT: u32 = 20_011;

    fn orders() -> [&'static dyn Fn(u32) -> u32; 3] {
        [&|n| n, &|n| COUNT - 1 - n, &|n| n * 7919 % COUNT]
    }

    /// Inserts numbers that are their own names.
    fn filled(arena: &mut Arena, ids: impl Iterator<Item = Id>) -> Children {
        let (mut children, mut free) = (Children::NONE, Free::NONE);
        for id in ids {
            match children.find(arena, |known| known.cmp(&id)) {
                Ok(position) => children.replace(arena, position, id),
                Err(position) => children.insert(arena, &mut free, position, (0, id)).unwrap(),
            }
        }
        children
    }

    fn all(children: Children, arena: &Arena) -> Vec<Id> {
        let mut position = Position::FIRST;
        std::iter::from_fn(|| children.next(arena, &mut position)).collect()
    }

    #[test]
    fn any_order_comes_out_sorted() {
        for order in orders() {
            let arena = &mut Arena::new(Path::new("/var/tmp"));
            let children = filled(arena, (0..COUNT).map(order).chain(0..COUNT));
            assert!(all(children, arena).into_iter().eq(0..COUNT));
            let length = |number| children.piece(arena, number).unwrap().len;
            assert!((0..children.pieces()).all(|number| (1..=PIECE).contains(&length(number))));
            for id in [0, 1, COUNT / 2, COUNT - 1] {
                assert_eq!(children.get(arena, children.find(arena, |known| known.cmp(&id)).unwrap()), id);
            }
        }
        let arena = &mut Arena::new(Path::new("/var/tmp"));
        let none = filled(arena, std::iter::empty());
        assert_eq!(none.find(arena, |_| Ordering::Equal), Err(Position::FIRST));
        assert!(all(none, arena).is_empty());
        for count in [1, PIECE - 1, PIECE, PIECE + 1] {
            let children = filled(arena, 0..count);
            assert!(all(children, arena).into_iter().eq(0..count), "{count}");
        }
    }

    #[test]
    fn hashes_find_what_they_are_of_even_if_many_are_the_same() {
        let hashes: [&dyn Fn(u32) -> u32; 3] = [&|id| id.wrapping_mul(2_654_435_761), &|id| id % 5, &|_| u32::MAX];
        for (hash, count) in hashes.into_iter().zip([COUNT, 8000, 3000]) {
            let (arena, mut free) = (&mut Arena::new(Path::new("/var/tmp")), Free::NONE);
            let some = filled(arena, 0..count / 2);
            let mut children = some.with_hashes(arena, &mut free, |_, id| hash(id)).unwrap();
            for id in (count / 2..count).chain(0..count) {
                match children.find_hashed(arena, hash(id), |known| known == id) {
                    Ok(position) => assert!(id < count && children.get(arena, position) == id),
                    Err(position) => children.insert(arena, &mut free, position, (hash(id), id)).unwrap(),
                }
            }
            assert!(children.find_hashed(arena, hash(7), |_| false).is_err());
            let mut known = all(children, arena);
            known.sort_unstable();
            assert!(known.into_iter().eq(0..count));
        }
    }
}
