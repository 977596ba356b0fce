//! execve(2), execveat(2) with arguments prepared beforehand.

use crate::check;
use rustix::io::Errno;
use std::ffi::{CStr, CString, c_char};
use std::os::fd::{AsRawFd, BorrowedFd};

/// A list of strings in the form that the kernel wants. Made before it is needed, so that executing allocates nothing.
#[derive(Debug)]
pub struct StringList {
    pointers: Vec<*const c_char>,
    _strings: Vec<CString>,
}

impl StringList {
    /// Takes the strings over.
    pub fn new(strings: Vec<CString>) -> StringList {
        let pointers = strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect();
        StringList { pointers, _strings: strings }
    }

    pub(crate) fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}

/// Replaces this program. Returns only if that fails.
pub fn execve(path: &CStr, args: &StringList, env: &StringList) -> Errno {
    // SAFETY: the path ends with NUL; both arrays end with a null pointer and point to strings that `StringList` owns.
    let ret = unsafe { libc::execve(path.as_ptr(), args.pointers.as_ptr(), env.pointers.as_ptr()) };
    check(ret.into()).err().unwrap_or(Errno::IO)
}

/// Replaces this program by the file behind a descriptor. Returns only if that fails.
pub fn fexecve(fd: BorrowedFd<'_>, args: &StringList, env: &StringList) -> Errno {
    // SAFETY: as in `execve`; the path is empty and AT_EMPTY_PATH is given.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_execveat,
            fd.as_raw_fd(),
            c"".as_ptr(),
            args.pointers.as_ptr(),
            env.pointers.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    check(ret).err().unwrap_or(Errno::IO)
}
