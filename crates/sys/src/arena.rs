//! Memory for programs that end soon: handed out from one place, one piece after the other, and not taken back.
//!
//! What the C library's allocator does to find, split and join pieces costs a program that lives for some milliseconds more than the
//! memory is worth, and it asks the kernel for its heap three times before the first piece.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An allocator: the first `SIZE` bytes come from a block of its own, of which only what has been used takes memory; what goes beyond,
/// from the system.
///
/// Of the block only the piece that was handed out last can grow, shrink and come back. Safe with threads.
#[derive(Debug)]
pub struct Arena<const SIZE: usize> {
    used: AtomicUsize,
    block: UnsafeCell<Block<SIZE>>,
}

#[repr(align(4096))]
#[derive(Debug)]
struct Block<const SIZE: usize>([u8; SIZE]);

// SAFETY: every byte of the block belongs to one piece at most: `used` only moves by compare-and-exchange.
unsafe impl<const SIZE: usize> Sync for Arena<SIZE> {}

impl<const SIZE: usize> Arena<SIZE> {
    /// With nothing handed out.
    #[expect(clippy::new_without_default, reason = "for a static, where only a constant function will do")]
    pub const fn new() -> Self {
        Arena { used: AtomicUsize::new(0), block: UnsafeCell::new(Block([0; SIZE])) }
    }

    fn start(&self) -> usize {
        self.block.get() as usize
    }

    /// Where a piece begins in the block; `None` if it is not of the block.
    fn offset(&self, piece: *mut u8) -> Option<usize> {
        (piece as usize).checked_sub(self.start()).filter(|offset| *offset < SIZE)
    }

    /// Moves the end of what is used from `from` to `to`, unless somebody else was faster.
    fn moved(&self, from: usize, to: usize) -> bool {
        self.used.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

// Out of line: they are called from a thousand places.
// SAFETY: pieces are aligned (the block is, to a page), do not overlap, and stay valid until they are given back; whatever is not of the
// block has come from the system and goes back there.
unsafe impl<const SIZE: usize> GlobalAlloc for Arena<SIZE> {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut used = self.used.load(Ordering::Relaxed);
        loop {
            // A power of two: no division, as `next_multiple_of` would make.
            let begin = (used + layout.align() - 1) & !(layout.align() - 1);
            let end = begin.saturating_add(layout.size());
            if end > SIZE || layout.align() > 4096 {
                // SAFETY: the caller's contract is the same.
                return unsafe { System.alloc(layout) };
            }
            match self.used.compare_exchange_weak(used, end, Ordering::Relaxed, Ordering::Relaxed) {
                // SAFETY: `begin` lies in the block.
                Ok(_) => return unsafe { self.block.get().cast::<u8>().add(begin) },
                Err(other) => used = other,
            }
        }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        match self.offset(piece) {
            Some(begin) => drop(self.moved(begin + layout.size(), begin)),
            // SAFETY: it has come from there.
            None => unsafe { System.dealloc(piece, layout) },
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(begin) = self.offset(piece) else {
            // SAFETY: it has come from there, and the rest is the caller's contract.
            return unsafe { System.realloc(piece, layout, size) };
        };
        let (end, wanted) = (begin + layout.size(), begin.saturating_add(size));
        if size <= layout.size() || wanted <= SIZE {
            // The last piece changes its size; another one stays where it is if it shrinks.
            if self.moved(end, wanted) || size <= layout.size() {
                return piece;
            }
        }
        // SAFETY: the caller gives a size that is valid with this alignment.
        let new = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !new.is_null() {
            // SAFETY: both are valid for the old size, which is the smaller one here, and do not overlap.
            unsafe { std::ptr::copy_nonoverlapping(piece, new, layout.size()) };
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn pieces_lie_side_by_side_until_the_block_is_full() {
        static ARENA: Arena<8192> = Arena::new();
        // SAFETY: every piece is given back with its layout, and is not used any more then.
        unsafe {
            let first = ARENA.alloc(layout(5, 1));
            let second = ARENA.alloc(layout(8, 8));
            assert_eq!(second as usize - first as usize, 8);
            // The last one grows in place; one before it moves, with its content.
            assert_eq!(ARENA.realloc(second, layout(8, 8), 64), second);
            first.copy_from_nonoverlapping(b"hello".as_ptr(), 5);
            let moved = ARENA.realloc(first, layout(5, 1), 100);
            assert!(moved > second && std::slice::from_raw_parts(moved, 5) == b"hello");
            // The last one comes back, others do not.
            ARENA.dealloc(moved, layout(100, 1));
            assert_eq!(ARENA.alloc(layout(1, 1)), moved);
            // What is larger than the rest is the system's, and stays so.
            let large = ARENA.alloc(layout(9000, 16));
            assert!(ARENA.offset(large).is_none() && (large as usize).is_multiple_of(16));
            let large = ARENA.realloc(large, layout(9000, 16), 10);
            assert!(ARENA.offset(large).is_none());
            ARENA.dealloc(large, layout(10, 16));
            // From the block to the system.
            let last = ARENA.alloc(layout(3, 1));
            last.copy_from_nonoverlapping(b"abc".as_ptr(), 3);
            let grown = ARENA.realloc(last, layout(3, 1), 9000);
            assert!(ARENA.offset(grown).is_none() && std::slice::from_raw_parts(grown, 3) == b"abc");
            ARENA.dealloc(grown, layout(9000, 1));
        }
    }

    #[test]
    fn threads_get_different_pieces() {
        static ARENA: Arena<{ 1 << 20 }> = Arena::new();
        let threads: Vec<_> = (0..4)
            // SAFETY: the pieces are not given back.
            .map(|_| std::thread::spawn(|| (0..1000).map(|_| unsafe { ARENA.alloc(layout(24, 8)) } as usize).collect()))
            .collect();
        let mut pieces: Vec<usize> =
            threads.into_iter().flat_map(|thread| -> Vec<usize> { thread.join().unwrap() }).collect();
        pieces.sort_unstable();
        assert!(pieces.windows(2).all(|pair| pair[1] - pair[0] >= 24));
    }
}
