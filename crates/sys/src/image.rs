//! This program's own image in memory: its segments, and which file they are of.
//!
//! What a process executes is known to the kernel twice: by the file that its segments are mapped from, and by the link /proc/PID/exe.
//! [`leave_writable_mount`] changes both, in place, to the same file by a mount that cannot be written through.

use crate::check;
use crate::mount::{Change, attr, mount_setattr};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use std::ffi::{c_int, c_void};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

const SELF: &str = "/proc/self/exe";

/// A loaded part of the program's file, in whole pages; what the file does not fill (.bss) is not in it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Segment {
    pub(crate) start: usize,
    pub(crate) length: usize,
    pub(crate) writable: bool,
    offset: usize,
    protection: c_int,
}

/// The program's segments, and the part of the writable ones that its start-up code has sealed (start and length).
#[derive(Debug, Default)]
pub(crate) struct Segments {
    list: [Segment; 8],
    count: usize,
    sealed: (usize, usize),
}

impl Segments {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Segment> {
        self.list[..self.count].iter()
    }
}

/// Reads the program headers. No other object is looked at: the binaries are static.
pub(crate) fn segments() -> Segments {
    let mut found = Segments::default();
    // SAFETY: the callback gets a `Segments`, which outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(collect), (&raw mut found).cast()) };
    found
}

unsafe extern "C" fn collect(info: *mut libc::dl_phdr_info, _size: libc::size_t, data: *mut c_void) -> c_int {
    // SAFETY: the C library passes a valid description, whose headers live as long as the object is loaded.
    let (base, headers) = unsafe {
        let info = &*info;
        (info.dlpi_addr as usize, std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)))
    };
    // SAFETY: `segments` passes its own value, to which nothing else refers meanwhile.
    let found = unsafe { &mut *data.cast::<Segments>() };
    // SAFETY: no pointers; the page size is always known.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    for header in headers {
        let address = base + header.p_vaddr as usize;
        let start = address / page * page;
        match header.p_type {
            libc::PT_LOAD if found.count < found.list.len() => {
                let flag = |bit, protection| if header.p_flags & bit == 0 { 0 } else { protection };
                found.list[found.count] = Segment {
                    start,
                    length: (address + header.p_filesz as usize).next_multiple_of(page) - start,
                    writable: header.p_flags & libc::PF_W != 0,
                    offset: header.p_offset as usize / page * page,
                    protection: flag(libc::PF_R, libc::PROT_READ)
                        | flag(libc::PF_W, libc::PROT_WRITE)
                        | flag(libc::PF_X, libc::PROT_EXEC),
                };
                found.count += 1;
            }
            // As the C library does it: whole pages only.
            libc::PT_GNU_RELRO => found.sealed = (start, (address + header.p_memsz as usize) / page * page - start),
            _ => {}
        }
    }
    // The program itself comes first.
    1
}

/// Goes on in the same file by a detached read-only copy of the mount that holds it: afterwards neither /proc/PID/exe of this process
/// and of its children nor their mappings lead to the file by a mount that could be written through (CVE-2019-5736). Takes a dozen
/// system calls and no execve. Needs CAP_SYS_ADMIN and a kernel with `PR_SET_MM_MAP` (CONFIG_CHECKPOINT_RESTORE).
///
/// # Errors
/// The process goes on as before; `EBUSY` if it has other threads.
pub fn leave_writable_mount() -> Result<(), Errno> {
    let mut map = MemoryMap::read_alone()?;
    let file = open_by_read_only_mount()?;
    let segments = segments();
    for segment in segments.iter().filter(|segment| !segment.writable) {
        map_again(segment, &file)?;
    }
    let mut writable = segments.iter().filter(|segment| segment.writable).peekable();
    while let Some(first) = writable.next() {
        let mut length = first.length;
        while let Some(next) = writable.next_if(|next| next.start == first.start + length) {
            length += next.length;
        }
        copy_from_file(first.start, length)?;
    }
    if segments.sealed.1 > 0 {
        // SAFETY: the C library made these pages read-only before; nobody writes to them any more.
        check(unsafe { libc::mprotect(segments.sealed.0 as *mut c_void, segments.sealed.1, libc::PROT_READ) }.into())?;
    }
    map.exe_fd = file.as_raw_fd() as u32;
    map.set()
}

