//! Mounts, built detached and moved into place.

use super::tree::{self, Want};
use super::{Init, copy_up};
use crate::error::{Context, Error, Result};
use crate::step::{MapOf, MountSource, MountStep, Signal};
use carboy_sys::mount::{Change, attr, mount_setattr};
use rustix::fs::{CWD, FileType, Mode, OFlags, PROC_SUPER_MAGIC, mkdirat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_reconfigure, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, fspick, move_mount, open_tree,
};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A detached copy of what `path` below `dir` names (or of `dir` itself if it is empty).
pub fn detach(dir: BorrowedFd<'_>, path: &str, recursive: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(dir, path, flags)
}

/// Puts a detached mount onto a handle.
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, c"", target, c"", flags)
}

/// A new file system, mounted nowhere yet.
pub fn new_file_system(
    kind: &str,
    source: Option<&str>,
    data: &[(String, Option<String>)],
    attributes: u64,
) -> Result<OwnedFd> {
    let fs = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).context(|| format!("fsopen {kind}"))?;
    if let Some(source) = source.filter(|source| !source.is_empty()) {
        fsconfig_set_string(&fs, c"source", source).context(|| format!("fsconfig {kind} source={source}"))?;
    }
    configure(&fs, kind, data)?;
    if let Err(e) = fsconfig_create(&fs) {
        // A bare errno when the kernel says no more, so that callers can tell a refusal from a mistake.
        let text = messages(&fs);
        if text.is_empty() {
            // A label that SELinux's policy denies is refused here, without a word.
            let label = data.iter().find(|(key, value)| value.is_some() && key.ends_with("context"));
            let label = label.map(|(key, value)| format!(" with {key}={}", value.as_deref().unwrap_or_default()));
            return Err(e).context(|| format!("create {kind}{}", label.unwrap_or_default()));
        }
        return Err(e).context(|| format!("create {kind} ({text})"));
    }
    let attributes = MountAttrFlags::from_bits_retain(attributes as u32);
    let mount = fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes).context(|| format!("fsmount {kind}"))?;
    tree::release(fs);
    Ok(mount)
}

fn configure(fs: &OwnedFd, kind: &str, data: &[(String, Option<String>)]) -> Result<()> {
    for (key, value) in data {
        match value {
            Some(value) => fsconfig_set_string(fs, key, value)
                .map_err(|e| explain(fs, e))
                .map_err(|reason| Error::Other(format!("fsconfig {kind} {key}={value}: {reason}")))?,
            None => fsconfig_set_flag(fs, key)
                .map_err(|e| explain(fs, e))
                .map_err(|reason| Error::Other(format!("fsconfig {kind} {key}: {reason}")))?,
        }
    }
    Ok(())
}

fn explain(fs: &OwnedFd, errno: Errno) -> String {
    match messages(fs) {
        text if text.is_empty() => errno.to_string(),
        text => format!("{errno} ({text})"),
    }
}

