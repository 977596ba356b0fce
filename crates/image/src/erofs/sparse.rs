//! Chunks of files: a whole file is one chunk of the tar; a sparse one has holes, chunks that lie straight in the tar, and chunks that
//! have to be copied into the index because they begin or end askew.

use super::format::{BLOCK, BLOCK_BITS, CHUNK_BITS_LIMIT, HOLE};
use crate::tar::Segment;
use crate::tree::SparseMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

/// Most chunks of one sparse file: 32 MiB of index.
const CHUNK_LIMIT: u64 = 1 << 22;
/// Beyond this, copied chunks may take no more than [`COPY_RATIO`] times what the tar stores of the file.
const COPY_FREE: u64 = 64 << 20;
const COPY_RATIO: u64 = 4;

/// One chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunk {
    /// Zeros.
    Hole,
    /// From this block of the tar.
    Tar(u32),
    /// Copied, from this block after the file's first copied one.
    Copied(u32),
}

/// A file's chunks of 2^bits blocks each. They are told one after the other: a file may have millions.
#[derive(Debug)]
pub(super) struct Chunks {
    pub(super) bits: u32,
    pub(super) count: u64,
    size: u64,
    /// Where its stored bytes begin in the tar.
    offset: u64,
    segments: Segments,
}

/// What is stored of a file.
#[derive(Debug)]
enum Segments {
    Whole([Segment; 1]),
    Sparse(Vec<Segment>),
}

impl Chunks {
    /// The chunks of a file whose stored bytes begin at `offset` in the tar, and belong at `segments`, if it is sparse.
    ///
    /// # Errors
    /// If there are too many.
    pub(super) fn of(size: u64, offset: u64, segments: Option<SparseMap<'_>>) -> Result<Self, String> {
        let segments =
            segments.map_or(Segments::Whole([Segment { offset: 0, length: size }]), |map| Segments::Sparse(map.read()));
        let mut chunks = Chunks { bits: 0, count: 0, size, offset, segments };
        let aligned = chunks.segments().iter().fold(u64::MAX, |all, segment| {
            let end = segment.offset + segment.length;
            all & lowest_bits_below(segment.offset) & if end == size { u64::MAX } else { lowest_bits_below(end) }
        });
        let mut bits = (aligned.trailing_ones()).clamp(BLOCK_BITS, BLOCK_BITS + CHUNK_BITS_LIMIT) - BLOCK_BITS;
        bits = bits.min(blocks_of(size).next_power_of_two().trailing_zeros());
        while blocks_of(size).div_ceil(1 << bits) > CHUNK_LIMIT && bits < CHUNK_BITS_LIMIT {
            bits += 1;
        }
        (chunks.bits, chunks.count) = (bits, blocks_of(size).div_ceil(1 << bits));
        if chunks.count > CHUNK_LIMIT {
            return Err("a sparse file is larger than 8 PiB".to_owned());
        }
        Ok(chunks)
    }

    fn segments(&self) -> &[Segment] {
        match &self.segments {
            Segments::Whole(whole) => whole,
            Segments::Sparse(list) => list,
        }
    }

    /// The chunks in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Chunk> {
        let length = BLOCK << self.bits;
        let (mut rest, mut stored_at, mut copied) = (self.segments(), self.offset, 0);
        (0..self.count).map(move |number| {
            let (from, to) = (number * length, ((number + 1) * length).min(self.size));
            pass(&mut rest, &mut stored_at, from);
            let Some(segment) = rest.first().filter(|segment| segment.offset < to) else { return Chunk::Hole };
            let covered = segment.offset <= from && to <= segment.offset + segment.length;
            // Where the chunk's first byte would be in the tar.
            let at = stored_at.wrapping_add(from).wrapping_sub(segment.offset);
            if covered && at.is_multiple_of(BLOCK) {
                return Chunk::Tar((at >> BLOCK_BITS) as u32);
            }
            let first = copied;
            copied += blocks_of(to - from);
            Chunk::Copied(first as u32)
        })
    }

    /// Blocks that all copied chunks take.
    ///
    /// # Errors
    /// If that is out of proportion.
    pub(super) fn copied_blocks(&self) -> Result<u64, String> {
        let Segments::Sparse(segments) = &self.segments else { return Ok(0) };
        let limit = COPY_FREE + COPY_RATIO * segments.iter().map(|segment| segment.length).sum::<u64>();
        let length = BLOCK << self.bits;
        let mut blocks = 0;
        for (number, chunk) in (0..).zip(self.iter()) {
            if matches!(chunk, Chunk::Copied(_)) {
                blocks += blocks_of(length.min(self.size - number * length));
            }
            if blocks > limit >> BLOCK_BITS {
                return Err("a sparse file lies so askew in the tar that it would grow out of proportion".to_owned());
            }
        }
        Ok(blocks)
    }

    /// Writes the copied chunks, in order, each padded to a block.
    pub(super) fn write_copied(&self, tar: &File, out: &mut impl Write) -> io::Result<()> {
        let length = BLOCK << self.bits;
        let copied = (0..).zip(self.iter()).filter(|(_, chunk)| matches!(chunk, Chunk::Copied(_)));
        // Both lists are in order: each segment is looked at by the chunks that it touches.
        let (mut rest, mut stored_at) = (self.segments(), self.offset);
        for (number, _) in copied {
            let (from, to) = (number * length, ((number + 1) * length).min(self.size));
            pass(&mut rest, &mut stored_at, from);
            let (mut position, mut stored) = (from, stored_at);
            for segment in rest.iter().take_while(|segment| segment.offset < to) {
                let begin = segment.offset.max(from);
                let end = (segment.offset + segment.length).min(to);
                write_zeros(begin - position, out)?;
                copy(tar, stored + (begin - segment.offset), end - begin, out)?;
                stored += segment.length;
                position = end;
            }
            write_zeros(to.next_multiple_of(BLOCK) - position, out)?;
        }
        Ok(())
    }
}

