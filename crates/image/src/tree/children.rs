//! A directory's names in order: objects' numbers in sorted pieces, the names being the objects' own.

use super::Id;
use std::cmp::Ordering;

/// Most numbers in one piece: what has to be moved for one that comes out of order.
const PIECE: usize = 2048;

/// The children of one directory. Pieces are not empty.
#[derive(Default)]
pub(crate) struct Children(Vec<Vec<Id>>);

/// Where a name is, or where it would be: piece, and number therein.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position(usize, usize);

impl Children {
    pub(super) const NONE: Children = Children(Vec::new());

    pub(super) fn iter(&self) -> impl Iterator<Item = Id> {
        self.0.iter().flatten().copied()
    }

    /// Bytes of memory that a directory of so many names takes, about.
    pub(super) const BYTES_EACH: usize = 6;

    /// Looks a name up; `compare` orders a child's name against it.
    ///
    /// # Errors
    /// Where it would have to be.
    pub(super) fn find(&self, compare: impl Fn(Id) -> Ordering) -> Result<Position, Position> {
        let Some((number, last)) = self.0.len().checked_sub(1).map(|number| (number, &self.0[number])) else {
            return Err(Position(0, 0));
        };
        // Most tars list a directory in order.
        if last.last().is_some_and(|&id| compare(id) == Ordering::Less) {
            return Err(Position(number, last.len()));
        }
        let after = self.0.partition_point(|piece| compare(piece[0]) != Ordering::Greater);
        let number = after.saturating_sub(1);
        let found = self.0[number].binary_search_by(|&id| compare(id));
        found.map(|at| Position(number, at)).map_err(|at| Position(number, at))
    }

    pub(super) fn get(&self, Position(number, at): Position) -> Id {
        self.0[number][at]
    }

    pub(super) fn replace(&mut self, Position(number, at): Position, id: Id) {
        self.0[number][at] = id;
    }

    pub(super) fn insert(&mut self, Position(mut number, mut at): Position, id: Id) {
        if self.0.is_empty() {
            self.0.reserve_exact(1);
            self.0.push(Vec::new());
        }
        if self.0[number].len() == PIECE {
            // In order, pieces become full; out of order, half full.
            let upper = if at == PIECE { Vec::new() } else { self.0[number].split_off(PIECE / 2) };
            self.0.insert(number + 1, upper);
            if let Some(rest) = at.checked_sub(self.0[number].len()) {
                (number, at) = (number + 1, rest);
            }
        }
        self.0[number].insert(at, id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Inserts numbers that are their own names.
    fn filled(ids: impl Iterator<Item = Id>) -> Children {
        let mut children = Children::default();
        for id in ids {
            match children.find(|known| known.cmp(&id)) {
                Ok(position) => children.replace(position, id),
                Err(position) => children.insert(position, id),
            }
        }
        children
    }

    #[test]
    fn any_order_comes_out_sorted() {
        const COUNT: u32 = 20_011;
        let orders: [&dyn Fn(u32) -> u32; 3] = [&|n| n, &|n| COUNT - 1 - n, &|n| n * 7919 % COUNT];
        for order in orders {
            let children = filled((0..COUNT).map(order).chain(0..COUNT));
            assert!(children.iter().eq(0..COUNT));
            assert!(children.0.iter().all(|piece| (1..=PIECE).contains(&piece.len())));
            for id in [0, 1, COUNT / 2, COUNT - 1] {
                assert_eq!(children.get(children.find(|known| known.cmp(&id)).unwrap()), id);
            }
        }
        assert_eq!(filled(std::iter::empty()).find(|_| Ordering::Equal), Err(Position(0, 0)));
    }
}
