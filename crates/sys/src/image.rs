//! This program's own image in memory: its segments, and which file they are of.
//!
//! What a process executes is known to the kernel twice: by the file that its segments are mapped from, and by the link /proc/PID/exe.
//! [`leave_writable_mount`] changes both, in place, to the same file by a mount that cannot be written through.

use crate::check;
use crate::mount::{Change, attr, open_changed};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{CStr, c_int, c_void};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};

const SELF: &CStr = c"/proc/self/exe";

/// A loaded part of the program's file, in whole pages; what the file does not fill (.bss) is not in it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Segment {
    pub(crate) start: usize,
    pub(crate) length: usize,
    pub(crate) writable: bool,
    offset: usize,
    protection: c_int,
    /// What the header says, not in whole pages: address, size in the file, and the page after the end in memory.
    address: usize,
    file_size: usize,
    end: usize,
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
                    address,
                    file_size: header.p_filesz as usize,
                    end: (address + header.p_memsz as usize).next_multiple_of(page),
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
    let segments = segments();
    let mut map = MemoryMap::read_alone(&segments)?;
    let file = open_by_read_only_mount()?;
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
    map.exe_fd = file.into_raw_fd() as u32;
    map.set()
}

fn open_by_read_only_mount() -> Result<OwnedFd, Errno> {
    let mount = open_changed(CWD, SELF, false, true, Change { set: attr::RDONLY, ..Change::default() })?;
    let path = format!("/proc/self/fd/{}", mount.as_raw_fd());
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    // The mount stays as long as the process anyway; its descriptors need not be closed one by one.
    std::mem::forget(mount);
    file
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

unsafe extern "C" {
    static __libc_single_threaded: std::ffi::c_char;
    static program_invocation_name: *const std::ffi::c_char;
    static environ: *const *const std::ffi::c_char;
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
    /// What the kernel has now, from the program headers and from what it has put on the stack beside the arguments; without an auxiliary
    /// vector, which then stays as it is. `EBUSY` if there is another thread, which could write to the data while it is copied.
    fn read_alone(segments: &Segments) -> Result<MemoryMap, Errno> {
        // SAFETY: a flag of the C library's (glibc 2.32), which only ever reads it here.
        if unsafe { std::ptr::read_volatile(&raw const __libc_single_threaded) } == 0 {
            return Err(Errno::BUSY);
        }
        Ok(Self::read(segments))
    }

    fn read(segments: &Segments) -> MemoryMap {
        let fold = |values: &mut dyn Iterator<Item = usize>| values.fold(0, usize::max) as u64;
        let executable = |s: &&Segment| s.protection & libc::PROT_EXEC != 0;
        let start_code = segments.iter().filter(executable).map(|s| s.address).min().unwrap_or(0) as u64;
        // SAFETY: pointers that the C library has from the kernel, and that nothing in this program changes: to the name that it was called
        // by, which is the first argument, and to the array of its environment, which follows that of the arguments.
        let (first_argument, environment) = unsafe { (program_invocation_name as u64, environ) };
        // SAFETY: reads what the kernel has put beside the arguments; the file's name follows the last string of the environment.
        let end = unsafe { libc::getauxval(libc::AT_EXECFN) };
        // SAFETY: the array ends with a null pointer, so that it has a first entry.
        let first_variable = unsafe { *environment } as u64;
        let env_start = if first_variable == 0 { end } else { first_variable };
        // SAFETY: asks for the end of the heap, which the C library knows.
        let brk = unsafe { libc::sbrk(0) } as u64;
        MemoryMap {
            start_code,
            end_code: fold(&mut segments.iter().filter(executable).map(|s| s.address + s.file_size)),
            start_data: fold(&mut segments.iter().map(|s| s.address)),
            end_data: fold(&mut segments.iter().map(|s| s.address + s.file_size)),
            // The kernel leaves a random gap below, which cannot be seen: the heap may begin where the program ends.
            start_brk: fold(&mut segments.iter().map(|s| s.end)).min(brk),
            brk,
            // The number of arguments, their addresses and a null pointer lie before the environment.
            start_stack: environment as u64 - (std::env::args_os().len() as u64 + 2) * 8,
            arg_start: first_argument,
            arg_end: env_start,
            env_start,
            env_end: end,
            ..MemoryMap::default()
        }
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
        let map = MemoryMap::read(&found);
        // What proc_pid_stat(5) says from its field 26 and 45 on.
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let fields: Vec<u64> =
            stat.rsplit_once(')').unwrap().1.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        assert_eq!([map.start_code, map.end_code, map.start_stack], fields[23..26]);
        assert_eq!([map.start_data, map.end_data], fields[42..44]);
        assert_eq!([map.arg_start, map.arg_end, map.env_start, map.env_end], fields[45..49]);
        assert!(map.end_data <= map.start_brk && map.start_brk <= fields[44] && fields[44] <= map.brk);
    }

    #[test]
    fn threads_are_noticed() {
        // The test harness has some.
        assert_eq!(std::thread::spawn(leave_writable_mount).join().unwrap(), Err(Errno::BUSY));
    }
}
