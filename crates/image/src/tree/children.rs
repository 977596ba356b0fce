//! A directory's names in order: a sorted list of objects' numbers, the names being the objects' own; of many, a list of such lists.

use super::arena::{Arena, Id};
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
}

/// Where a name is, or where it would be: list, and number therein.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position(u32, u32);

impl Position {
    pub(super) const FIRST: Position = Position(0, 0);
}

impl Children {
    pub(super) const NONE: Children = Children { list: List::EMPTY, deep: false };

    /// The one at a position or, if that is the end of a list, the first one after it; the position becomes the next one's.
    pub(super) fn next(self, arena: &Arena, position: &mut Position) -> Option<Id> {
        let Position(mut number, mut at) = *position;
        if at >= self.piece(arena, number)?.len {
            (number, at) = (number + 1, 0);
        }
        let piece = self.piece(arena, number).filter(|piece| at < piece.len)?;
        *position = Position(number, at + 1);
        Some(piece.get(arena, at))
    }

    /// Looks a name up; `compare` orders a child's name against it.
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
        let after = partition(0, self.pieces(), |number| first(number).is_some_and(|order| order != Ordering::Greater));
        let number = after.saturating_sub(1);
        let Some(piece) = self.piece(arena, number) else { return Err(Position::FIRST) };
        let at = partition(0, piece.len, |at| compare(piece.get(arena, at)) == Ordering::Less);
        let found = at < piece.len && compare(piece.get(arena, at)) == Ordering::Equal;
        if found { Ok(Position(number, at)) } else { Err(Position(number, at)) }
    }

    pub(super) fn get(self, arena: &Arena, Position(number, at): Position) -> Id {
        self.piece(arena, number).map_or(super::arena::NONE, |piece| piece.get(arena, at))
    }

    pub(super) fn replace(self, arena: &mut Arena, Position(number, at): Position, id: Id) {
        if let Some(piece) = self.piece(arena, number) {
            piece.set(arena, at, id);
        }
    }

    pub(super) fn insert(
        &mut self,
        arena: &mut Arena,
        free: &mut Free,
        Position(mut number, mut at): Position,
        id: Id,
    ) -> Result<(), String> {
        if !self.deep {
            if self.list.len < PIECE {
                return self.list.insert(arena, free, at, &[id]);
            }
            let mut outer = List::EMPTY;
            outer.insert(arena, free, 0, &self.list.pack())?;
            *self = Children { list: outer, deep: true };
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
        piece.insert(arena, free, at, &[id])?;
        self.set_piece(arena, number, piece);
        Ok(())
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

/// The first number for which something does not hold that holds for all before it.
fn partition(mut from: u32, mut to: u32, holds: impl Fn(u32) -> bool) -> u32 {
    while from < to {
        let middle = from.midpoint(to);
        if holds(middle) { from = middle + 1 } else { to = middle }
    }
    from
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Inserts numbers that are their own names.
    fn filled(arena: &mut Arena, ids: impl Iterator<Item = Id>) -> Children {
        let (mut children, mut free) = (Children::NONE, Free::NONE);
        for id in ids {
            match children.find(arena, |known| known.cmp(&id)) {
                Ok(position) => children.replace(arena, position, id),
                Err(position) => children.insert(arena, &mut free, position, id).unwrap(),
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
        const COUNT: u32 = 20_011;
        let orders: [&dyn Fn(u32) -> u32; 3] = [&|n| n, &|n| COUNT - 1 - n, &|n| n * 7919 % COUNT];
        for order in orders {
            let arena = &mut Arena::new(std::path::Path::new("/var/tmp"));
            let children = filled(arena, (0..COUNT).map(order).chain(0..COUNT));
            assert!(all(children, arena).into_iter().eq(0..COUNT));
            assert!(
                (0..children.pieces()).all(|number| (1..=PIECE).contains(&children.piece(arena, number).unwrap().len))
            );
            for id in [0, 1, COUNT / 2, COUNT - 1] {
                assert_eq!(children.get(arena, children.find(arena, |known| known.cmp(&id)).unwrap()), id);
            }
        }
        let arena = &mut Arena::new(std::path::Path::new("/var/tmp"));
        let none = filled(arena, std::iter::empty());
        assert_eq!(none.find(arena, |_| Ordering::Equal), Err(Position::FIRST));
        assert!(all(none, arena).is_empty());
        for count in [1, PIECE - 1, PIECE, PIECE + 1] {
            let children = filled(arena, 0..count);
            assert!(all(children, arena).into_iter().eq(0..count), "{count}");
        }
    }
}
