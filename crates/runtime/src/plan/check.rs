//! What a configuration must not say: fields that cannot be honoured, and those that contradict each other.

use crate::error::{Error, Result};
use crate::plan::Host;
use crate::step::Moment;
use carboy_oci::runtime::{Linux, Spec};

/// Fields that are known and cannot be honoured, and those that contradict each other.
pub fn check(spec: &Spec, linux: &Linux) -> Result<()> {
    if !is_version(&spec.oci_version) {
        return Err(Error::invalid("ociVersion", format!("{:?} is no version 1.x.y", spec.oci_version)));
    }
    if linux.intel_rdt.is_some() {
        return Err(Error::invalid("linux.intelRdt", "is not supported: this runtime makes no resctrl groups"));
    }
    if spec.annotations.contains_key("") {
        return Err(Error::invalid("annotations", "holds an empty key"));
    }
    check_hooks(spec)?;
    check_time(linux)?;
    let user = linux.namespaces.iter().find(|n| n.kind == "user");
    let maps = !linux.uid_mappings.is_empty() || !linux.gid_mappings.is_empty();
    match user {
        None if maps => Err(Error::invalid("linux.uidMappings", "there is no user namespace to map IDs for")),
        Some(n) if n.path.is_none() && (linux.uid_mappings.is_empty() || linux.gid_mappings.is_empty()) => {
            Err(Error::invalid("linux.uidMappings", "a new user namespace needs uidMappings and gidMappings"))
        }
        _ => check_uts(spec, linux),
    }
}

/// A version by the rules of SemVer 2.0.0 (items 2, 9 and 10), the major number of which is 1.
fn is_version(text: &str) -> bool {
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (core, before) = text.split_once('-').map_or((text, None), |(core, before)| (core, Some(before)));
    let number = |part: &str| part == "0" || (!part.starts_with('0') && is_number(part));
    let word = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    core.starts_with("1.")
        && core.split('.').count() == 3
        && core.split('.').all(number)
        && before.is_none_or(|b| b.split('.').all(|part| word(part) && (!is_number(part) || number(part))))
        && build.is_none_or(|b| b.split('.').all(word))
}

fn is_number(part: &str) -> bool {
    !part.is_empty() && part.chars().all(|c| c.is_ascii_digit())
}

fn check_hooks(spec: &Spec) -> Result<()> {
    let Some(hooks) = &spec.hooks else { return Ok(()) };
    for moment in Moment::ALL {
        for (index, hook) in moment.of(hooks).iter().enumerate() {
            let field = |name: &str| format!("hooks.{}[{index}].{name}", moment.name());
            if !hook.path.starts_with('/') {
                return Err(Error::invalid(field("path"), format!("{:?} is not absolute", hook.path)));
            }
            if hook.timeout.is_some_and(|seconds| seconds <= 0) {
                return Err(Error::invalid(field("timeout"), "must be greater than zero"));
            }
        }
    }
    Ok(())
}

fn check_time(linux: &Linux) -> Result<()> {
    for (clock, offset) in &linux.time_offsets {
        let field = format!("linux.timeOffsets.{clock}");
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            return Err(Error::invalid(field, "is no clock with an offset: monotonic and boottime are"));
        }
        if offset.nanosecs >= 1_000_000_000 {
            return Err(Error::invalid(format!("{field}.nanosecs"), "is a second or more"));
        }
    }
    Ok(())
}

fn check_uts(spec: &Spec, linux: &Linux) -> Result<()> {
    let has = |kind: &str| linux.namespaces.iter().any(|n| n.kind == kind);
    let set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    for (field, value) in [("hostname", &spec.hostname), ("domainname", &spec.domainname)] {
        if set(value) && !has("uts") {
            return Err(Error::invalid(field, "cannot be set without a uts namespace"));
        }
    }
    if !linux.time_offsets.is_empty() && !has("time") {
        return Err(Error::invalid("linux.timeOffsets", "cannot be set without a time namespace"));
    }
    Ok(())
}

/// The path below /proc/sys of a kernel parameter that a container may set: one that belongs to a namespace of its own.
pub fn sysctl_path(name: &str, linux: &Linux, host: &Host) -> Result<String> {
    const IPC: &[&str] = &[
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    // As in sysctl(8): if the first separator is a slash, dots are part of names, as in net/ipv4/conf/eth0.1/forwarding.
    let slashes = name.find(['/', '.']).is_some_and(|at| name.as_bytes()[at] == b'/');
    let swap = |c: char| match c {
        '.' => '/',
        '/' => '.',
        c => c,
    };
    let path: String = if slashes { name.to_owned() } else { name.chars().map(swap).collect() };
    let dotted: String = if slashes { name.chars().map(swap).collect() } else { name.to_owned() };
    let field = || format!("linux.sysctl.{name}");
    if path.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        return Err(Error::invalid(field(), "is no parameter"));
    }
    let own = |kind: &str| linux.namespaces.iter().any(|n| n.kind == kind);
    let kind = match () {
        () if IPC.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.") => "ipc",
        () if dotted.starts_with("net.") => "network",
        () if dotted == "kernel.domainname" => "uts",
        () if dotted == "kernel.hostname" => return Err(Error::invalid(field(), "use the field hostname")),
        () if dotted.starts_with("user.") => "user",
        () => return Err(Error::invalid(field(), "does not belong to any namespace")),
    };
    if kind == "network" && host.network_is_own {
        return Err(Error::invalid(field(), "not allowed in host network namespace"));
    }
    if own(kind) { Ok(path) } else { Err(Error::invalid(field(), format!("needs a {kind} namespace of its own"))) }
}

#[cfg(test)]
mod tests {
    use super::is_version;

    #[test]
    fn versions_are_those_of_semver() {
        for good in ["1.0.0", "1.0.2-dev", "1.3.0", "1.0.0-rc.1+build.5", "1.0.0-rc5", "1.20.3+007", "1.0.0--"] {
            assert!(is_version(good), "{good}");
        }
        for bad in [
            "",
            "1",
            "1.0",
            "2.0.0",
            "1.0.0.0",
            "1.01.0",
            "1.x.0",
            "1.0.0-",
            "1.0.0-a..b",
            "1.0.0-01",
            "1.0.0+",
            "v1.0.0",
        ] {
            assert!(!is_version(bad), "{bad}");
        }
    }
}
