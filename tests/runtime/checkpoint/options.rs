//! What can be asked of a checkpoint and of a restore.

use super::{count, counting, criu_works, restore};
use crate::common::{Bundle, wait_until};
use serde_json::json;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};

/// Waits until the restored program counts on.
#[track_caller]
fn goes_on(bundle: &Bundle, before: u64) {
    assert_eq!(bundle.status(), "running");
    wait_until("more counting", || count(bundle) > before + 3);
}

#[test]
#[ignore = "needs root, a kernel that CRIU works on: run by the lane"]
fn memory_in_two_steps_and_a_container_that_stays() {
    assert!(criu_works());
    let bundle = counting();
    bundle.run_detached();
    wait_until("some counting", || count(&bundle) > 3);
    let name = bundle.name.as_str();
    bundle.call(&["checkpoint", "--pre-dump", "--image-path=images/first", name]).good();
    assert_eq!(bundle.status(), "running");
    let second = ["checkpoint", "--parent-path=../first", "--image-path=images/second", "--auto-dedup"];
    bundle.call(&[&second[..], &["--leave-running", name]].concat()).good();
    let before = count(&bundle);
    goes_on(&bundle, before);
    assert!(bundle.path().join("images/second/parent").is_symlink());
    bundle.call(&["delete", "-f", name]).good();
    std::fs::write(bundle.rootfs().join("count"), "0").unwrap();
    restore(&bundle, &["--image-path=images/second", "--auto-dedup"]);
    wait_until("more counting", || count(&bundle) > before);
}

#[test]
#[ignore = "needs root, a kernel that CRIU works on: run by the lane"]
fn memory_that_follows_when_it_is_used() {
    assert!(criu_works());
    let bundle = counting();
    bundle.run_detached();
    wait_until("some counting", || count(&bundle) > 3);
    let name = bundle.name.as_str();
    bundle.call(&["checkpoint", "--lazy-pages", name]).fails_with(1, "--lazy-pages needs --page-server");
    bundle.call(&["checkpoint", "--status-fd=77", name]).fails_with(1, "invalid --status-fd argument 77");
    let (mut ready, status) = std::io::pipe().unwrap();
    rustix::io::fcntl_setfd(&status, rustix::io::FdFlags::empty()).unwrap();
    let number = status.as_raw_fd().to_string();
    let lazy = ["checkpoint", "--lazy-pages", "--page-server=127.0.0.1:27183", "--image-path=images"];
    let mut dump = bundle.command(&[&lazy[..], &["--status-fd", &number, name]].concat());
    let mut dump = dump.stdout(Stdio::null()).spawn().unwrap();
    drop(status);
    ready.read_exact(&mut [0]).unwrap();
    let before = count(&bundle);
    let images = bundle.path().join("images");
    let mut daemon = Command::new("criu");
    let daemon = daemon.args(["lazy-pages", "--page-server", "--address=127.0.0.1", "--port=27183", "-o", "lazy.log"]);
    let mut daemon = daemon.arg("-D").arg(&images).arg("-W").arg(&images).spawn().unwrap();
    wait_until("criu lazy-pages", || images.join("lazy-pages.socket").exists());
    // It is on record until all is moved: the other one is on another machine, or in another folder.
    let other = bundle.path().join("other");
    let args = ["restore", "-d", "--lazy-pages", "--image-path=images", name];
    let mut command = Command::new(crate::common::binary());
    command.arg("--root").arg(&other).args(args).current_dir(bundle.path());
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    let log = std::fs::read_to_string(images.join("restore.log")).unwrap_or_default();
    assert!(status.success(), "{log}");
    assert!(dump.wait().unwrap().success(), "the pages have been asked for");
    assert!(daemon.wait().unwrap().success());
    wait_until("more counting", || count(&bundle) > before + 3);
    let ended = Command::new(crate::common::binary()).arg("--root").arg(&other).args(["delete", "-f", name]).status();
    assert!(ended.unwrap().success());
}

#[test]
#[ignore = "needs root, a kernel that CRIU works on: run by the lane"]
fn locks_and_connections() {
    assert!(criu_works());
    // A lock, a connection, and what counts.
    let mut bundle = Bundle::script(
        "busybox nc -l -p 7 > /got & sleep 1; (i=0; while :; do i=$((i+1)); echo $i; echo $i > /count; \
         sleep 0.1; done) | busybox nc 127.0.0.1 7 & /usr/bin/flock /lock sleep 1000",
    );
    // busybox has none.
    bundle.add_mount(json!({ "destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"] }));
    for folder in ["lib", "lib64"] {
        std::os::unix::fs::symlink(format!("usr/{folder}"), bundle.rootfs().join(folder)).unwrap();
    }
    bundle.run_detached();
    wait_until("some counting", || count(&bundle) > 3);
    let name = bundle.name.as_str();
    let dump = ["checkpoint", "--image-path=images", "--work-path=work"];
    bundle.call(&[&dump[..], &[name]].concat()).fails_with(1, "criu failed: type DUMP: ");
    assert_eq!(bundle.status(), "running", "what could not be checkpointed goes on");
    bundle.call(&[&dump[..], &["--file-locks", name]].concat()).fails_with(1, "criu failed: type DUMP: ");
    let all = ["--file-locks", "--tcp-established", "--ext-unix-sk"];
    bundle.call(&[&dump[..], &all, &[name]].concat()).good();
    let before = count(&bundle);
    restore(&bundle, &[&["--image-path=images"], &all[..]].concat());
    goes_on(&bundle, before);
    let got = || std::fs::read_to_string(bundle.rootfs().join("got")).unwrap().lines().count() as u64;
    wait_until("the connection to go on", || got() > before + 3);
    let locked = bundle.call(&["exec", name, "/usr/bin/flock", "-n", "/lock", "true"]);
    assert_eq!(locked.code, 1, "the lock is held still");
}

#[test]
#[ignore = "needs root, a kernel that CRIU works on: run by the lane"]
fn cgroups_and_networks_by_others() {
    assert!(criu_works());
    let bundle = counting();
    bundle.run_detached();
    wait_until("some counting", || count(&bundle) > 3);
    for (at_dump, at_restore) in [
        ("--manage-cgroups-mode=ignore", "--manage-cgroups-mode=ignore"),
        ("--manage-cgroups-mode=full", "--empty-ns=network"),
    ] {
        let name = bundle.name.as_str();
        let network = if at_restore.contains("network") { at_restore } else { "--link-remap" };
        bundle.call(&["checkpoint", "--image-path=images", at_dump, network, name]).good();
        let before = count(&bundle);
        restore(&bundle, &["--image-path=images", at_restore]);
        goes_on(&bundle, before);
        let pid = bundle.state()["pid"].to_string();
        let cgroups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        assert!(cgroups.lines().all(|line| line.ends_with(&format!("/{name}"))), "{cgroups}");
    }
    // CRIU leaves `lo` to others.
    let devices = bundle.call(&["exec", &bundle.name, "cat", "/proc/net/dev"]).good();
    assert!(!devices.contains("eth"), "{devices}");
}
