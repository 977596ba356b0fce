//! A user namespace that holds ID maps only, for idmapped mounts (mount_setattr(2)).

use crate::channel::{Channel, Message};
use crate::error::{Context, Error, Result};
use carboy_oci::runtime::IdMapping;
use carboy_sys::clone::{Clone, clone3, flag};
use carboy_sys::process::exit_now;
use rustix::fs::{Mode, OFlags, openat};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::os::fd::{AsFd, OwnedFd};

/// The lines of `/proc/PID/uid_map`.
pub fn lines(map: &[IdMapping]) -> String {
    map.iter().map(|m| format!("{} {} {}\n", m.container_id, m.host_id, m.size)).collect()
}

/// A descriptor of a user namespace with these maps. The process that lends it exits again.
///
/// Its number in /proc is that of the namespace which /proc shows, not the one that this process sees: so it hands out its own
/// directory there.
pub fn with_maps(uid: &[IdMapping], gid: &[IdMapping]) -> Result<OwnedFd> {
    let (ours, theirs) = Channel::pair()?;
    let pidfd = match clone3(flag::NEWUSER, None).context(|| "clone3 for an ID map")? {
        Clone::Child => {
            drop(ours);
            let own = rustix::fs::open(c"/proc/self", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
            let _ = own.map(|own| theirs.descriptor(own.as_fd()));
            let _ = theirs.receive();
            exit_now(0)
        }
        Clone::Parent { pidfd, .. } => pidfd,
    };
    drop(theirs);
    let result = write_maps(&ours, uid, gid);
    drop(ours);
    waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).context(|| "waitid")?;
    result.map_err(|e| Error::Step { step: "user namespace of an ID map".into(), source: Box::new(e) })
}

fn write_maps(lender: &Channel, uid: &[IdMapping], gid: &[IdMapping]) -> Result<OwnedFd> {
    let Some(Message::Descriptor(proc)) = lender.receive()? else {
        return Err(Error::Other("its process has no directory in /proc".into()));
    };
    for (name, map) in [("uid_map", uid), ("gid_map", gid)] {
        let file =
            openat(&proc, name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).context(|| format!("open {name}"))?;
        rustix::io::write(&file, lines(map).as_bytes()).context(|| format!("write {name}"))?;
    }
    openat(&proc, "ns/user", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).context(|| "open ns/user")
}
