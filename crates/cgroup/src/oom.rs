//! Being told when the kernel kills for want of memory: an eventfd on version 1, inotify on the unified hierarchy.

use crate::dir::CgroupDir;
use crate::error::CgroupError;
use crate::stats::keyed;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::inotify;
use rustix::io::Errno;
use std::cell::Cell;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Tells of processes of a cgroup that were killed for want of memory, from when it was made.
#[derive(Debug)]
pub struct OomWatch {
    fd: OwnedFd,
    dir: CgroupDir,
    /// On the unified hierarchy, the last count.
    seen: Option<Cell<u64>>,
}

impl OomWatch {
    /// memory.txt, "OOM control" and "Using eventfd".
    pub(crate) fn v1(dir: CgroupDir) -> Result<OomWatch, CgroupError> {
        let failed = |e: Errno| CgroupError::io("watch", dir.file("memory.oom_control"), e);
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(failed)?;
        let control = dir.reader("memory.oom_control").map_err(failed)?;
        dir.write("cgroup.event_control", &format!("{} {}", fd.as_raw_fd(), control.as_raw_fd()))?;
        Ok(OomWatch { fd, dir, seen: None })
    }

    /// cgroup-v2.rst: memory.events announces each change. `None` without the memory controller.
    pub(crate) fn v2(dir: CgroupDir) -> Result<Option<OomWatch>, CgroupError> {
        let path = dir.file("memory.events");
        let failed = |e: Errno| CgroupError::io("watch", &path, e);
        let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).map_err(failed)?;
        match inotify::add_watch(&fd, &path, inotify::WatchFlags::MODIFY) {
            Err(Errno::NOENT) => return Ok(None),
            result => result.map_err(failed)?,
        };
        let seen = Cell::new(kills(&dir).unwrap_or(0));
        Ok(Some(OomWatch { fd, dir, seen: Some(seen) }))
    }

    /// To be polled for readability, which asks for [`OomWatch::look`].
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Whether there was a kill since the last look.
    pub fn look(&self) -> bool {
        let mut buffer = [0; 4096];
        let mut told = false;
        while let Ok(1..) = rustix::io::read(&self.fd, &mut buffer) {
            told = true;
            if self.seen.is_none() {
                break;
            }
        }
        match &self.seen {
            // The end of the cgroup is announced too.
            None => told && self.dir.try_read("memory.oom_control").is_ok(),
            Some(seen) => {
                let now = kills(&self.dir).unwrap_or(seen.get());
                now > seen.replace(now)
            }
        }
    }
}

fn kills(dir: &CgroupDir) -> Option<u64> {
    keyed(&dir.try_read("memory.events").ok()?, "oom_kill")
}
