//! The spec's mounts as steps.

use super::options::Options;
use crate::cgroups::View;
use crate::error::{Error, Result};
use crate::step::{MountSource, MountStep};
use carboy_oci::runtime::{Linux, Mount};
use carboy_sys::mount::attr;
use std::path::Path;

/// File systems of the kernel's own: their superblock is shared or private to a namespace, so `ro` concerns the mount alone.
const PSEUDO: &[&str] = &["proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "ramfs", "securityfs"];

/// Paths in /proc that may be covered by a bind mount (as lxcfs does): they are not trusted by any runtime.
const PROC_EXCEPTIONS: &[&str] = &[
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/net/dev",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// The path without `.`, `..`, doubled or trailing slashes, as seen from `/`.
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// One mount of the spec. `bundle` resolves a relative source.
pub fn plan_mount(mount: &Mount, index: usize, bundle: &Path, linux: &Linux, view: &View) -> Result<MountStep> {
    let field = |name: &str| format!("mounts[{index}].{name}");
    if mount.destination.is_empty() {
        return Err(Error::invalid(field("destination"), "is empty"));
    }
    let destination = clean(&mount.destination);
    let mut options = Options::parse(&mount.options);
    let kind = mount.kind.as_deref().unwrap_or("");
    if kind == "bind" || (kind.is_empty() && !options.remount && mount.source.is_some()) {
        options.bind = Some(options.bind.unwrap_or(false));
    }
    check_proc(&destination, kind, &options).map_err(|reason| Error::invalid(field("destination"), reason))?;
    let source = source_of(mount, kind, &mut options, bundle, view, &field)?;
    let id_map = id_map(mount, &options, &source, linux, &field)?;
    if options.copy_up && kind != "tmpfs" {
        return Err(Error::invalid(field("options"), "tmpcopyup needs type tmpfs"));
    }
    Ok(MountStep {
        destination,
        source,
        attributes: options.attributes,
        recursive: options.recursive,
        propagation: options.propagation,
        data: options.data,
        copy_up: options.copy_up,
        id_map,
    })
}

fn check_proc(destination: &str, kind: &str, options: &Options) -> std::result::Result<(), String> {
    let below = destination.strip_prefix("/proc").is_some_and(|rest| rest.starts_with('/'));
    let whole = destination == "/proc";
    let harmless = kind == "proc" || options.remount || (whole && options.bind.is_some());
    if !(below || whole) || harmless || PROC_EXCEPTIONS.contains(&destination) {
        return Ok(());
    }
    Err(format!("{destination:?} cannot be mounted because it is inside /proc"))
}

fn source_of(
    mount: &Mount,
    kind: &str,
    options: &mut Options,
    bundle: &Path,
    view: &View,
    field: &dyn Fn(&str) -> String,
) -> Result<MountSource> {
    if options.remount {
        return Ok(MountSource::Existing);
    }
    if let Some(recursive) = options.bind {
        let path = mount.source.as_deref().filter(|s| !s.is_empty());
        let path = path.ok_or_else(|| Error::invalid(field("source"), "a bind mount needs one"))?;
        // A bind mount takes over no data; runc passes it to the kernel, which ignores it.
        options.data.clear();
        let path = bundle.join(path).to_string_lossy().into_owned();
        return Ok(MountSource::Bind { path, recursive });
    }
    match kind {
        "" => Err(Error::invalid(field("type"), "neither a type nor a source is given")),
        "cgroup" | "cgroup2" => Ok(MountSource::Cgroup(view.clone())),
        kind => {
            if options.attributes.set & attr::RDONLY != 0 && !PSEUDO.contains(&kind) {
                options.data.insert(0, ("ro".to_owned(), None));
            }
            let source = mount.source.clone().unwrap_or_else(|| kind.to_owned());
            Ok(MountSource::New { kind: kind.to_owned(), source })
        }
    }
}

type IdMap = (Vec<carboy_oci::runtime::IdMapping>, Vec<carboy_oci::runtime::IdMapping>, bool);

fn id_map(
    mount: &Mount,
    options: &Options,
    source: &MountSource,
    linux: &Linux,
    field: &dyn Fn(&str) -> String,
) -> Result<Option<IdMap>> {
    let given = !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty();
    if !given && options.id_map.is_none() {
        return Ok(None);
    }
    if !matches!(source, MountSource::Bind { .. }) {
        return Err(Error::invalid(field("uidMappings"), "only bind mounts can be idmapped"));
    }
    if given && (mount.uid_mappings.is_empty() || mount.gid_mappings.is_empty()) {
        return Err(Error::invalid(field("uidMappings"), "uidMappings and gidMappings belong together"));
    }
    let (uid, gid) = if given {
        (mount.uid_mappings.clone(), mount.gid_mappings.clone())
    } else {
        (linux.uid_mappings.clone(), linux.gid_mappings.clone())
    };
    if uid.is_empty() || gid.is_empty() {
        return Err(Error::invalid(field("options"), "idmap needs maps here or in linux.uidMappings"));
    }
    Ok(Some((uid, gid, options.id_map == Some(true))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_seen_from_the_root() {
        for (from, to) in [
            ("/a/../../b/", "/b"),
            ("proc", "/proc"),
            ("//x//./y", "/x/y"),
            ("/", "/"),
            ("/proc/../proc/kcore", "/proc/kcore"),
        ] {
            assert_eq!(clean(from), to);
        }
    }

    #[test]
    fn nothing_covers_proc_but_proc() {
        let none = Options::default();
        assert!(check_proc("/proc/sys", "tmpfs", &none).is_err());
        assert!(check_proc("/proc", "tmpfs", &none).is_err());
        assert!(check_proc("/proc", "proc", &none).is_ok());
        assert!(check_proc("/proc/cpuinfo", "bind", &none).is_ok());
        assert!(check_proc("/process", "tmpfs", &none).is_ok());
    }
}
