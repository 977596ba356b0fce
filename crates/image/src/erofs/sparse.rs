//! Chunks of files: a whole file is one chunk of the tar; a sparse one has holes, chunks that lie straight in the tar, and chunks that
//! have to be copied into the index because they begin or end askew.

use super::format::{BLOCK, BLOCK_BITS, CHUNK_BITS_LIMIT, HOLE};
use crate::tar::Segment;
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

/// A file's chunks of 2^bits blocks each.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunks {
    pub(super) bits: u32,
    pub(super) chunks: Vec<Chunk>,
    /// Blocks that all copied chunks take.
    pub(super) copied_blocks: u32,
}

/// The chunks of a file that is stored whole.
pub(super) fn whole(size: u64, offset: u64) -> Chunks {
    let bits = blocks_of(size).next_power_of_two().trailing_zeros().min(CHUNK_BITS_LIMIT);
    let first = offset >> BLOCK_BITS;
    let count = blocks_of(size).div_ceil(1 << bits);
    let chunks = (0..count).map(|chunk| Chunk::Tar((first + (chunk << bits)) as u32)).collect();
    Chunks { bits, chunks, copied_blocks: 0 }
}

/// The chunks of a sparse file, whose stored bytes begin at `offset` in the tar.
///
/// # Errors
/// If it would take out of proportion much room.
pub(super) fn sparse(size: u64, offset: u64, segments: &[Segment]) -> Result<Chunks, String> {
    let aligned = segments.iter().fold(u64::MAX, |all, segment| {
        let end = segment.offset + segment.length;
        all & lowest_bits_below(segment.offset) & if end == size { u64::MAX } else { lowest_bits_below(end) }
    });
    let mut bits = (aligned.trailing_ones()).clamp(BLOCK_BITS, BLOCK_BITS + CHUNK_BITS_LIMIT) - BLOCK_BITS;
    bits = bits.min(blocks_of(size).next_power_of_two().trailing_zeros());
    while blocks_of(size).div_ceil(1 << bits) > CHUNK_LIMIT && bits < CHUNK_BITS_LIMIT {
        bits += 1;
    }
    let count = blocks_of(size).div_ceil(1 << bits);
    if count > CHUNK_LIMIT {
        return Err("a sparse file is larger than 8 PiB".to_owned());
    }
    let mut chunks = vec![Chunk::Hole; count as usize];
    let length = BLOCK << bits;
    let (mut stored_at, mut copied) = (offset, 0u64);
    let limit = COPY_FREE + COPY_RATIO * segments.iter().map(|segment| segment.length).sum::<u64>();
    for segment in segments {
        let end = segment.offset + segment.length;
        for number in segment.offset / length..end.div_ceil(length) {
            let (from, to) = (number * length, ((number + 1) * length).min(size));
            let covered = segment.offset <= from && to <= end;
            // Where the chunk's first byte would be in the tar.
            let at = stored_at.wrapping_add(from).wrapping_sub(segment.offset);
            let chunk = &mut chunks[number as usize];
            if covered && at.is_multiple_of(BLOCK) {
                *chunk = Chunk::Tar((at >> BLOCK_BITS) as u32);
            } else if *chunk == Chunk::Hole {
                *chunk = Chunk::Copied((copied >> BLOCK_BITS) as u32);
                copied += (to - from).next_multiple_of(BLOCK);
                if copied > limit {
                    return Err(
                        "a sparse file lies so askew in the tar that it would grow out of proportion".to_owned()
                    );
                }
            }
        }
        stored_at += segment.length;
    }
    Ok(Chunks { bits, chunks, copied_blocks: (copied >> BLOCK_BITS) as u32 })
}

/// Writes the copied chunks, in order, each padded to a block.
pub(super) fn write_copied(
    chunks: &Chunks,
    size: u64,
    offset: u64,
    segments: &[Segment],
    tar: &File,
    out: &mut impl Write,
) -> io::Result<()> {
    let length = BLOCK << chunks.bits;
    let copied = chunks.chunks.iter().enumerate().filter(|(_, chunk)| matches!(chunk, Chunk::Copied(_)));
    // Both lists are in order: each segment is looked at by the chunks that it touches.
    let (mut rest, mut stored_at) = (segments, offset);
    for (number, _) in copied {
        let (from, to) = (number as u64 * length, ((number as u64 + 1) * length).min(size));
        while let Some((first, others)) = rest.split_first()
            && first.offset + first.length <= from
        {
            stored_at += first.length;
            rest = others;
        }
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

    #[test]
    fn a_whole_file_is_one_chunk() {
        assert_eq!(whole(1, 1024), Chunks { bits: 0, chunks: vec![Chunk::Tar(2)], copied_blocks: 0 });
        assert_eq!(whole(5000, 512), Chunks { bits: 4, chunks: vec![Chunk::Tar(1)], copied_blocks: 0 });
    }

    #[test]
    fn aligned_segments_stay_in_the_tar_and_others_are_copied() {
        let chunks = sparse(16384, 512, &[segment(4096, 4096), segment(12288, 4096)]).unwrap();
        assert_eq!((chunks.bits, chunks.copied_blocks), (3, 0));
        assert_eq!(chunks.chunks, [Chunk::Hole, Chunk::Tar(1), Chunk::Hole, Chunk::Tar(9)]);
        let chunks = sparse(2000, 0, &[segment(0, 100), segment(600, 10), segment(700, 4)]).unwrap();
        assert_eq!(chunks.chunks, [Chunk::Copied(0), Chunk::Copied(1), Chunk::Hole, Chunk::Hole]);
        let nothing = sparse(1 << 40, 0, &[]).unwrap();
        assert_eq!((nothing.chunks.len(), nothing.bits), (1, 31));
    }

    #[test]
    fn a_tiny_tar_does_not_grow_to_a_huge_index() {
        let segments: Vec<Segment> = (0..200_000).map(|n| segment(n * (1 << 24) + 1, 1)).collect();
        assert!(sparse(200_000 << 24, 0, &segments).is_err());
    }
}
