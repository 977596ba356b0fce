//! What attacks from inside a container: this test program itself, which is static, copied there.

use crate::common::Bundle;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Says to a copy of this program that it is in a container, and as what.
const ROLE: &str = "CARBOY_TEST_AGENT";

/// The file of the host that it hunts for, relative to the host's root.
const MARKER: &str = "CARBOY_TEST_MARKER";

/// Copies this program to /agent.
pub(crate) fn install(bundle: &Bundle) {
    std::fs::copy(std::env::current_exe().unwrap(), bundle.rootfs().join("agent")).unwrap();
}

/// Arguments that start it in a role.
pub(crate) fn args(role: &str) -> Value {
    json!(["/bin/env", format!("{ROLE}={role}"), "/agent", "attacks::agent::agent", "--exact", "--nocapture"])
}

/// Arguments for one that may look into any process of its namespace, and tries to read a file of the host through it.
pub(crate) fn hunter(marker: &Path) -> Value {
    let mut args = args("hunt");
    let marker = marker.strip_prefix("/").unwrap().display();
    args.as_array_mut().unwrap().insert(1, json!(format!("{MARKER}={marker}")));
    args
}

/// Not a test but the attacker, where its role is given.
#[test]
fn agent() {
    match std::env::var(ROLE).as_deref() {
        Ok("snoop") => watch(|pid, found| look_into(pid, own_root(), found)),
        Ok("hunt") => {
            let marker = std::env::var(MARKER).unwrap();
            let own = mount_namespace("self").unwrap();
            watch(|pid, found| hunt(pid, &own, &marker, found));
        }
        Ok("descriptors") => descriptors(),
        _ => {}
    }
}

/// Prints the descriptors that it was given, as `fd N -> WHAT`.
#[allow(clippy::print_stdout, reason = "read by the test")]
fn descriptors() {
    for raw in 0..4096 {
        if let Ok(link) = std::fs::read_link(format!("/proc/self/fd/{raw}")) {
            println!("fd {raw} -> {}", link.display());
        }
    }
    println!("cwd -> {}", std::fs::read_link("/proc/self/cwd").unwrap().display());
}

/// Looks into every process of the container until /stop is there; writes what leads out of it to /found.
fn watch(look: impl Fn(u32, &mut BTreeSet<String>)) {
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::new();
    std::fs::write("/ready", "").unwrap();
    while !Path::new("/stop").exists() {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().into_string().unwrap_or_default().parse::<u32>() else { continue };
            if pid != std::process::id() {
                look(pid, &mut found);
                seen.insert(pid);
            }
        }
    }
    let text = found.iter().map(|line| format!("{line}\n")).collect::<String>();
    std::fs::write("/found", format!("processes: {}\n{text}", seen.len())).unwrap();
}

fn own_root() -> (u64, u64) {
    let own = std::fs::metadata("/").unwrap();
    (own.dev(), own.ino())
}

fn mount_namespace(pid: impl std::fmt::Display) -> Option<std::path::PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/ns/mnt")).ok()
}

/// With CAP_SYS_PTRACE nothing of a process is hidden: then there must be nothing of the host in it, at any moment.
fn hunt(pid: u32, own: &Path, marker: &str, found: &mut BTreeSet<String>) {
    if mount_namespace(pid).is_some_and(|namespace| namespace != own) {
        found.insert("another mount namespace".into());
    }
    let up = "../".repeat(20);
    for name in ["root", "cwd"] {
        if std::fs::read(format!("/proc/{pid}/{name}/{marker}")).is_ok()
            || std::fs::read(format!("/proc/{pid}/{name}/{up}{marker}")).is_ok()
        {
            found.insert(format!("the file of the host by {name}"));
        }
    }
    // A program of its own it may write, of course.
    let identity = |file: std::io::Result<std::fs::Metadata>| file.map(|file| (file.dev(), file.ino())).ok();
    if let Ok(file) = std::fs::OpenOptions::new().write(true).open(format!("/proc/{pid}/exe"))
        && !["/bin/busybox", "/agent"].iter().any(|own| identity(std::fs::metadata(own)) == identity(file.metadata()))
    {
        found.insert("the executable for writing".into());
    }
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
        let path = entry.path();
        if std::fs::read(path.join(marker)).is_ok() || std::fs::read(path.join(&up).join(marker)).is_ok() {
            found.insert("the file of the host by a descriptor".into());
        }
        let number: u32 = entry.file_name().into_string().unwrap_or_default().parse().unwrap_or(0);
        let Ok(link) = std::fs::read_link(&path) else { continue };
        // The socket to the runtime there must be; and the root directory is the container's own.
        if number > 2 && link != Path::new("/") && !link.to_string_lossy().starts_with("socket:") {
            found.insert(format!("descriptor {}", link.display()));
        }
    }
    // What it may do while it can be made to do anything.
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let permitted = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapPrm:\t")?, 16).ok());
    if permitted.is_some_and(|permitted| permitted & FORBIDDEN != 0) {
        found.insert("capabilities over the host".into());
    }
}

/// CAP_SYS_MODULE, CAP_SYS_RAWIO and CAP_SYS_ADMIN.
const FORBIDDEN: u64 = 1 << 16 | 1 << 17 | 1 << 21;

fn look_into(pid: u32, own: (u64, u64), found: &mut BTreeSet<String>) {
    for name in ["root", "cwd"] {
        if let Ok(root) = std::fs::metadata(format!("/proc/{pid}/{name}/"))
            && (root.dev(), root.ino()) != own
        {
            found.insert(format!("{name} of another mount namespace"));
        }
    }
    if let Ok(exe) = std::fs::read_link(format!("/proc/{pid}/exe"))
        && !exe.ends_with("busybox")
        && !exe.ends_with("agent")
    {
        found.insert(format!("executable {}", exe.display()));
        if std::fs::OpenOptions::new().write(true).open(format!("/proc/{pid}/mem")).is_ok() {
            found.insert("memory".into());
        }
    }
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
        let number: u32 = entry.file_name().into_string().unwrap_or_default().parse().unwrap_or(0);
        if number > 2
            && let Ok(link) = std::fs::read_link(entry.path())
            && link.starts_with("/")
        {
            found.insert(format!("descriptor {}", link.display()));
        }
    }
}