/// What a bind mount shows, detached, with its attributes and owners as they are to be.
pub fn open_source(step: &MountStep) -> Result<OwnedFd> {
    let MountSource::Bind { path, recursive, .. } = &step.source else {
        return Err(Error::Other("no bind mount".into()));
    };
    let mount = detach(CWD, path, *recursive).context(|| format!("open_tree {path}"))?;
    if let Some(map) = &step.id_map {
        let namespace = match &map.of {
            MapOf::Ranges(uid, gid) => super::userns::with_maps(uid, gid)?,
            MapOf::Namespace(path) => rustix::fs::open(path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .context(|| format!("open {path}"))?,
        };
        let change = Change { set: attr::IDMAP, ..Change::default() };
        mount_setattr(mount.as_fd(), c"", map.recursive, change, Some(namespace.as_fd()))
            .context(|| format!("idmap {path}"))?;
    }
    change(mount.as_fd(), step).context(|| format!("mount_setattr {path}"))?;
    Ok(mount)
}

/// Changes options of a file system that is mounted.
fn reconfigure(mount: BorrowedFd<'_>, data: &[(String, Option<String>)]) -> Result<()> {
    let flags = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH;
    let fs = fspick(mount, c"", flags).context(|| "fspick")?;
    configure(&fs, "remount", data)?;
    fsconfig_reconfigure(&fs).map_err(|e| Error::Other(format!("reconfigure: {}", explain(&fs, e))))
}

/// What the kernel logged on a file system context, as `e tmpfs: Bad value for 'size'`.
fn messages(fs: &OwnedFd) -> String {
    let mut text = String::new();
    let mut buffer = [0u8; 256];
    while let Ok(length) = rustix::io::read(fs, &mut buffer) {
        let line = String::from_utf8_lossy(&buffer[..length]);
        if !text.is_empty() {
            text.push_str("; ");
        }
        text.push_str(line.trim_end().get(2..).unwrap_or_default());
    }
    text
}

impl Init<'_> {
    /// One mount of the plan.
    pub fn mount(&mut self, step: &MountStep) -> Result<()> {
        self.fresh.covered(&step.destination);
        match &step.source {
            MountSource::Existing => {
                let target =
                    tree::find(self.root()?, &step.destination).context(|| format!("openat2 {}", step.destination))?;
                let dir = target.as_fd();
                if !step.data.is_empty() {
                    reconfigure(dir, &step.data)?;
                }
                change(dir, step).context(|| format!("mount_setattr {}", step.destination))
            }
            MountSource::Bind { path, recursive: _, handed } => self.bind(step, path, *handed),
            MountSource::New { kind, source } => self.mount_new(step, kind, source),
            MountSource::Cgroup(view) => self.mount_cgroup(step, view),
        }
    }

    fn bind(&mut self, step: &MountStep, path: &str, handed: bool) -> Result<()> {
        let mount = if handed {
            self.inheritance.channel.tell(Signal::WantSource)?;
            self.inheritance.channel.take_descriptor()?
        } else {
            open_source(step)?
        };
        let stat = rustix::fs::fstat(&mount).context(|| format!("fstat {path}"))?;
        let directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if step.destination == "/proc" && !is_proc(mount.as_fd()) {
            return Err(Error::Other(format!("{path} cannot be mounted because it would cover /proc")));
        }
        let want = if directory { Want::Directory } else { Want::File };
        let target = tree::find_or_make(self.root()?, &step.destination, want)?;
        refuse_proc(target.as_fd(), &step.destination)?;
        attach(mount.as_fd(), target.as_fd()).context(|| format!("move_mount {}", step.destination))?;
        tree::release(mount);
        tree::release(target);
        Ok(())
    }

    fn mount_new(&mut self, step: &MountStep, kind: &str, source: &str) -> Result<()> {
        // A new instance belongs to this container alone: as a whole it may be read-only (as runc's).
        let shared = !(kind == "sysfs" && self.own_network);
        if let Some((dev, name)) = self.fresh.in_dev(&step.destination)
            && mkdirat(dev, name, Mode::from_raw_mode(0o755)).is_ok()
            && mount_at_once(step, kind, source, shared, &format!("/proc/self/fd/{}/{name}", dev.as_raw_fd()))
        {
            return Ok(());
        }
        let target = self.mount_point(kind, &step.destination)?;
        if mount_at_once(step, kind, source, shared, &format!("/proc/self/fd/{}", target.as_raw_fd())) {
            tree::release(target);
            return self.note_fresh(step, kind);
        }
        // A file system that starts with what it covers must be writable until it holds that.
        let late = if step.copy_up { step.attributes.set & attr::RDONLY } else { 0 };
        let attributes = step.attributes.set & !late;
        let with_label = step.label.as_ref().and_then(|label| {
            let data = [&step.data[..], &[("context".to_owned(), Some(label.clone()))]].concat();
            new_file_system(kind, Some(source), &data, attributes).ok()
        });
        let by_attribute = step.label.as_ref().filter(|_| with_label.is_none());
        let mount = match with_label {
            Some(mount) => mount,
            None => new_file_system(kind, Some(source), &step.data, attributes)?,
        };
        if step.copy_up {
            copy_up::copy(target.as_fd(), mount.as_fd()).context(|| format!("copy {} to a tmpfs", step.destination))?;
        }
        // Older kernels do not take the option (as runc).
        if let Some(label) = by_attribute {
            let path = format!("/proc/self/fd/{}", mount.as_raw_fd());
            rustix::fs::setxattr(path, c"security.selinux", label.as_bytes(), rustix::fs::XattrFlags::empty())
                .context(|| format!("setxattr security.selinux of {}", step.destination))?;
        }
        if late != 0 || step.recursive != Change::default() || !step.propagation.is_empty() {
            change(mount.as_fd(), step).context(|| format!("mount_setattr {}", step.destination))?;
        }
        attach(mount.as_fd(), target.as_fd()).context(|| format!("move_mount {}", step.destination))?;
        tree::release(mount);
        tree::release(target);
        self.note_fresh(step, kind)
    }

    /// The mount point of a new file system. No link may stand in the way of what the runtime itself writes to later: /proc, /sys
    /// (CVE-2019-16884, CVE-2023-27561), and /dev (CVE-2026-41579).
    fn mount_point(&self, kind: &str, path: &str) -> Result<OwnedFd> {
        if matches!(kind, "proc" | "sysfs") || path == "/dev" {
            return tree::plain_directory(self.root()?, path, &format!("filesystem {kind:?}"));
        }
        let target = tree::find_or_make(self.root()?, path, Want::Directory)?;
        refuse_proc(target.as_fd(), path).map(|()| target)
    }
}

