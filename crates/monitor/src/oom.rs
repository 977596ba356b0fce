//! Whether the kernel killed something in the container for want of memory.
//!
//! Known only if the container has a memory cgroup of its own at the usual place; otherwise the answer is no.

use rustix::fs::{Mode, OFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// Holds the memory cgroup's event counter open.
#[derive(Debug, Default)]
pub(crate) struct OomWatch {
    file: Option<OwnedFd>,
    /// Version 2 announces changes; systemd may remove the cgroup before the monitor asks.
    announces: bool,
    seen: bool,
}

impl OomWatch {
    /// Finds the cgroup of `pid`, which may be a zombie still to be waited for.
    pub(crate) fn of(pid: i32) -> OomWatch {
        let read = |who: &str| std::fs::read_to_string(format!("/proc/{who}/cgroup")).unwrap_or_default();
        let Some((path, announces)) = counter(&read(&pid.to_string()), &read("self")) else {
            return OomWatch::default();
        };
        let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok();
        OomWatch { announces: announces && file.is_some(), file, seen: false }
    }

    /// To be polled for `PRI`, which asks for [`OomWatch::look`].
    pub(crate) fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().filter(|_| self.announces).map(AsFd::as_fd)
    }

    /// Reads the counter.
    pub(crate) fn look(&mut self) {
        let Some(file) = &self.file else { return };
        let mut buffer = [0u8; 1024];
        match rustix::io::pread(file, &mut buffer, 0) {
            Ok(n) => self.seen |= kills(&String::from_utf8_lossy(&buffer[..n])) > 0,
            // The cgroup is gone.
            Err(_) => self.file = None,
        }
    }

    /// The last look's answer.
    pub(crate) fn was_killed(&mut self) -> bool {
        self.look();
        self.seen
    }
}

/// The file that counts, and whether it can be polled. `None` if the process shares its memory cgroup with the monitor.
fn counter(theirs: &str, own: &str) -> Option<(PathBuf, bool)> {
    let find = |text: &str, wanted: fn(&str, &str) -> bool| {
        text.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            wanted(number, controllers).then(|| path.trim_start_matches('/').to_owned())
        })
    };
    let v1 = |_: &str, controllers: &str| controllers.split(',').any(|c| c == "memory");
    let v2 = |number: &str, controllers: &str| number == "0" && controllers.is_empty();
    if let Some(path) = find(theirs, v1) {
        let differs = find(own, v1).is_none_or(|mine| mine != path);
        return differs.then(|| (PathBuf::from("/sys/fs/cgroup/memory").join(path).join("memory.oom_control"), false));
    }
    let path = find(theirs, v2)?;
    let differs = find(own, v2).is_none_or(|mine| mine != path);
    differs.then(|| (PathBuf::from("/sys/fs/cgroup").join(path).join("memory.events"), true))
}

/// `oom_kill N` of memory.oom_control (v1, Linux 4.13) or memory.events (v2).
fn kills(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_that_of_a_cgroup_of_its_own() {
        let own = "5:memory:/user\n2:cpu,cpuacct:/\n0::/x\n";
        let (path, announces) = counter("5:memory:/carboy/a\n0::/\n", own).unwrap();
        assert_eq!((path.to_str().unwrap(), announces), ("/sys/fs/cgroup/memory/carboy/a/memory.oom_control", false));
        assert_eq!(counter("5:memory:/user\n", own), None);
        let (path, announces) = counter("0::/carboy/a\n", "0::/\n").unwrap();
        assert_eq!((path.to_str().unwrap(), announces), ("/sys/fs/cgroup/carboy/a/memory.events", true));
        assert_eq!(counter("0::/x\n", "0::/x\n"), None);
    }

    #[test]
    fn kills_are_counted_in_both_forms() {
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"), 1);
        assert_eq!(kills("low 0\nhigh 0\nmax 3\noom 2\noom_kill 2\noom_group_kill 0\n"), 2);
        assert_eq!(kills("under_oom 0\n"), 0);
    }
}
