//! File systems that this process has just mounted, and nobody else has seen: /dev and /proc of nearly every container.
//!
//! A name in them is what the kernel or this process put there, so that a handle of the mount and one name do for what takes a lookup from
//! the root, and checks, elsewhere.

use super::{Init, tree};
use crate::error::{Context, Result};
use crate::step::MountStep;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Handles of what is known to be fresh.
#[derive(Debug, Default)]
pub struct Fresh {
    dev: Option<OwnedFd>,
    proc: Option<OwnedFd>,
}

impl Fresh {
    /// Something is about to be mounted at `path`: what it covers, or may change, is not relied on any more.
    pub fn covered(&mut self, path: &str) {
        let path = path.trim_end_matches('/');
        let covers =
            |mount: &str| mount.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if covers("/dev") {
            self.dev = None;
        }
        if covers("/proc") {
            self.proc = None;
        }
    }

    /// The procfs at /proc.
    pub fn proc(&self) -> Option<BorrowedFd<'_>> {
        self.proc.as_ref().map(AsFd::as_fd)
    }

    /// The directory and the name of a path like `/dev/pts`, where /dev is a fresh tmpfs.
    pub fn in_dev<'p>(&self, path: &'p str) -> Option<(BorrowedFd<'_>, &'p str)> {
        self.dev.as_ref().and_then(|dev| Some((dev.as_fd(), only_name(path.strip_prefix("/dev/")?)?)))
    }

    /// The directory and the name of a path like `/proc/keys`, where /proc is fresh. Not for procfs's links.
    pub fn in_proc<'p>(&self, path: &'p str) -> Option<(BorrowedFd<'_>, &'p str)> {
        let name = only_name(path.strip_prefix("/proc/")?)?;
        let link = matches!(name, "self" | "thread-self" | "mounts" | "net");
        self.proc().filter(|_| !link).map(|proc| (proc, name))
    }
}

fn only_name(rest: &str) -> Option<&str> {
    Some(rest).filter(|name| !name.is_empty() && !name.contains('/') && !matches!(*name, "." | ".."))
}

impl Init<'_> {
    /// Keeps a handle of a file system that was made for /dev or /proc.
    pub(super) fn note_fresh(&mut self, step: &MountStep, kind: &str) -> Result<()> {
        let place = match (step.destination.as_str(), kind) {
            // What was copied up may be anything.
            ("/dev", "tmpfs") if !step.copy_up => &mut self.fresh.dev,
            ("/proc", "proc") => &mut self.fresh.proc,
            _ => return Ok(()),
        };
        let Some(root) = &self.root else { return Ok(()) };
        let path = step.destination.as_str();
        *place = Some(tree::find_plain(root.as_fd(), path).context(|| format!("openat2 {path}"))?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags, open};

    #[test]
    fn only_what_lies_directly_in_a_fresh_mount() {
        let handle = || Some(open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap());
        let mut fresh = Fresh { dev: handle(), proc: handle() };
        assert_eq!(fresh.in_dev("/dev/pts").unwrap().1, "pts");
        assert_eq!(fresh.in_proc("/proc/keys").unwrap().1, "keys");
        for path in ["/dev", "/dev/", "/dev/a/b", "/dev/..", "/devices/x", "pts"] {
            assert!(fresh.in_dev(path).is_none(), "{path}");
        }
        for path in ["/proc/self", "/proc/mounts", "/proc/sys/kernel"] {
            assert!(fresh.in_proc(path).is_none(), "{path}");
        }
        fresh.covered("/dev/pts");
        fresh.covered("/developer");
        assert!(fresh.in_dev("/dev/shm").is_some());
        fresh.covered("/dev");
        assert!(fresh.in_dev("/dev/shm").is_none() && fresh.proc().is_some());
        fresh.covered("/");
        assert!(fresh.proc().is_none());
    }
}
