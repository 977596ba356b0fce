//! This process's memory, given back: malloc_trim(3), madvise(2) of the program's own image.

use std::ffi::c_void;

/// Returns the allocator's free memory to the kernel.
pub fn trim_heap() {
    // SAFETY: affects only memory that the allocator holds as free.
    unsafe { libc::malloc_trim(0) };
}

/// Unmaps the pages of the program's code and constants. Those still needed come back from the page cache, a fault for every few, so
/// that a process that waits counts only for what it waits with.
pub fn trim_image() {
    for segment in crate::image::segments().iter().filter(|segment| !segment.writable) {
        // SAFETY: a private mapping of a file that was never written to: the next access reads the same bytes again. (The file
        // of a running program cannot be changed, ETXTBSY.)
        unsafe { libc::madvise(segment.start as *mut c_void, segment.length, libc::MADV_DONTNEED) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_goes_on_without_its_pages() {
        trim_heap();
        trim_image();
        assert_eq!(format!("{}", 6 * 7), "42");
    }
}
