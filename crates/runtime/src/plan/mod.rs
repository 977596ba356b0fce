//! A configuration becomes a list of steps.
//!
//! Pure: what is known of the host comes in as [`Host`]; nothing is opened, nothing is asked of the kernel. What cannot be honoured is
//! refused here, before anything is done, with the name of the field.
//!
//! ```text
//! runtime                                   init
//!   unified cgroup, clone ──────────────────▶│
//!   id maps ──── MapsWritten ───────────────▶│ session, join, network namespace, keyring, loopback
//!   OOM score, v1 cgroups                    │ isolate, root, mounts
//!   record       ──── tasks ────────────────▶│ joins the cgroup, cgroup namespace, cgroup mounts, devices, links
//!   hooks ◀───── RootfsReady ────────────────┤ (only with hooks)
//!   ──────────── HooksDone ─────────────────▶│ createContainer hooks, pivot, console, sysctl, masks, limits, identity, cwd
//!         ◀───── Created ────────────────────┤
//!   ──────────── Proceed ───────────────────▶│ `create`: waits for `start`;  startContainer hooks, filter, execute
//! ```

pub mod capabilities;
mod check;
mod devices;
mod exec;
mod mounts;
pub mod namespaces;
mod net_devices;
mod options;
mod process;
#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;
mod tuning;

use crate::cgroups::{Placement, View};
use crate::error::{Error, Result};
use crate::step::{Action, Filter, IdMaps, Moment, MountSource, MountStep, Program, Signal, Step};
use carboy_oci::runtime::{Hooks, Linux, Process, Spec};
use carboy_sys::clone::flag;
use carboy_sys::mount::{Change, attr, propagation};
use carboy_wire::plan::Actor;
use namespaces::{Namespaces, plan_namespaces};
use std::borrow::Cow;
use std::path::PathBuf;

pub use exec::{Running, plan_exec};
pub use mounts::{clean, external_mounts};
pub use options::words as mount_options;
pub use tuning::{memory_flags, memory_modes};

/// What is known of the host and of the command line.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// Effective user ID.
    pub euid: u32,
    /// Effective group ID.
    pub egid: u32,
    /// Whether the kernel has AppArmor.
    pub apparmor: bool,
    /// Whether the kernel has SELinux.
    pub selinux: bool,
    /// SELinux labels of the configuration that the loaded policy does not know.
    pub unknown_labels: Vec<String>,
    /// Capabilities of this process, as a bit mask: what it can grant without a user namespace. `None` is all.
    pub capabilities: Option<u64>,
    /// Whether the network namespace that is to be joined is the runtime's own.
    pub network_is_own: bool,
}

/// What the command line adds to the configuration.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Container ID.
    pub id: String,
    /// Absolute path of the bundle.
    pub bundle: PathBuf,
    /// `--no-pivot`.
    pub no_pivot: bool,
    /// `create`: the program waits for `start`, which runs the poststart hooks.
    pub await_start: bool,
    /// `--no-new-keyring`.
    pub no_new_keyring: bool,
    /// `--preserve-fds`, and those of socket activation.
    pub preserved: u32,
    /// Of these, those of socket activation.
    pub listen_fds: u32,
}

/// A plan.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// In order of execution.
    pub steps: Vec<Step>,
    /// What is ignored, as the spec says to.
    pub warnings: Vec<String>,
}

/// A plan in the making.
pub struct Planner<'a> {
    host: &'a Host,
    steps: Vec<Step>,
    warnings: Vec<String>,
    /// The container's namespaces of its own.
    own: u64,
    setgroups_denied: bool,
    readonly_dev: bool,
    make_cwd: bool,
    /// Capabilities that can be granted: in a user namespace of its own, all.
    grantable: u64,
    late_filter: Option<Filter>,
    /// A cgroup that is made around the process, later.
    adoption: Option<Placement>,
    /// v1 hierarchies, and whether there is a unified one beside them.
    hierarchies: Option<(Placement, bool)>,
    program: Program,
}

