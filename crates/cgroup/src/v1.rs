//! Version 1 and hybrid: a directory in each hierarchy, and in the unified one for membership.

use crate::detect::Hierarchy;
use crate::dir::{self, CgroupDir};
use crate::error::CgroupError;
use crate::manager::{CgroupManager, Joiner, apply_step, kill_by_list, wait_until};
use crate::oom::OomWatch;
use crate::plan::{Step, What};
use crate::stats::{self, Stats};
use crate::undo;
use crate::v2::V2Cgroup;
use rustix::fs::{CWD, Mode, OFlags, openat};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// One cgroup in the v1 hierarchies.
pub(crate) struct V1Cgroup {
    parts: Vec<(Hierarchy, PathBuf)>,
    unified: Option<V2Cgroup>,
    /// Whether its directories are known to be there, as they have just been made.
    made: AtomicBool,
}

impl V1Cgroup {
    pub(crate) fn new(parts: Vec<(Hierarchy, PathBuf)>, unified: Option<V2Cgroup>) -> Self {
        V1Cgroup { parts, unified, made: AtomicBool::new(false) }
    }

    fn path(&self, controller: &str) -> Option<&PathBuf> {
        let part = self.parts.iter().find(|(hierarchy, _)| hierarchy.controllers.iter().any(|name| name == controller));
        part.map(|(_, path)| path)
    }

    fn dir(&self, controller: &str) -> Result<Option<CgroupDir>, CgroupError> {
        self.path(controller).map(|path| CgroupDir::open(path)).transpose()
    }

    fn make(&self, shared: bool) -> Result<(), CgroupError> {
        for (hierarchy, path) in &self.parts {
            let new = CgroupDir::make_below(&hierarchy.mount, path)?;
            if !new && !shared && !CgroupDir::open(path)?.procs_below()?.is_empty() {
                return Err(CgroupError::InUse(path.clone()));
            }
            if hierarchy.controllers.iter().any(|name| name == "cpuset") {
                inherit_cpuset(&hierarchy.mount, path)?;
            }
        }
        self.unified.as_ref().map_or(Ok(()), |unified| unified.make_directory(shared))
    }

    fn freezer(&self) -> Result<CgroupDir, CgroupError> {
        let missing = || CgroupError::unsupported("freezer", "no hierarchy with the freezer is mounted");
        self.dir("freezer")?.ok_or_else(missing)
    }

    fn set_frozen(&self, state: &'static str) -> Result<(), CgroupError> {
        let dir = self.freezer()?;
        dir.write("freezer.state", state)?;
        wait_until(&dir.path, state, || {
            let reached = dir.read("freezer.state")?.trim() == state;
            // A task that was in the way is frozen only when the kernel is asked again (freezer-subsystem.rst).
            if !reached {
                dir.write("freezer.state", state)?;
            }
            Ok(reached)
        })
    }
}

/// A new cpuset is empty, and no process can enter an empty one: each missing level takes its parent's.
fn inherit_cpuset(mount: &Path, path: &Path) -> Result<(), CgroupError> {
    let Some(parent) = path.parent().filter(|parent| parent.starts_with(mount)) else { return Ok(()) };
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let of_parent = parent.join(file);
        let read = || dir::read_whole(CWD, &of_parent).map_err(|e| CgroupError::io("read", &of_parent, e));
        let mut value = read()?;
        if value.trim().is_empty() && parent != mount {
            inherit_cpuset(mount, parent)?;
            value = read()?;
        }
        let own = path.join(file);
        let written = openat(CWD, &own, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
        let written = written.and_then(|file| dir::write_once(&file, value.trim()));
        written.map_err(|e| CgroupError::io("write", &own, e))?;
    }
    Ok(())
}

impl CgroupManager for V1Cgroup {
    fn directories(&self) -> Vec<PathBuf> {
        let unified = self.unified.iter().flat_map(CgroupManager::directories);
        self.parts.iter().map(|(_, path)| path.clone()).chain(unified).collect()
    }

    fn create(&self) -> Result<Joiner, CgroupError> {
        self.make(false)?;
        self.made.store(true, Ordering::Relaxed);
        self.joiner()
    }

    fn complete(&self) -> Result<(), CgroupError> {
        self.make(true)
    }

