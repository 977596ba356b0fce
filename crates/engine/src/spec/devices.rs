//! Devices, and which of them the cgroup lets the container use.

use super::Inputs;
use crate::error::{Error, Result};
use crate::request::{DeviceRequest, RunRequest};
use carboy_oci::runtime::{Device, DeviceRule};
use rustix::fs::FileType;
use std::path::Path;

/// A device file of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostDevice {
    /// `c` or `b`.
    pub(crate) kind: char,
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Path in the container.
    pub(crate) path: String,
    /// Some of `rwm`.
    pub(crate) permissions: String,
}

/// What a container may use without asking: moby's oci/defaults.go and the devices that every runtime makes.
const ALLOWED: [(char, Option<u32>, Option<u32>, &str); 10] = [
    ('c', None, None, "m"),
    ('b', None, None, "m"),
    ('c', Some(1), Some(3), "rwm"), // null
    ('c', Some(1), Some(5), "rwm"), // zero
    ('c', Some(1), Some(7), "rwm"), // full
    ('c', Some(5), Some(0), "rwm"), // tty
    ('c', Some(1), Some(8), "rwm"), // random
    ('c', Some(1), Some(9), "rwm"), // urandom
    ('c', Some(5), Some(2), "rwm"), // ptmx
    ('c', Some(136), None, "rwm"),  // pts
];

pub(super) fn rules(inputs: &Inputs<'_>) -> Vec<DeviceRule> {
    if inputs.request.privileged {
        return vec![DeviceRule { allow: true, access: Some("rwm".into()), ..DeviceRule::default() }];
    }
    let allow = |kind: char, major: Option<u32>, minor: Option<u32>, access: &str| DeviceRule {
        allow: true,
        kind: Some(kind.into()),
        major: major.map(i64::from),
        minor: minor.map(i64::from),
        access: Some(access.into()),
    };
    let mut rules = vec![DeviceRule { allow: false, access: Some("rwm".into()), ..DeviceRule::default() }];
    rules.extend(ALLOWED.iter().map(|(kind, major, minor, access)| allow(*kind, *major, *minor, access)));
    rules.extend(inputs.devices.iter().map(|d| allow(d.kind, Some(d.major), Some(d.minor), &d.permissions)));
    rules
}

pub(super) fn spec_devices(inputs: &Inputs<'_>) -> Vec<Device> {
    let device = |d: &HostDevice| Device {
        kind: d.kind.into(),
        path: d.path.clone(),
        major: d.major.into(),
        minor: d.minor.into(),
        file_mode: Some(d.mode),
        uid: Some(d.uid),
        gid: Some(d.gid),
    };
    inputs.devices.iter().map(device).collect()
}

/// The devices a request names; with `--privileged`, all of the host.
///
/// # Errors
/// [`Error::Invalid`] if a path is not a device.
pub(crate) fn host_devices(request: &RunRequest, rootless: bool) -> Result<Vec<HostDevice>> {
    let mut list = Vec::new();
    // An ordinary user can open few of them, and the runtime would have to bind each: only what is asked for.
    if request.privileged && !rootless {
        collect(Path::new("/dev"), &mut list);
    }
    for wanted in &request.devices {
        let device = named(wanted)?;
        list.retain(|d: &HostDevice| d.path != device.path);
        list.push(device);
    }
    Ok(list)
}

fn named(wanted: &DeviceRequest) -> Result<HostDevice> {
    let invalid = |why: String| {
        Error::Invalid(format!(
            "error gathering device information while adding custom device \"{}\": {why}",
            wanted.host.display()
        ))
    };
    let found =
        device_file(&wanted.host, &wanted.container, &wanted.permissions).map_err(|e| invalid(e.to_string()))?;
    found.ok_or_else(|| invalid("not a device node".into()))
}

/// Reads a device file; `None` if the path is something else.
pub(crate) fn device_file(host: &Path, container: &str, permissions: &str) -> std::io::Result<Option<HostDevice>> {
    let stat = rustix::fs::stat(host)?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice => 'c',
        FileType::BlockDevice => 'b',
        _ => return Ok(None),
    };
    Ok(Some(HostDevice {
        kind,
        major: rustix::fs::major(stat.st_rdev),
        minor: rustix::fs::minor(stat.st_rdev),
        mode: stat.st_mode & 0o777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        path: container.to_owned(),
        permissions: permissions.to_owned(),
    }))
}

/// All device files below a folder, but not those that every container has of its own.
fn collect(folder: &Path, list: &mut Vec<HostDevice>) {
    const SKIP: [&str; 12] =
        ["pts", "shm", "fd", "mqueue", ".udev", ".lxc", ".lxd-mounts", "console", "null", "zero", "full", "tty"];
    const ALSO_OWN: [&str; 3] = ["random", "urandom", "ptmx"];
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let at_top = folder == Path::new("/dev");
        let Ok(kind) = entry.file_type() else { continue };
        if at_top && (SKIP.contains(&&*name) || ALSO_OWN.contains(&&*name)) || kind.is_symlink() {
            continue;
        }
        if kind.is_dir() {
            collect(&path, list);
        } else if let Ok(Some(device)) = device_file(&path, &path.display().to_string(), "rwm") {
            list.push(device);
        }
    }
}
