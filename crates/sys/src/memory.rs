//! This process's memory, given back: malloc_trim(3), madvise(2) of the program's own image.

use std::ffi::{c_int, c_void};

/// Returns the allocator's free memory to the kernel.
pub fn trim_heap() {
    // SAFETY: affects only memory that the allocator holds as free.
    unsafe { libc::malloc_trim(0) };
}

/// Unmaps the pages of the program's code and constants. Those still needed come back from the page cache, a fault for every few, so
/// that a process that waits counts only for what it waits with.
pub fn trim_image() {
    let mut ranges: Ranges = [(0, 0); 8];
    // SAFETY: the callback gets a `Ranges`, which outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(collect_ranges), (&raw mut ranges).cast()) };
    for (start, length) in ranges {
        if length > 0 {
            // SAFETY: a private mapping of a file that was never written to: the next access reads the same bytes again. (The file
            // of a running program cannot be changed, ETXTBSY.)
            unsafe { libc::madvise(start as *mut c_void, length, libc::MADV_DONTNEED) };
        }
    }
}

/// Start and length of mappings that are never written to; unused ones have length 0.
type Ranges = [(usize, usize); 8];

unsafe extern "C" fn collect_ranges(info: *mut libc::dl_phdr_info, _size: libc::size_t, data: *mut c_void) -> c_int {
    // SAFETY: the C library passes a valid description, whose headers live as long as the object is loaded.
    let (base, headers) = unsafe {
        let info = &*info;
        (info.dlpi_addr as usize, std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)))
    };
    // SAFETY: `trim_image` passes its `Ranges`, to which nothing else refers meanwhile.
    let ranges = unsafe { &mut *data.cast::<Ranges>() };
    // SAFETY: no pointers; the page size is always known.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    let constant = headers.iter().filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0);
    let mut unused = ranges.iter_mut().filter(|(_, length)| *length == 0);
    for header in constant {
        let start = (base + header.p_vaddr as usize).next_multiple_of(page);
        let end = (base + header.p_vaddr as usize + header.p_memsz as usize) / page * page;
        if let Some(range) = unused.next() {
            *range = (start, end.saturating_sub(start));
        }
    }
    0
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
