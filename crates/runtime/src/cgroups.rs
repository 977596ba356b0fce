//! The container's cgroup: where it is, what is done to it, what is on record of it.

mod placement;
mod record;

pub use placement::{Entry, Placement};
pub use record::Record;

use crate::error::{Error, Result};
use carboy_cgroup::{CgroupError, CgroupPath, Hierarchies, OwnCgroups, PlanOptions, ScopeName, Step, Unit};
use carboy_oci::runtime::Spec;
use std::path::PathBuf;
use std::sync::OnceLock;

/// Who makes cgroups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Driver {
    /// This runtime, in the cgroup file systems.
    #[default]
    Cgroupfs,
    /// systemd, asked over D-Bus.
    Systemd,
    /// Nobody: the container stays in the caller's cgroup.
    Disabled,
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

/// What `--rootless` says, unless it is `auto`.
static ROOTLESS: OnceLock<bool> = OnceLock::new();

/// Decides what [`rootless`] answers.
pub fn set_rootless(value: bool) {
    let _ = ROOTLESS.set(value);
}

/// Whether what is refused for want of privilege may be done without, where runc does without it.
pub fn rootless() -> bool {
    ROOTLESS.get().copied().unwrap_or_else(is_no_administrator)
}

/// Whether this process is no administrator of the host.
pub fn is_no_administrator() -> bool {
    // In a user namespace of others' making root is none. Asked only when something has been refused.
    !rustix::process::geteuid().is_root()
        || std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !map.contains("4294967295"))
}

/// How the hierarchies are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// By their names. What fails then is tried again with the other.
    Quick,
    /// By a look at each.
    Thorough,
}

/// Whether the two searches differ, so that what failed after the quick one may succeed after the other.
pub fn was_misled() -> bool {
    Hierarchies::guess(&OwnCgroups::default()).ok() != Hierarchies::detect().ok()
}

/// Where the container's cgroup will be and what it will have.
pub fn plan(spec: &Spec, id: &str, driver: Driver, search: Search) -> Result<(Placement, View, Record)> {
    let linux = spec.linux.as_ref();
    let resources = linux.and_then(|l| l.resources.as_deref());
    let own = OwnCgroups::default();
    let found = match search {
        Search::Quick => Hierarchies::guess(&own),
        Search::Thorough => Hierarchies::detect(),
    };
    let hierarchies = match found {
        Ok(found) => found,
        Err(CgroupError::NoHierarchy) if resources.is_none() && driver != Driver::Systemd => {
            return Ok((Placement::default(), View::default(), Record::default()));
        }
        Err(e) => return Err(e.into()),
    };
    let has = |kind: &str| linux.is_some_and(|l| l.namespaces.iter().any(|n| n.kind == kind));
    let options =
        PlanOptions { without_devices: has("user"), systemd: driver == Driver::Systemd, ..PlanOptions::default() };
    let mut steps = resources.map(|r| carboy_cgroup::plan(r, &hierarchies, options)).transpose()?.unwrap_or_default();
    let path = linux.and_then(|l| l.cgroups_path.as_deref());
    let record = match driver {
        Driver::Cgroupfs => {
            let path = CgroupPath::parse(path, id)?;
            Record::new(&hierarchies, &*carboy_cgroup::open(&hierarchies, &path, &own)?)
        }
        Driver::Systemd => {
            let user = is_no_administrator();
            let unit = Unit { name: ScopeName::parse(path, id, user)?, user };
            steps.extend(carboy_cgroup::plan_annotations(&spec.annotations)?);
            Record::of_scope(carboy_cgroup::locate(&hierarchies, &unit)?, unit)
        }
        Driver::Disabled => {
            refuse_limits(&steps)?;
            let view = Record::of(carboy_cgroup::own(&hierarchies)?).view(has("cgroup"));
            return Ok((Placement::default(), view, Record::default()));
        }
    };
    let view = record.view(has("cgroup"));
    let mut placement = Placement::new(&record, steps, resources);
    placement.owner = owner(spec).filter(|_| record.is_unified());
    placement.warnings = resources.map(carboy_cgroup::ignored).unwrap_or_default();
    Ok((placement, view, record))
}

/// To whom the cgroup is handed over (runtime-spec, "Cgroup ownership"): the program's user, as the host knows it, if the container has a
/// new cgroup namespace and its cgroup can be written there.
fn owner(spec: &Spec) -> Option<u32> {
    let linux = spec.linux.as_ref()?;
    let new = |kind: &str| linux.namespaces.iter().any(|n| n.kind == kind && n.path.is_none());
    let writable = spec.mounts.iter().any(|mount| {
        let kind = mount.kind.as_deref().unwrap_or_default();
        let read_only = mount.options.iter().any(|option| option == "ro" || option == "rro");
        matches!(kind, "cgroup" | "cgroup2") && crate::plan::clean(&mount.destination) == "/sys/fs/cgroup" && !read_only
    });
    if !new("cgroup") || !new("user") || !writable {
        return None;
    }
    let uid = spec.process.as_ref()?.user.uid;
    let range =
        linux.uid_mappings.iter().find(|map| (map.container_id..).take(map.size as usize).any(|id| id == uid))?;
    range.host_id.checked_add(uid - range.container_id)
}

/// Without a cgroup nothing can be limited. Rules for devices are always there, and are those of the caller then.
fn refuse_limits(steps: &[Step]) -> Result<()> {
    match steps.iter().find(|step| !step.is_about_devices()) {
        Some(step) => {
            Err(Error::invalid(step.from.clone(), "is given, but --cgroup-manager=disabled makes no cgroup to limit"))
        }
        None => Ok(()),
    }
}

impl View {
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
