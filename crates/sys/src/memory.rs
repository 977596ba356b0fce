//! This process's memory, given back: malloc_trim(3).

/// Returns the allocator's free memory to the kernel.
pub fn trim_heap() {
    // SAFETY: affects only memory that the allocator holds as free.
    unsafe { libc::malloc_trim(0) };
}
