//! `linux.cgroupsPath`: where below each hierarchy's mount the cgroup lies.

use crate::error::CgroupError;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// A checked cgroup path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CgroupPath {
    /// The same path below every hierarchy's mount, without a leading slash.
    Absolute(PathBuf),
    /// Below the cgroups in which the runtime itself is; one step further up in the unified hierarchy, where a cgroup with processes
    /// cannot have limited children (as runc chooses).
    Relative(PathBuf),
}

impl CgroupPath {
    /// From the spec's field; without one, a cgroup with the container's ID beside the runtime's own (as runc).
    ///
    /// # Errors
    /// A path that names no cgroup of its own, or climbs out with `..`.
    pub fn parse(field: Option<&str>, id: &str) -> Result<Self, CgroupError> {
        let text = field.filter(|text| !text.is_empty()).unwrap_or(id);
        let bad = |reason: &str| CgroupError::invalid("linux.cgroupsPath", format!("{text:?} {reason}"));
        if text.contains('\0') {
            return Err(bad("contains a NUL"));
        }
        let mut clean = PathBuf::new();
        for component in Path::new(text).components() {
            match component {
                Component::Normal(name) => clean.push(name),
                Component::ParentDir => return Err(bad("contains ..")),
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            }
        }
        if clean.as_os_str().is_empty() {
            return Err(bad("is the root of all cgroups"));
        }
        Ok(if text.starts_with('/') { CgroupPath::Absolute(clean) } else { CgroupPath::Relative(clean) })
    }

    /// The directory below one mount. `own` holds the runtime's cgroup by controller, the unified one under `""`.
    pub(crate) fn below(&self, mount: &Path, controller: &str, own: &BTreeMap<String, PathBuf>) -> PathBuf {
        match self {
            CgroupPath::Absolute(path) => mount.join(path),
            CgroupPath::Relative(path) => {
                let mine = own.get(controller).cloned().unwrap_or_default();
                let base =
                    if controller.is_empty() { mine.parent().map(Path::to_path_buf).unwrap_or_default() } else { mine };
                mount.join(base).join(path)
            }
        }
    }
}

/// The lines of `/proc/self/cgroup`, in their order: the controllers of a hierarchy, separated by commas, none for the unified one; the
/// path without the leading slash (cgroups(7)).
pub(crate) fn memberships(text: &str) -> impl Iterator<Item = (&str, &Path)> {
    text.lines().filter_map(|line| {
        let (_, line) = line.split_once(':')?;
        let (controllers, path) = line.split_once(':')?;
        Some((controllers, Path::new(path.trim_start_matches('/'))))
    })
}

/// The same by controller.
pub(crate) fn parse_own(text: &str) -> BTreeMap<String, PathBuf> {
    let each = memberships(text).flat_map(|(controllers, path)| controllers.split(',').map(move |name| (name, path)));
    each.map(|(controller, path)| (controller.to_owned(), path.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memberships_are_in_order_and_their_paths_may_hold_colons() {
        let text = "8:cpu,cpuacct:/a:b\n1:name=systemd:/\nnonsense\n0::/c\n";
        let all: Vec<_> = memberships(text).map(|(names, path)| (names, path.to_str().unwrap())).collect();
        assert_eq!(all, [("cpu,cpuacct", "a:b"), ("name=systemd", ""), ("", "c")]);
        assert_eq!(parse_own(text).keys().collect::<Vec<_>>(), ["", "cpu", "cpuacct", "name=systemd"]);
    }

    #[test]
    fn absolute_relative_and_refused() {
        let own = parse_own("8:cpu,cpuacct:/a/b\n4:memory:/m\n0::/user.slice/session.scope\n");
        let below = |field: Option<&str>, controller: &str| {
            CgroupPath::parse(field, "id").unwrap().below(Path::new("/m"), controller, &own).display().to_string()
        };
        assert_eq!(below(Some("/carboy/x"), "cpu"), "/m/carboy/x");
        assert_eq!(below(Some("//carboy/./x/"), ""), "/m/carboy/x");
        assert_eq!(below(Some("system.slice:docker:0a"), "memory"), "/m/m/system.slice:docker:0a");
        assert_eq!(below(Some("x"), "cpuacct"), "/m/a/b/x");
        assert_eq!(below(None, "memory"), "/m/m/id");
        assert_eq!(below(None, ""), "/m/user.slice/id");
        assert_eq!(below(None, "pids"), "/m/id");
        for bad in ["/", "a/../../b", "/.."] {
            assert!(CgroupPath::parse(Some(bad), "id").is_err(), "{bad}");
        }
    }
}
