//! keyctl(2): session keyrings.

use crate::check;
use rustix::io::Errno;
use std::ffi::CStr;

/// Joins the session keyring of this name, creating it if needed, and returns its serial number.
pub fn join_session(name: &CStr) -> Result<i32, Errno> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: the name ends with NUL.
    let id = check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) })?;
    Ok(id as i32)
}

/// Adds the bits of `set` to the permissions of a key whose description is `description;…;perm;name`, as KEYCTL_DESCRIBE gives it.
pub fn add_permissions(key: i32, set: u32) -> Result<(), Errno> {
    const KEYCTL_DESCRIBE: libc::c_long = 6;
    const KEYCTL_SETPERM: libc::c_long = 5;
    let mut buffer = [0u8; 512];
    // SAFETY: the buffer is writable for the length given.
    let length = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_DESCRIBE, key, buffer.as_mut_ptr(), buffer.len()) };
    let length = (check(length)? as usize).min(buffer.len());
    let text = std::str::from_utf8(&buffer[..length]).map_err(|_| Errno::INVAL)?;
    let old = text.split(';').nth(3).and_then(|s| u32::from_str_radix(s, 16).ok()).ok_or(Errno::INVAL)?;
    if old & set == set {
        return Ok(());
    }
    // SAFETY: no pointers.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_SETPERM, key, old | set) }).map(drop)
}
