//! Putting a directory's names in order when all are known, however many they are: parts of them are sorted in memory and kept one behind
//! the other, then merged, so that no part of the arena is looked at in no order. What nothing else refers to is kept once more in the new
//! order, for those who walk through the tree.

use super::arena::{Id, NONE};
use super::children::{Children, Position};
use super::lists::Free;
use super::records::{Fields, Records, name_of, put_number};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Records that are sorted in memory at a time, and bytes of them, about.
const TOGETHER: usize = 1 << 18;
const BYTES: usize = 2 << 20;
/// Bytes that are kept in one place, about.
const PLACE: usize = 32 << 10;

/// Sorts children by their names.
pub(super) fn by_name(children: Children, records: &mut Records, free: &mut Free) -> Result<Children, String> {
    let (mut position, mut ids, mut runs) = (Position::FIRST, Vec::new(), Vec::new());
    loop {
        ids.extend(std::iter::from_fn(|| children.next(&records.arena, &mut position)).take(TOGETHER));
        if ids.is_empty() {
            break;
        }
        // In the order in which they lie in the arena.
        ids.sort_unstable();
        let mut rest = &ids[..];
        while !rest.is_empty() {
            let part = Part::read(&mut rest, records);
            runs.push(part.keep(records)?);
        }
        ids.clear();
    }
    children.give_back(&mut records.arena, free);
    let mut sorted = Children::NONE;
    // The least names of all runs, each with its run.
    let mut least = BinaryHeap::new();
    for (number, run) in runs.iter_mut().enumerate() {
        least.extend(run.next(records).map(|(name, id, record)| Reverse((name, number, id, record))));
    }
    while let Some(Reverse((_, number, id, record))) = least.pop() {
        let id = if id == NONE { records.keep(&record)? } else { id };
        sorted.append(&mut records.arena, free, id)?;
        least.extend(runs[number].next(records).map(|(name, id, record)| Reverse((name, number, id, record))));
    }
    Ok(sorted)
}

/// Records in memory: all of those that get a new place, of others no more than their names.
struct Part {
    bytes: Vec<u8>,
    /// Where each begins, how long it is, and where it stays, or [`NONE`].
    list: Vec<(u32, u16, Id)>,
}

impl Part {
    /// Reads as many as fit, in order.
    fn read(ids: &mut &[Id], records: &Records) -> Self {
        let mut part = Part { bytes: Vec::new(), list: Vec::new() };
        while let Some((&id, rest)) = ids.split_first()
            && part.bytes.len() < BYTES
        {
            let (record, movable) = records.whole(id);
            part.list.push((part.bytes.len() as u32, record.len() as u16, if movable { NONE } else { id }));
            part.bytes.extend(record);
            *ids = rest;
        }
        let Part { bytes, list } = &mut part;
        list.sort_unstable_by_key(|&entry| name_of(record(bytes, entry)));
        part
    }

    /// Keeps them in the arena.
    fn keep(&self, records: &mut Records) -> Result<Run, String> {
        let (mut places, mut draft) = (Vec::new(), Vec::new());
        for (at, &entry) in self.list.iter().enumerate() {
            put_number(&mut draft, u64::from(entry.2));
            put_number(&mut draft, u64::from(entry.1));
            draft.extend(record(&self.bytes, entry));
            if draft.len() >= PLACE || at + 1 == self.list.len() {
                places.push((records.keep(&draft)?, draft.len()));
                draft.clear();
            }
        }
        Ok(Run { places, place: 0, at: 0 })
    }
}

fn record(bytes: &[u8], (start, length, _): (u32, u16, Id)) -> &[u8] {
    &bytes[start as usize..][..usize::from(length)]
}

/// Sorted records in the arena, read one after the other.
struct Run {
    /// Where they are, and how many bytes are there.
    places: Vec<(Id, usize)>,
    /// The place that is read, and how much of it is.
    place: usize,
    at: usize,
}

impl Run {
    /// Name, where the record stays or [`NONE`], and the record.
    fn next(&mut self, records: &Records) -> Option<(Vec<u8>, Id, Vec<u8>)> {
        let &(id, length) = self.places.get(self.place)?;
        let mut fields = Fields(&records.arena.at(id)[self.at..length]);
        let (child, record) = (fields.number() as Id, fields.bytes());
        self.at = length - fields.0.len();
        if self.at == length {
            (self.place, self.at) = (self.place + 1, 0);
        }
        Some((name_of(record).to_vec(), child, record.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::records::Tag;

    #[test]
    fn names_of_several_runs_are_merged() {
        let (mut records, mut free) = (Records::new(std::path::Path::new("/var/tmp")), Free::NONE);
        let mut children = Children::NONE;
        const COUNT: u64 = 50_021;
        let name = |n: u64| format!("{:x>2$}{}", n, n % 7, 3 + (n % 200) as usize);
        for number in 0..COUNT {
            let id = records.begin(Tag::Fifo, name(number * 7919 % COUNT).as_bytes()).finish().unwrap();
            children.append(&mut records.arena, &mut free, id).unwrap();
        }
        let sorted = by_name(children, &mut records, &mut free).unwrap();
        let mut expected: Vec<String> = (0..COUNT).map(name).collect();
        expected.sort_unstable();
        let mut position = Position::FIRST;
        for name in expected {
            let id = sorted.next(&records.arena, &mut position).unwrap();
            assert_eq!(records.name(id), name.as_bytes());
        }
        assert!(sorted.next(&records.arena, &mut position).is_none());
    }
}
