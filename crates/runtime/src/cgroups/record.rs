//! What is on record of a container's cgroup, and what is done with it afterwards.

mod below;

use super::View;
use crate::error::{Error, Result};
use carboy_cgroup::{CgroupManager, Hierarchies, Hierarchy, Location, OomWatch, PlanOptions, ScopeName, Unit};
use carboy_oci::runtime::Resources;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What is on record, before it is made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// v1: controllers, mount of the hierarchy, own directory.
    v1: Vec<(Vec<String>, PathBuf, PathBuf)>,
    /// Unified: mount, own directory.
    unified: Option<(PathBuf, PathBuf)>,
    /// The scope that systemd has made of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<Scope>,
}

/// A scope.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Scope {
    name: String,
    slice: String,
    user: bool,
}

impl Record {
    /// A cgroup of our own.
    pub fn new(hierarchies: &Hierarchies, cgroup: &dyn CgroupManager) -> Record {
        // In the order of `CgroupManager::directories`: the v1 hierarchies, then the unified one.
        let mut directories = cgroup.directories().into_iter();
        let v1 = hierarchies.v1.iter().zip(&mut directories);
        let v1 = v1.map(|(h, own)| (h.controllers.clone(), h.mount.clone(), own)).collect();
        let unified = hierarchies.unified.clone().zip(directories.next());
        Record { v1, unified, scope: None }
    }

    /// A cgroup that is somewhere already.
    pub fn of((v1, unified): Location) -> Record {
        let v1 = v1.into_iter().map(|(hierarchy, own)| (hierarchy.controllers, hierarchy.mount, own));
        Record { v1: v1.collect(), unified, scope: None }
    }

    /// A scope.
    pub fn of_scope(location: Location, unit: Unit) -> Record {
        let scope = Scope { name: unit.name.scope, slice: unit.name.slice, user: unit.user };
        Record { scope: Some(scope), ..Record::of(location) }
    }

    /// The scope, if it is one.
    pub fn unit(&self) -> Option<Unit> {
        let scope = self.scope.as_ref()?;
        let name = ScopeName { scope: scope.name.clone(), slice: scope.slice.clone() };
        Some(Unit { name, user: scope.user })
    }

    /// Whether the unified hierarchy is all there is.
    pub fn is_unified(&self) -> bool {
        self.v1.is_empty()
    }

    /// What a container sees of it.
    pub fn view(&self, namespace: bool) -> View {
        let name = |mount: &PathBuf| mount.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let v1 = self.v1.iter().map(|(controllers, mount, own)| (name(mount), controllers.join(","), own.clone()));
        let v2 = self.unified.as_ref().filter(|_| self.v1.is_empty()).map(|(_, own)| own.clone());
        View { v1: v1.collect(), v2, namespace }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.v1.is_empty() && self.unified.is_none()
    }

    /// The directories.
    pub fn directories(&self) -> impl Iterator<Item = &PathBuf> {
        self.v1.iter().map(|(_, _, own)| own).chain(self.unified.iter().map(|(_, own)| own))
    }

    /// The directory by which it is frozen.
    pub fn freezer(&self) -> Option<&PathBuf> {
        let v1 = self.v1.iter().find(|(controllers, ..)| controllers.iter().any(|name| name == "freezer"));
        v1.map(|(_, _, own)| own).or(self.unified.as_ref().filter(|_| self.is_unified()).map(|(_, own)| own))
    }

    /// Its path in each hierarchy, as CRIU names them: controllers of a v1 hierarchy, or none, and the path.
    pub fn roots(&self) -> Vec<(Option<String>, String)> {
        let path = |mount: &PathBuf, own: &PathBuf| format!("/{}", own.strip_prefix(mount).unwrap_or(own).display());
        let v1 = self.v1.iter().map(|(controllers, mount, own)| (Some(controllers.join(",")), path(mount, own)));
        let unified = self.unified.iter().filter(|_| self.is_unified());
        v1.chain(unified.map(|(mount, own)| (None, path(mount, own)))).collect()
    }

    /// Moves a process there.
    pub fn attach(&self, pid: i32) -> Result<()> {
        Ok(self.open().attach(pid)?)
    }

