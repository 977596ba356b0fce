//! The unified hierarchy: one directory, controllers enabled on the way down to it.

use crate::dir::{self, CgroupDir};
use crate::error::CgroupError;
use crate::manager::{CgroupManager, Joiner, apply_step, kill_by_list, wait_until};
use crate::oom::OomWatch;
use crate::plan::Step;
use crate::stats::{self, Stats};
use crate::undo;
use rustix::fs::{AtFlags, Uid, chownat};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// Names of the files that go with a cgroup that is delegated (Linux 4.15).
const DELEGATE: &str = "/sys/kernel/cgroup/delegate";

/// One cgroup in the unified hierarchy.
pub(crate) struct V2Cgroup {
    mount: PathBuf,
    path: PathBuf,
}

impl V2Cgroup {
    pub(crate) fn new(mount: &Path, path: PathBuf) -> Self {
        V2Cgroup { mount: mount.to_owned(), path }
    }

    pub(crate) fn dir(&self) -> Result<CgroupDir, CgroupError> {
        CgroupDir::open(&self.path)
    }

    /// Makes the directory only.
    pub(crate) fn make_directory(&self, shared: bool) -> Result<(), CgroupError> {
        if !CgroupDir::make(&self.path)? && !shared && !self.dir()?.procs_below()?.is_empty() {
            return Err(CgroupError::InUse(self.path.clone()));
        }
        Ok(())
    }

    /// Enables every available controller for the cgroup: in each ancestor's `cgroup.subtree_control`, from the mount down. A level
    /// that refuses (not delegated, or processes of its own in it) is no error yet: a limit that needs the controller will say so.
    fn enable_controllers(&self) -> Result<(), CgroupError> {
        let available = CgroupDir::open(&self.mount)?.read("cgroup.controllers")?;
        let enabled = self.dir()?.read("cgroup.controllers")?;
        let missing: Vec<&str> = available
            .split_whitespace()
            .filter(|name| !enabled.split_whitespace().any(|other| other == *name))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let all = missing.iter().map(|name| format!("+{name}")).collect::<Vec<_>>().join(" ");
        let mut ancestors: Vec<&Path> =
            self.path.ancestors().skip(1).take_while(|p| p.starts_with(&self.mount)).collect();
        ancestors.reverse();
        for ancestor in ancestors {
            let dir = CgroupDir::open(ancestor)?;
            // All or none are taken, so what one refuses is found by trying each.
            if dir.try_write("cgroup.subtree_control", &all).is_err() {
                for name in &missing {
                    let _ = dir.try_write("cgroup.subtree_control", &format!("+{name}"));
                }
            }
        }
        Ok(())
    }

    /// Why a controller's file may be missing.
    fn hint(&self, dir: &CgroupDir, controller: &str) -> String {
        let enabled = dir.try_read("cgroup.controllers").unwrap_or_default();
        if enabled.split_whitespace().any(|name| name == controller) {
            return "this kernel's controller does not have it".to_owned();
        }
        let busy = self
            .path
            .ancestors()
            .skip(1)
            .take_while(|p| p.starts_with(&self.mount) && *p != self.mount)
            .find(|p| CgroupDir::open(p).and_then(|dir| dir.procs()).is_ok_and(|pids| !pids.is_empty()));
        match busy {
            Some(parent) => format!(
                "the controller {controller:?} cannot be enabled because {} has processes of its own (cgroups(7), \"no internal \
                 processes\")",
                parent.display()
            ),
            None => format!(
                "the controller {controller:?} is not enabled here (enabled: {})",
                if enabled.trim().is_empty() { "none" } else { enabled.trim() }
            ),
        }
    }

    /// `cgroup.kill` (Linux 5.14); false if the kernel is older.
    pub(crate) fn kill_at_once(&self) -> Result<bool, CgroupError> {
        let dir = self.dir()?;
        match dir.try_write("cgroup.kill", "1") {
            Ok(()) => Ok(true),
            Err(Errno::NOENT | Errno::OPNOTSUPP) => Ok(false),
            Err(e) => Err(CgroupError::io("write", dir.file("cgroup.kill"), e)),
        }
    }

