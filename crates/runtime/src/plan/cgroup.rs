//! The cgroup: made before the process or beside it, joined by it, or made around it.

use super::Planner;
use super::namespaces::Namespaces;
use crate::cgroups::Placement;
use crate::step::{Action, Signal};

impl Planner<'_> {
    /// Makes the cgroup now as far as the process must find it when it is born.
    pub(super) fn place(&mut self, from: &'static str, placement: Placement) {
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
    pub(super) fn make_hierarchies(&mut self) {
        if let Some((placement, _)) = self.hierarchies.clone() {
            self.runtime("linux.cgroupsPath, linux.resources", Action::Hierarchies(placement));
        }
    }

    pub(super) fn enter_cgroup_namespace(&mut self, namespaces: &Namespaces) {
        self.join_cgroup();
        if namespaces.cgroup {
            self.init("linux.namespaces", Action::CgroupNamespace);
        }
    }

    /// The process enters its cgroup, or is moved there while it waits.
    pub(super) fn join_cgroup(&mut self) {
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
}
