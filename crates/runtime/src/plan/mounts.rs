//! The spec's mounts as steps.

use super::options::Options;
use crate::cgroups::View;
use crate::error::{Error, Result};
use crate::step::{MapOf, MountMap, MountSource, MountStep};
use carboy_oci::runtime::{Linux, Mount, Spec};
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
pub fn plan_mount(
    mount: &Mount,
    index: usize,
    bundle: &Path,
    linux: &Linux,
    view: &View,
    warnings: &mut Vec<String>,
) -> Result<MountStep> {
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
    if matches!(source, MountSource::Bind { .. } | MountSource::Cgroup(_)) && !options.data.is_empty() {
        // runc passes them to the kernel, which ignores them.
        let words: Vec<&str> = options.data.iter().map(|(key, _)| key.as_str()).collect();
        warnings.push(format!("{}: {} means nothing here and is ignored", field("options"), words.join(", ")));
        options.data.clear();
    }
    for word in &options.without_effect {
        warnings.push(format!("{}: {word} has no counterpart in the kernel and is ignored", field("options")));
    }
    let label = linux.mount_label.as_deref().filter(|label| !label.is_empty());
    let label = label.and_then(|label| add_label(label, kind, &source, &mut options.data));
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
        label,
    })
}

/// Has a new file system labelled: by an option, or where it takes none by the label that is returned.
fn add_label(
    label: &str,
    kind: &str,
    source: &MountSource,
    data: &mut Vec<(String, Option<String>)>,
) -> Option<String> {
    match kind {
        // Of the first version's there is a tmpfs to hold them; a hierarchy itself is the host's too, and has its label.
        _ if matches!(source, MountSource::Cgroup(_)) => Some(label.to_owned()),
        _ if !matches!(source, MountSource::New { .. }) => None,
        // The policy labels what the kernel itself shows.
        "proc" | "sysfs" => None,
        "mqueue" => Some(label.to_owned()),
        _ => {
            if !data.iter().any(|(key, _)| key.ends_with("context")) {
                data.push(("context".to_owned(), Some(label.to_owned())));
            }
            None
        }
    }
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
        let path = bundle.join(path).to_string_lossy().into_owned();
        return Ok(MountSource::Bind { path, recursive, handed: false });
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

fn id_map(
    mount: &Mount,
    options: &Options,
    source: &MountSource,
    linux: &Linux,
    field: &dyn Fn(&str) -> String,
) -> Result<Option<MountMap>> {
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
    let joined = linux.namespaces.iter().find(|n| n.kind == "user").and_then(|n| n.path.clone());
    let of = match joined.filter(|_| !given) {
        Some(path) => MapOf::Namespace(path),
        None if uid.is_empty() || gid.is_empty() => {
            return Err(Error::invalid(field("options"), "idmap needs maps here or a user namespace"));
        }
        None => MapOf::Ranges(uid, gid),
    };
    Ok(Some(MountMap { of, recursive: options.id_map == Some(true) }))
}

/// What is mounted in a container and is not its own: path inside, path on the host.
pub fn external_mounts(spec: &Spec, bundle: &Path, view: &View) -> Result<Vec<(String, String)>> {
    let default = Linux::default();
    let linux = spec.linux.as_deref().unwrap_or(&default);
    let mut found = Vec::new();
    for (index, mount) in spec.mounts.iter().enumerate() {
        let step = plan_mount(mount, index, bundle, linux, view, &mut Vec::new())?;
        let inside = step.destination;
        match step.source {
            MountSource::Bind { path, .. } => found.push((inside, path)),
            // With a namespace of its own a container has mounts of its own.
            MountSource::Cgroup(view) if !view.namespace => {
                let v1 = view.v1.into_iter().map(|(name, _, own)| (format!("{inside}/{name}"), own));
                let all = v1.chain(view.v2.map(|own| (inside.clone(), own)));
                found.extend(all.map(|(inside, own)| (inside, own.display().to_string())));
            }
            _ => {}
        }
    }
    Ok(found)
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
