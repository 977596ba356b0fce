//! The steps of `exec`.

use super::{Host, Plan, Planner, process};
use crate::cgroups::Placement;
use crate::error::Result;
use crate::step::{Action, Birth, Join, Place, Signal, When};
use carboy_oci::runtime::{Linux, Process};
use carboy_state::process::ProcessRef;
use carboy_sys::clone::flag;

/// A running container, for `exec`.
#[derive(Debug, Clone, Copy)]
pub struct Running {
    /// Its init.
    pub init: ProcessRef,
    /// Bits of the namespaces that it does not share with the runtime.
    pub own: u64,
}

impl Running {
    fn birth(&self) -> Birth {
        let place = Place::Process(self.init);
        if self.own & flag::NEWUSER != 0 {
            return Birth { through: vec![Join { flags: self.own, place }], ..Birth::default() };
        }
        Birth { pid_namespace: (self.own & flag::NEWPID != 0).then_some(place), ..Birth::default() }
    }

    fn joins(&self) -> Vec<Join> {
        let rest = self.own & !flag::NEWPID;
        if self.own & flag::NEWUSER != 0 || rest == 0 {
            return Vec::new();
        }
        vec![Join { flags: rest, place: Place::Process(self.init) }]
    }
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
    let mut planner = Planner::new(host);
    planner.make_cwd = false;
    planner.affinity(process.exec_cpu_affinity.as_ref(), When::Initial)?;
    planner.place("linux.cgroupsPath", placement);
    planner.runtime("linux.namespaces", Action::Clone(container.birth()));
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
    planner.init("", Action::Session);
    planner.init("", Action::CurrentRoot);
    if process.terminal {
        let size = process.console_size.as_ref().map(|size| (size.height, size.width));
        planner.init("process.terminal", Action::Console(size));
    }
    planner.process(process, linux, preserved, false)?;
    planner.init("", Action::Tell(Signal::Created));
    planner.runtime("", Action::Tell(Signal::Proceed));
    planner.execute();
    Ok(Plan { steps: planner.steps, warnings: planner.warnings })
}
