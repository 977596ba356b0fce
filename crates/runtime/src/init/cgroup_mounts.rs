//! The cgroup file systems in the container: the unified one alone, or a tmpfs with a directory for each v1 hierarchy.

use super::Init;
use super::mounts::{attach, change, detach, mount_flags, new_file_system, refuse_proc};
use super::tree::{self, Want};
use crate::cgroups::View;
use crate::error::{Context, Error, Result};
use crate::step::MountStep;
use carboy_sys::mount::{attr, mount_setattr};
use rustix::fs::{CWD, FsWord, Mode, fstatfs, mkdirat, symlinkat};
use rustix::io::Errno;
use rustix::mount::{mount, mount_bind};
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

impl Init<'_> {
    /// Mounts them.
    pub fn mount_cgroup(&mut self, step: &MountStep, view: &View) -> Result<()> {
        let Some(own) = &view.v2 else { return self.mount_cgroups(step, view) };
        let target = self.cgroup_target(step)?;
        mount_unified(step, own, view.namespace, &target)
    }

    fn cgroup_target(&self, step: &MountStep) -> Result<OwnedFd> {
        let target = tree::find_or_make(self.root()?, &step.destination, Want::Directory)?;
        refuse_proc(target.as_fd(), &step.destination)?;
        Ok(target)
    }

    fn mount_cgroups(&mut self, step: &MountStep, view: &View) -> Result<()> {
        self.at_root = false;
        if step.label.is_some() || !self.enter_new_tmpfs_in_sysfs(step) {
            let target = self.cgroup_target(step)?;
            let mut data = vec![("mode".to_owned(), Some("755".to_owned()))];
            data.extend(step.label.iter().map(|label| ("context".to_owned(), Some(label.clone()))));
            let tmpfs = new_file_system("tmpfs", Some("cgroup"), &data, step.attributes.set & !attr::RDONLY)?;
            attach(tmpfs.as_fd(), target.as_fd()).context(|| format!("move_mount {}", step.destination))?;
            rustix::process::fchdir(&tmpfs).context(|| "fchdir to the cgroup mounts")?;
            tree::release(tmpfs);
        }
        mount_hierarchies(step, view)?;
        // Hooks, too, find themselves in the container's root, as runc's do.
        self.stand_at_root()
    }

    /// Where the mount point lies in sysfs, whose names are the kernel's, so that nobody can exchange one: mounts a tmpfs there by its
    /// name and enters it, which takes half the calls. False if it is no such case, or if something failed: the longer way says why.
    fn enter_new_tmpfs_in_sysfs(&self, step: &MountStep) -> bool {
        let flags = mount_flags(step.attributes.set & !attr::RDONLY);
        let enter = || {
            let (parent, name) = step.destination.rsplit_once('/')?;
            let parent = tree::find(self.root().ok()?, parent).ok()?;
            let sysfs = fstatfs(&parent).ok()?.f_type == SYSFS;
            rustix::process::fchdir(&parent).ok().filter(|()| sysfs)?;
            tree::release(parent);
            mount(c"cgroup", name, c"tmpfs", flags, c"mode=755").ok()?;
            rustix::process::chdir(name).ok()
        };
        enter().is_some()
    }
}

/// `SYSFS_MAGIC` of linux/magic.h.
const SYSFS: FsWord = 0x6265_6572;

fn mount_unified(step: &MountStep, own: &Path, namespace: bool, target: &OwnedFd) -> Result<()> {
    let mount = match new_file_system("cgroup2", Some("cgroup2"), &[], step.attributes.set) {
        Ok(mount) if namespace => mount,
        // Without a cgroup namespace a new mount would show the whole machine; in a user namespace that owns none it is refused. The
        // own cgroup is bound instead (as runc).
        Ok(_) | Err(Error::Kernel { source: Errno::PERM | Errno::BUSY, .. }) => {
            let mount = match detach(CWD, &own.to_string_lossy(), false) {
                // A user to whom no cgroup is delegated has a container without: it sees none, not the host's.
                Err(Errno::NOENT) => new_file_system("tmpfs", Some("tmpfs"), &[], attr::RDONLY)?,
                result => result.context(|| format!("open_tree {}", own.display()))?,
            };
            change(mount.as_fd(), step).context(|| "mount_setattr of the cgroup")?;
            mount
        }
        Err(e) => return Err(e),
    };
    attach(mount.as_fd(), target.as_fd()).context(|| format!("move_mount {}", step.destination))
}

/// mount(2) by names in the working directory: one call for each hierarchy, where the newer calls need six.
fn mount_hierarchies(step: &MountStep, view: &View) -> Result<()> {
    for (name, controllers, own) in &view.v1 {
        mkdirat(CWD, name.as_str(), Mode::from_raw_mode(0o755)).context(|| format!("mkdir {name}"))?;
        if !view.namespace || !mount_new(name, controllers, step.attributes.set)? {
            match mount_bind(own, name.as_str()) {
                // A user to whom no cgroup is delegated has a container without: it sees none.
                Ok(()) | Err(Errno::NOENT) => {}
                Err(e) => return Err(e).context(|| format!("mount MS_BIND {}", own.display())),
            }
        }
        // Second names of co-mounted controllers, which programs look for.
        for controller in controllers.split(',').filter(|c| controllers.contains(',') && c != name) {
            symlinkat(name.as_str(), CWD, controller).context(|| format!("symlink {controller}"))?;
        }
    }
    mount_setattr(CWD, c".", true, step.attributes, None).context(|| format!("mount_setattr {}", step.destination))
}

/// A new mount of a hierarchy, whose root is the root of this process's cgroup namespace. False where a user namespace refuses it.
fn mount_new(place: &str, controllers: &str, attributes: u64) -> Result<bool> {
    let data = match controllers.strip_prefix("name=") {
        Some(_) => format!("none,{controllers}"),
        None => controllers.to_owned(),
    };
    let data = CString::new(data).map_err(|_| Error::Other("a controller's name holds a NUL".into()))?;
    // The attribute `ro` comes with the others, for the mount alone: the hierarchy is the host's too.
    let flags = mount_flags(attributes & !attr::RDONLY);
    match mount(c"cgroup", place, c"cgroup", flags, data.as_c_str()) {
        Ok(()) => Ok(true),
        Err(Errno::PERM) => Ok(false),
        Err(e) => Err(e).context(|| format!("mount cgroup {controllers}")),
    }
}
