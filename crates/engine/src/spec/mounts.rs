//! The mounts, in order: Docker's defaults, the bound files of /etc, tmpfs, volumes by depth.

use super::{BoundVolume, Inputs};
use crate::error::{Error, Result};
use crate::request::Network;
use carboy_oci::runtime::Mount;

const SHM_SIZE: u64 = 64 << 20;

pub(super) fn mounts(inputs: &Inputs<'_>) -> Result<Vec<Mount>> {
    let mut own: Vec<Mount> = Vec::new();
    for tmpfs in &inputs.request.tmpfs {
        let mut options: Vec<String> = ["nosuid", "nodev", "noexec"].map(str::to_owned).into();
        for option in &tmpfs.options {
            let opposite = option.strip_prefix("no").map_or_else(|| format!("no{option}"), str::to_owned);
            options.retain(|o| *o != opposite && o != option);
            options.push(option.clone());
        }
        own.push(mount(&tmpfs.destination, "tmpfs", "tmpfs", &options));
    }
    own.extend(inputs.volumes.iter().map(volume));
    // A mount must come after the mount of a folder above it; the sort is stable, so the order given stays otherwise.
    own.sort_by_key(|m| m.destination.matches('/').count());
    if let Some(pair) = duplicate(&own) {
        return Err(Error::Invalid(format!("Duplicate mount point: {pair}")));
    }
    let mut all = defaults(inputs);
    all.extend(etc_files(inputs));
    all.retain(|m| !own.iter().any(|o| o.destination == m.destination));
    all.extend(own);
    Ok(all)
}

fn duplicate(mounts: &[Mount]) -> Option<&str> {
    let same = |i: usize| mounts[..i].iter().any(|m| m.destination == mounts[i].destination);
    (0..mounts.len()).find(|i| same(*i)).map(|i| mounts[i].destination.as_str())
}

fn mount<S: AsRef<str>>(destination: &str, kind: &str, source: &str, options: &[S]) -> Mount {
    Mount {
        destination: destination.into(),
        kind: Some(kind.into()),
        source: Some(source.into()),
        options: options.iter().map(|o| o.as_ref().to_owned()).collect(),
        ..Mount::default()
    }
}

fn defaults(inputs: &Inputs<'_>) -> Vec<Mount> {
    let (request, host) = (inputs.request, inputs.host);
    let access = if request.privileged { "rw" } else { "ro" };
    let shared = |kind: &str| request.host_namespaces.iter().any(|k| k == kind);
    let shm = format!("size={}", request.shm_size.unwrap_or(SHM_SIZE));
    // Group 5 is `tty`; with a single mapped ID it does not exist.
    let mut pts = vec!["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    if !host.single_id {
        pts.push("gid=5");
    }
    let mut list = vec![
        proc_mount(inputs),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", "devpts", &pts),
    ];
    // sysfs shows the network namespace it is mounted in, so a user namespace may mount it only with a network of its own.
    list.push(if host.rootless && request.network == Network::Host {
        // What is mounted below, the user's own cgroups among it, must be read-only too (CVE-2023-25809).
        let below = if request.privileged { "rrw" } else { "rro" };
        mount("/sys", "bind", "/sys", &["rbind", "nosuid", "noexec", "nodev", access, below])
    } else {
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", access])
    });
    if !host.rootless || host.cgroup2 {
        list.push(mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", access]));
    }
    if shared("ipc") {
        list.push(mount("/dev/mqueue", "bind", "/dev/mqueue", &["rbind", "nosuid", "noexec", "nodev"]));
        list.push(mount("/dev/shm", "bind", "/dev/shm", &["rbind", "nosuid", "noexec", "nodev"]));
    } else {
        list.push(mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]));
        list.push(mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", &shm]));
    }
    list
}

/// A new procfs belongs to a new PID namespace; a user namespace without one can only bind the host's.
fn proc_mount(inputs: &Inputs<'_>) -> Mount {
    let host_pids = inputs.request.host_namespaces.iter().any(|k| k == "pid");
    if inputs.host.rootless && host_pids {
        return mount("/proc", "bind", "/proc", &["rbind", "nosuid", "noexec", "nodev"]);
    }
    mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"])
}

fn etc_files(inputs: &Inputs<'_>) -> impl Iterator<Item = Mount> {
    ["resolv.conf", "hostname", "hosts"].into_iter().map(|name| {
        let source = inputs.container_dir.join(name).display().to_string();
        mount(&format!("/etc/{name}"), "bind", &source, &["rbind", "rprivate"])
    })
}

fn volume(volume: &BoundVolume) -> Mount {
    let mut options: Vec<String> = volume.options.clone();
    if !options.iter().any(|o| o == "bind" || o == "rbind") {
        options.insert(0, "rbind".into());
    }
    if !options.iter().any(|o| ["shared", "slave", "private"].contains(&o.trim_start_matches('r'))) {
        options.push("rprivate".into());
    }
    if volume.read_only {
        options.push("ro".into());
    }
    mount(&volume.destination, "bind", &volume.source.display().to_string(), &options)
}
