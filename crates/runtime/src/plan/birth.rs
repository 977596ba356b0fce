//! The new process: what the runtime does for it, and what it does before it touches the root file system.

use super::namespaces::Namespaces;
use super::{Planner, Request, session_keyring};
use crate::cgroups::Placement;
use crate::error::{Error, Result};
use crate::step::{Action, IdMaps, Signal};
use carboy_oci::runtime::{Linux, Process};
use carboy_sys::clone::flag;

impl Planner<'_> {
    /// What the runtime does for the new process.
    pub(super) fn birth(
        &mut self,
        process: &Process,
        linux: &Linux,
        namespaces: &Namespaces,
        placement: Placement,
    ) -> Result<()> {
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
    pub(super) fn early(&mut self, request: &Request, linux: &Linux, process: &Process, namespaces: &Namespaces) {
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
    pub(super) fn keyring(&mut self, name: String, label: Option<&str>) {
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
    pub(super) fn labels_keys(&self, label: Option<&str>) -> bool {
        self.host.selinux && label.is_some_and(|label| !label.is_empty())
    }
}
