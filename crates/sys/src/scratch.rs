//! Memory that is a file's: large, of which the process keeps mapped only what it works on (mmap(2), madvise(2)).
//!
//! A nameless file is mapped shared. [`Mapping::release`] takes its pages out of the process; they stay in the page cache, from where
//! they come back when they are touched, and from where the kernel writes them to the disk when it needs the memory. Nothing is mapped
//! before the disk has given room for it: writing to a page that finds none would kill the process (SIGBUS).

use rustix::fs::{FallocateFlags, Mode, OFlags, fallocate, fstatfs, ioctl_getflags, ioctl_setflags};
use rustix::io::Errno;
use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

/// As much as kernels before Linux 6.18 map at most when a byte is touched (mm/memory.c, `fault_around_bytes`).
pub const PIECE: usize = 64 << 10;

/// File systems on which room that fallocate(2) has given is never taken back: ext4, XFS, tmpfs (statfs(2)).
const IN_PLACE: [u64; 3] = [0xef53, 0x5846_5342, 0x0102_1994];
const BTRFS: u64 = 0x9123_683e;

/// A file without a name, which grows by what is mapped of it.
#[derive(Debug)]
pub struct Scratch {
    file: File,
    size: u64,
}

impl Scratch {
    /// A new one on the file system of `folder`; `None` where that cannot promise room.
    ///
    /// # Errors
    /// open(2)'s.
    pub fn within(folder: &Path) -> io::Result<Option<Self>> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file: OwnedFd = match rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR) {
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => return Ok(None),
            opened => opened?,
        };
        let kind = fstatfs(&file)?.f_type as u64;
        // btrfs writes changed blocks elsewhere, where there may be no room, unless it is told not to.
        let in_place = IN_PLACE.contains(&kind) || kind == BTRFS && without_copies(&file).is_ok();
        Ok(in_place.then(|| Scratch { file: file.into(), size: 0 }))
    }

    /// The next `length` bytes: zeros at first. When one is touched, at most `piece` bytes come into the process, which is a multiple of the
    /// size of a page. `None` where the file system cannot promise room.
    ///
    /// # Errors
    /// fallocate(2)'s and mmap(2)'s, that the disk is full among them.
    pub fn map(&mut self, length: usize, piece: usize) -> io::Result<Option<Mapping>> {
        let length = length.next_multiple_of(piece);
        match fallocate(&self.file, FallocateFlags::empty(), self.size, length as u64) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(None),
            allocated => allocated?,
        }
        let (access, offset) = (libc::PROT_READ | libc::PROT_WRITE, self.size as libc::off_t);
        let fd = self.file.as_raw_fd();
        // SAFETY: a new mapping at a place of the kernel's choice. Nobody else has the file, so that it is neither cut off nor written to
        // by others, and its bytes are mapped once.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, access, libc::MAP_SHARED, fd, offset) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        self.size += length as u64;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let mapping = Mapping { start, length };
        mapping.divide(piece);
        Ok(Some(mapping))
    }
}

fn without_copies(file: &OwnedFd) -> rustix::io::Result<()> {
    ioctl_setflags(file, ioctl_getflags(file)? | rustix::fs::IFlags::NOCOW)
}

/// Bytes of a [`Scratch`], which live as long as this does.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the memory is this value's own, like that of a `Box<[u8]>`.
unsafe impl Send for Mapping {}
// SAFETY: as above; nothing is changed through a shared reference.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Has no fault map more than a piece: since Linux 6.18 one maps all of a large folio, up to 2 MiB, but never beyond its area, and
    /// areas whose advice differs are apart. Where there are too many areas already it stays as it is.
    fn divide(&self, piece: usize) {
        for at in (0..self.length).step_by(2 * piece) {
            // SAFETY: the range lies in the mapping, whose length is a multiple of a piece; advice changes no content.
            unsafe { libc::madvise(self.start.as_ptr().add(at).cast::<c_void>(), piece, libc::MADV_RANDOM) };
        }
    }

    /// Takes the pages out of this process. What they hold stays.
    pub fn release(&self) {
        // SAFETY: of a shared mapping of a file the pages are unmapped, not emptied: the next access finds the same bytes.
        unsafe { libc::madvise(self.start.as_ptr().cast::<c_void>(), self.length, libc::MADV_DONTNEED) };
    }
}

impl Deref for Mapping {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: mapped, readable, and changed only through an exclusive reference.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl DerefMut for Mapping {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: mapped, writable, and only this value's.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and nothing refers to it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast::<c_void>(), self.length) };
    }
}

/// Bytes of files that are mapped into this process now, its program among them (proc_pid_statm(5)).
///
/// # Errors
/// If /proc cannot be read.
pub fn resident() -> io::Result<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split(' ').nth(2).and_then(|pages| pages.parse::<usize>().ok());
    pages.map(|pages| pages * rustix::param::page_size()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Memory that several may take from, as long as there is some.
#[derive(Debug)]
pub struct Budget {
    left: AtomicUsize,
}

impl Budget {
    /// So many bytes.
    pub const fn new(bytes: usize) -> Self {
        Budget { left: AtomicUsize::new(bytes) }
    }

    /// Takes so many bytes, if there are as many.
    pub fn take(&'static self, bytes: usize) -> Option<Share> {
        let left = |left: usize| left.checked_sub(bytes);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).ok()?;
        Some(Share { budget: self, bytes })
    }
}

/// What was taken from a [`Budget`], until it is dropped.
#[derive(Debug)]
pub struct Share {
    budget: &'static Budget,
    bytes: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_released_stays_and_takes_no_memory() {
        const SIZE: usize = 64 << 20;
        // Not a tmpfs, if that can be had.
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let Some(mut scratch) = Scratch::within(folder.path()).unwrap() else { return };
        let (mut first, second) = (scratch.map(SIZE, PIECE).unwrap().unwrap(), scratch.map(5, PIECE).unwrap().unwrap());
        assert_eq!((first.len(), second.len()), (SIZE, PIECE));
        let before = resident().unwrap();
        for at in (0..SIZE).step_by(4096) {
            first[at..at + 8].copy_from_slice(&at.to_le_bytes());
        }
        assert!(resident().unwrap() - before > SIZE / 2);
        first.release();
        assert!(resident().unwrap() - before < SIZE / 8);
        // Every sixteenth piece brings itself only, however large the folios are.
        assert!((0..SIZE).step_by(16 * PIECE).all(|at| first[at..at + 8] == at.to_le_bytes()));
        assert!(resident().unwrap() - before < SIZE / 8);
        assert!((0..SIZE).step_by(4096).all(|at| first[at..at + 8] == at.to_le_bytes()));
        assert!(second.iter().all(|&byte| byte == 0));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it has no name");
    }

    #[test]
    fn a_budget_is_shared() {
        static BUDGET: Budget = Budget::new(10);
        let first = BUDGET.take(6);
        assert!(first.is_some() && BUDGET.take(5).is_none());
        let second = BUDGET.take(4);
        assert!(second.is_some() && BUDGET.take(1).is_none());
        drop(first);
        assert!(BUDGET.take(6).is_some() && BUDGET.take(7).is_none());
    }
}