    fn set_frozen(&self, value: &str, state: &'static str) -> Result<(), CgroupError> {
        let dir = self.dir()?;
        dir.write("cgroup.freeze", value)?;
        wait_until(&dir.path, state, || Ok(stats::keyed(&dir.read("cgroup.events")?, "frozen") == value.parse().ok()))
    }
}

impl CgroupManager for V2Cgroup {
    fn directories(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    fn create(&self) -> Result<Joiner, CgroupError> {
        self.make_directory(false)?;
        self.enable_controllers()?;
        self.joiner()
    }

    fn complete(&self) -> Result<(), CgroupError> {
        self.make_directory(true)?;
        self.enable_controllers()
    }

    fn joiner(&self) -> Result<Joiner, CgroupError> {
        Ok(Joiner { tasks: Vec::new(), unified: Some(self.dir()?), procs: None })
    }

    fn attach(&self, pid: i32) -> Result<(), CgroupError> {
        self.dir()?.write("cgroup.procs", &pid.to_string())
    }

    fn apply(&self, steps: &[Step]) -> Result<(), CgroupError> {
        let dir = self.dir()?;
        steps.iter().try_for_each(|step| apply_step(&dir, step, || self.hint(&dir, &step.controller)))
    }

    fn inverse(&self, step: &Step) -> Vec<Step> {
        self.dir().map(|dir| undo::of_write(&dir, step)).unwrap_or_default()
    }

    fn delegate(&self, uid: u32) -> Result<(), CgroupError> {
        let dir = self.dir()?;
        let files = std::fs::read_to_string(DELEGATE);
        let files = files.unwrap_or_else(|_| "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n".to_owned());
        for name in [""].into_iter().chain(files.lines()) {
            // The directory itself first. Files of controllers that are not enabled are not there.
            let changed =
                dir.fd().and_then(|fd| chownat(fd, name, Some(Uid::from_raw(uid)), None, AtFlags::EMPTY_PATH));
            match changed {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(e) => return Err(CgroupError::io("chown", dir.file(name), e)),
            }
        }
        Ok(())
    }

    fn freeze(&self) -> Result<(), CgroupError> {
        self.set_frozen("1", "frozen")
    }

    fn thaw(&self) -> Result<(), CgroupError> {
        self.set_frozen("0", "thawed")
    }

    fn is_frozen(&self) -> Result<bool, CgroupError> {
        Ok(stats::keyed(&self.dir()?.read("cgroup.events")?, "frozen") == Some(1))
    }

    fn kill_all(&self) -> Result<(), CgroupError> {
        if self.kill_at_once()? { Ok(()) } else { kill_by_list(self) }
    }

    fn pids(&self) -> Result<Vec<i32>, CgroupError> {
        self.dir()?.procs_below()
    }

    fn cpu_quota(&self) -> Result<(i64, u64), CgroupError> {
        match self.dir()?.try_read("cpu.max") {
            Ok(text) => Ok(stats::cpu_max(&text)),
            // The controller is not enabled: nothing is limited.
            Err(Errno::NOENT) => Ok((-1, stats::DEFAULT_PERIOD_US)),
            Err(e) => Err(CgroupError::io("read", self.path.join("cpu.max"), e)),
        }
    }

    fn stats(&self) -> Result<Stats, CgroupError> {
        Ok(stats::v2::all(&self.dir()?))
    }

    fn oom_kills(&self) -> Result<u64, CgroupError> {
        match self.dir()?.try_read("memory.events") {
            Ok(text) => Ok(stats::keyed(&text, "oom_kill").unwrap_or(0)),
            // The memory controller is not enabled: nothing is killed for it here.
            Err(Errno::NOENT) => Ok(0),
            Err(e) => Err(CgroupError::io("read", self.path.join("memory.events"), e)),
        }
    }

    fn watch_oom(&self) -> Result<Option<OomWatch>, CgroupError> {
        OomWatch::v2(self.dir()?)
    }

    fn remove(&self) -> Result<(), Vec<CgroupError>> {
        dir::remove(&self.path).map_err(|e| vec![e])
    }
}