/// The steps of `create` and `run`.
pub fn plan(spec: &Spec, request: &Request, host: &Host, placement: Placement, view: &View) -> Result<Plan> {
    let process = spec.process.as_ref().ok_or_else(|| Error::invalid("process", "is missing"))?;
    let root = spec.root.as_ref().filter(|root| !root.path.is_empty());
    let root = root.ok_or_else(|| Error::invalid("root.path", "is missing"))?;
    let default = Linux::default();
    let linux = spec.linux.as_deref().unwrap_or(&default);
    check::check(spec, linux)?;
    process::check(process)?;
    let namespaces = plan_namespaces(linux)?;
    let mut planner = Planner::new(host, namespaces.own);
    // In a new user namespace init could not raise them.
    let outer_limits = namespaces.new & flag::NEWUSER != 0 && host.euid == 0 && !process.rlimits.is_empty();
    planner.birth(process, linux, &namespaces, placement)?;
    planner.early(request, linux, process, &namespaces);
    let rootfs = request.bundle.join(&root.path).to_string_lossy().into_owned();
    planner.root(linux, rootfs)?;
    planner.net_devices(linux, namespaces.own)?;
    planner.mounts(spec, linux, &namespaces, request, view)?;
    planner.devices(spec, linux, &namespaces)?;
    let hooks = spec.hooks.as_deref();
    planner.create_hooks(hooks);
    planner.init("root.path", Action::Pivot { move_only: request.no_pivot });
    if process.terminal {
        let size = process.console_size.as_ref().map(|size| (size.height, size.width));
        planner.init("process.terminal", Action::Console(size));
    }
    planner.finish_root(spec, linux, root.readonly)?;
    planner.process(process, linux, request.preserved, outer_limits)?;
    if request.listen_fds > 0 {
        // sd_listen_fds(3): the program is PID 1, or at least not the process that was named before.
        planner.program.env.push(format!("LISTEN_FDS={}", request.listen_fds));
        planner.program.env.push("LISTEN_PID=1".into());
    }
    if request.await_start || outer_limits {
        planner.init("", Action::Tell(Signal::Created));
    }
    if outer_limits {
        planner.runtime("process.rlimits", Action::OuterLimits(process::limits(&process.rlimits)?));
    }
    planner.runtime("", Action::Tell(Signal::Proceed));
    if request.await_start {
        planner.init("", Action::AwaitStart);
    }
    planner.hooks(Actor::Init, Moment::StartContainer, hooks);
    planner.execute();
    if !request.await_start {
        planner.hooks(Actor::Runtime, Moment::Poststart, hooks);
    }
    Ok(Plan { steps: planner.steps, warnings: planner.warnings })
}

/// The name by which the programs of a container find its session keyring. It is runc's.
pub fn session_keyring(id: &str) -> String {
    format!("_ses.{id}")
}

