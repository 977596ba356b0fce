//! Every `unsafe` line of Carboy: system calls that rustix does not offer in a safe form, one file per topic.
//!
//! Knows nothing of containers. Each function is one system call (or the few that make sense only together), named after it,
//! with the manual page that defines it. Errors are plain [`rustix::io::Errno`]; callers add operation and path.
#![warn(unsafe_op_in_unsafe_fn)]
#![allow(unsafe_code, reason = "the one crate that may: it wraps what rustix lacks")]

pub mod arena;
pub mod bpf;
pub mod cache;
pub mod clone;
pub mod entry;
pub mod exec;
pub mod image;
pub mod inherit;
pub mod keyring;
pub mod loopback;
pub mod memory;
pub mod mount;
pub mod mountinfo;
pub mod namespace;
pub mod priority;
pub mod process;
pub mod resolver;
pub mod scratch;
pub mod seccomp;
pub mod signal;
pub mod spawn;
#[cfg(feature = "zstd")]
pub mod zstd;

use rustix::io::Errno;

/// Turns the return value of a libc call into a result.
fn check(ret: libc::c_long) -> Result<libc::c_long, Errno> {
    if ret != -1 {
        return Ok(ret);
    }
    let raw = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    Err(Errno::from_raw_os_error(raw))
}
