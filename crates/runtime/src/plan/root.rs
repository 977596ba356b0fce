//! The root file system: made the root of a mount namespace, mounted upon, and finished after pivot_root.

use super::mounts::{clean, plan_mount};
use super::namespaces::Namespaces;
use super::{Planner, Request, check, options};
use crate::cgroups::View;
use crate::error::{Error, Result};
use crate::step::{Action, MountSource, MountStep};
use carboy_oci::runtime::{Linux, Spec};
use carboy_sys::clone::flag;
use carboy_sys::mount::{Change, attr, propagation};

impl Planner<'_> {
    pub(super) fn root(&mut self, linux: &Linux, rootfs: String) -> Result<()> {
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
    pub(super) fn mounts(
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
            let mut step = plan_mount(mount, index, &request.bundle, linux, view, &mut self.warnings)?;
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

    /// What follows pivot_root.
    pub(super) fn finish_root(&mut self, spec: &Spec, linux: &Linux, readonly: bool) -> Result<()> {
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
