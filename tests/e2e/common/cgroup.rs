//! What the kernel's cgroup files say, whichever version is mounted.

use std::path::{Path, PathBuf};

/// The limits of the process `pid`'s own cgroup, as the host's files say them.
#[derive(Debug, PartialEq)]
pub(crate) struct Limits {
    /// Bytes.
    pub(crate) memory: String,
    /// Quota and period in µs.
    pub(crate) cpu: String,
    pub(crate) pids: String,
}

/// Whether the machine is on pure cgroup v2.
pub(crate) fn is_v2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// Folder of a controller's cgroup that the process is in.
pub(crate) fn folder(pid: i32, controller: &str) -> PathBuf {
    let table = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    for line in table.lines() {
        let mut fields = line.splitn(3, ':');
        let (id, controllers, path) = (fields.next().unwrap(), fields.next().unwrap(), fields.next().unwrap());
        if is_v2() && id == "0" {
            return PathBuf::from(format!("/sys/fs/cgroup{path}"));
        }
        if !is_v2() && controllers.split(',').any(|name| name == controller) {
            return PathBuf::from(format!("/sys/fs/cgroup/{controller}{path}"));
        }
    }
    panic!("process {pid} is in no cgroup of {controller}:\n{table}");
}

/// Reads the limits of a process.
pub(crate) fn limits(pid: i32) -> Limits {
    let read = |controller: &str, file: &str| {
        let path = folder(pid, controller).join(file);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).trim().to_owned()
    };
    if is_v2() {
        Limits { memory: read("memory", "memory.max"), cpu: read("cpu", "cpu.max"), pids: read("pids", "pids.max") }
    } else {
        let quota = read("cpu", "cpu.cfs_quota_us");
        let period = read("cpu", "cpu.cfs_period_us");
        let memory = read("memory", "memory.limit_in_bytes");
        Limits { memory, cpu: format!("{quota} {period}"), pids: read("pids", "pids.max") }
    }
}
