//! What is done to place a container, or one more process of it.

use super::{Record, rootless};
use crate::error::{Error, Result};
use carboy_cgroup::{CgroupError, CgroupManager, Joiner, Step};
use carboy_oci::runtime::Resources;
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
    /// Whether it is only a directory of the unified hierarchy beside v1 hierarchies.
    membership: bool,
    /// The user of the host to whom it is handed over.
    pub owner: Option<u32>,
    /// What is ignored.
    pub warnings: Vec<String>,
}

/// Below this limit, in bytes, what init does before it executes the program could exhaust the memory.
const TIGHT: i64 = 16 << 20;

/// Whether a limit is tight, where the hierarchy that init would be born in counts memory.
fn is_tight(record: &Record, resources: Option<&Resources>) -> bool {
    let limit = resources.and_then(|r| r.memory.as_ref()).and_then(|m| m.limit);
    record.is_unified() && limit.is_some_and(|limit| (0..TIGHT).contains(&limit))
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

    /// What another process needs to join the v1 hierarchies.
    pub fn tasks(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.joiner.tasks()
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

impl Placement {
    /// Of a new container.
    pub fn new(record: &Record, steps: Vec<Step>, resources: Option<&Resources>) -> Placement {
        let optional = steps.iter().all(Step::is_about_devices);
        let tight = is_tight(record, resources);
        Placement { record: record.clone(), steps, optional, tight, ..Placement::default() }
    }

    /// Of a container that exists, for `exec`.
    pub fn existing(record: &Record, resources: Option<&Resources>) -> Placement {
        let tight = is_tight(record, resources);
        Placement { record: record.clone(), existing: true, tight, ..Placement::default() }
    }

    /// What must be there when the process is born, and what can be made while it does other things: v1 hierarchies, which are many.
    pub fn split(self) -> (Placement, Option<Placement>) {
        let Some((membership, v1)) = self.record.split() else { return (self, None) };
        let first = Placement {
            record: membership,
            steps: Vec::new(),
            optional: self.optional,
            existing: self.existing,
            membership: true,
            ..Placement::default()
        };
        (first, Some(Placement { record: v1, ..self }))
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.record.is_empty()
    }

    /// The directories of v1 hierarchies, in the order of [`Entry::tasks`].
    pub fn v1_directories(&self) -> Vec<PathBuf> {
        self.record.v1_directories().cloned().collect()
    }

    /// Whether it is made around a process that exists, or that is to be moved by somebody else: by systemd. Otherwise the process
    /// joins what has been made before.
    pub fn adopts(&self) -> bool {
        // Root can join a scope as any other cgroup.
        self.record.unit().is_some_and(|unit| !self.existing || unit.user)
    }

    /// Makes the cgroup; returns what init needs to join it. `None`: it does without.
    pub fn create(&self) -> Result<Option<Entry>> {
        if self.record.is_empty() {
            return Ok(None);
        }
        let membership = if self.membership { self.record.open_membership() } else { None };
        let cgroup = membership.unwrap_or_else(|| self.record.open());
        let result = if self.existing {
            cgroup.joiner()
        } else {
            cgroup.create().and_then(|joiner| {
                apply(&*cgroup, &self.steps)?;
                self.hand_over(&*cgroup).map(|()| joiner)
            })
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

    /// Makes the cgroup around a process, or moves a process into it.
    pub fn adopt(&self, pid: i32) -> Result<()> {
        let cgroup = self.record.open();
        if self.existing {
            return Ok(cgroup.attach(pid)?);
        }
        match cgroup.adopt(pid, &self.steps) {
            Err(e) if is_device_refusal(&e) && rootless() => apply(&*cgroup, &self.steps_of_files())?,
            result => result?,
        }
        Ok(self.hand_over(&*cgroup)?)
    }

    /// Gives a cgroup that somebody else has made its limits, and its owner.
    pub fn limit(&self) -> Result<()> {
        let cgroup = self.record.open();
        apply(&*cgroup, &self.steps)?;
        Ok(self.hand_over(&*cgroup)?)
    }

    fn hand_over(&self, cgroup: &dyn CgroupManager) -> Result<(), CgroupError> {
        match self.owner.map(|owner| cgroup.delegate(owner)) {
            // A user without a delegated cgroup has none to hand over.
            Some(Err(e)) if is_refusal(&e) && rootless() => Ok(()),
            result => result.unwrap_or(Ok(())),
        }
    }

    /// What systemd need not be told again.
    fn steps_of_files(&self) -> Vec<Step> {
        self.steps.iter().filter(|step| !step.is_about_unit()).cloned().collect()
    }

    /// As it is shown.
    pub fn calls(&self) -> Vec<String> {
        let made = match self.record.unit() {
            Some(unit) if self.existing => vec![format!("AttachProcessesToUnit {}", unit.name.scope)],
            Some(unit) => {
                let whose = if unit.user { "the user's systemd" } else { "systemd" };
                vec![format!("{whose}: StartTransientUnit {} Slice={}", unit.name.scope, unit.name.slice)]
            }
            None => Vec::new(),
        };
        let verb = if self.existing { "open" } else { "mkdir" };
        let directories = self.record.directories().map(|path| format!("{verb} {}", path.display()));
        let steps = self.steps.iter().map(|step| match step.controller.as_ref() {
            "" => step.to_string(),
            controller => format!("{controller}: {step}"),
        });
        let owner = self.owner.iter().flat_map(|owner| {
            self.record
                .directories()
                .map(move |path| format!("chown {} and its delegated files: {owner}", path.display()))
        });
        made.into_iter().chain(directories).chain(steps).chain(owner).collect()
    }
}

/// Carries out a plan. Without privilege on the host device rules cannot be had, and are not needed: what a user may open does not
/// depend on them, and nodes cannot be made (as runc).
fn apply(cgroup: &dyn CgroupManager, steps: &[Step]) -> Result<(), CgroupError> {
    match cgroup.apply(steps) {
        Err(e) if is_device_refusal(&e) && rootless() => {
            cgroup.apply(&steps.iter().filter(|step| !step.is_about_devices()).cloned().collect::<Vec<_>>())
        }
        result => result,
    }
}

fn is_device_refusal(error: &CgroupError) -> bool {
    matches!(error, CgroupError::Limit { field, source, .. }
        if field == "linux.resources.devices" && source.kind() == std::io::ErrorKind::PermissionDenied)
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
