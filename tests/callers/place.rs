//! One test's folder, cgroup and user, and the end of everything in them.

use crate::common::cgroup::is_v2;
use crate::common::{Call, User, leftovers, vm};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

static SERIAL: AtomicU32 = AtomicU32::new(0);

/// The runtime under test.
pub(crate) fn runtime() -> PathBuf {
    match std::env::var_os("CARBOY_CALLERS_RUNTIME") {
        Some(path) => path.into(),
        None => vm::programs().join("carboy-runtime"),
    }
}

/// Whether systemd makes the cgroups: where it is process 1, and cgroup v2 all there is, dockerd chooses it by itself.
pub(crate) fn by_systemd() -> bool {
    is_v2() && Path::new("/run/systemd/system").exists()
}

/// What depends on the cgroup version: names of files, and what is in them.
pub(crate) fn by_version<T>(v1: T, v2: T) -> T {
    if is_v2() { v2 } else { v1 }
}

/// A temporary folder and the name of a cgroup. At the end, passed or failed, nothing of either is left: no mount, process or cgroup.
pub(crate) struct Place {
    dir: PathBuf,
    cgroup: String,
    prefix: &'static str,
    user: Option<User>,
}

impl Place {
    /// With what the caller lets the names of containers' cgroups begin; for root or an ordinary user.
    pub(crate) fn new(prefix: &'static str, user: Option<User>) -> Place {
        // Short: paths of Unix sockets below it have 108 bytes at most.
        let dir = tempfile::Builder::new().prefix("cb").rand_bytes(6).tempdir_in(vm::base()).unwrap().keep();
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        if let Some(user) = &user {
            chown(&dir, Some(user.uid), Some(user.gid)).unwrap();
        }
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        // Each `-` in the name of a slice would be a level.
        let cgroup = match by_systemd() {
            true => format!("carboycallers{}x{serial}.slice", std::process::id()),
            false => format!("carboy-callers-{}-{serial}", std::process::id()),
        };
        Place { dir, cgroup, prefix, user }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The ordinary user that it is for.
    pub(crate) fn user(&self) -> Option<&User> {
        self.user.as_ref()
    }

    /// A path below its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a file for its user.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The cgroup below which callers put theirs: a path from the root of the hierarchy, or systemd's slice.
    pub(crate) fn cgroup(&self) -> String {
        if by_systemd() { self.cgroup.clone() } else { format!("/{}", self.cgroup) }
    }

    /// The same for callers that make it by themselves everywhere.
    pub(crate) fn cgroup_path(&self) -> String {
        format!("/{}", self.cgroup)
    }

    /// A program as its user, with few variables.
    pub(crate) fn call(&self, program: impl AsRef<std::ffi::OsStr>) -> Call {
        let mut call = Call::new(program);
        let command = call.command();
        command.env_clear().current_dir(&self.dir).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", &self.dir).env("XDG_RUNTIME_DIR", &self.dir).env("TERM", "xterm");
        if let Some(user) = &self.user {
            command.uid(user.uid).gid(user.gid).env("USER", user.name);
        }
        call
    }

    /// All folders of its cgroup in every hierarchy, parents first.
    fn cgroups(&self) -> Vec<PathBuf> {
        let top = Path::new("/sys/fs/cgroup");
        let hierarchies = std::fs::read_dir(top).unwrap().flatten().map(|entry| entry.path()).chain([top.to_owned()]);
        let mut found = Vec::new();
        for tree in hierarchies.map(|hierarchy| hierarchy.join(&self.cgroup)).filter(|tree| tree.is_dir()) {
            found.push(tree.clone());
            leftovers::walk(&tree, &mut |path, kind| {
                if kind.is_dir() {
                    found.push(path.to_owned());
                }
            });
        }
        found
    }

    /// Those that are containers' own.
    pub(crate) fn containers(&self) -> Vec<PathBuf> {
        let own = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy();
            name != self.cgroup && name.starts_with(self.prefix)
        };
        self.cgroups().into_iter().filter(own).collect()
    }

    /// Callers leave folders that are not containers', such as podman for its monitors and pods.
    fn remove_cgroups(&self) {
        for _ in 0..100 {
            let all = self.cgroups();
            if all.is_empty() {
                break;
            }
            for folder in all.iter().rev() {
                let _ = std::fs::remove_dir(folder);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut left = leftovers::of(&self.dir);
        left.extend(self.containers().iter().map(|path| format!("cgroup {}", path.display())));
        leftovers::remove(&self.dir);
        self.remove_cgroups();
        let _ = std::fs::remove_dir_all(&self.dir);
        if std::thread::panicking() {
            left.iter().for_each(|line| eprintln!("also left behind: {line}"));
        } else {
            assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
        }
    }
}
