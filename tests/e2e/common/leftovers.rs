//! What the kernel holds on behalf of an environment: found by the environment's folder, whose name is unique.

use std::fs::FileType;
use std::path::Path;
use std::time::Duration;

/// Mounts of ours below `dir`, and processes that name it or live in a mount namespace that has it. Waits a moment for what is on its way out.
pub(crate) fn of(dir: &Path) -> Vec<String> {
    let mut left = Vec::new();
    for _ in 0..100 * super::slowness() {
        left = mounts(dir).into_iter().map(|mount| format!("mount {mount}")).collect();
        left.extend(processes(dir).into_iter().map(|(pid, line)| format!("process {pid}: {line}")));
        if left.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(30));
    }
    left
}

/// Ends what [`of`] finds, so that one failed test does not spoil the next.
pub(crate) fn remove(dir: &Path) {
    for (pid, _) in processes(dir) {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    for mount in mounts(dir).iter().rev() {
        let _ = rustix::mount::unmount(mount.as_str(), rustix::mount::UnmountFlags::DETACH);
    }
}

fn mounts(dir: &Path) -> Vec<String> {
    let dir = dir.to_str().unwrap();
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .filter(|point| point.starts_with(dir))
        .map(str::to_owned)
        .collect()
}

/// Processes that name `dir`, or live in a mount namespace that has it.
pub(crate) fn processes(dir: &Path) -> Vec<(i32, String)> {
    let dir = dir.to_str().unwrap();
    let us = std::process::id() as i32;
    let ours = std::fs::read_link("/proc/self/ns/mnt").unwrap();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let path = entry.path();
        let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let inside = || {
            std::fs::read_link(path.join("ns/mnt")).is_ok_and(|namespace| namespace != ours)
                && std::fs::read_to_string(path.join("mountinfo")).is_ok_and(|table| table.contains(dir))
        };
        // A zombie has neither a command line nor mounts.
        if pid != us && (line.contains(dir) || inside()) {
            found.push((pid, line));
        }
    }
    found
}

/// Every entry below `dir`, which may be missing.
pub(crate) fn walk(dir: &Path, see: &mut dyn FnMut(&Path, FileType)) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        see(&entry.path(), kind);
        if kind.is_dir() {
            walk(&entry.path(), see);
        }
    }
}
