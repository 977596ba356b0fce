//! The bytes of a tree: blocks of memory, and, beyond what the process's budget allows, blocks of a nameless file, of which only some
//! pieces are mapped in at a time.
//!
//! Everything in a tree is known by where it begins here. What was handed out stays where it is.

use crate::layer::BUDGET;
use carboy_sys::scratch::{Mapping, PIECE, Scratch, Share};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where something begins: its block in the upper bits, its byte there in the lower ones.
pub(crate) type Id = u32;

/// No such thing.
pub(super) const NONE: Id = Id::MAX;

/// Bits of a block's length.
const BLOCK_BITS: u32 = 20;
/// Bytes of a block, which is as much as one thing may have.
pub(super) const BLOCK: usize = 1 << BLOCK_BITS;

/// Blocks that one tree may have, and how many of them in memory where there can be no file: 30 million entries, and a fourth of that.
const BLOCKS_LIMIT: usize = 1 << 10;
const MEMORY_LIMIT: usize = 1 << 8;

/// Pieces of files that all trees of the process have mapped in together: 8 MiB.
const PIECES_MAPPED: usize = 128;

/// Trees that have blocks of files.
static IN_FILES: AtomicUsize = AtomicUsize::new(0);

/// See the module.
pub(super) struct Arena {
    blocks: Vec<Block>,
    /// Bytes of the last block that are handed out.
    used: usize,
    /// Where the file may be.
    folder: PathBuf,
    file: Option<Scratch>,
    /// Pieces of blocks of the file that were touched since they were last released.
    touched: Cell<usize>,
}

enum Block {
    Memory {
        bytes: Box<[u8]>,
        _share: Option<Share>,
    },
    /// With a bit for each piece that was touched.
    File {
        bytes: Mapping,
        touched: Cell<u16>,
    },
}

impl Arena {
    pub(super) fn new(folder: &Path) -> Self {
        Arena { blocks: Vec::new(), used: BLOCK, folder: folder.to_owned(), file: None, touched: Cell::new(0) }
    }

    /// Hands out so many bytes, zeros, at most a block. What fits into a piece lies in one.
    pub(super) fn take(&mut self, length: usize) -> Result<Id, String> {
        let mut at = self.used;
        if at % PIECE + length > PIECE && length <= PIECE {
            at = at.next_multiple_of(PIECE);
        }
        if at + length > BLOCK {
            let block = self.block()?;
            self.blocks.push(block);
            at = 0;
        }
        self.used = at + length;
        Ok(((self.blocks.len() - 1) << BLOCK_BITS | at) as Id)
    }

    /// What begins here, and what comes after it.
    pub(super) fn at(&self, id: Id) -> &[u8] {
        let at = id as usize % BLOCK;
        match &self.blocks[(id >> BLOCK_BITS) as usize] {
            Block::Memory { bytes, .. } => &bytes[at..],
            Block::File { bytes, touched } => {
                self.touch(touched, at);
                &bytes[at..]
            }
        }
    }

    pub(super) fn at_mut(&mut self, id: Id) -> &mut [u8] {
        let at = id as usize % BLOCK;
        if let Block::File { touched, .. } = &self.blocks[(id >> BLOCK_BITS) as usize] {
            self.touch(touched, at);
        }
        match &mut self.blocks[(id >> BLOCK_BITS) as usize] {
            Block::Memory { bytes, .. } => &mut bytes[at..],
            Block::File { bytes, .. } => &mut bytes[at..],
        }
    }

    /// So many bytes, which may lie in several pieces.
    pub(super) fn span(&self, id: Id, length: usize) -> &[u8] {
        for within in (0..length).step_by(PIECE).chain(length.checked_sub(1)) {
            let _touched = self.at(id + within as Id);
        }
        &self.at(id)[..length]
    }

    fn touch(&self, touched: &Cell<u16>, at: usize) {
        let bit = 1 << (at / PIECE);
        if touched.get() & bit == 0 {
            self.map_in();
            touched.set(touched.get() | bit);
        }
    }

    /// Another piece will be mapped in: makes room for it. What was mapped in comes back when it is touched.
    #[cold]
    fn map_in(&self) {
        if self.touched.get() >= PIECES_MAPPED / IN_FILES.load(Ordering::Relaxed).clamp(1, PIECES_MAPPED) {
            self.touched.set(0);
            for block in &self.blocks {
                if let Block::File { bytes, touched } = block
                    && touched.take() != 0
                {
                    bytes.release();
                }
            }
        }
        self.touched.set(self.touched.get() + 1);
    }

    fn block(&mut self) -> Result<Block, String> {
        let number = self.blocks.len();
        let too_large = |limit: usize| format!("the layer's names and attributes take more than {limit} MiB");
        if number == BLOCKS_LIMIT {
            return Err(too_large(BLOCKS_LIMIT));
        }
        let share = BUDGET.take(BLOCK);
        // Most layers need no more than the first.
        if share.is_none() && number > 0 {
            let in_file = self.file_block();
            if let Some(block) =
                in_file.map_err(|e| format!("its names: scratch file in {}: {e}", self.folder.display()))?
            {
                return Ok(block);
            }
            if number >= MEMORY_LIMIT {
                return Err(too_large(MEMORY_LIMIT));
            }
        }
        Ok(Block::Memory { bytes: vec![0; BLOCK].into(), _share: share })
    }

    /// `None` where there can be none.
    fn file_block(&mut self) -> std::io::Result<Option<Block>> {
        if self.file.is_none() {
            self.file = Scratch::within(&self.folder)?;
            IN_FILES.fetch_add(usize::from(self.file.is_some()), Ordering::Relaxed);
        }
        let mapping = self.file.as_mut().map_or(Ok(None), |file| file.map(BLOCK, PIECE))?;
        Ok(mapping.map(|bytes| Block::File { bytes, touched: Cell::new(0) }))
    }

    /// Blocks of the file.
    #[cfg(test)]
    pub(super) fn in_file(&self) -> usize {
        self.blocks.iter().filter(|block| matches!(block, Block::File { .. })).count()
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        IN_FILES.fetch_sub(usize::from(self.file.is_some()), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_bounded() {
        let mut arena = Arena::new(Path::new("/var/tmp"));
        let refused = (0..=BLOCKS_LIMIT).find_map(|number| arena.take(BLOCK).err().map(|why| (number, why)));
        let (number, why) = refused.unwrap();
        // Where there can be no file, it is the other limit.
        let limit = if arena.in_file() > 0 { BLOCKS_LIMIT } else { MEMORY_LIMIT };
        assert_eq!((number, why), (limit, format!("the layer's names and attributes take more than {limit} MiB")));
    }

    #[test]
    fn only_so_many_pieces_are_mapped_in() {
        let mut arena = Arena::new(Path::new("/var/tmp"));
        let ids: Vec<Id> = (0..100 * 16).map(|_| arena.take(PIECE).unwrap()).collect();
        for round in 0..3 {
            for &id in &ids {
                assert_eq!(arena.at(id)[7], if round == 0 { 0 } else { id.to_le_bytes()[2] });
                arena.at_mut(id)[7] = id.to_le_bytes()[2];
                assert!(arena.touched.get() <= PIECES_MAPPED);
            }
        }
        let all = arena.span(ids[1599] & !(BLOCK as Id - 1), BLOCK);
        assert!(all.len() == BLOCK && arena.touched.get() <= PIECES_MAPPED);
    }
}
