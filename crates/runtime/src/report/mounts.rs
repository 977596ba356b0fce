//! What is called for a mount, and why it is there.

use super::calls::ranges;
use crate::step::{MapOf, MountSource, MountStep};
use carboy_sys::mount::{Change, attr, propagation};

pub fn propagation_name(flag: u64) -> &'static str {
    match flag {
        propagation::PRIVATE => "MS_PRIVATE",
        propagation::SLAVE => "MS_SLAVE",
        propagation::SHARED => "MS_SHARED",
        propagation::UNBINDABLE => "MS_UNBINDABLE",
        _ => "unchanged",
    }
}

fn attributes(change: Change) -> Vec<&'static str> {
    const NAMES: &[(u64, &str)] = &[
        (attr::RDONLY, "RDONLY"),
        (attr::NOSUID, "NOSUID"),
        (attr::NODEV, "NODEV"),
        (attr::NOEXEC, "NOEXEC"),
        (attr::NOATIME, "NOATIME"),
        (attr::STRICTATIME, "STRICTATIME"),
        (attr::NODIRATIME, "NODIRATIME"),
        (attr::NOSYMFOLLOW, "NOSYMFOLLOW"),
    ];
    NAMES.iter().filter(|(bit, _)| change.set & bit != 0).map(|(_, name)| *name).collect()
}

pub fn mount_calls(mount: &MountStep) -> Vec<String> {
    let set = attributes(mount.attributes).join("|");
    let mut calls = Vec::new();
    match &mount.source {
        MountSource::Existing => calls.push(format!("openat2({:?})", mount.destination)),
        MountSource::Bind { handed: true, .. } => calls.push("recvmsg".into()),
        MountSource::Bind { .. } => calls.extend(source_calls(mount)),
        MountSource::New { kind, .. } => {
            calls.push(format!("fsopen({kind:?})"));
            calls.extend(mount.data.iter().map(|(key, value)| match value {
                Some(value) => format!("fsconfig({key}={value})"),
                None => format!("fsconfig({key})"),
            }));
            calls.push(format!("fsmount({set})"));
        }
        MountSource::Cgroup(view) => calls.extend(view.calls(&set)),
    }
    if !matches!(mount.source, MountSource::Bind { .. }) {
        calls.extend(change_calls(mount));
    }
    if !matches!(mount.source, MountSource::Existing) {
        calls.push(format!("move_mount(→ {:?})", mount.destination));
    }
    calls
}

/// What is done to a mount that exists, or that is made of one.
fn change_calls(mount: &MountStep) -> Vec<String> {
    let mut calls = Vec::new();
    if matches!(mount.source, MountSource::Existing) && !mount.data.is_empty() {
        calls.push("fspick, fsconfig(RECONFIGURE)".into());
    }
    if !matches!(mount.source, MountSource::New { .. } | MountSource::Cgroup(_))
        && mount.attributes != Change::default()
    {
        calls.push(format!("mount_setattr({})", attributes(mount.attributes).join("|")));
    }
    if mount.recursive != Change::default() {
        calls.push(format!("mount_setattr(AT_RECURSIVE, {})", attributes(mount.recursive).join("|")));
    }
    for (flag, recursive) in &mount.propagation {
        let all = if *recursive { "AT_RECURSIVE, " } else { "" };
        calls.push(format!("mount_setattr({all}{})", propagation_name(*flag)));
    }
    calls
}

/// How what a bind mount shows is opened.
pub fn source_calls(mount: &MountStep) -> Vec<String> {
    let MountSource::Bind { path, recursive, .. } = &mount.source else { return Vec::new() };
    let all = if *recursive { "|AT_RECURSIVE" } else { "" };
    let mut calls = vec![format!("open_tree({path:?}, OPEN_TREE_CLONE{all})")];
    if let Some(map) = &mount.id_map {
        let all = if map.recursive { "AT_RECURSIVE, " } else { "" };
        let of = match &map.of {
            MapOf::Ranges(uid, gid) => format!("users {}; groups {}", ranges(uid), ranges(gid)),
            MapOf::Namespace(path) => path.clone(),
        };
        calls.push(format!("mount_setattr({all}IDMAP, {of})"));
    }
    calls.extend(change_calls(mount));
    calls
}

pub fn mount_reason(mount: &MountStep) -> &'static str {
    match &mount.source {
        MountSource::Existing => "a mount changed",
        MountSource::Bind { .. } => "files of the host, by request",
        MountSource::Cgroup(_) => "the program may look at its limits",
        MountSource::New { kind, .. } => match kind.as_str() {
            "proc" => "the container's own processes",
            "sysfs" => "devices and the network namespace's interfaces",
            "devpts" => "terminals of its own",
            "mqueue" => "POSIX message queues of its IPC namespace",
            "tmpfs" => "memory, gone with the container",
            _ => "a file system by request",
        },
    }
}
