//! A container's scope: the third [`CgroupManager`], around one of the other two.

use super::manager::Manager;
use super::{Property, Unit};
use crate::dbus::{DbusError, Value};
use crate::detect::{Hierarchies, Hierarchy, Mode};
use crate::error::CgroupError;
use crate::manager::{CgroupManager, Joiner, reopen};
use crate::oom::OomWatch;
use crate::path::parse_own;
use crate::plan::{Step, What};
use crate::stats::Stats;
use std::path::{Path, PathBuf};

/// Where a cgroup lies: the v1 hierarchies with its directories, the unified hierarchy's mount and its directory.
pub type Location = (Vec<(Hierarchy, PathBuf)>, Option<(PathBuf, PathBuf)>);

/// Where systemd will put a scope. Asks a user's systemd where it is itself; the machine's is where process 1 is.
///
/// # Errors
/// When there is no systemd, or a user's is asked for on a machine whose controllers are in version 1, which it cannot hand on.
pub fn locate(hierarchies: &Hierarchies, unit: &Unit) -> Result<Location, CgroupError> {
    if !Path::new("/run/systemd/system").is_dir() {
        let reason = "systemd is not running on this machine, so it cannot manage cgroups (use the cgroupfs driver)";
        return Err(CgroupError::unsupported("--systemd-cgroup", reason));
    }
    let below = unit.name.path();
    if unit.user {
        if hierarchies.mode() != Mode::V2 {
            let reason = "a user's systemd manages cgroups only where cgroup v2 is all there is";
            return Err(CgroupError::unsupported("--systemd-cgroup", reason));
        }
        let base = Manager::open(true).and_then(|mut manager| manager.control_group());
        let base = base.map_err(|source| failed("find the cgroup of", "the user's systemd", source))?;
        let place = |mount: &PathBuf| (mount.clone(), mount.join(base.trim_start_matches('/')).join(&below));
        return Ok((Vec::new(), hierarchies.unified.as_ref().map(place)));
    }
    let file = "/proc/1/cgroup";
    let own = parse_own(&std::fs::read_to_string(file).map_err(|e| CgroupError::io("read", file, e))?);
    // In a container systemd is not at the root.
    let place = |mount: &Path, controller: &str| {
        let base = own.get(controller).cloned().unwrap_or_default();
        let base =
            if base.ends_with("init.scope") { base.parent().map(Path::to_owned).unwrap_or_default() } else { base };
        mount.join(base).join(&below)
    };
    let v1 = hierarchies.v1.iter().map(|hierarchy| {
        let first = hierarchy.controllers.first().map(String::as_str).unwrap_or_default();
        (hierarchy.clone(), place(&hierarchy.mount, first))
    });
    let unified = hierarchies.unified.as_ref().map(|mount| (mount.clone(), place(mount, "")));
    Ok((v1.collect(), unified))
}

/// A scope's cgroup, by where [`locate`] said that it is.
pub fn reopen_scope(unit: Unit, location: Location) -> Box<dyn CgroupManager> {
    let is_v1 = !location.0.is_empty();
    Box::new(Scope { unit, is_v1, inner: reopen(location.0, location.1) })
}

struct Scope {
    unit: Unit,
    is_v1: bool,
    inner: Box<dyn CgroupManager>,
}

fn failed(operation: &'static str, unit: &str, source: DbusError) -> CgroupError {
    CgroupError::Systemd { operation, unit: unit.to_owned(), source }
}

impl Scope {
    fn name(&self) -> &str {
        &self.unit.name.scope
    }

    fn ask<T>(
        &self,
        operation: &'static str,
        ask: impl FnOnce(&mut Manager) -> Result<T, DbusError>,
    ) -> Result<T, CgroupError> {
        let asked = Manager::open(self.unit.user).and_then(|mut manager| ask(&mut manager));
        asked.map_err(|source| failed(operation, self.name(), source))
    }

    /// What every scope of ours has (the same as runc's).
    fn properties(&self, pid: i32) -> Vec<Property> {
        let on = |name: &'static str| Property::new(name, Value::Bool(true));
        let description = format!("carboy container {}", self.name().trim_end_matches(".scope"));
        vec![
            Property::new("Description", Value::Str(description)),
            Property::new("Slice", Value::Str(self.unit.name.slice.clone())),
            on("Delegate"),
            Property::new("PIDs", Value::Array("u".into(), vec![Value::U32(pid as u32)])),
            on("MemoryAccounting"),
            on("CPUAccounting"),
            on(if self.is_v1 { "BlockIOAccounting" } else { "IOAccounting" }),
            on("TasksAccounting"),
            Property::new("DefaultDependencies", Value::Bool(false)),
        ]
    }

    fn start(&self, pid: i32, wanted: Vec<Property>) -> Result<(), CgroupError> {
        self.ask("start", |manager| {
            let mut properties = self.properties(pid);
            properties.extend(known(wanted, manager)?);
            manager.start_scope(self.name(), &properties)
        })?;
        // What is written next must go where the processes are.
        let file = format!("/proc/{pid}/cgroup");
        let own = parse_own(&std::fs::read_to_string(&file).map_err(|e| CgroupError::io("read", &file, e))?);
        let key = if self.is_v1 { "name=systemd" } else { "" };
        let theirs = own.get(key).cloned().unwrap_or_default();
        if self.directories().iter().any(|directory| directory.ends_with(&theirs)) {
            return Ok(());
        }
        let reason =
            format!("systemd has put {} into the cgroup /{}, where it was not expected", self.name(), theirs.display());
        Err(CgroupError::unsupported("--systemd-cgroup", reason))
    }

