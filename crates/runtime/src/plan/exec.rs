//! The steps of `exec`.

use super::{Host, Plan, Planner, capabilities, process};
use crate::cgroups::Placement;
use crate::error::Result;
use crate::step::{Action, Appearance, Birth, Join, Place, Signal, When};
use carboy_oci::capabilities::number;
use carboy_oci::runtime::{Linux, Process};
use carboy_state::process::ProcessRef;
use carboy_sys::clone::flag;

/// A running container, for `exec`.
#[derive(Debug, Clone)]
pub struct Running {
    /// Its init.
    pub init: ProcessRef,
    /// Bits of the namespaces that it does not share with the runtime.
    pub own: u64,
    /// Name of its session keyring, if it has one of its own.
    pub keyring: Option<String>,
}

impl Running {
    /// All at once: with a pidfd the kernel begins with the user namespace. Only children enter the PID namespace.
    fn joins(&self) -> Vec<Join> {
        vec![Join { flags: self.own, place: Place::Process(self.init) }]
    }
}

/// What the process may keep where others can look into it: what the program may do, and what becoming it takes.
fn needed_capabilities(process: &Process, linux: &Linux) -> Option<u64> {
    let (masks, _) = capabilities::masks(process.capabilities.as_ref()?);
    let program = masks.bounding | masks.effective | masks.permitted | masks.inheritable | masks.ambient;
    let labels = process.apparmor_profile.is_some() || process.selinux_label.is_some();
    let early_filter = linux.seccomp.is_some() && !process.no_new_privileges;
    let needs = [
        (true, &["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP"][..]),
        (!process.rlimits.is_empty(), &["CAP_SYS_RESOURCE"]),
        (process.scheduler.is_some() || process.io_priority.is_some(), &["CAP_SYS_NICE"]),
        // A procfs of its own to write the label to; a filter without no_new_privs.
        (labels || early_filter, &["CAP_SYS_ADMIN"]),
    ];
    let names = needs.iter().filter(|(needed, _)| *needed).flat_map(|(_, names)| names.iter());
    Some(names.filter_map(|name| number(name)).fold(program, |mask, bit| mask | 1 << bit))
}

/// The steps of `exec`.
pub fn plan_exec(
    process: &Process,
    linux: &Linux,
    host: &Host,
    container: Running,
    placement: Placement,
    preserved: u32,
) -> Result<Plan> {
    process::check(process)?;
    let mut planner = Planner::new(host, container.own);
    planner.make_cwd = false;
    planner.affinity(process.exec_cpu_affinity.as_ref(), When::Initial)?;
    planner.place("linux.cgroupsPath", placement);
    planner.runtime("linux.namespaces", Action::Clone(Birth::default()));
    if let Some(score) = process.oom_score_adj {
        planner.runtime("process.oomScoreAdj", Action::OomScore(score));
    }
    planner.make_hierarchies();
    planner.init("linux.namespaces", Action::Join(container.joins()));
    planner.join_cgroup();
    planner.affinity(process.exec_cpu_affinity.as_ref(), When::Final)?;
    if container.own & flag::NEWUSER != 0 {
        planner.init("linux.uidMappings", Action::BecomeRoot);
    }
    // As early as it can be: others are not to find the caller's keyring. A label is written where the container's procfs knows this process.
    let label = process.selinux_label.as_deref();
    let mut keyring = container.keyring;
    if let Some(name) = keyring.take_if(|_| !planner.labels_keys(label)) {
        planner.keyring(name, None);
    }
    if container.own & flag::NEWPID != 0 {
        let capabilities = needed_capabilities(process, linux);
        planner.init("linux.namespaces", Action::Appear(Appearance { preserved, capabilities }));
    }
    planner.init("", Action::Session);
    planner.init("", Action::CurrentRoot);
    if let Some(name) = keyring {
        planner.keyring(name, label);
    }
    if process.terminal {
        let size = process.console_size.as_ref().map(|size| (size.height, size.width));
        planner.init("process.terminal", Action::Console(size));
    }
    planner.process(process, linux, preserved, false)?;
    planner.runtime("", Action::Tell(Signal::Proceed));
    planner.execute();
    Ok(Plan { steps: planner.steps, warnings: planner.warnings })
}
