//! The interface to one container's cgroup, whatever the hierarchies, and what the implementations share.

use crate::detect::{Hierarchies, Hierarchy, Mode, OwnCgroups};
use crate::dir::{CgroupDir, write_once};
use crate::error::CgroupError;
use crate::oom::OomWatch;
use crate::path::{CgroupPath, parse_own};
use crate::plan::{Missing, Step, What};
use crate::stats::Stats;
use crate::systemd::Location;
use crate::v1::V1Cgroup;
use crate::v2::V2Cgroup;
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long freezing, thawing and killing may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// One container's cgroup in all hierarchies.
///
/// Nothing is looked at or touched before a method is called; [`CgroupManager::create`] makes the directories, everything else
/// expects them, except [`CgroupManager::remove`], which is content with what is left.
pub trait CgroupManager {
    /// The directories, in the order in which they are made.
    fn directories(&self) -> Vec<PathBuf>;

    /// Makes the cgroup.
    ///
    /// # Errors
    /// [`CgroupError::InUse`] if it exists with processes in it; an empty one is taken over. What was made before an error is left
    /// to [`CgroupManager::remove`].
    fn create(&self) -> Result<Joiner, CgroupError>;

    /// Makes what is missing of it, whoever is in it already: directories, and what lets them be used.
    fn complete(&self) -> Result<(), CgroupError>;

    /// Makes the cgroup around a process that exists, and carries out a plan before the process can use more than it permits: for
    /// systemd, which makes no scope without a process. Slower than [`CgroupManager::create`] and joining.
    ///
    /// # Errors
    /// As [`CgroupManager::create`] and [`CgroupManager::apply`].
    fn adopt(&self, pid: i32, steps: &[Step]) -> Result<(), CgroupError> {
        drop(self.create()?);
        self.apply(steps)?;
        self.attach(pid)
    }

    /// What a further process needs to join the existing cgroup.
    fn joiner(&self) -> Result<Joiner, CgroupError>;

    /// Moves a process in by its PID. Slow on v1; see [`Joiner`].
    fn attach(&self, pid: i32) -> Result<(), CgroupError>;

    /// Carries out a plan, in order, up to the first error.
    fn apply(&self, steps: &[Step]) -> Result<(), CgroupError>;

    /// What would bring back what a step is about to change; empty if it changes nothing, or nothing that can be told.
    fn inverse(&self, step: &Step) -> Vec<Step>;

    /// Hands the cgroup over to a user of the container, who may then make cgroups below it and move processes among them (cgroups(7),
    /// "Cgroup delegation"). Only the unified hierarchy can be handed over safely; in others nothing is done.
    fn delegate(&self, uid: u32) -> Result<(), CgroupError>;

    /// Stops all processes, and returns when they have stopped.
    fn freeze(&self) -> Result<(), CgroupError>;

    /// Lets them go on.
    fn thaw(&self) -> Result<(), CgroupError>;

    /// Whether they are stopped.
    fn is_frozen(&self) -> Result<bool, CgroupError>;

    /// Kills all processes, also those that are just forking. Returns when the signals are sent, not when all have ended.
    fn kill_all(&self) -> Result<(), CgroupError>;

    /// All processes, also those in cgroups below.
    fn pids(&self) -> Result<Vec<i32>, CgroupError>;

    /// The quota and the period of the CPU now, in µs; the quota is negative if there is none.
    fn cpu_quota(&self) -> Result<(i64, u64), CgroupError>;

    /// What it uses now.
    fn stats(&self) -> Result<Stats, CgroupError>;

    /// How many processes the kernel has killed for want of memory.
    fn oom_kills(&self) -> Result<u64, CgroupError>;

    /// Has such kills told from now on. `None` if the memory controller is missing.
    fn watch_oom(&self) -> Result<Option<OomWatch>, CgroupError>;

    /// Removes it and what was made below it. Goes on past errors and returns them all.
    fn remove(&self) -> Result<(), Vec<CgroupError>>;
}

/// The cgroup at a path (`linux.cgroupsPath`), in whatever hierarchies there are.
///
/// # Errors
/// When a relative path needs the runtime's own cgroup and /proc/self/cgroup cannot be read.
pub fn open(
    hierarchies: &Hierarchies,
    path: &CgroupPath,
    own: &OwnCgroups,
) -> Result<Box<dyn CgroupManager>, CgroupError> {
    let own = match path {
        CgroupPath::Absolute(_) => BTreeMap::new(),
        CgroupPath::Relative(_) => parse_own(own.text()?),
    };
    let unified = hierarchies.unified.as_ref().map(|mount| V2Cgroup::new(mount, path.below(mount, "", &own)));
    match (hierarchies.mode(), unified) {
        (Mode::V2, Some(unified)) => Ok(Box::new(unified)),
        (_, unified) => {
            let parts = hierarchies.v1.iter().map(|hierarchy| {
                let first = hierarchy.controllers.first().map(String::as_str).unwrap_or_default();
                (hierarchy.clone(), path.below(&hierarchy.mount, first, &own))
            });
            Ok(Box::new(V1Cgroup::new(parts.collect(), unified)))
        }
    }
}

