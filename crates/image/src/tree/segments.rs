//! Sparse files' maps as they are kept: chains of some segments each.

use super::arena::{Id, NONE};
use super::records::{Fields, Records, put_number};
use crate::tar::Segment;

/// Segments that are kept in one place.
const TOGETHER: usize = 2048;

/// Where the stored bytes of a sparse file belong.
#[derive(Clone, Copy)]
pub(crate) enum SparseMap<'a> {
    /// As an entry has it.
    Given(&'a [Segment]),
    /// As a tree keeps it.
    Kept(Kept<'a>),
}

/// So many segments, which begin there.
#[derive(Clone, Copy)]
pub(crate) struct Kept<'a> {
    pub(super) records: &'a Records,
    pub(super) count: usize,
    pub(super) first: Id,
}

impl SparseMap<'_> {
    /// All segments in order.
    pub(crate) fn read(self) -> Vec<Segment> {
        let Kept { records, count, first } = match self {
            SparseMap::Given(segments) => return segments.to_vec(),
            SparseMap::Kept(kept) => kept,
        };
        let (mut segments, mut next) = (Vec::with_capacity(count), first);
        while segments.len() < count {
            let mut fields = Fields(records.arena.at(next));
            next = fields.number() as Id;
            for _ in 0..TOGETHER.min(count - segments.len()) {
                segments.push(Segment { offset: fields.number(), length: fields.number() });
            }
        }
        segments
    }
}

/// Keeps segments and answers where.
pub(super) fn keep(records: &mut Records, segments: &[Segment]) -> Result<Id, String> {
    let (mut next, mut bytes) = (NONE, Vec::new());
    for some in segments.chunks(TOGETHER).rev() {
        bytes.clear();
        put_number(&mut bytes, u64::from(next));
        for number in some.iter().flat_map(|segment| [segment.offset, segment.length]) {
            put_number(&mut bytes, number);
        }
        next = records.keep(&bytes)?;
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_of_any_length_are_kept() {
        let mut records = Records::new(std::path::Path::new("/var/tmp"));
        let segment = |n: u64| Segment { offset: n << 44, length: (1 << 44) - n };
        for count in [0, 1, TOGETHER, TOGETHER + 1, 200_000] {
            let segments: Vec<Segment> = (0..count as u64).map(segment).collect();
            let first = keep(&mut records, &segments).unwrap();
            let kept = SparseMap::Kept(Kept { records: &records, count, first });
            assert!(kept.read() == segments && SparseMap::Given(&segments).read() == segments);
        }
    }
}
