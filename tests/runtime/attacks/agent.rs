//! What attacks from inside a container: this test program itself, which is static, copied there.

use crate::common::Bundle;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Says to a copy of this program that it is in a container, and as what.
const ROLE: &str = "CARBOY_TEST_AGENT";

/// Copies this program to /agent.
pub(crate) fn install(bundle: &Bundle) {
    std::fs::copy(std::env::current_exe().unwrap(), bundle.rootfs().join("agent")).unwrap();
}

/// Arguments that start it in a role.
pub(crate) fn args(role: &str) -> Value {
    json!(["/bin/env", format!("{ROLE}={role}"), "/agent", "attacks::agent::agent", "--exact", "--nocapture"])
}

/// Not a test but the attacker, where its role is given.
#[test]
fn agent() {
    match std::env::var(ROLE).as_deref() {
        Ok("snoop") => snoop(),
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
fn snoop() {
    let own = std::fs::metadata("/").unwrap();
    let own = (own.dev(), own.ino());
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::new();
    std::fs::write("/ready", "").unwrap();
    while !Path::new("/stop").exists() {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().into_string().unwrap_or_default().parse::<u32>() else { continue };
            if pid != std::process::id() {
                look_into(pid, own, &mut found);
                seen.insert(pid);
            }
        }
    }
    let text = found.iter().map(|line| format!("{line}\n")).collect::<String>();
    std::fs::write("/found", format!("processes: {}\n{text}", seen.len())).unwrap();
}

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
