//! Scheduling and memory placement: sched_setattr(2), ioprio_set(2), personality(2), set_mempolicy(2), sched_setaffinity(2).

use crate::check;
use rustix::io::Errno;

/// `struct sched_attr` (sched_setattr(2)).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SchedAttr {
    /// Size of this structure.
    pub size: u32,
    /// `SCHED_…`.
    pub policy: u32,
    /// `SCHED_FLAG_…`.
    pub flags: u64,
    /// Nice value for SCHED_OTHER and SCHED_BATCH.
    pub nice: i32,
    /// Static priority for SCHED_FIFO and SCHED_RR.
    pub priority: u32,
    /// Nanoseconds, SCHED_DEADLINE.
    pub runtime: u64,
    /// Nanoseconds, SCHED_DEADLINE.
    pub deadline: u64,
    /// Nanoseconds, SCHED_DEADLINE.
    pub period: u64,
}

/// Sets the scheduling of this thread.
pub fn sched_setattr(attr: SchedAttr) -> Result<(), Errno> {
    let attr = SchedAttr { size: size_of::<SchedAttr>() as u32, ..attr };
    // SAFETY: the structure is valid for the size that it names.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) }).map(drop)
}

/// Sets the I/O class (1 real-time, 2 best effort, 3 idle) and level of this thread.
pub fn ioprio_set(class: u32, level: u32) -> Result<(), Errno> {
    const WHO_PROCESS: libc::c_int = 1;
    // SAFETY: no pointers.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, class << 13 | level) }).map(drop)
}

/// Binds this thread to the CPUs of a mask; those that the machine lacks are left out. `EINVAL` if none is left.
pub fn sched_setaffinity(cpus: &[u64]) -> Result<(), Errno> {
    // SAFETY: the kernel reads as many bytes as named.
    check(unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(cpus), cpus.as_ptr()) }).map(drop)
}

/// Sets the execution domain.
pub fn personality(domain: u64) -> Result<(), Errno> {
    // SAFETY: no pointers; no flag that changes this process's own memory layout takes effect before the next execve.
    check(unsafe { libc::personality(domain as libc::c_ulong) }.into()).map(drop)
}

/// Sets the memory policy of this thread: `mode` with its flags, and a mask of nodes.
pub fn set_mempolicy(mode: i32, nodes: &[u64]) -> Result<(), Errno> {
    let bits = if nodes.is_empty() { 0 } else { nodes.len() * 64 + 1 };
    let mask = if nodes.is_empty() { std::ptr::null() } else { nodes.as_ptr() };
    // SAFETY: the mask has at least the bits named (the kernel subtracts one), or is null with none.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) }).map(drop)
}
