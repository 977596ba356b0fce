//! `spec`: writes a configuration to start from.

use crate::args::{Arg, Parser, switch};
use crate::error::{Context, Error, Result};
use carboy_oci::defaults::{MASKED_PATHS, READONLY_PATHS};
use carboy_oci::runtime::{
    Capabilities, DeviceRule, IdMapping, Linux, Mount, Namespace, Process, Resources, Rlimit, Root, Spec, VERSION,
};
use std::path::PathBuf;

/// `spec`.
pub fn main(parser: &mut Parser) -> Result<u8> {
    let (mut bundle, mut file, mut rootless) = (PathBuf::from("."), PathBuf::from("config.json"), false);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("bundle") | Arg::Short('b') => bundle = parser.value()?.into(),
            Arg::Long("file") | Arg::Short('f') => file = parser.value()?.into(),
            Arg::Long("rootless") => rootless = switch(parser)?,
            other => return Err(other.unexpected().into()),
        }
    }
    let path = bundle.join(file);
    if path.exists() {
        return Err(Error::Usage(format!("file {} exists. Remove it first", path.display())));
    }
    let mut spec = example();
    if rootless {
        make_rootless(&mut spec);
    }
    let encoded = |e| Error::Other(format!("encode: {e}"));
    let mut value = serde_json::to_value(&spec).map_err(encoded)?;
    // Written although it is what is meant without it: people look for it, and some runtimes insist on it.
    value["process"]["user"] = serde_json::json!({ "uid": 0, "gid": 0 });
    let text = serde_json::to_string_pretty(&value).map_err(encoded)?;
    std::fs::write(&path, text + "\n").context(|| format!("write {}", path.display()))?;
    Ok(0)
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.into(),
        kind: Some(kind.into()),
        source: Some(source.into()),
        options: strings(options),
        ..Mount::default()
    }
}

/// The same as runc's: a shell with few privileges.
fn example() -> Spec {
    let few = || strings(&["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    let process = Process {
        terminal: true,
        args: strings(&["sh"]),
        env: strings(&["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"]),
        cwd: "/".into(),
        capabilities: Some(Capabilities {
            bounding: few(),
            effective: few(),
            permitted: few(),
            ..Capabilities::default()
        }),
        rlimits: vec![Rlimit { kind: "RLIMIT_NOFILE".into(), soft: 1024, hard: 1024 }],
        no_new_privileges: true,
        ..Process::default()
    };
    Spec {
        oci_version: VERSION.into(),
        process: Some(Box::new(process)),
        root: Some(Root { path: "rootfs".into(), readonly: true }),
        hostname: Some("carboy".into()),
        mounts: mounts(),
        linux: Some(Box::new(linux())),
        ..Spec::default()
    }
}

fn mounts() -> Vec<Mount> {
    let pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
    vec![
        mount("/proc", "proc", "proc", &[]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", "devpts", &pts),
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ]
}

fn linux() -> Linux {
    let kinds = ["pid", "network", "ipc", "uts", "mount", "cgroup"];
    let all = DeviceRule { allow: false, access: Some("rwm".into()), ..DeviceRule::default() };
    Linux {
        resources: Some(Box::new(Resources { devices: vec![all], ..Resources::default() })),
        namespaces: kinds.map(|kind| Namespace { kind: kind.into(), path: None }).into(),
        masked_paths: strings(&MASKED_PATHS),
        readonly_paths: strings(&READONLY_PATHS),
        ..Linux::default()
    }
}

/// What an ordinary user may have: a user namespace, the host's network, no limits.
fn make_rootless(spec: &mut Spec) {
    for mount in &mut spec.mounts {
        mount.options.retain(|option| !option.starts_with("gid=") && !option.starts_with("uid="));
    }
    // A new sysfs needs a network namespace of its own. What is mounted below the host's, the user's own cgroups among it, must be
    // read-only too (CVE-2023-25809).
    if let Some(sys) = spec.mounts.iter_mut().find(|mount| mount.destination == "/sys") {
        *sys = mount("/sys", "none", "/sys", &["rbind", "nosuid", "noexec", "nodev", "ro", "rro"]);
    }
    let Some(linux) = &mut spec.linux else { return };
    linux.namespaces.retain(|namespace| namespace.kind != "network");
    linux.namespaces.push(Namespace { kind: "user".into(), path: None });
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    linux.uid_mappings = vec![IdMapping { container_id: 0, host_id: uid, size: 1 }];
    linux.gid_mappings = vec![IdMapping { container_id: 0, host_id: gid, size: 1 }];
    linux.resources = None;
}
