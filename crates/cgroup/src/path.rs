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

/// `/proc/self/cgroup` by controller, paths without the leading slash (cgroups(7)).
pub(crate) fn parse_own(text: &str) -> BTreeMap<String, PathBuf> {
    let mut own = BTreeMap::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        if let (Some(controllers), Some(path)) = (parts.next(), parts.next()) {
            for controller in controllers.split(',') {
                own.insert(controller.to_owned(), PathBuf::from(path.trim_start_matches('/')));
            }
        }
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

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