    fn joiner(&self) -> Result<Joiner, CgroupError> {
        let mut tasks = Vec::with_capacity(self.parts.len());
        for (_, path) in &self.parts {
            let file = path.join("tasks");
            let fd = openat(CWD, &file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
            tasks.push((fd.map_err(|e| CgroupError::io("open", &file, e))?, file));
        }
        let unified = self.unified.as_ref().map(V2Cgroup::dir).transpose()?;
        Ok(Joiner { tasks, unified, procs: None })
    }

    fn attach(&self, pid: i32) -> Result<(), CgroupError> {
        for (_, path) in &self.parts {
            CgroupDir::open(path)?.write("cgroup.procs", &pid.to_string())?;
        }
        self.unified.as_ref().map_or(Ok(()), |unified| unified.attach(pid))
    }

    fn apply(&self, steps: &[Step]) -> Result<(), CgroupError> {
        let mut open: Option<CgroupDir> = None;
        let mut retry = None;
        for step in steps {
            let Some(path) = self.path(&step.controller) else {
                let reason = format!("no cgroup hierarchy with the controller {:?} is mounted", step.controller);
                return Err(CgroupError::unsupported(&step.from, reason));
            };
            let dir = match open.take() {
                Some(dir) if dir.path == *path => open.insert(dir),
                _ if self.made.load(Ordering::Relaxed) => open.insert(CgroupDir::made(path)),
                _ => open.insert(CgroupDir::open(path)?),
            };
            let hint = || format!("this kernel's controller {:?} does not have it", step.controller);
            match apply_step(dir, step, hint) {
                // An update may raise both memory limits, or both the CPU quota and its burst: then the order must be the other one.
                Err(CgroupError::Limit { source, .. })
                    if is_ordered(step) && source.raw_os_error() == Some(libc_einval()) =>
                {
                    retry = Some(step);
                }
                result => result?,
            }
        }
        match retry {
            Some(step) => {
                let Some(dir) = self.dir(&step.controller)? else { return Ok(()) };
                apply_step(&dir, step, String::new)
            }
            None => Ok(()),
        }
    }

    fn inverse(&self, step: &Step) -> Vec<Step> {
        self.dir(&step.controller).ok().flatten().map(|dir| undo::of_write(&dir, step)).unwrap_or_default()
    }

    fn delegate(&self, _uid: u32) -> Result<(), CgroupError> {
        // By its owner a v1 cgroup's limits could be changed, and notify_on_release would run programs of the host.
        Ok(())
    }

    fn freeze(&self) -> Result<(), CgroupError> {
        self.set_frozen("FROZEN")
    }

    fn thaw(&self) -> Result<(), CgroupError> {
        self.set_frozen("THAWED")
    }

    fn is_frozen(&self) -> Result<bool, CgroupError> {
        let Some(path) = self.path("freezer") else { return Ok(false) };
        let file = path.join("freezer.state");
        let state = dir::read_whole(CWD, &file).map_err(|e| CgroupError::io("read", &file, e))?;
        Ok(state.trim() != "THAWED")
    }

    fn kill_all(&self) -> Result<(), CgroupError> {
        // In hybrid mode every process of ours is in the unified hierarchy too, and that kills in one write (Linux 5.14).
        match &self.unified {
            Some(unified) if unified.kill_at_once()? => Ok(()),
            _ => kill_by_list(self),
        }
    }

    fn pids(&self) -> Result<Vec<i32>, CgroupError> {
        // Any directory will do. One that has not been made yet, or lies in no hierarchy, knows of none.
        for path in self.path("pids").into_iter().chain(self.parts.iter().map(|(_, path)| path)) {
            match CgroupDir::open(path).and_then(|dir| dir.procs_below()) {
                Err(e) if e.is_missing() => {}
                result => return result,
            }
        }
        Ok(Vec::new())
    }

    fn cpu_quota(&self) -> Result<(i64, u64), CgroupError> {
        let Some(dir) = self.dir("cpu")? else { return Ok((-1, stats::DEFAULT_PERIOD_US)) };
        let quota = dir.read("cpu.cfs_quota_us")?.trim().parse().unwrap_or(-1);
        Ok((quota, dir.read("cpu.cfs_period_us")?.trim().parse().unwrap_or(stats::DEFAULT_PERIOD_US)))
    }

    fn stats(&self) -> Result<Stats, CgroupError> {
        let mut stats = Stats::default();
        if let Some(dir) = self.dir("cpuacct")? {
            stats::v1::cpuacct(&dir, &mut stats.cpu);
        }
        if let Some(dir) = self.dir("cpu")? {
            stats::v1::cpu(&dir, &mut stats.cpu);
        }
        if let Some(dir) = self.dir("memory")? {
            stats.memory = stats::v1::memory(&dir);
        }
        if let Some(dir) = self.dir("pids")? {
            stats.pids = stats::pids(&dir);
        }
        if let Some(dir) = self.dir("blkio")? {
            stats.io = stats::v1::blkio(&dir);
        }
        if let Some(dir) = self.dir("cpuset")? {
            stats.cpuset = stats::v1::cpuset(&dir);
        }
        if let Some(dir) = self.dir("hugetlb")? {
            stats.hugetlb = stats::v1::hugetlb(&dir);
        }
        Ok(stats)
    }

    fn oom_kills(&self) -> Result<u64, CgroupError> {
        match self.dir("memory")? {
            Some(dir) => Ok(stats::keyed(&dir.read("memory.oom_control")?, "oom_kill").unwrap_or(0)),
            None => Ok(0),
        }
    }

    fn watch_oom(&self) -> Result<Option<OomWatch>, CgroupError> {
        self.dir("memory")?.map(OomWatch::v1).transpose()
    }

    fn remove(&self) -> Result<(), Vec<CgroupError>> {
        let failed: Vec<CgroupError> = self.directories().iter().filter_map(|path| dir::remove(path).err()).collect();
        if failed.is_empty() { Ok(()) } else { Err(failed) }
    }
}

/// Files whose values bound each other.
fn is_ordered(step: &Step) -> bool {
    let files = ["memory.limit_in_bytes", "cpu.cfs_burst_us", "cpu.cfs_period_us", "cpu.rt_period_us"];
    matches!(&step.what, What::Write { file, .. } if files.contains(&file.as_ref()))
}

fn libc_einval() -> i32 {
    rustix::io::Errno::INVAL.raw_os_error()
}
