//! A user namespace that holds ID maps only, for idmapped mounts (mount_setattr(2)).

use crate::channel::Channel;
use crate::error::{Context, Error, Result};
use carboy_oci::runtime::IdMapping;
use carboy_sys::clone::{Clone, clone3, flag};
use carboy_sys::process::exit_now;
use rustix::fs::{Mode, OFlags};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::os::fd::{AsFd, OwnedFd};

/// The lines of `/proc/PID/uid_map`.
pub fn lines(map: &[IdMapping]) -> String {
    map.iter().map(|m| format!("{} {} {}\n", m.container_id, m.host_id, m.size)).collect()
}

/// A descriptor of a user namespace with these maps. The process that lends it exits again.
pub fn with_maps(uid: &[IdMapping], gid: &[IdMapping]) -> Result<OwnedFd> {
    let (ours, theirs) = Channel::pair()?;
    let pidfd = match clone3(flag::NEWUSER, None).context(|| "clone3 for an ID map")? {
        Clone::Child => {
            drop(ours);
            let _ = theirs.receive();
            exit_now(0)
        }
        Clone::Parent { pid, pidfd } => (pid, pidfd),
    };
    let (pid, pidfd) = pidfd;
    drop(theirs);
    let result = (|| {
        for (name, map) in [("uid_map", uid), ("gid_map", gid)] {
            let path = format!("/proc/{pid}/{name}");
            std::fs::write(&path, lines(map)).context(|| format!("write {path}"))?;
        }
        let path = format!("/proc/{pid}/ns/user");
        rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).context(|| format!("open {path}"))
    })();
    drop(ours);
    waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).context(|| "waitid")?;
    result.map_err(|e: Error| Error::Step { step: "user namespace of an ID map".into(), source: Box::new(e) })
}