/// Where the calling process is itself.
///
/// # Errors
/// When /proc/self/cgroup cannot be read.
pub fn own(hierarchies: &Hierarchies) -> Result<Location, CgroupError> {
    let own = parse_own(OwnCgroups::default().text()?);
    let mine = |key: &str, mount: &PathBuf| mount.join(own.get(key).cloned().unwrap_or_default());
    let v1 = hierarchies.v1.iter().map(|hierarchy| {
        let first = hierarchy.controllers.first().map(String::as_str).unwrap_or_default();
        (hierarchy.clone(), mine(first, &hierarchy.mount))
    });
    Ok((v1.collect(), hierarchies.unified.as_ref().map(|mount| (mount.clone(), mine("", mount)))))
}

/// The unified hierarchy's part of a cgroup whose controllers are in version 1: for membership only.
pub fn reopen_membership(mount: &Path, path: PathBuf) -> Box<dyn CgroupManager> {
    Box::new(V1Cgroup::new(Vec::new(), Some(V2Cgroup::new(mount, path))))
}

/// A cgroup that was made before, by the directories that [`CgroupManager::directories`] named: the v1 hierarchies with theirs, the
/// unified hierarchy's mount and directory. Unlike [`open`] this does not depend on where the caller is.
pub fn reopen(v1: Vec<(Hierarchy, PathBuf)>, unified: Option<(PathBuf, PathBuf)>) -> Box<dyn CgroupManager> {
    let unified = unified.map(|(mount, path)| V2Cgroup::new(&mount, path));
    match unified {
        Some(unified) if v1.is_empty() => Box::new(unified),
        unified => Box::new(V1Cgroup::new(v1, unified)),
    }
}

/// What a process needs to enter the cgroup by itself: descriptors opened by whoever has the rights and the paths.
#[derive(Debug, Default)]
pub struct Joiner {
    /// `tasks` of each v1 hierarchy.
    pub(crate) tasks: Vec<(OwnedFd, PathBuf)>,
    pub(crate) unified: Option<CgroupDir>,
    /// Its cgroup.procs, if it has been opened beforehand.
    pub(crate) procs: Option<OwnedFd>,
}

impl Joiner {
    /// Moves the calling thread, which must be its process's only one.
    ///
    /// # Errors
    /// The file that refused, for instance EBUSY when the unified cgroup has limited children.
    pub fn join(&self) -> Result<(), CgroupError> {
        self.join_rest()?;
        match (&self.procs, &self.unified) {
            (Some(file), Some(dir)) => {
                write_once(file, "0").map_err(|e| CgroupError::io("write \"0\" to", dir.file("cgroup.procs"), e))
            }
            (None, Some(dir)) => dir.write("cgroup.procs", "0"),
            _ => Ok(()),
        }
    }

    /// For a process that inherits or is sent the `tasks` files of v1 hierarchies, with their paths.
    pub fn of_tasks(tasks: Vec<(OwnedFd, PathBuf)>) -> Joiner {
        Joiner { tasks, ..Joiner::default() }
    }

    /// The `tasks` files of the v1 hierarchies, in the order in which they were made.
    pub fn tasks(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.tasks.iter().map(|(file, _)| file.as_fd())
    }

    /// Opens the unified cgroup.procs now, for a process that will join from a user namespace in which it could not open it: the
    /// kernel asks for the rights of whoever opened it.
    pub fn open_procs(&mut self) -> Result<(), CgroupError> {
        if let Some(dir) = &self.unified {
            let file = dir.writer("cgroup.procs").map_err(|e| CgroupError::io("open", dir.file("cgroup.procs"), e))?;
            self.procs = Some(file);
        }
        Ok(())
    }

    /// The unified hierarchy's directory for clone3(2) with `CLONE_INTO_CGROUP` (Linux 5.7): a child born there need not write into
    /// cgroup.procs, for which the kernel waits for an RCU grace period (10 ms, Linux 6.18). What the child does before it
    /// executes its program is then counted too: not for a cgroup with little memory.
    pub fn clone_into(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().and_then(|dir| dir.fd().ok())
    }

    /// [`Joiner::join`] for a process that was born in [`Joiner::clone_into`].
    pub fn join_rest(&self) -> Result<(), CgroupError> {
        for (file, path) in &self.tasks {
            write_once(file, "0").map_err(|e| CgroupError::io("write \"0\" to", path, e))?;
        }
        Ok(())
    }
}

