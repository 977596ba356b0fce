//! `checkpoint` and `restore`. Where CRIU says that it cannot work on this kernel, what is checked is that the error says so.

mod connections;
mod options;
mod terminal;

use crate::common::{Bundle, wait_until};
use serde_json::json;
use std::process::Command;

/// Counts in /count, for ever. It has no file open but for a moment: CRIU restores none whose size has changed since.
fn counting() -> Bundle {
    let mut bundle = Bundle::script("i=0; while :; do i=$((i+1)); echo $i > /new; mv /new /count; sleep 0.05; done");
    bundle.add_mount(json!({ "destination": "/given", "type": "bind", "source": "/usr", "options": ["rbind", "ro"] }));
    bundle
}

fn count(bundle: &Bundle) -> u64 {
    let text = std::fs::read_to_string(bundle.rootfs().join("count")).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// Restores, detached; its output goes nowhere.
#[track_caller]
fn restore(bundle: &Bundle, options: &[&str]) {
    let args = [&["restore", "-d", "--work-path", "work"], options, &[&bundle.name]].concat();
    let said = std::fs::File::create(bundle.path().join("said")).unwrap();
    let status = bundle.command(&args).stdout(std::process::Stdio::null()).stderr(said).status().unwrap();
    let read = |name: &str| std::fs::read_to_string(bundle.path().join(name)).unwrap_or_default();
    assert!(status.success(), "{}\n{}", read("said"), read("work/restore.log"));
}

/// Gives the container the host's programs; it has busybox only.
fn with_the_host_s_programs(bundle: &mut Bundle) {
    bundle.add_mount(json!({ "destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"] }));
    for folder in ["lib", "lib64"] {
        std::os::unix::fs::symlink(format!("usr/{folder}"), bundle.rootfs().join(folder)).unwrap();
    }
}

/// Waits until the restored program counts on.
#[track_caller]
fn goes_on(bundle: &Bundle, before: u64) {
    assert_eq!(bundle.status(), "running");
    wait_until("more counting", || count(bundle) > before + 3);
}

fn criu_works() -> bool {
    Command::new("criu").arg("check").output().is_ok_and(|output| output.status.success())
}

#[test]
#[ignore = "needs root, criu"]
fn a_container_goes_on_where_it_was() {
    let bundle = counting();
    bundle.run_detached();
    wait_until("some counting", || count(&bundle) > 3);
    let said = bundle.call(&["checkpoint", "--image-path", "images", "--work-path", "work", &bundle.name]);
    if !criu_works() {
        let log = bundle.path().join("work/dump.log");
        said.fails_with(1, "criu failed: type DUMP: Error (");
        said.fails_with(1, &format!("(log file: {})", log.display()));
        assert!(log.exists());
        assert_eq!(bundle.status(), "running", "what could not be checkpointed goes on");
        return;
    }
    said.good();
    bundle.call(&["state", &bundle.name]).fails_with(1, "container does not exist");
    let before = count(&bundle);
    restore(&bundle, &["--image-path", "images", "--pid-file", "pid"]);
    assert_eq!(bundle.status(), "running");
    wait_until("more counting", || count(&bundle) > before + 3);
    assert!(count(&bundle) >= before, "it does not begin anew");
    let pid = std::fs::read_to_string(bundle.path().join("pid")).unwrap();
    assert_eq!(bundle.state()["pid"].to_string(), pid);
    let cgroups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(cgroups.lines().all(|line| line.ends_with(&format!("/{}", bundle.name))), "{cgroups}");
    bundle.call(&["exec", &bundle.name, "ls", "/given/bin", "/proc/self"]).good();
}

#[test]
#[ignore = "needs root: makes containers"]
fn what_cannot_be_checkpointed_is_refused_before_anything_is_done() {
    let bundle = counting();
    bundle.run_detached();
    let name = bundle.name.as_str();
    bundle.call(&["checkpoint", "--manage-cgroups-mode=none", name]).fails_with(1, "invalid manage-cgroups-mode");
    bundle.call(&["checkpoint", "--empty-ns=pid", name]).fails_with(1, "--empty-ns=pid is not supported");
    bundle.call(&["checkpoint", "--parent-path=/x", name]).fails_with(1, "relative to --image-path");
    bundle.call(&["checkpoint", "nobody"]).fails_with(1, "container does not exist");
    bundle.call(&["--criu=/no/criu", "checkpoint", name]).fails_with(1, "/no/criu");
    bundle.call(&["restore", "--image-path=images", name]).fails_with(1, "container with given ID already exists");
    bundle.call(&["kill", name, "KILL"]).good();
    bundle.wait_for("stopped");
    bundle.call(&["checkpoint", name]).fails_with(1, "container cannot be checkpointed: it does not run");
    bundle.call(&["delete", name]).good();
    let name = bundle.name.clone();
    bundle.call(&["restore", "--image-path=images", &name]).fails_with(1, "descriptors.json");
    bundle.call(&["state", &name]).fails_with(1, "container does not exist");
    assert!(bundle.rootfs().join("bin/busybox").exists(), "the root file system is as it was");
}

/// Here CRIU is not asked yet.
#[test]
#[ignore = "needs root, criu"]
fn a_restore_into_a_cgroup_in_use_leaves_it_alone() {
    let first = Bundle::script("sleep 1000");
    first.run_detached();
    let mut second = counting();
    second.set("linux/cgroupsPath", json!(format!("/{}", first.name)));
    std::fs::create_dir(second.path().join("images")).unwrap();
    std::fs::write(second.path().join("images/descriptors.json"), "[]").unwrap();
    for mode in ["soft", "ignore", "strict"] {
        let mode = format!("--manage-cgroups-mode={mode}");
        let said = second.call(&["restore", "--image-path=images", &mode, &second.name]);
        said.fails_with(1, "exists and has processes in it");
        assert_eq!(first.status(), "running");
        assert!(!second.state_root().join(&second.name).exists());
    }
}
