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

mod birth;
pub mod capabilities;
mod cgroup;
mod check;
mod devices;
mod exec;
mod hooks;
mod mounts;
pub mod namespaces;
mod net_devices;
mod options;
mod process;
#[cfg(test)]
mod property;
mod root;
#[cfg(test)]
mod tests;
mod tuning;

use crate::cgroups::{Placement, View};
use crate::error::{Error, Result};
use crate::step::{Action, Filter, Moment, Program, Signal, Step};
use carboy_oci::runtime::{Linux, Spec};
use carboy_sys::clone::flag;
use carboy_wire::plan::Actor;
use namespaces::plan_namespaces;
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
}
