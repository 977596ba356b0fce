//! The root file system: opened, made a mount, made the root.

use super::{Init, tree};
use crate::error::{Context, Error, Result};
use carboy_sys::mount::{Change, attr, mount_setattr, propagation};
use carboy_sys::mountinfo;
use rustix::fs::{CWD, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags, openat2};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, UnmountFlags, move_mount, unmount};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// Of every procfs (PROC_ROOT_INO).
const PROC_ROOT_INODE: u64 = 1;

const fn propagate(propagation: u64) -> Change {
    Change { set: 0, clear: 0, propagation }
}

/// Sets the propagation of every mount of this new mount namespace.
pub fn isolate(flag: u64) -> Result<()> {
    mount_setattr(CWD, c"/", true, propagate(flag), None).context(|| "mount_setattr /")
}

impl Init<'_> {
    /// Binds the root file system over itself, as pivot_root wants a mount, and keeps its descriptor for all that follows.
    pub fn open_root(&mut self, path: &str, shared: bool) -> Result<()> {
        let root = super::mounts::detach(CWD, &format!("{path}/."), true).context(|| format!("open_tree {path}"))?;
        if shared {
            // What is mounted in the root file system must not appear on the host, and pivot_root wants a private parent.
            make_parent_private(path)?;
            mount_setattr(root.as_fd(), c"", true, propagate(propagation::PRIVATE), None)
                .context(|| format!("mount_setattr {path}"))?;
            let old = rustix::fs::open(c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).context(|| "open /")?;
            self.shared_root = Some(old);
        }
        // By the path once more: it leads to the top of what is mounted there, as the copy's source did.
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS;
        move_mount(&root, c"", CWD, path, flags).context(|| format!("move_mount {path}"))?;
        self.root = Some(root);
        Ok(())
    }

    /// Makes it the working directory.
    pub fn stand_at_root(&mut self) -> Result<()> {
        if !self.at_root {
            rustix::process::fchdir(self.root()?).context(|| "fchdir to the root file system")?;
            self.at_root = true;
        }
        Ok(())
    }

    /// Makes it the root. The old one is stacked upon it by pivot_root(".", "."), and detached.
    pub fn pivot(&mut self, move_only: bool) -> Result<()> {
        self.stand_at_root()?;
        if move_only {
            self.give_up_kernel_mounts()?;
            rustix::mount::mount_move(c".", c"/").context(|| "mount MS_MOVE to /")?;
            rustix::process::chroot(c".").context(|| "chroot")?;
        } else {
            rustix::process::pivot_root(c".", c".").context(|| "pivot_root")?;
            if let Some(old) = self.shared_root.take() {
                // Or the host's mounts would go with them.
                mount_setattr(old.as_fd(), c"", true, propagate(propagation::SLAVE), None)
                    .context(|| "mount_setattr of the old root")?;
            }
            // The working directory is the new root all the time (pivot_root(2), "pivot_root(".", ".")").
            return unmount(c".", UnmountFlags::DETACH).context(|| "umount2 of the old root");
        }
        rustix::process::chdir(c"/").context(|| "chdir /")
    }

    /// Unmounts the host's procfs and sysfs, or covers them. Without pivot_root they stay in the namespace, out of sight; but where there
    /// is a whole one, the kernel lets a user namespace mount another, in which nothing is masked or read-only (as runc).
    fn give_up_kernel_mounts(&self) -> Result<()> {
        let path = "/proc/self/mountinfo";
        let text = std::fs::read_to_string(path).context(|| format!("read {path}"))?;
        let own = format!("/proc/self/fd/{}", self.root()?.as_raw_fd());
        let own = std::fs::read_link(&own).context(|| format!("readlink {own}"))?;
        let whole = mountinfo::parse(&text)
            .filter(|mount| mount.root == "/" && matches!(mount.kind, "proc" | "sysfs"))
            .filter(|mount| !Path::new(&mount.point).starts_with(&own));
        for mount in whole {
            let point = CString::new(mount.point.as_str()).unwrap_or_default();
            match mount_setattr(CWD, &point, true, propagate(propagation::SLAVE), None) {
                // It went with another one that it was mounted on.
                Err(Errno::NOENT | Errno::INVAL) => continue,
                result => result.context(|| format!("mount_setattr {}", mount.point))?,
            }
            match unmount(point.as_c_str(), UnmountFlags::DETACH) {
                // In a user namespace it is locked.
                Err(Errno::INVAL | Errno::PERM) => {
                    let cover = super::mounts::new_file_system("tmpfs", Some("tmpfs"), &[], attr::RDONLY)?;
                    let flags = OFlags::PATH | OFlags::CLOEXEC;
                    let target = rustix::fs::open(point.as_c_str(), flags, Mode::empty());
                    let target = target.context(|| format!("open {}", mount.point))?;
                    super::mounts::attach(cover.as_fd(), target.as_fd())
                        .context(|| format!("move_mount {}", mount.point))?;
                }
                result => result.context(|| format!("umount2 {}", mount.point))?,
            }
        }
        Ok(())
    }

    /// Sets the propagation of the new root.
    pub fn root_propagation(&self, flag: u64, recursive: bool) -> Result<()> {
        mount_setattr(self.root()?, c"", recursive, propagate(flag), None).context(|| "mount_setattr of the root")
    }

    /// Makes the root, and only it, read-only.
    pub fn readonly_root(&self) -> Result<()> {
        let change = Change { set: attr::RDONLY, ..Change::default() };
        mount_setattr(self.root()?, c"", false, change, None).context(|| "mount_setattr of the root")
    }

    /// Writes a kernel parameter.
    pub fn sysctl(&mut self, path: &str, value: &str) -> Result<()> {
        let name = format!("sys/{path}");
        self.write_proc(&name, value)
    }

    /// Writes an attribute of this process: the first of the names that exists.
    pub fn write_attribute(&mut self, names: &[&str], value: &str) -> Result<()> {
        for (index, name) in names.iter().enumerate() {
            match self.write_proc(&format!("thread-self/attr/{name}"), value) {
                Err(Error::Kernel { source: Errno::NOENT, .. }) if index + 1 < names.len() => {}
                result => return result,
            }
        }
        Ok(())
    }

    /// Has what this process makes labelled by SELinux: its keys, or the program.
    pub fn give_label(&mut self, attribute: &str, label: &str) -> Result<()> {
        self.write_attribute(&[attribute], label).map_err(|e| match e {
            Error::Kernel { what, source } => {
                Error::Kernel { what: format!("process.selinuxLabel {:?}: {what}", label.trim_end()), source }
            }
            other => other,
        })
    }

    /// Has the program confined by an AppArmor profile, which must be loaded.
    pub fn take_profile(&mut self, profile: &str) -> Result<()> {
        let written = self.write_attribute(&["apparmor/exec", "exec"], &format!("exec {profile}"));
        written.map_err(|e| match e {
            Error::Kernel { what, source: source @ Errno::NOENT } => {
                let what = format!("apparmor failed to apply profile {profile:?}, which is not loaded: {what}");
                Error::Kernel { what, source }
            }
            other => other,
        })
    }

    /// Writes a file of procfs: through the mount that this process made itself, never through what lies over it
    /// (CVE-2019-16884, CVE-2025-52881).
    fn write_proc(&mut self, name: &str, value: &str) -> Result<()> {
        if self.proc.is_none() {
            self.proc = Some(self.private_proc()?);
        }
        let Some(proc) = &self.proc else { return Ok(()) };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
        let fd = openat2(proc, name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty(), resolve)
            .context(|| format!("openat2 /proc/{name}"))?;
        rustix::io::write(&fd, value.as_bytes()).map(drop).context(|| format!("write /proc/{name}"))
    }

    fn private_proc(&self) -> Result<OwnedFd> {
        if self.fresh.proc().is_none()
            && let Ok(mount) = super::mounts::new_file_system("proc", None, &[], 0)
        {
            return Ok(mount);
        }
        // It was mounted by this process; or, in a user namespace that does not own its PID namespace, only the /proc that is there can be used.
        let fd = tree::find_plain(self.root()?, "/proc").context(|| "openat2 /proc")?;
        let kind = rustix::fs::fstatfs(&fd).context(|| "fstatfs /proc")?.f_type;
        let inode = rustix::fs::fstat(&fd).context(|| "fstat /proc")?.st_ino;
        // Its root, not some directory of it that was bound there.
        let right = kind == PROC_SUPER_MAGIC && inode == PROC_ROOT_INODE;
        if right { Ok(fd) } else { Err(Error::Other("/proc is not procfs".into())) }
    }
}

/// Makes the mount that holds `path` private: the root file system's parent, before pivot_root, where the rest stays shared.
fn make_parent_private(path: &str) -> Result<()> {
    for ancestor in Path::new(path).ancestors() {
        let name = CString::new(ancestor.as_os_str().as_encoded_bytes()).unwrap_or_default();
        match mount_setattr(CWD, &name, false, propagate(propagation::PRIVATE), None) {
            // EINVAL: no mount point; its parent may be.
            Err(Errno::INVAL) => {}
            result => return result.context(|| format!("mount_setattr {}", ancestor.display())),
        }
    }
    Ok(())
}