    /// The cgroup.
    pub fn open(&self) -> Box<dyn CgroupManager> {
        let v1 = self.v1.iter();
        let v1 = v1.map(|(controllers, mount, own)| {
            (Hierarchy { controllers: controllers.clone(), mount: mount.clone() }, own.clone())
        });
        match self.unit() {
            None => carboy_cgroup::reopen(v1.collect(), self.unified.clone()),
            Some(unit) => carboy_cgroup::reopen_scope(unit, (v1.collect(), self.unified.clone())),
        }
    }

    /// Its directory in the unified hierarchy, which is there for membership only, and the rest; if it has v1 hierarchies and is no scope.
    pub fn split(&self) -> Option<(Record, Record)> {
        if self.v1.is_empty() || self.scope.is_some() {
            return None;
        }
        let membership = Record { unified: self.unified.clone(), ..Record::default() };
        Some((membership, Record { v1: self.v1.clone(), ..Record::default() }))
    }

    /// The directory of [`Record::split`].
    pub fn open_membership(&self) -> Option<Box<dyn CgroupManager>> {
        self.unified.as_ref().map(|(mount, path)| carboy_cgroup::reopen_membership(mount, path.clone()))
    }

    /// The directories of v1 hierarchies.
    pub fn v1_directories(&self) -> impl Iterator<Item = &PathBuf> {
        self.v1.iter().map(|(_, _, own)| own)
    }

    /// Whether it is frozen.
    pub fn is_frozen(&self) -> bool {
        !self.is_empty() && self.open().is_frozen().unwrap_or(false)
    }

    /// Freezes it.
    pub fn freeze(&self) -> Result<()> {
        Ok(self.open().freeze()?)
    }

    /// Thaws it, if it is frozen.
    pub fn thaw(&self) -> Result<()> {
        if self.is_frozen() { Ok(self.open().thaw()?) } else { Ok(()) }
    }

    /// Writes other limits: all of them, or none.
    pub fn update(&self, resources: &Resources) -> Result<()> {
        let hierarchies = Hierarchies::detect()?;
        let cgroup = self.open();
        let mut resources = resources.clone();
        if let Some(cpu) = &mut resources.cpu {
            // One file, and one property of systemd's, hold both: who changes one keeps the other.
            let given = (cpu.quota.filter(|quota| *quota != 0), cpu.period.filter(|period| *period != 0));
            if given.0.is_some() != given.1.is_some() {
                let (quota, period) = cgroup.cpu_quota()?;
                (cpu.quota, cpu.period) = (given.0.or(Some(quota)), given.1.or(Some(period)));
            }
        }
        let systemd = self.scope.is_some();
        let options = PlanOptions { without_devices: true, update: true, systemd };
        Ok(carboy_cgroup::apply_whole(&*cgroup, &carboy_cgroup::plan(&resources, &hierarchies, options)?)?)
    }

    /// What it uses.
    pub fn stats(&self) -> Result<carboy_cgroup::Stats> {
        Ok(self.open().stats()?)
    }

    /// Tells when the kernel kills one of its processes for want of memory.
    pub fn watch_oom(&self) -> Result<Option<OomWatch>> {
        Ok(self.open().watch_oom()?)
    }

    /// All processes in it.
    pub fn pids(&self) -> Result<Vec<i32>> {
        Ok(self.open().pids()?)
    }

    /// Sends a signal to all processes in it.
    pub fn signal_all(&self, number: i32) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let cgroup = self.open();
        if !self.directories().any(|path| path.exists()) {
            return Ok(());
        }
        if number == 9 {
            return Ok(cgroup.kill_all()?);
        }
        for pid in cgroup.pids()? {
            // One that has ended since needs no signal.
            let _ = carboy_sys::signal::kill(pid, number);
        }
        Ok(())
    }

    /// Gives it up to whoever has it: only what is empty is taken away, and nobody is killed.
    pub fn give_up(&mut self) {
        for directory in self.directories() {
            let _ = std::fs::remove_dir(directory);
        }
        *self = Record::default();
    }

    /// Removes it. Returns what could not be done.
    pub fn remove(&self) -> Vec<Error> {
        if self.is_empty() {
            return Vec::new();
        }
        self.open().remove().err().unwrap_or_default().into_iter().map(Error::from).collect()
    }
}
