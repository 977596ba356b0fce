//! `linux.cgroupsPath` for systemd, `slice:prefix:name`, and where systemd puts such a scope.

use crate::error::CgroupError;
use std::path::PathBuf;

/// The name of a transient scope and of the slice that it lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeName {
    /// Such as `docker-0123.scope`.
    pub scope: String,
    /// Such as `machine-a.slice`; `-.slice` is the root.
    pub slice: String,
}

/// What a scope's name begins with if the spec gives no path.
const PREFIX: &str = "carboy";

impl ScopeName {
    /// From the spec's field. Without one, and for an empty slice: system.slice, or user.slice for a user's systemd (as runc).
    ///
    /// # Errors
    /// Another form, and names that systemd would refuse.
    pub fn parse(field: Option<&str>, id: &str, user: bool) -> Result<Self, CgroupError> {
        let text = field.unwrap_or_default();
        let parts: Vec<&str> = text.split(':').collect();
        let (slice, prefix, name) = match parts.as_slice() {
            [""] => ("", PREFIX, id),
            [slice, prefix, name] => (*slice, *prefix, *name),
            _ => {
                let reason = format!("{text:?} is not of the form \"slice:prefix:name\", as systemd cgroups need");
                return Err(CgroupError::invalid("linux.cgroupsPath", reason));
            }
        };
        let bad = |reason: String| CgroupError::invalid("linux.cgroupsPath", format!("{text:?}: {reason}"));
        if name.is_empty() {
            return Err(bad("the name is empty".into()));
        }
        if name.ends_with(".slice") {
            return Err(bad("a slice cannot hold processes; the name must be that of a scope".into()));
        }
        let slice = match slice {
            "" if user => "user.slice",
            "" => "system.slice",
            "-" => "-.slice",
            other => other,
        };
        expand(slice).map_err(bad)?;
        let scope = format!("{}-{}.scope", escape(prefix), escape(name));
        if scope.len() > 255 {
            return Err(bad("the name is longer than the 255 bytes that systemd permits".into()));
        }
        Ok(ScopeName { scope, slice: slice.to_owned() })
    }

    /// Below the cgroup of the service manager.
    pub fn path(&self) -> PathBuf {
        // Checked when it was parsed.
        let folder = expand(&self.slice).unwrap_or_default();
        folder.join(cgroup_name(&self.scope))
    }
}

/// `a-b.slice` lies in `a.slice`.
fn expand(slice: &str) -> Result<PathBuf, String> {
    let stem = slice.strip_suffix(".slice").ok_or_else(|| format!("{slice:?} does not end in .slice"))?;
    if stem == "-" {
        return Ok(PathBuf::new());
    }
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.' | '\\');
    if stem.is_empty() || stem.len() > 200 || !stem.chars().all(valid) || stem.split('-').any(str::is_empty) {
        return Err(format!("{slice:?} is no slice's name"));
    }
    let dashes = stem.char_indices().filter(|(_, c)| *c == '-').map(|(at, _)| at);
    Ok(dashes.chain([stem.len()]).map(|end| cgroup_name(&format!("{}.slice", &stem[..end]))).collect())
}

/// What a unit's name may not hold is written `\x2b`, as systemd does.
fn escape(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' => name.push(byte.into()),
            other => name.push_str(&format!("\\x{other:02x}")),
        }
    }
    name
}

/// systemd puts an underscore before names that the kernel uses for files of its own (cgroup names, "cg_escape").
fn cgroup_name(unit: &str) -> String {
    const CONTROLLERS: [&str; 9] = ["cpu", "cpuacct", "cpuset", "io", "blkio", "memory", "devices", "pids", "cgroup"];
    let taken =
        unit.starts_with(['_', '.']) || unit.split_once('.').is_some_and(|(word, _)| CONTROLLERS.contains(&word));
    if taken { format!("_{unit}") } else { unit.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_callers_write() {
        for (field, user, scope, path) in [
            (None, false, "carboy-id.scope", "system.slice/carboy-id.scope"),
            (Some(""), true, "carboy-id.scope", "user.slice/carboy-id.scope"),
            // dockerd, podman, CRI-O, containerd's CRI.
            (Some("system.slice:docker:0a"), false, "docker-0a.scope", "system.slice/docker-0a.scope"),
            (Some("machine.slice:libpod:0a"), false, "libpod-0a.scope", "machine.slice/libpod-0a.scope"),
            (Some("user.slice:libpod:0a"), true, "libpod-0a.scope", "user.slice/libpod-0a.scope"),
            (
                Some("kubepods-besteffort-pod1_2.slice:cri-containerd:0a"),
                false,
                "cri-containerd-0a.scope",
                "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice/cri-containerd-0a.scope",
            ),
            (Some("-:p:n"), false, "p-n.scope", "p-n.scope"),
            (Some("-.slice:p:n"), false, "p-n.scope", "p-n.scope"),
            (Some("::a+b"), false, "-a\\x2bb.scope", "system.slice/-a\\x2bb.scope"),
            (Some(":memory.x:a"), false, "memory.x-a.scope", "system.slice/_memory.x-a.scope"),
        ] {
            let name = ScopeName::parse(field, "id", user).unwrap();
            assert_eq!((name.scope.as_str(), name.path().to_str().unwrap()), (scope, path), "{field:?}");
        }
    }

    #[test]
    fn what_systemd_would_refuse_is_refused() {
        let long = format!("::{}", "x".repeat(300));
        for (field, expected) in [
            ("/docker/0a", "\"/docker/0a\" is not of the form \"slice:prefix:name\""),
            ("a:b", "is not of the form"),
            ("a/b.slice:p:n", "\"a/b.slice\" is no slice's name"),
            ("a--b.slice:p:n", "is no slice's name"),
            ("-a.slice:p:n", "is no slice's name"),
            ("a:p:n", "\"a\" does not end in .slice"),
            ("a.slice:p:", "the name is empty"),
            ("a.slice:p:n.slice", "a slice cannot hold processes"),
            (long.as_str(), "longer than the 255"),
        ] {
            let error = ScopeName::parse(Some(field), "id", false).unwrap_err().to_string();
            assert!(error.starts_with("linux.cgroupsPath: ") && error.contains(expected), "{error}");
        }
    }
}
