//! One test's own root, runroot and environment variables, and what is checked at its end.

use super::command::Call;
use super::leftovers;
use super::user::User;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Dropped at the test's end, passed or failed: removes the containers and images that are left, then checks that no mount, process, cgroup or
/// socket of this environment is.
pub(crate) struct Env {
    dir: PathBuf,
    programs: PathBuf,
    user: Option<User>,
}

impl Env {
    /// Whoever runs the tests; `CARBOY_ROOT` and `CARBOY_RUNROOT` name the folders.
    pub(crate) fn new() -> Env {
        Env::make(None)
    }

    /// An ordinary user (the tests run as root), with `HOME` and `XDG_RUNTIME_DIR` and no more.
    pub(crate) fn for_user(user: User) -> Env {
        Env::make(Some(user))
    }

    fn make(user: Option<User>) -> Env {
        // Short: paths of Unix sockets below it have 108 bytes at most.
        let dir = tempfile::Builder::new().prefix("cb").rand_bytes(6).tempdir_in(super::vm::base()).unwrap().keep();
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut programs = super::vm::programs();
        for name in ["h", "x", "t"] {
            std::fs::create_dir(dir.join(name)).unwrap();
            let mode = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(dir.join(name), mode).unwrap();
            if let Some(user) = &user {
                chown(dir.join(name), Some(user.uid), Some(user.gid)).unwrap();
            }
        }
        if user.is_some() && !reachable(&programs) {
            let copies = dir.join("bin");
            std::fs::create_dir(&copies).unwrap();
            for name in ["carboy", "carboy-monitor", "carboy-runtime"] {
                std::fs::copy(programs.join(name), copies.join(name)).unwrap();
            }
            programs = copies;
        }
        Env { dir, programs, user }
    }

    /// The environment's folder; files that a test needs may be made in [`Env::path`].
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A path for a file of the test's own, writable by the environment's user.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join("t").join(name)
    }

    /// Where images and containers are.
    pub(crate) fn root(&self) -> PathBuf {
        if self.user.is_some() { self.dir.join("h/.local/share/carboy") } else { self.dir.join("s") }
    }

    /// Where what a reboot may take is.
    pub(crate) fn runroot(&self) -> PathBuf {
        if self.user.is_some() { self.dir.join("x/carboy") } else { self.dir.join("r") }
    }

    /// `carboy …` in this environment.
    pub(crate) fn carboy<const N: usize>(&self, args: [&str; N]) -> Call {
        self.call(self.programs.join("carboy")).args(args)
    }

    /// Any program in this environment, as its user.
    pub(crate) fn call(&self, program: impl AsRef<std::ffi::OsStr>) -> Call {
        let mut call = Call::new(program);
        let command = call.command();
        command.env_clear().current_dir(&self.dir);
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", self.dir.join("h")).env("RUST_BACKTRACE", "1");
        match &self.user {
            None => {
                command.env("CARBOY_ROOT", self.root()).env("CARBOY_RUNROOT", self.runroot());
            }
            Some(user) => {
                command.env("XDG_RUNTIME_DIR", self.dir.join("x")).env("USER", user.name);
                command.uid(user.uid).gid(user.gid);
            }
        }
        call
    }

    /// `carboy …` as the arguments of a terminal session.
    pub(crate) fn terminal<const N: usize>(&self, args: [&str; N]) -> super::terminal::Terminal {
        let mut call = self.call("setsid").args(["--ctty", "--wait"]).arg(self.programs.join("carboy")).args(args);
        super::terminal::Terminal::start(call.command().env("TERM", "xterm"))
    }

    /// Loads the busybox image (`busybox:latest`).
    pub(crate) fn load_busybox(&self) {
        let archive = super::images::file("busybox.docker.tar");
        self.carboy(["load", "-q", "-i", archive.to_str().unwrap()]).ok();
    }

    /// Regular files below the root, but for those that every store has: what an image or container left there.
    /// Waits for what is being deleted in the background.
    pub(crate) fn files(&self) -> Vec<String> {
        let in_trash = || std::fs::read_dir(self.root().join("trash")).is_ok_and(|mut names| names.next().is_some());
        let end = Instant::now() + Duration::from_secs(20) * super::slowness();
        while in_trash() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut found = Vec::new();
        leftovers::walk(&self.root(), &mut |path, kind| {
            let name = path.strip_prefix(self.root()).unwrap().to_string_lossy().into_owned();
            let last = path.file_name().unwrap_or_default();
            // A process killed in its very first open leaves the two bytes that were to become `version`.
            let version = name == "version" || name.starts_with(".version.");
            if !kind.is_dir() && !version && last != "lock" {
                found.push(name);
            }
        });
        found.sort();
        found
    }

    /// Removes what containers are left, whatever state they are in, and the images: their layers may stay mounted as long as they are there.
    fn remove_all(&self) {
        let ids = std::fs::read_dir(self.root().join("containers")).into_iter().flatten().flatten();
        for id in ids.map(|entry| entry.file_name().to_string_lossy().into_owned()) {
            let out = self.carboy(["rm", "-f", &id]).output();
            if out.code != 0 {
                eprintln!("at the test's end: {out}");
            }
        }
        if self.root().exists() {
            let ids = self.carboy(["images", "-q"]).output().text();
            for id in ids.lines() {
                self.carboy(["rmi", "-f", id]).output();
            }
        }
    }
}

impl Drop for Env {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        // A panic in here while another unwinds would abort and hide both.
        let removed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.remove_all()));
        let left = leftovers::of(&self.dir);
        leftovers::remove(&self.dir);
        let _ = std::fs::remove_dir_all(&self.dir);
        if !failed {
            assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
            assert!(removed.is_ok(), "the containers and images could not be removed");
        } else if !left.is_empty() {
            eprintln!("also left behind:\n{}", left.join("\n"));
        }
    }
}

/// Whether everybody may execute what is in this folder.
fn reachable(dir: &Path) -> bool {
    dir.ancestors().all(|dir| std::fs::metadata(dir).is_ok_and(|m| m.permissions().mode() & 0o001 != 0))
}