/// Leaves behind the segments that end before `from`.
fn pass(rest: &mut &[Segment], stored_at: &mut u64, from: u64) {
    while let Some((first, others)) = rest.split_first()
        && first.offset + first.length <= from
    {
        *stored_at += first.length;
        *rest = others;
    }
}

fn copy(tar: &File, mut at: u64, mut length: u64, out: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; (64 << 10).min(length as usize)];
    while length > 0 {
        let count = buffer.len().min(usize::try_from(length).unwrap_or(usize::MAX));
        tar.read_exact_at(&mut buffer[..count], at)?;
        out.write_all(&buffer[..count])?;
        at += count as u64;
        length -= count as u64;
    }
    Ok(())
}

pub(super) fn write_zeros(mut length: u64, out: &mut impl Write) -> io::Result<()> {
    const ZEROS: [u8; 4096] = [0; 4096];
    while length > 0 {
        let count = length.min(ZEROS.len() as u64);
        out.write_all(&ZEROS[..count as usize])?;
        length -= count;
    }
    Ok(())
}

pub(super) fn blocks_of(size: u64) -> u64 {
    size.div_ceil(BLOCK)
}

/// All bits below the lowest one that is set; all bits for 0.
fn lowest_bits_below(value: u64) -> u64 {
    if value == 0 { u64::MAX } else { (1 << value.trailing_zeros()) - 1 }
}

impl Chunk {
    /// Device and block for the chunk index; `copied_at` is the block of the file's first copied chunk.
    pub(super) fn address(self, copied_at: u32) -> (u16, u32) {
        match self {
            Chunk::Hole => (0, HOLE),
            Chunk::Tar(block) => (1, block),
            Chunk::Copied(block) => (0, copied_at + block),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(offset: u64, length: u64) -> Segment {
        Segment { offset, length }
    }

    /// Bits of a chunk, the chunks, and the blocks that are copied.
    fn chunks(size: u64, offset: u64, segments: Option<&[Segment]>) -> (u32, Vec<Chunk>, u64) {
        let chunks = Chunks::of(size, offset, segments.map(SparseMap::Given)).unwrap();
        (chunks.bits, chunks.iter().collect(), chunks.copied_blocks().unwrap())
    }

    #[test]
    fn a_whole_file_is_one_chunk() {
        assert_eq!(chunks(1, 1024, None), (0, vec![Chunk::Tar(2)], 0));
        assert_eq!(chunks(5000, 512, None), (4, vec![Chunk::Tar(1)], 0));
        assert_eq!(chunks(0, 512, None), (0, vec![], 0));
        let (bits, huge, _) = chunks(5 << 40, 512, None);
        assert_eq!((bits, huge.len(), huge[1]), (31, 5, Chunk::Tar(1 + (1 << 31))));
    }

    #[test]
    fn aligned_segments_stay_in_the_tar_and_others_are_copied() {
        let aligned = chunks(16384, 512, Some(&[segment(4096, 4096), segment(12288, 4096)]));
        assert_eq!(aligned, (3, vec![Chunk::Hole, Chunk::Tar(1), Chunk::Hole, Chunk::Tar(9)], 0));
        let (_, askew, copied) = chunks(2000, 0, Some(&[segment(0, 100), segment(600, 10), segment(700, 4)]));
        assert_eq!((askew, copied), (vec![Chunk::Copied(0), Chunk::Copied(1), Chunk::Hole, Chunk::Hole], 2));
        assert_eq!(chunks(1 << 40, 0, Some(&[])), (31, vec![Chunk::Hole], 0));
    }

    #[test]
    fn a_tiny_tar_does_not_grow_to_a_huge_index() {
        let segments: Vec<Segment> = (0..200_000).map(|n| segment(n * (1 << 24) + 1, 1)).collect();
        assert!(Chunks::of(200_000 << 24, 0, Some(SparseMap::Given(&segments))).unwrap().copied_blocks().is_err());
    }
}
