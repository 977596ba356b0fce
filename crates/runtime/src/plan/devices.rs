//! Device nodes and the usual links in /dev.

use super::Planner;
use super::mounts::clean;
use super::namespaces::Namespaces;
use crate::error::{Error, Result};
use crate::step::{Action, DeviceNode};
use carboy_oci::runtime::{Device, Linux, Spec};
use carboy_sys::clone::flag;

/// Path, major, minor: what every container has (runtime-spec, "Default Devices").
const DEFAULT: &[(&str, u32, u32)] = &[
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

const LINKS: &[(&str, &str)] = &[
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("pts/ptmx", "/dev/ptmx"),
];

impl Planner<'_> {
    /// Devices and links, unless the host's /dev is bound there.
    pub fn devices(&mut self, spec: &Spec, linux: &Linux, namespaces: &Namespaces) -> Result<()> {
        let bound = |m: &carboy_oci::runtime::Mount| {
            clean(&m.destination) == "/dev"
                && (m.kind.as_deref() == Some("bind") || m.options.iter().any(|o| o == "bind" || o == "rbind"))
        };
        if spec.mounts.iter().any(bound) {
            return Ok(());
        }
        let bind = namespaces.own & flag::NEWUSER != 0;
        let mut nodes: Vec<DeviceNode> = Vec::with_capacity(DEFAULT.len() + linux.devices.len());
        for (path, major, minor) in DEFAULT {
            let (path, kind) = ((*path).to_owned(), 'c');
            nodes.push(DeviceNode {
                path,
                kind,
                major: *major,
                minor: *minor,
                mode: 0o666,
                uid: 0,
                gid: 0,
                bind,
                usual: true,
            });
        }
        for (index, device) in linux.devices.iter().enumerate() {
            let node = node(device, index, bind)?;
            let same =
                |known: &DeviceNode| (known.kind, known.major, known.minor) == (node.kind, node.major, node.minor);
            if nodes.iter().any(|known| known.path == node.path && !known.usual && !same(known)) {
                let field = format!("linux.devices[{index}].path");
                return Err(Error::invalid(field, format!("{} is another device of the list already", node.path)));
            }
            nodes.retain(|known| known.path != node.path);
            nodes.push(node);
        }
        self.init("linux.devices", Action::Devices(nodes));
        self.init("", Action::Links(LINKS.to_vec()));
        Ok(())
    }
}

fn node(device: &Device, index: usize, bind: bool) -> Result<DeviceNode> {
    let field = |name: &str| format!("linux.devices[{index}].{name}");
    let kind = match device.kind.as_str() {
        "c" | "u" => 'c',
        "b" => 'b',
        "p" => 'p',
        other => return Err(Error::invalid(field("type"), format!("{other:?} is none of c, b, u, p"))),
    };
    if !device.path.starts_with('/') {
        return Err(Error::invalid(field("path"), "is not absolute"));
    }
    if device.uid == Some(u32::MAX) || device.gid == Some(u32::MAX) {
        return Err(Error::invalid(field("uid"), format!("{} is no ID", u32::MAX)));
    }
    let number = |name: &str, value: i64| match u32::try_from(value) {
        Ok(value) => Ok(value),
        Err(_) if kind == 'p' => Ok(0),
        Err(_) => Err(Error::invalid(field(name), "is out of range")),
    };
    Ok(DeviceNode {
        path: clean(&device.path),
        kind,
        major: number("major", device.major)?,
        minor: number("minor", device.minor)?,
        mode: device.file_mode.unwrap_or(0o666) & 0o7777,
        uid: device.uid.unwrap_or(0),
        gid: device.gid.unwrap_or(0),
        bind,
        usual: false,
    })
}
