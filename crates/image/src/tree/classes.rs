//! What many objects of a layer have alike, kept once: permissions, owner, and extended attributes.

use super::arena::Id;
use super::records::{Fields, Records, put_number};
use crate::tar::Xattr;
use std::collections::HashMap;

/// Classes whose numbers are short; all others have their place for a number, beyond these.
const SHORT: u32 = 1 << 14;
/// Bytes of classes that are looked for, about. When there are more, none of those before is found any more: it is kept once again.
const KNOWN: usize = 1 << 20;

/// Metadata but times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Class<'a> {
    /// Type and permissions.
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) xattrs: Xattrs<'a>,
}

/// Extended attributes, in their bytes: of each, name and value after their lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Xattrs<'a>(&'a [u8]);

impl<'a> Xattrs<'a> {
    pub(super) const NONE: Xattrs<'static> = Xattrs(&[]);

    /// Puts attributes into their bytes.
    pub(super) fn bytes<'x>(list: impl Iterator<Item = &'x Xattr>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in list.flat_map(|(name, value)| [name, value]) {
            put_number(&mut bytes, part.len() as u64);
            bytes.extend(part);
        }
        bytes
    }

    /// Those in these bytes.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Xattrs(bytes)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Names and values.
    pub(crate) fn iter(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let mut fields = Fields(self.0);
        std::iter::from_fn(move || (!fields.0.is_empty()).then(|| (fields.bytes(), fields.bytes())))
    }
}

/// All that occur.
#[derive(Default)]
pub(super) struct Classes {
    short: Vec<Id>,
    numbers: HashMap<Box<[u8]>, u32>,
    /// Bytes of `numbers`.
    known: usize,
    /// The last one's bytes, and its number: most objects are like the one before.
    last: Vec<u8>,
    last_number: u32,
    draft: Vec<u8>,
}

impl Classes {
    pub(super) fn get<'a>(&self, records: &'a Records, number: u32) -> Class<'a> {
        let id = number.checked_sub(SHORT).unwrap_or_else(|| self.short[number as usize]);
        let start = records.arena.at(id);
        let mut fields = Fields(start);
        let (mode, uid, gid) = (fields.number() as u16, fields.number() as u32, fields.number() as u32);
        let length = fields.number() as usize;
        let head = start.len() - fields.0.len();
        let xattrs = if length == 0 { &[] } else { &records.arena.span(id, head + length)[head..] };
        Class { mode, uid, gid, xattrs: Xattrs(xattrs) }
    }

    /// The number of a class.
    pub(super) fn number(&mut self, records: &mut Records, class: Class<'_>) -> Result<u32, String> {
        self.draft.clear();
        for number in [u64::from(class.mode), class.uid.into(), class.gid.into(), class.xattrs.0.len() as u64] {
            put_number(&mut self.draft, number);
        }
        self.draft.extend(class.xattrs.0);
        if self.draft == self.last {
            return Ok(self.last_number);
        }
        let number = match self.numbers.get(&self.draft[..]) {
            Some(&number) => number,
            None => self.keep(records)?,
        };
        std::mem::swap(&mut self.last, &mut self.draft);
        self.last_number = number;
        Ok(number)
    }

    /// Keeps the draft.
    fn keep(&mut self, records: &mut Records) -> Result<u32, String> {
        let id = records.keep(&self.draft)?;
        let number = if self.short.len() < SHORT as usize {
            self.short.push(id);
            self.short.len() as u32 - 1
        } else {
            SHORT + id
        };
        self.known += self.draft.len() + 64;
        if self.known > KNOWN {
            self.numbers.clear();
            self.known = self.draft.len() + 64;
        }
        self.numbers.insert(self.draft.clone().into(), number);
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_kept_once_while_they_are_known() {
        let (mut classes, mut records) = (Classes::default(), Records::new(std::path::Path::new("/var/tmp")));
        let long = vec![7; 70_000];
        let xattrs = |uid: u32| {
            Xattrs::bytes([(b"user.a".to_vec(), uid.to_le_bytes().to_vec()), (b"b".to_vec(), long.clone())].iter())
        };
        let class = |uid, xattrs| Class { mode: 0o100_644, uid, gid: u32::MAX, xattrs };
        let large: Vec<(u32, Vec<u8>)> = (0..30).map(|uid| (uid, xattrs(uid))).collect();
        let mut numbers = Vec::new();
        for (uid, bytes) in &large {
            numbers.push(classes.number(&mut records, class(*uid, Xattrs::of(bytes))).unwrap());
        }
        assert_ne!(classes.number(&mut records, class(0, Xattrs::of(&large[0].1))).unwrap(), numbers[0], "forgotten");
        for uid in 100..40_000 {
            let number = classes.number(&mut records, class(uid, Xattrs::NONE)).unwrap();
            assert_eq!(classes.get(&records, number), class(uid, Xattrs::NONE));
            assert_eq!(classes.number(&mut records, class(uid, Xattrs::NONE)).unwrap(), number);
        }
        for ((uid, bytes), number) in large.iter().zip(numbers) {
            let found = classes.get(&records, number);
            assert!(found == class(*uid, Xattrs::of(bytes)));
            let values: Vec<usize> = found.xattrs.iter().map(|(name, value)| name.len() + value.len()).collect();
            assert_eq!(values, [10, 70_001]);
        }
    }
}
