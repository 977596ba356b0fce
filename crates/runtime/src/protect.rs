//! Keeping the runtime's executable from being written from inside a container (CVE-2019-5736).
//!
//! A process of the runtime inside a container, or one that the container makes of it by executing /proc/self/exe, leads to the file by
//! its /proc/PID/exe; root of the container may be who owns it. What was executed from a mount that nobody can make writable cannot
//! be written that way. So the runtime moves to a detached read-only copy of the mount that holds it: in place where the kernel permits
//! ([`carboy_sys::image`], 0.1 ms), otherwise by executing itself again from there, once (0.7 ms). No copy of the file is made. Whoever
//! starts it from a read-only mount already saves that.

use crate::error::{Context, Error, Result};
use carboy_sys::exec::{StringList, fexecve};
use carboy_sys::image::leave_writable_mount;
use carboy_sys::mount::{Change, attr, open_changed};
use rustix::fs::{
    CWD, MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags, fcntl_add_seals, fcntl_get_seals, memfd_create,
};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

const SELF: &CStr = c"/proc/self/exe";

/// Returns when the executable is safe; otherwise executes it again from where it is.
pub fn executable() -> Result<()> {
    let mount = rustix::fs::statvfs(SELF).context(|| "statfs /proc/self/exe")?;
    if mount.f_flag.contains(StatVfsMountFlags::RDONLY) || leave_writable_mount().is_ok() || is_safe()? {
        return Ok(());
    }
    let copy = match read_only_mount() {
        // Without CAP_SYS_ADMIN nothing can be mounted: a copy in memory then.
        Err(Errno::PERM) => sealed_copy()?,
        result => result.context(|| "read-only mount of /proc/self/exe")?,
    };
    let strings = |list: Vec<Vec<u8>>| {
        let list = list.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>();
        list.map(StringList::new).map_err(|_| Error::Other("an argument holds a NUL".into()))
    };
    let args = strings(std::env::args_os().map(OsStringExt::into_vec).collect())?;
    let env = std::env::vars_os().map(|(name, value)| [name.into_vec(), b"=".to_vec(), value.into_vec()].concat());
    let env = strings(env.collect())?;
    Err(fexecve(copy.as_fd(), &args, &env)).context(|| "execute /proc/self/exe again")
}

/// Whether nobody in a container could write to it all the same.
fn is_safe() -> Result<bool> {
    let uid = rustix::process::geteuid().as_raw();
    let file =
        rustix::fs::open(SELF, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).context(|| "open /proc/self/exe")?;
    if uid != 0 {
        // An ordinary user's container is that user at most.
        let stat = rustix::fs::fstat(&file).context(|| "fstat /proc/self/exe")?;
        if stat.st_uid != uid && stat.st_mode & 0o022 == 0 {
            return Ok(true);
        }
    }
    Ok(fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(SealFlags::WRITE)))
}

fn read_only_mount() -> Result<OwnedFd, Errno> {
    open_changed(CWD, SELF, false, true, Change { set: attr::RDONLY, ..Change::default() })
}

fn sealed_copy() -> Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = memfd_create("carboy-runtime", flags).context(|| "memfd_create")?;
    let source =
        rustix::fs::open(SELF, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).context(|| "open /proc/self/exe")?;
    let mut target = std::fs::File::from(memory.try_clone().context(|| "dup")?);
    std::io::copy(&mut std::fs::File::from(source), &mut target).context(|| "copy /proc/self/exe")?;
    drop(target);
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    fcntl_add_seals(&memory, seals).context(|| "seal the copy")?;
    reopen(memory.as_fd())
}

/// The descriptor for writing must be gone before the file can be executed (ETXTBSY).
fn reopen(memory: BorrowedFd<'_>) -> Result<OwnedFd> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).context(|| "open the copy")
}