/// Carries out one step in a directory. `hint` explains why a file may be missing.
pub(crate) fn apply_step(dir: &CgroupDir, step: &Step, hint: impl Fn() -> String) -> Result<(), CgroupError> {
    let refused = |file: &str, value: &str, e: Errno| CgroupError::Limit {
        field: step.from.clone(),
        value: value.to_owned(),
        path: dir.file(file),
        source: e.into(),
    };
    match &step.what {
        What::Write { file, value, missing } => match (dir.try_write(file, value), missing) {
            (Ok(()), _) | (Err(Errno::NOENT), Missing::Skip) => Ok(()),
            (Err(Errno::NOENT), Missing::Instead(other, value)) => match dir.try_write(other, value) {
                Err(Errno::NOENT) => Err(CgroupError::unsupported(&step.from, hint())),
                other_result => other_result.map_err(|e| refused(other, value, e)),
            },
            (Err(Errno::NOENT), Missing::Fail) => Err(CgroupError::unsupported(
                &step.from,
                format!("{} does not exist: {}", dir.file(file).display(), hint()),
            )),
            (Err(e), _) => Err(refused(file, value, e)),
        },
        What::RequireAtMost { file, limit } => {
            let usage: u64 = dir.read(file)?.trim().parse().unwrap_or(0);
            if usage > *limit {
                return Err(CgroupError::invalid(
                    &step.from,
                    format!("{usage} bytes are in use, more than the new limit {limit}"),
                ));
            }
            Ok(())
        }
        // Left to the one that has a unit.
        What::UnitProperties(_) => Ok(()),
        What::AttachDevices(policy) => {
            let program = crate::devices::device_program(policy);
            let attached = carboy_sys::bpf::load_cgroup_device(&program)
                .and_then(|program| carboy_sys::bpf::replace_cgroup_device(dir.fd()?, program.as_fd()));
            attached.map_err(|source| CgroupError::Limit {
                field: step.from.clone(),
                value: "a device program".to_owned(),
                path: dir.path.clone(),
                source,
            })
        }
    }
}

/// Asks again until it is so, at growing intervals.
pub(crate) fn wait_until(
    path: &std::path::Path,
    state: &'static str,
    mut holds: impl FnMut() -> Result<bool, CgroupError>,
) -> Result<(), CgroupError> {
    let start = Instant::now();
    let mut pause = Duration::from_micros(50);
    while !holds()? {
        if start.elapsed() > PATIENCE {
            return Err(CgroupError::Timeout { path: path.to_owned(), state, waited_ms: PATIENCE.as_millis() as u64 });
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
    Ok(())
}

/// Kills without `cgroup.kill`: frozen processes cannot fork away; what has come since the list was read is caught in the next round.
pub(crate) fn kill_by_list(cgroup: &impl CgroupManager) -> Result<(), CgroupError> {
    for _ in 0..100 {
        // Some kernels and containers have no freezer: then the rounds alone must do.
        let frozen = cgroup.freeze().is_ok();
        let pids = cgroup.pids();
        for pid in pids.iter().flatten().filter_map(|pid| Pid::from_raw(*pid)) {
            // One that has ended since is what was wanted.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        if frozen {
            cgroup.thaw()?;
        }
        if pids?.is_empty() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Whether a child that was cloned into a cgroup was killed by the kernel at birth, as it does by mistake once `cgroup.kill` has been
/// used on the parent's cgroup or on the new one (see the crate's documentation). The signal is there before clone3(2)
/// returns, so asking at once is enough; such a child has not run an instruction and can simply be made again, outside. `stat` gives
/// the child's /proc/PID/stat, read anew.
pub fn killed_at_birth(mut stat: impl FnMut() -> String) -> bool {
    // The flags are read before the pending signals: a child that takes its SIGKILL between the two shows neither, but only once.
    is_dying(&stat()) || is_dying(&stat())
}

/// proc_pid_stat(5): the state, the flags `PF_EXITING` and `PF_SIGNALED`, or a pending SIGKILL.
fn is_dying(stat: &str) -> bool {
    let mut fields = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace();
    let state = fields.next().unwrap_or("X");
    // Of those after the state, the sixth and the twenty-eighth.
    let mut number = |skipped| fields.nth(skipped).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let (flags, pending) = (number(5), number(21));
    matches!(state, "Z" | "X") || flags & 0x404 != 0 || pending & 1 << 8 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dying_are_told_from_the_living() {
        assert!(!killed_at_birth(|| std::fs::read_to_string("/proc/self/stat").unwrap()));
        assert!(killed_at_birth(String::new));
        let rest = "0 0 0 0 20 0 1 0 1 1 1 1 1 1 1 1 1";
        assert!(is_dying(&format!("7 (a) b) R 1 1 1 0 -1 4194304 0 0 0 0 {rest} 256 0 0 0")));
        assert!(!is_dying(&format!("7 (a) b) R 1 1 1 0 -1 4194304 0 0 0 0 {rest} 0 0 0 0")));
        assert!(is_dying(&format!("7 (a) b) R 1 1 1 0 -1 4194308 0 0 0 0 {rest} 0 0 0 0")));
        assert!(is_dying("7 (a) Z 1"));
    }
}
