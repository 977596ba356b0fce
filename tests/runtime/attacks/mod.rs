//! Images, containers and callers that mean harm: each known attack on a container runtime, tried on this one.
//!
//! Tests are named after what was found elsewhere. CARBOY_TEST_RUNTIME=/usr/sbin/runc tries most of them on another runtime: what is
//! known to hold for an old one shows that the attack is one.

mod agent;
mod cgroups;
mod console;
mod cwd;
mod descriptors;
mod exec;
mod executable;
mod identity;
mod limits;
mod masks;
mod paths;
mod procfs;

use crate::common::Bundle;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Puts a link in the place of whatever has the name in the root file system.
fn replace_by_link(bundle: &Bundle, name: &str, target: &str) {
    let path = bundle.rootfs().join(name);
    let _ = std::fs::remove_dir_all(&path);
    symlink(target, path).unwrap();
}

/// How often something is tried while paths are swapped, or somebody looks on: as often as fits into some time, since what depends on
/// chance is worth as many tries as it can have; but not seldom on a busy machine either.
fn attempts() -> impl Iterator<Item = usize> {
    let begin = Instant::now();
    (0..10_000).take_while(move |made| *made < FEWEST || begin.elapsed() < Duration::from_millis(2500))
}

/// On the slowest machine.
const FEWEST: usize = 100;

/// Swaps two names without a pause, as an attacker does who shares a folder with a container that is being made.
struct Swapper {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<u64>>,
}

impl Swapper {
    fn new(a: PathBuf, b: PathBuf) -> Swapper {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut swaps = 0;
            while !stopped.load(Ordering::Relaxed) {
                swaps += u64::from(renameat_with(CWD, &a, CWD, &b, RenameFlags::EXCHANGE).is_ok());
            }
            swaps
        });
        Swapper { stop, thread: Some(thread) }
    }

    /// Stops, and makes sure that there was an attack at all.
    fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let swaps = self.thread.take().unwrap().join().unwrap();
        assert!(swaps > 1000, "{swaps} swaps only");
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A folder of the host that no container should reach, with a program in it that says so.
struct Outside(tempfile::TempDir);

impl Outside {
    fn new() -> Outside {
        let outside = Outside(tempfile::tempdir().unwrap());
        std::fs::set_permissions(outside.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        outside
    }

    /// With an `echo` in it.
    fn with_echo() -> Outside {
        let outside = Outside::new();
        std::fs::copy("/bin/busybox", outside.path().join("echo")).unwrap();
        outside
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// As a path relative to any directory.
    fn relative(&self) -> String {
        format!("{}{}", "../".repeat(20), self.path().strip_prefix("/").unwrap().display())
    }

    #[track_caller]
    fn is_untouched(&self) {
        let names: Vec<_> = std::fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(names.is_empty(), "made outside: {names:?}");
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.path().to_str().unwrap()), "mounted outside: {mounts}");
    }
}