fn open_by_read_only_mount() -> Result<OwnedFd, Errno> {
    let mount = open_tree(CWD, SELF, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)?;
    mount_setattr(mount.as_fd(), c"", false, Change { set: attr::RDONLY, ..Change::default() }, None)?;
    let path = format!("/proc/self/fd/{}", mount.as_raw_fd());
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

fn map_again(segment: &Segment, file: &OwnedFd) -> Result<(), Errno> {
    let Segment { start, length, offset, protection, .. } = *segment;
    // SAFETY: the same bytes of the same file (it was found by /proc/self/exe, and cannot be changed while it is executed) come to the
    // same place, with the same protection; nobody has written to them. The kernel exchanges them as one.
    let mapped = unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_FIXED;
        libc::mmap(start as *mut c_void, length, protection, flags, file.as_raw_fd(), offset as libc::off_t)
    };
    check(mapped as libc::c_long).map(drop)
}

/// Replaces pages of a private file mapping by anonymous ones with the same content.
fn copy_from_file(start: usize, length: usize) -> Result<(), Errno> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // All of it is written to at once: no fault for each page.
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
    // SAFETY: new memory, wherever there is room.
    let copy = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) };
    check(copy as libc::c_long)?;
    // SAFETY: both are valid for `length` bytes, which are the program's own data. This is the only thread, and between the copy
    // and the move it does nothing but these two calls, which write to no static data; the kernel exchanges the pages as one.
    let moved = unsafe {
        std::ptr::copy_nonoverlapping(start as *const u8, copy.cast::<u8>(), length);
        libc::mremap(copy, length, length, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, start as *mut c_void)
    };
    check(moved as libc::c_long).map(drop)
}

/// `struct prctl_mm_map` of linux/prctl.h.
#[repr(C)]
#[derive(Debug, Default)]
struct MemoryMap {
    start_code: u64,
    end_code: u64,
    start_data: u64,
    end_data: u64,
    start_brk: u64,
    brk: u64,
    start_stack: u64,
    arg_start: u64,
    arg_end: u64,
    env_start: u64,
    env_end: u64,
    auxv: u64,
    auxv_size: u32,
    exe_fd: u32,
}

impl MemoryMap {
    /// What the kernel has now, by proc_pid_stat(5); without an auxiliary vector, which then stays as it is. `EBUSY` if there is another
    /// thread, which could write to the data while it is copied.
    fn read_alone() -> Result<MemoryMap, Errno> {
        let (map, threads) = Self::read()?;
        if threads == 1 { Ok(map) } else { Err(Errno::BUSY) }
    }

    fn read() -> Result<(MemoryMap, u64), Errno> {
        let file = rustix::fs::open("/proc/self/stat", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut bytes = [0u8; 1024];
        let length = rustix::io::read(&file, &mut bytes)?;
        let text = std::str::from_utf8(&bytes[..length]).map_err(|_| Errno::ILSEQ)?;
        // The name, in parentheses, may hold anything; the state that follows is field 3.
        let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest);
        let mut fields = fields.split_ascii_whitespace().map(|field| field.parse().unwrap_or(0));
        let mut skip = |count: usize| fields.nth(count).ok_or(Errno::INVAL);
        let threads = skip(17)?;
        let (start_code, end_code, start_stack) = (skip(5)?, skip(0)?, skip(0)?);
        let (start_data, end_data, start_brk) = (skip(16)?, skip(0)?, skip(0)?);
        let (arg_start, arg_end, env_start, env_end) = (skip(0)?, skip(0)?, skip(0)?, skip(0)?);
        // SAFETY: asks for the end of the heap.
        let brk = unsafe { libc::sbrk(0) } as u64;
        let map = MemoryMap {
            start_code,
            end_code,
            start_data,
            end_data,
            start_brk,
            brk,
            start_stack,
            arg_start,
            arg_end,
            env_start,
            env_end,
            ..MemoryMap::default()
        };
        Ok((map, threads))
    }

    fn set(&self) -> Result<(), Errno> {
        // SAFETY: the structure is valid for the size given. Apart from the file it says what holds already.
        let ret = unsafe {
            libc::prctl(libc::PR_SET_MM, libc::PR_SET_MM_MAP, std::ptr::from_ref(self), size_of::<MemoryMap>(), 0)
        };
        check(ret.into()).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_known() {
        let found = segments();
        let code = the_image_is_known as *const () as usize;
        let holds = |s: &&Segment| (s.start..s.start + s.length).contains(&code);
        let segment = found.iter().find(holds).expect("the code of this function is in a segment");
        assert!(!segment.writable && segment.protection & libc::PROT_EXEC != 0);
        let (map, threads) = MemoryMap::read().unwrap();
        assert!(threads > 1, "the harness has some");
        assert!(map.start_code < map.end_code && map.start_brk <= map.brk && map.arg_start < map.env_end);
        let stack = &raw const map as u64;
        assert!(map.start_stack != 0 && map.start_stack != stack);
    }

    #[test]
    fn threads_are_noticed() {
        // The test harness has some.
        assert_eq!(std::thread::spawn(leave_writable_mount).join().unwrap(), Err(Errno::BUSY));
    }
}
