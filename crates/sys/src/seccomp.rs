//! Installing a system call filter: seccomp(2).

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// Installs a filter on the calling thread. With `SECCOMP_FILTER_FLAG_NEW_LISTENER` among the flags, returns the listener.
///
/// The caller needs `no_new_privs` or CAP_SYS_ADMIN in its user namespace.
///
/// # Errors
/// EACCES without either, EINVAL for a program that the kernel does not accept or flags it does not know, ENOMEM if the thread's
/// filters would be longer than 32768 instructions, EBUSY for a second listener.
pub fn install(program: &[libc::sock_filter], flags: u32) -> io::Result<Option<OwnedFd>> {
    let Ok(len) = u16::try_from(program.len()) else { return Err(io::ErrorKind::InvalidInput.into()) };
    let filter = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: seccomp(2) reads `len` instructions at `filter`, which lives until it returns, and writes nothing through it.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, std::ptr::from_ref(&filter)) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    if flags & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as u32 == 0 {
        return Ok(None);
    }
    // SAFETY: with NEW_LISTENER a non-negative result is a new descriptor that nobody else owns.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(result as i32) }))
}