    /// On v1 systemd refuses all devices for a moment when it writes the rules again: nobody is to notice (as runc).
    fn set_properties(&self, wanted: &[Property]) -> Result<(), CgroupError> {
        let freeze = self.is_v1 && !self.is_frozen().unwrap_or(true) && self.freeze().is_ok();
        let done = self.ask("change", |manager| {
            let properties = known(wanted.to_vec(), manager)?;
            manager.set_properties(self.name(), &properties)
        });
        if freeze {
            self.thaw()?;
        }
        done
    }
}

/// Those that this version of systemd knows. The others are only written to the cgroup.
fn known(mut properties: Vec<Property>, manager: &mut Manager) -> Result<Vec<Property>, DbusError> {
    if properties.iter().any(|property| property.since > 0) {
        let version = manager.version()?;
        properties.retain(|property| property.since <= version);
    }
    Ok(properties)
}

impl CgroupManager for Scope {
    fn directories(&self) -> Vec<PathBuf> {
        self.inner.directories()
    }

    fn create(&self) -> Result<Joiner, CgroupError> {
        Err(CgroupError::unsupported("--systemd-cgroup", "systemd makes a scope around a process that exists"))
    }

    fn complete(&self) -> Result<(), CgroupError> {
        self.inner.complete()
    }

    fn adopt(&self, pid: i32, steps: &[Step]) -> Result<(), CgroupError> {
        let wanted = steps.iter().filter_map(|step| match &step.what {
            What::UnitProperties(properties) => Some(properties.iter().cloned()),
            _ => None,
        });
        self.start(pid, wanted.flatten().collect())?;
        self.inner.complete()?;
        let rest = steps.iter().filter(|step| !matches!(step.what, What::UnitProperties(_)));
        self.inner.apply(&rest.cloned().collect::<Vec<_>>())?;
        // Hierarchies that systemd does not manage (freezer, cpuset, …): those of v1 only.
        if self.is_v1 { self.inner.attach(pid) } else { Ok(()) }
    }

    fn joiner(&self) -> Result<Joiner, CgroupError> {
        self.inner.joiner()
    }

    fn attach(&self, pid: i32) -> Result<(), CgroupError> {
        match self.inner.attach(pid) {
            // A user's session lies beside what its systemd has been given: only systemd can move a process across.
            Err(CgroupError::Io { source, .. })
                if self.unit.user && source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                self.ask("move a process into", |manager| manager.attach(self.name(), pid))
            }
            result => result,
        }
    }

    fn apply(&self, steps: &[Step]) -> Result<(), CgroupError> {
        for run in steps.chunk_by(|a, b| is_properties(a) == is_properties(b)) {
            match &run[0].what {
                What::UnitProperties(properties) if properties.is_empty() => {}
                What::UnitProperties(properties) => self.set_properties(properties)?,
                _ => self.inner.apply(run)?,
            }
        }
        Ok(())
    }

    fn inverse(&self, step: &Step) -> Vec<Step> {
        let What::UnitProperties(wanted) = &step.what else { return self.inner.inverse(step) };
        let now = self.ask("ask for properties of", |manager| {
            let names = known(wanted.clone(), manager)?;
            manager.current(self.name(), &names)
        });
        let now = now.unwrap_or_default();
        if now.is_empty() { Vec::new() } else { vec![Step { what: What::UnitProperties(now), ..step.clone() }] }
    }

    fn delegate(&self, uid: u32) -> Result<(), CgroupError> {
        self.inner.delegate(uid)
    }

    fn freeze(&self) -> Result<(), CgroupError> {
        self.inner.freeze()
    }

    fn thaw(&self) -> Result<(), CgroupError> {
        self.inner.thaw()
    }

    fn is_frozen(&self) -> Result<bool, CgroupError> {
        self.inner.is_frozen()
    }

    fn kill_all(&self) -> Result<(), CgroupError> {
        self.inner.kill_all()
    }

    fn pids(&self) -> Result<Vec<i32>, CgroupError> {
        self.inner.pids()
    }

    fn cpu_quota(&self) -> Result<(i64, u64), CgroupError> {
        self.inner.cpu_quota()
    }

    fn stats(&self) -> Result<Stats, CgroupError> {
        self.inner.stats()
    }

    fn oom_kills(&self) -> Result<u64, CgroupError> {
        self.inner.oom_kills()
    }

    fn watch_oom(&self) -> Result<Option<OomWatch>, CgroupError> {
        self.inner.watch_oom()
    }

    fn remove(&self) -> Result<(), Vec<CgroupError>> {
        let stopped = self.ask("stop", |manager| manager.stop(self.name()));
        // What is not systemd's, and what it has left.
        let mut left = self.inner.remove().err().unwrap_or_default();
        left.extend(stopped.err());
        if left.is_empty() { Ok(()) } else { Err(left) }
    }
}

fn is_properties(step: &Step) -> bool {
    matches!(step.what, What::UnitProperties(_))
}
