//! The container's cgroup: where it is, what is done to it, what is on record of it.

use crate::error::{Error, Result};
use carboy_cgroup::{CgroupError, CgroupManager, CgroupPath, Hierarchies, Hierarchy, Joiner, PlanOptions, Step};
use carboy_oci::runtime::{Resources, Spec};
use serde::{Deserialize, Serialize};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

/// What is made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Placement {
    /// The directories, and those that it has in `explain`.
    record: Record,
    /// What is written there.
    steps: Vec<Step>,
    /// Whether the container may do without: nothing was asked for, and this process is no administrator.
    optional: bool,
    /// Whether it exists: `exec`.
    existing: bool,
    /// Whether init must not be born there: the unified hierarchy counts memory, and there is little of it.
    tight: bool,
}

/// Below this limit, in bytes, what init does before it executes the program could exhaust the memory.
const TIGHT: i64 = 16 << 20;

/// Whether a limit is tight, where the hierarchy that init would be born in counts memory.
fn is_tight(record: &Record, resources: Option<&Resources>) -> bool {
    let limit = resources.and_then(|r| r.memory.as_ref()).and_then(|m| m.limit);
    record.v1.is_empty() && limit.is_some_and(|limit| (0..TIGHT).contains(&limit))
}

/// What init needs to join its cgroup.
#[derive(Debug)]
pub struct Entry {
    /// The descriptors.
    joiner: Joiner,
    /// Whether it is born there.
    born_there: bool,
}

impl Entry {
    /// Where to be born.
    pub fn clone_into(&self) -> Option<BorrowedFd<'_>> {
        self.joiner.clone_into().filter(|_| self.born_there)
    }

    /// It is not born there after all.
    pub fn stay_out(&mut self) {
        self.born_there = false;
    }

    /// Joins what it was not born in.
    pub fn join(&self) -> Result<()> {
        let joined = if self.born_there { self.joiner.join_rest() } else { self.joiner.join() };
        joined.map_err(Error::from)
    }
}

/// What is mounted in the container.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct View {
    /// The v1 hierarchies: name of the directory, controllers, own cgroup on the host.
    pub v1: Vec<(String, String, PathBuf)>,
    /// The unified hierarchy is all there is: own cgroup on the host.
    pub v2: Option<PathBuf>,
    /// Whether the container has a cgroup namespace, whose own cgroup is the root of new mounts.
    pub namespace: bool,
}

/// What is on record, before it is made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// v1: controllers, mount of the hierarchy, own directory.
    v1: Vec<(Vec<String>, PathBuf, PathBuf)>,
    /// Unified: mount, own directory.
    unified: Option<(PathBuf, PathBuf)>,
}

/// Whether this process is no administrator of the host.
pub fn rootless() -> bool {
    // In a user namespace of others' making root is none. Asked only when something has been refused.
    !rustix::process::geteuid().is_root()
        || std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !map.contains("4294967295"))
}

/// Where the container's cgroup will be and what it will have.
pub fn plan(spec: &Spec, id: &str, systemd: bool) -> Result<(Placement, View, Record)> {
    if systemd {
        return Err(Error::Usage("--systemd-cgroup is not supported yet".into()));
    }
    let linux = spec.linux.as_ref();
    let hierarchies = match Hierarchies::detect() {
        Ok(found) => found,
        Err(CgroupError::NoHierarchy) if linux.is_none_or(|l| l.resources.is_none()) => {
            return Ok((Placement::default(), View::default(), Record::default()));
        }
        Err(e) => return Err(e.into()),
    };
    let path = CgroupPath::parse(linux.and_then(|l| l.cgroups_path.as_deref()), id)?;
    let record = Record::new(&hierarchies, &*carboy_cgroup::open(&hierarchies, &path)?);
    let has = |kind: &str| linux.is_some_and(|l| l.namespaces.iter().any(|n| n.kind == kind));
    let resources = linux.and_then(|l| l.resources.as_ref());
    let options = PlanOptions { without_devices: has("user"), update: false };
    let steps = resources.map(|r| carboy_cgroup::plan(r, &hierarchies, options)).transpose()?.unwrap_or_default();
    let view = View::new(&record, has("cgroup"));
    let only_devices = steps.iter().all(|step| step.controller == "devices");
    let tight = is_tight(&record, resources);
    let placement = Placement { record: record.clone(), steps, optional: only_devices, existing: false, tight };
    Ok((placement, view, record))
}

impl Placement {
    /// Of a container that exists, for `exec`.
    pub fn existing(record: &Record, resources: Option<&Resources>) -> Placement {
        let tight = is_tight(record, resources);
        Placement { record: record.clone(), existing: true, tight, ..Placement::default() }
    }