/// The frequent case in one call: mount(2) at `place`, a handle's name in /proc, where the newer calls take half a dozen. Not for a
/// read-only mount if the file system may be `shared` with others: it would be read-only as a whole. False if it is no such case, or
/// if it failed: the newer calls say why.
fn mount_at_once(step: &MountStep, kind: &str, source: &str, shared: bool, place: &str) -> bool {
    let flags = mount_flags(step.attributes.set);
    let plain =
        !step.copy_up && step.label.is_none() && step.recursive == Change::default() && step.propagation.is_empty();
    if !plain || shared && step.attributes.set & attr::RDONLY != 0 {
        return false;
    }
    let mut data = String::new();
    for (key, value) in &step.data {
        match value {
            Some(value) if !value.contains(',') => {
                data.extend([if data.is_empty() { "" } else { "," }, key, "=", value])
            }
            None if key == "newinstance" => {}
            _ => return false,
        }
    }
    let Ok(data) = CString::new(data) else { return false };
    rustix::mount::mount(source, place, kind, flags, data.as_c_str()).is_ok()
}

/// Attributes as mount(2) takes them. Its default, like theirs, is relatime.
pub fn mount_flags(attributes: u64) -> MountFlags {
    const FLAGS: [(u64, MountFlags); 7] = [
        (attr::RDONLY, MountFlags::RDONLY),
        (attr::NOSUID, MountFlags::NOSUID),
        (attr::NODEV, MountFlags::NODEV),
        (attr::NOEXEC, MountFlags::NOEXEC),
        (attr::NOATIME, MountFlags::NOATIME),
        (attr::STRICTATIME, MountFlags::STRICTATIME),
        (attr::NODIRATIME, MountFlags::NODIRATIME),
    ];
    let flags = FLAGS.iter().filter(|(bit, _)| attributes & bit != 0);
    let flags = flags.fold(MountFlags::empty(), |all, (_, flag)| all | *flag);
    if attributes & attr::NOSYMFOLLOW != 0 { flags | MountFlags::from_bits_retain(256) } else { flags }
}

/// Applies attributes and propagation to a mount.
pub fn change(mount: BorrowedFd<'_>, step: &MountStep) -> Result<(), Errno> {
    if step.attributes != Change::default() {
        mount_setattr(mount, c"", false, step.attributes, None)?;
    }
    if step.recursive != Change::default() {
        mount_setattr(mount, c"", true, step.recursive, None)?;
    }
    for (flag, recursive) in &step.propagation {
        mount_setattr(mount, c"", *recursive, Change { propagation: *flag, ..Change::default() }, None)?;
    }
    Ok(())
}

/// Mount points whose names do not say so may lie in procfs all the same, by links of the image (CVE-2019-16884, CVE-2025-52881). The names
/// that do were judged when the plan was made.
pub fn refuse_proc(target: BorrowedFd<'_>, path: &str) -> Result<()> {
    if path == "/proc" || path.starts_with("/proc/") || !is_proc(target) {
        return Ok(());
    }
    Err(Error::Other(format!("{path:?} cannot be mounted because it is inside /proc")))
}

fn is_proc(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fstatfs(fd).is_ok_and(|stat| stat.f_type == PROC_SUPER_MAGIC)
}
