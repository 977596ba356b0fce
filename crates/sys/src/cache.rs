//! The page cache of files: cachestat(2), since Linux 6.5.

use std::os::fd::{AsFd, AsRawFd};

/// The same number on every architecture (include/uapi/asm-generic/unistd.h).
const SYS_CACHESTAT: libc::c_long = 451;

/// `struct cachestat_range`.
#[repr(C)]
struct Range {
    offset: u64,
    length: u64,
}

/// `struct cachestat`.
#[repr(C)]
#[derive(Default)]
struct Cachestat {
    cached: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// How many pages of a file are in memory; `None` where the kernel does not tell.
pub fn cached_pages(file: impl AsFd) -> Option<u64> {
    // A length of 0 means to the end.
    cached_pages_within(file, 0, 0)
}

/// How many pages of these bytes of a file are in memory.
pub fn cached_pages_within(file: impl AsFd, offset: u64, length: u64) -> Option<u64> {
    let range = Range { offset, length };
    let mut found = Cachestat::default();
    // SAFETY: both structures have the kernel's layout and outlive the call, which writes only the second.
    let answer = unsafe { libc::syscall(SYS_CACHESTAT, file.as_fd().as_raw_fd(), &raw const range, &raw mut found, 0) };
    (answer == 0).then_some(found.cached)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_just_written_is_cached() {
        let path = std::env::temp_dir().join(format!("carboy-cache-{}", std::process::id()));
        std::fs::write(&path, vec![1; 1 << 20]).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        if let Some(pages) = cached_pages(&file) {
            assert!(pages > 0);
            assert_eq!(cached_pages_within(&file, 4096, 8192), Some(2));
            assert_eq!(cached_pages_within(&file, 1 << 20, 4096), Some(0));
        }
    }
}