impl<'a> Planner<'a> {
    /// For a container with these namespaces of its own.
    fn new(host: &'a Host, own: u64) -> Planner<'a> {
        Planner {
            host,
            steps: Vec::with_capacity(48),
            warnings: Vec::new(),
            own,
            setgroups_denied: false,
            readonly_dev: false,
            make_cwd: true,
            grantable: if own & flag::NEWUSER != 0 { u64::MAX } else { host.capabilities.unwrap_or(u64::MAX) },
            late_filter: None,
            adoption: None,
            hierarchies: None,
            program: Program::default(),
        }
    }

    fn push(&mut self, actor: Actor, from: impl Into<Cow<'static, str>>, action: Action) {
        self.steps.push(Step { actor, from: from.into(), action });
    }

    fn runtime(&mut self, from: impl Into<Cow<'static, str>>, action: Action) {
        self.push(Actor::Runtime, from, action);
    }

    /// What the runtime does for the new process.
    fn birth(&mut self, process: &Process, linux: &Linux, namespaces: &Namespaces, placement: Placement) -> Result<()> {
        let from = if linux.resources.is_some() { "linux.cgroupsPath, linux.resources" } else { "linux.cgroupsPath" };
        self.warnings.extend(placement.warnings.iter().cloned());
        self.place(from, placement);
        self.runtime("linux.namespaces", Action::Clone(namespaces.birth.clone()));
        if namespaces.new & flag::NEWUSER != 0 {
            let maps = self.id_maps(linux)?;
            self.setgroups_denied = maps.deny_setgroups;
            self.runtime("linux.uidMappings", Action::IdMaps(maps));
            self.runtime("", Action::Tell(Signal::MapsWritten));
        }
        if let Some(score) = process.oom_score_adj {
            if !(-1000..=1000).contains(&score) {
                return Err(Error::invalid("process.oomScoreAdj", "must be -1000 to 1000"));
            }
            self.runtime("process.oomScoreAdj", Action::OomScore(score));
        }
        self.make_hierarchies();
        Ok(())
    }

    /// Makes the cgroup now as far as the process must find it when it is born.
    fn place(&mut self, from: &'static str, placement: Placement) {
        if placement.adopts() {
            self.adoption = Some(placement);
            return;
        }
        let (now, later) = placement.split();
        let beside = !now.is_empty();
        if later.is_none() || beside {
            self.runtime(from, Action::Cgroup(now));
        }
        self.hierarchies = later.map(|later| (later, beside));
    }

    /// Makes the rest, while the process is under way.
    fn make_hierarchies(&mut self) {
        if let Some((placement, _)) = self.hierarchies.clone() {
            self.runtime("linux.cgroupsPath, linux.resources", Action::Hierarchies(placement));
        }
    }

    fn id_maps(&self, linux: &Linux) -> Result<IdMaps> {
        let (uid, gid) = (linux.uid_mappings.clone(), linux.gid_mappings.clone());
        for (field, map) in [("linux.uidMappings", &uid), ("linux.gidMappings", &gid)] {
            if map.len() > 340 {
                return Err(Error::invalid(field, "has more than 340 ranges"));
            }
            if map.iter().any(|m| m.size == 0) {
                return Err(Error::invalid(field, "has a range of size 0"));
            }
        }
        let only = |map: &[carboy_oci::runtime::IdMapping], id: u32| {
            map.len() == 1 && map[0].size == 1 && map[0].host_id == id
        };
        let unprivileged = self.host.euid != 0;
        let own = only(&uid, self.host.euid) && only(&gid, self.host.egid);
        Ok(IdMaps { uid, gid, helpers: unprivileged && !own, deny_setgroups: unprivileged && own })
    }

    /// What the init process does before it touches the root file system.
    fn early(&mut self, request: &Request, linux: &Linux, process: &Process, namespaces: &Namespaces) {
        if !namespaces.join.is_empty() {
            self.init("linux.namespaces", Action::Join(namespaces.join.clone()));
        }
        if namespaces.own & flag::NEWUSER != 0 {
            self.init("linux.uidMappings", Action::BecomeRoot);
        }
        if namespaces.ipc {
            self.init("linux.namespaces", Action::IpcNamespace);
        }
        self.init("", Action::Session);
        if namespaces.network {
            self.init("linux.namespaces", Action::NetworkNamespace);
        }
        if namespaces.time {
            let lines = linux
                .time_offsets
                .iter()
                .map(|(clock, offset)| format!("{clock} {} {}\n", offset.secs, offset.nanosecs))
                .collect();
            self.init("linux.timeOffsets", Action::TimeNamespace(lines));
        }
        if !request.no_new_keyring {
            self.keyring(session_keyring(&request.id), process.selinux_label.as_deref());
        }
        if namespaces.new & flag::NEWNET != 0 {
            self.init("linux.namespaces", Action::Loopback);
        }
    }

    /// A session keyring that the program may use, whatever it is confined to.
    fn keyring(&mut self, name: String, label: Option<&str>) {
        let label = label.filter(|_| self.labels_keys(label));
        if let Some(label) = label {
            self.init("process.selinuxLabel", Action::KeyLabel(label.to_owned()));
        }
        self.init("", Action::Keyring(name));
        if label.is_some() {
            self.init("process.selinuxLabel", Action::KeyLabel(String::new()));
        }
    }

    /// Whether keys take the program's label.
    fn labels_keys(&self, label: Option<&str>) -> bool {
        self.host.selinux && label.is_some_and(|label| !label.is_empty())
    }

    fn root(&mut self, linux: &Linux, rootfs: String) -> Result<()> {
        let word = linux.rootfs_propagation.as_deref().filter(|word| !word.is_empty());
        let flag = match word {
            None => propagation::SLAVE,
            Some(word) => {
                let reason = || Error::invalid("linux.rootfsPropagation", format!("{word:?} is none"));
                options::propagation_of(word).ok_or_else(reason)?.0
            }
        };
        let shared = flag == propagation::SHARED;
        // What is unbindable could not even be made the root: that comes last ([`Action::RootPropagation`]).
        let flag = if flag == propagation::UNBINDABLE { propagation::PRIVATE } else { flag };
        self.init("linux.rootfsPropagation", Action::Isolate(flag));
        self.init("root.path", Action::Root { path: rootfs, shared });
        Ok(())
    }

    /// The mounts. The cgroup namespace is made as late as they permit, as the cgroup is being prepared meanwhile.
    fn mounts(
        &mut self,
        spec: &Spec,
        linux: &Linux,
        namespaces: &Namespaces,
        request: &Request,
        view: &View,
    ) -> Result<()> {
        if let Some(label) = linux.mount_label.as_deref().filter(|label| !label.is_empty()) {
            self.check_label("linux.mountLabel", label, "is given, but this kernel has no SELinux")?;
        }
        // In another user namespace init may neither open every path of the host nor map what belongs to the host's users.
        let hand = namespaces.own & flag::NEWUSER != 0 && self.host.euid == 0;
        let mut entered = false;
        for (index, mount) in spec.mounts.iter().enumerate() {
            let mut step = mounts::plan_mount(mount, index, &request.bundle, linux, view, &mut self.warnings)?;
            if let MountSource::Bind { handed: by_runtime, .. } = &mut step.source
                && hand
            {
                *by_runtime = true;
                self.runtime(format!("mounts[{index}]"), Action::OpenSource(step.clone()));
            }
            if step.destination == "/dev" && matches!(step.source, MountSource::New { .. }) {
                // Nodes are to be made in it first.
                self.readonly_dev = step.attributes.set & attr::RDONLY != 0;
                step.attributes.set &= !attr::RDONLY;
            }
            if matches!(step.source, MountSource::Cgroup(_)) && !entered {
                self.enter_cgroup_namespace(namespaces);
                entered = true;
            }
            self.init(format!("mounts[{index}]"), Action::Mount(step));
        }
        if !entered {
            self.enter_cgroup_namespace(namespaces);
        }
        Ok(())
    }

    fn enter_cgroup_namespace(&mut self, namespaces: &Namespaces) {
        self.join_cgroup();
        if namespaces.cgroup {
            self.init("linux.namespaces", Action::CgroupNamespace);
        }
    }

    /// The process enters its cgroup, or is moved there while it waits.
    fn join_cgroup(&mut self) {
        match (self.adoption.take(), self.hierarchies.take()) {
            (None, None) => self.init("linux.cgroupsPath", Action::JoinCgroup),
            (None, Some((placement, beside))) => {
                if beside {
                    self.init("linux.cgroupsPath", Action::JoinCgroup);
                }
                let directories = placement.v1_directories();
                self.init("linux.cgroupsPath", Action::JoinHierarchies(directories));
            }
            (Some(placement), _) => {
                self.runtime("linux.cgroupsPath, linux.resources", Action::Cgroup(placement));
                self.runtime("", Action::Tell(Signal::Placed));
            }
        }
    }

    fn create_hooks(&mut self, hooks: Option<&Hooks>) {
        let outside = hooks.is_some_and(|h| !h.prestart.is_empty() || !h.create_runtime.is_empty());
        if outside {
            self.init("", Action::Tell(Signal::RootfsReady));
            self.hooks(Actor::Runtime, Moment::Prestart, hooks);
            self.hooks(Actor::Runtime, Moment::CreateRuntime, hooks);
            self.runtime("", Action::Tell(Signal::HooksDone));
        }
        self.hooks(Actor::Init, Moment::CreateContainer, hooks);
    }

    fn hooks(&mut self, actor: Actor, moment: Moment, hooks: Option<&Hooks>) {
        let Some(hooks) = hooks else { return };
        let list = moment.of(hooks);
        if !list.is_empty() {
            self.push(actor, format!("hooks.{}", moment.name()), Action::Hooks(moment, list.to_vec()));
        }
    }

    /// What follows pivot_root.
    fn finish_root(&mut self, spec: &Spec, linux: &Linux, readonly: bool) -> Result<()> {
        if let Some((flag, recursive)) = linux.rootfs_propagation.as_deref().and_then(options::propagation_of) {
            self.init("linux.rootfsPropagation", Action::RootPropagation(flag, recursive));
        }
        for (field, value) in [("hostname", &spec.hostname), ("domainname", &spec.domainname)] {
            let Some(value) = value.as_ref().filter(|value| !value.is_empty()) else { continue };
            let action =
                if field == "hostname" { Action::Hostname(value.clone()) } else { Action::Domainname(value.clone()) };
            self.init(field, action);
        }
        for (name, value) in &linux.sysctl {
            let path = check::sysctl_path(name, linux, self.host)?;
            self.init(format!("linux.sysctl.{name}"), Action::Sysctl(path, value.clone()));
        }
        if self.readonly_dev {
            let attributes = Change { set: attr::RDONLY, ..Change::default() };
            let destination = "/dev".to_owned();
            self.init("mounts", Action::Mount(MountStep { destination, attributes, ..MountStep::default() }));
        }
        if readonly {
            self.init("root.readonly", Action::ReadonlyRoot);
        }
        for (field, list) in
            [("linux.readonlyPaths", &linux.readonly_paths), ("linux.maskedPaths", &linux.masked_paths)]
        {
            if list.iter().any(|path| !path.starts_with('/')) {
                return Err(Error::invalid(field, "holds a path that is not absolute"));
            }
        }
        if !linux.readonly_paths.is_empty() {
            self.init("linux.readonlyPaths", Action::Readonly(linux.readonly_paths.iter().map(|p| clean(p)).collect()));
        }
        if !linux.masked_paths.is_empty() {
            let label = linux.mount_label.clone().filter(|label| !label.is_empty());
            let paths = linux.masked_paths.iter().map(|path| clean(path)).collect();
            self.init("linux.maskedPaths", Action::Mask(paths, label));
        }
        Ok(())
    }
}

impl Moment {
    /// All of them, in order.
    pub const ALL: [Moment; 6] = [
        Moment::Prestart,
        Moment::CreateRuntime,
        Moment::CreateContainer,
        Moment::StartContainer,
        Moment::Poststart,
        Moment::Poststop,
    ];

    /// The spec's name.
    pub fn name(self) -> &'static str {
        match self {
            Moment::Prestart => "prestart",
            Moment::CreateRuntime => "createRuntime",
            Moment::CreateContainer => "createContainer",
            Moment::StartContainer => "startContainer",
            Moment::Poststart => "poststart",
            Moment::Poststop => "poststop",
        }
    }

    /// The hooks of this moment.
    pub fn of(self, hooks: &Hooks) -> &[carboy_oci::runtime::Hook] {
        match self {
            Moment::Prestart => &hooks.prestart,
            Moment::CreateRuntime => &hooks.create_runtime,
            Moment::CreateContainer => &hooks.create_container,
            Moment::StartContainer => &hooks.start_container,
            Moment::Poststart => &hooks.poststart,
            Moment::Poststop => &hooks.poststop,
        }
    }
}