    /// Makes the cgroup; returns what init needs to join it. `None`: it does without.
    pub fn create(&self) -> Result<Option<Entry>> {
        if self.record.is_empty() {
            return Ok(None);
        }
        let cgroup = self.record.open();
        let result = if self.existing {
            cgroup.joiner()
        } else {
            cgroup.create().and_then(|joiner| cgroup.apply(&self.steps).map(|()| joiner))
        };
        match result {
            Ok(mut joiner) => {
                if self.tight {
                    joiner.open_procs()?;
                }
                Ok(Some(Entry { joiner, born_there: !self.tight }))
            }
            // As runc: a user without a delegated cgroup may have containers without limits.
            Err(e) if (self.optional || self.existing) && is_refusal(&e) && rootless() => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// As it is shown.
    pub fn calls(&self) -> Vec<String> {
        let verb = if self.existing { "open" } else { "mkdir" };
        let directories = self.record.directories().map(|path| format!("{verb} {}", path.display()));
        directories.chain(self.steps.iter().map(|step| format!("{}: {step}", step.controller))).collect()
    }
}

fn is_refusal(error: &CgroupError) -> bool {
    use std::io::ErrorKind::{NotFound, PermissionDenied, ReadOnlyFilesystem};
    match error {
        CgroupError::Io { source, .. } | CgroupError::Limit { source, .. } => {
            matches!(source.kind(), PermissionDenied | ReadOnlyFilesystem | NotFound)
        }
        _ => false,
    }
}

impl View {
    fn new(record: &Record, namespace: bool) -> View {
        let name = |mount: &PathBuf| mount.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let v1 = record.v1.iter().map(|(controllers, mount, own)| (name(mount), controllers.join(","), own.clone()));
        let v2 = record.unified.as_ref().filter(|_| record.v1.is_empty()).map(|(_, own)| own.clone());
        View { v1: v1.collect(), v2, namespace }
    }

    /// As it is shown.
    pub fn calls(&self, attributes: &str) -> Vec<String> {
        if self.v2.is_some() {
            return vec![format!("fsopen(\"cgroup2\"), fsmount({attributes})")];
        }
        let how = if self.namespace { "mount(cgroup)" } else { "bind of the own cgroup" };
        let tmpfs = "fsopen(\"tmpfs\"), fsmount".to_owned();
        [tmpfs].into_iter().chain(self.v1.iter().map(|(name, ..)| format!("{how}: {name}"))).collect()
    }
}

impl Record {
    fn new(hierarchies: &Hierarchies, cgroup: &dyn CgroupManager) -> Record {
        // In the order of `CgroupManager::directories`: the v1 hierarchies, then the unified one.
        let mut directories = cgroup.directories().into_iter();
        let v1 = hierarchies.v1.iter().zip(&mut directories);
        let v1 = v1.map(|(h, own)| (h.controllers.clone(), h.mount.clone(), own)).collect();
        let unified = hierarchies.unified.clone().zip(directories.next());
        Record { v1, unified }
    }

    fn is_empty(&self) -> bool {
        self.v1.is_empty() && self.unified.is_none()
    }

    fn directories(&self) -> impl Iterator<Item = &PathBuf> {
        self.v1.iter().map(|(_, _, own)| own).chain(self.unified.iter().map(|(_, own)| own))
    }

    fn open(&self) -> Box<dyn CgroupManager> {
        let v1 = self.v1.iter();
        let v1 = v1.map(|(controllers, mount, own)| {
            (Hierarchy { controllers: controllers.clone(), mount: mount.clone() }, own.clone())
        });
        carboy_cgroup::reopen(v1.collect(), self.unified.clone())
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

    /// Writes other limits.
    pub fn update(&self, resources: &Resources) -> Result<()> {
        let hierarchies = Hierarchies::detect()?;
        let options = PlanOptions { without_devices: true, update: true };
        Ok(self.open().apply(&carboy_cgroup::plan(resources, &hierarchies, options)?)?)
    }

    /// What it uses.
    pub fn stats(&self) -> Result<carboy_cgroup::Stats> {
        Ok(self.open().stats()?)
    }

    /// How many of its processes the kernel has killed for want of memory.
    pub fn oom_kills(&self) -> Result<u64> {
        Ok(self.open().oom_kills()?)
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

    /// Removes it. Returns what could not be done.
    pub fn remove(&self) -> Vec<Error> {
        if self.is_empty() {
            return Vec::new();
        }
        self.open().remove().err().unwrap_or_default().into_iter().map(Error::from).collect()
    }
}
