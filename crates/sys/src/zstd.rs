//! A zstd decoder whose large windows may be a file's: zstd's `ZSTD_createDCtx_advanced`, which takes an allocator.
//!
//! A decoder remembers as much of what it has written as the frame says, up to 128 MiB. It holds that in one piece of memory of its own,
//! together with 128 KiB of input, and goes round in it.

use crate::scratch::{Budget, Mapping, Scratch, Share};
use std::ffi::c_void;
use std::io;
use std::path::PathBuf;
use std::ptr::NonNull;
use zstd_sys::{
    ZSTD_DCtx, ZSTD_createDCtx_advanced, ZSTD_customMem, ZSTD_decompressStream, ZSTD_freeDCtx, ZSTD_getErrorName,
    ZSTD_inBuffer, ZSTD_isError, ZSTD_outBuffer,
};

/// Less than this is not worth a file.
const SMALL: usize = 1 << 20;
/// What comes into the process with a byte of a window: a block may refer to a thousand places, anywhere. At least a page.
const PIECE: usize = 16 << 10;

/// A decoder.
#[derive(Debug)]
pub struct Decoder {
    context: NonNull<ZSTD_DCtx>,
    /// The allocator's, which `context` has the address of.
    pieces: NonNull<Pieces>,
}

// SAFETY: the context and the pieces belong to this value alone, and neither depends on a thread.
unsafe impl Send for Decoder {}

/// What one call has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Bytes taken from the input.
    pub read: usize,
    /// Bytes put into the output.
    pub written: usize,
    /// Whether a frame has just ended, with all that it holds written.
    pub at_end: bool,
}

/// The large pieces of memory that a decoder has, by their address.
#[derive(Debug)]
struct Pieces {
    folder: PathBuf,
    budget: &'static Budget,
    list: Vec<(NonNull<c_void>, Piece)>,
    /// Why the last one could not be had.
    failed: Option<io::Error>,
}

#[derive(Debug)]
enum Piece {
    Memory { _share: Option<Share> },
    File(Mapping),
}

impl Decoder {
    /// A new one: large memory comes from the budget, and when that is used up from a nameless file in `folder`, if it can be had there.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn new(folder: PathBuf, budget: &'static Budget) -> io::Result<Self> {
        let pieces = Box::leak(Box::new(Pieces { folder, budget, list: Vec::new(), failed: None }));
        let pieces = NonNull::from(pieces);
        let (custom_alloc, custom_free) = (Some(allocate as _), Some(free as _));
        let opaque = pieces.as_ptr().cast();
        let memory = ZSTD_customMem { customAlloc: custom_alloc, customFree: custom_free, opaque };
        // SAFETY: both functions answer as malloc and free do, and `opaque` outlives the context.
        let context = NonNull::new(unsafe { ZSTD_createDCtx_advanced(memory) });
        let Some(context) = context else {
            // SAFETY: it was leaked above, and nobody has it.
            drop(unsafe { Box::from_raw(pieces.as_ptr()) });
            return Err(io::ErrorKind::OutOfMemory.into());
        };
        Ok(Decoder { context, pieces })
    }

    /// Goes on by as much as input and output allow.
    ///
    /// # Errors
    /// If the input is no zstd, or damaged; if there is no memory, or no room on the disk, for its window.
    pub fn decompress(&mut self, input: &[u8], output: &mut [u8]) -> io::Result<Step> {
        let mut from = ZSTD_inBuffer { src: input.as_ptr().cast(), size: input.len(), pos: 0 };
        let mut to = ZSTD_outBuffer { dst: output.as_mut_ptr().cast(), size: output.len(), pos: 0 };
        // SAFETY: both describe memory that outlives the call; zstd keeps nothing of it (its output is buffered).
        let answer = unsafe { ZSTD_decompressStream(self.context.as_ptr(), &raw mut to, &raw mut from) };
        // SAFETY: any number may be asked about.
        if unsafe { ZSTD_isError(answer) } != 0 {
            // SAFETY: the allocator uses it only during calls of zstd.
            if let Some(error) = unsafe { self.pieces.as_mut() }.failed.take() {
                return Err(error);
            }
            // SAFETY: the names are constants.
            let name = unsafe { std::ffi::CStr::from_ptr(ZSTD_getErrorName(answer)) };
            return Err(io::Error::new(io::ErrorKind::InvalidData, name.to_string_lossy()));
        }
        Ok(Step { read: from.pos, written: to.pos, at_end: answer == 0 })
    }

    /// Bytes of files that the decoder works in.
    pub fn in_files(&self) -> usize {
        self.files().map(|mapping| mapping.len()).sum()
    }

    /// Takes them out of this process; see [`Mapping::release`].
    pub fn release(&self) {
        self.files().for_each(Mapping::release);
    }

    fn files(&self) -> impl Iterator<Item = &Mapping> {
        // SAFETY: the allocator uses it only during calls of zstd, which need an exclusive reference to this value.
        let pieces = unsafe { self.pieces.as_ref() };
        pieces.list.iter().filter_map(|(_, piece)| match piece {
            Piece::File(mapping) => Some(mapping),
            Piece::Memory { .. } => None,
        })
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: made by zstd, given back once; it is the last that uses the pieces.
        unsafe {
            ZSTD_freeDCtx(self.context.as_ptr());
            drop(Box::from_raw(self.pieces.as_ptr()));
        }
    }
}

impl Pieces {
    fn allocate(&mut self, size: usize) -> io::Result<*mut c_void> {
        let share = self.budget.take(size);
        if share.is_none()
            && let Some(mut scratch) = Scratch::within(&self.folder)?
            && let Some(mut mapping) = scratch.map(size, PIECE.max(rustix::param::page_size()))?
        {
            let start = mapping.as_mut_ptr().cast::<c_void>();
            self.list.extend(NonNull::new(start).map(|known| (known, Piece::File(mapping))));
            return Ok(start);
        }
        // SAFETY: nothing is asked of the caller.
        let start = unsafe { libc::malloc(size) };
        self.list.extend(NonNull::new(start).map(|known| (known, Piece::Memory { _share: share })));
        Ok(start)
    }

    fn free(&mut self, start: *mut c_void) {
        if let Some(at) = self.list.iter().position(|(known, _)| known.as_ptr() == start)
            && let (_, Piece::File(_)) = self.list.swap_remove(at)
        {
            return;
        }
        // SAFETY: what is not a file's has come from malloc; or it is null.
        unsafe { libc::free(start) };
    }
}

/// `ZSTD_allocFunction`.
unsafe extern "C" fn allocate(opaque: *mut c_void, size: usize) -> *mut c_void {
    if size < SMALL {
        // SAFETY: nothing is asked of the caller.
        return unsafe { libc::malloc(size) };
    }
    // SAFETY: it is what the context was made with, and only zstd's calls use it while they last.
    let pieces = unsafe { &mut *opaque.cast::<Pieces>() };
    pieces.allocate(size).unwrap_or_else(|error| {
        pieces.failed = Some(error);
        std::ptr::null_mut()
    })
}

/// `ZSTD_freeFunction`.
unsafe extern "C" fn free(opaque: *mut c_void, start: *mut c_void) {
    // SAFETY: as in `allocate`.
    unsafe { &mut *opaque.cast::<Pieces>() }.free(start);
}
