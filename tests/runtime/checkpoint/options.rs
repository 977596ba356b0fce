//! What can be asked of a checkpoint and of a restore.

use super::{count, counting, criu_works, goes_on, restore, with_the_host_s_programs};
use crate::common::{Bundle, wait_until};
use serde_json::json;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};

/// A process and what it starts; all end with this, passed or failed.
struct Group(Child);

impl Group {
    fn spawn(command: &mut Command) -> Group {
        Group(command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    fn wait(&mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process_group(
            rustix::process::Pid::from_child(&self.0),
            rustix::process::Signal::KILL,
        );
        let _ = self.0.wait();
    }
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
    let mut bundle = counting();
    bundle.run_detached();
    wait_until("some counting", || count(&bundle) > 3);
    let name = &bundle.name.clone();
    bundle.call(&["checkpoint", "--lazy-pages", name]).fails_with(1, "--lazy-pages needs --page-server");
    bundle.call(&["checkpoint", "--status-fd=77", name]).fails_with(1, "invalid --status-fd argument 77");
    let (mut ready, status) = std::io::pipe().unwrap();
    rustix::io::fcntl_setfd(&status, rustix::io::FdFlags::empty()).unwrap();
    let number = status.as_raw_fd().to_string();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("--page-server=127.0.0.1:{port}");
    let lazy = ["checkpoint", "--lazy-pages", &address, "--image-path=images"];
    let mut dump = Group::spawn(&mut bundle.command(&[&lazy[..], &["--status-fd", &number, name]].concat()));
    drop(status);
    ready.read_exact(&mut [0]).unwrap();
    let before = count(&bundle);
    let images = bundle.path().join("images");
    let mut daemon = Command::new("criu");
    daemon.args(["lazy-pages", "--page-server", "--address=127.0.0.1", &format!("--port={port}"), "-o", "lazy.log"]);
    let mut daemon = Group::spawn(daemon.arg("-D").arg(&images).arg("-W").arg(&images));
    wait_until("criu lazy-pages", || images.join("lazy-pages.socket").exists());
    // It is on record until all is moved: the other one is on another machine, or in another folder and cgroup.
    let other = bundle.path().join("other");
    bundle.set("linux/cgroupsPath", json!(format!("/{name}-other")));
    drop(bundle.command(&[]));
    let said = std::fs::File::create(bundle.path().join("said")).unwrap();
    let args = ["restore", "-d", "--lazy-pages", "--image-path=images", name];
    let mut command = Command::new(crate::common::binary());
    command.arg("--root").arg(&other).args(args).current_dir(bundle.path());
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).status().unwrap();
    let said = std::fs::read_to_string(bundle.path().join("said")).unwrap();
    let log = std::fs::read_to_string(images.join("restore.log")).unwrap_or_default();
    assert!(status.success(), "{said}\n{log}");
    assert!(dump.wait().success(), "the pages have been asked for");
    assert!(daemon.wait().success());
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
        "sleep 1000 | busybox nc -l -p 7 > /got & sleep 1; (i=0; while :; do i=$((i+1)); echo $i; echo $i > /count; \
         sleep 0.1; done) | busybox nc 127.0.0.1 7 & /usr/bin/flock /lock sleep 1000",
    );
    // busybox has no flock.
    with_the_host_s_programs(&mut bundle);
    bundle.run_detached();
    wait_until("some counting", || count(&bundle) > 3);
    let name = bundle.name.as_str();
    let dump = ["checkpoint", "--image-path=images", "--work-path=work"];
    bundle.call(&[&dump[..], &[name]].concat()).fails_with(1, "criu failed: type DUMP: ");
    assert_eq!(bundle.status(), "running", "what could not be checkpointed goes on");
    bundle.call(&[&dump[..], &["--file-locks", name]].concat()).fails_with(1, "criu failed: type DUMP: ");
    let all = ["--file-locks", "--tcp-established"];
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
fn cgroups_by_others() {
    assert!(criu_works());
    let bundle = counting();
    bundle.run_detached();
    wait_until("some counting", || count(&bundle) > 3);
    for mode in ["ignore", "soft", "full"] {
        goes_on_in_its_cgroup(&bundle, mode);
    }
}

/// Checkpoints and restores with a `--manage-cgroups-mode`.
fn goes_on_in_its_cgroup(bundle: &Bundle, mode: &str) {
    let mode = format!("--manage-cgroups-mode={mode}");
    bundle.call(&["checkpoint", "--image-path=images", &mode, &bundle.name]).good();
    assert_eq!(crate::common::cgroups_of(&bundle.name), [""; 0].map(std::path::PathBuf::from));
    let before = count(bundle);
    restore(bundle, &["--image-path=images", &mode]);
    goes_on(bundle, before);
    let pid = bundle.state()["pid"].to_string();
    let cgroups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(cgroups.lines().all(|line| line.ends_with(&format!("/{}", bundle.name))), "{cgroups}");
}

/// With version 1 as with version 2.
#[test]
#[ignore = "needs root, a kernel that CRIU works on: run by the lane"]
fn a_cgroup_by_criu() {
    assert!(criu_works());
    let mut bundle = counting();
    bundle.set("linux/resources", json!({ "pids": { "limit": 33 }, "devices": [{ "allow": false, "access": "rwm" }] }));
    for set in ["bounding", "effective", "permitted"] {
        bundle.config["process"]["capabilities"][set].as_array_mut().unwrap().push(json!("CAP_MKNOD"));
    }
    bundle.run_detached();
    wait_until("some counting", || count(&bundle) > 3);
    let name = &bundle.name.clone();
    goes_on_in_its_cgroup(&bundle, "strict");
    // In a cgroup that CRIU makes the limits are in force as well, and devices are not to be had.
    assert_eq!(crate::cgroups::file(&bundle, &["pids.max"]), "33");
    let said = bundle.call(&["exec", name, "sh", "-c", "mknod /kmsg c 1 11; head -c 1 /kmsg"]);
    assert!(said.code != 0 && said.err.contains("Operation not permitted"), "{}", said.err);
    // It makes no cgroup that is there; nor is that anybody's to take away.
    let other = crate::common::cgroups_of(name).remove(0).with_file_name(format!("{name}-other"));
    bundle.call(&["checkpoint", "--image-path=images", name]).good();
    std::fs::create_dir(&other).unwrap();
    let mut sleeper = Command::new("sleep").arg("1000").spawn().unwrap();
    std::fs::write(other.join("cgroup.procs"), sleeper.id().to_string()).unwrap();
    bundle.set("linux/cgroupsPath", json!(format!("/{name}-other")));
    let said = bundle.call(&["restore", "--image-path=images", "--manage-cgroups-mode=strict", name]);
    let alive = sleeper.try_wait().unwrap().is_none();
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    wait_until("an empty cgroup", || std::fs::remove_dir(&other).is_ok());
    said.fails_with(1, "exists and has processes in it");
    assert!(alive);
}

/// What CRIU does not restore is left to hooks, here to nobody: a network namespace begins with a loopback device that is down.
#[test]
#[ignore = "needs root, a kernel that CRIU works on: run by the lane"]
fn a_network_by_others() {
    assert!(criu_works());
    let bundle = counting();
    bundle.run_detached();
    wait_until("some counting", || count(&bundle) > 3);
    let name = bundle.name.as_str();
    let is_up = || bundle.call(&["exec", name, "busybox", "ip", "link", "show", "lo"]).good().contains("UP");
    let devices = |folder: &str| {
        let files = std::fs::read_dir(bundle.path().join(folder)).unwrap();
        files.flatten().filter(|file| file.file_name().to_str().unwrap().starts_with("netdev-")).count()
    };
    assert!(is_up());
    bundle.call(&["checkpoint", "--image-path=with", name]).good();
    restore(&bundle, &["--image-path=with"]);
    assert!(is_up() && devices("with") == 1);
    bundle.call(&["checkpoint", "--image-path=without", "--empty-ns=network", name]).good();
    let before = count(&bundle);
    restore(&bundle, &["--image-path=without", "--empty-ns=network"]);
    goes_on(&bundle, before);
    assert!(!is_up() && devices("without") == 0);
}

/// The file has lost the name by which it was opened, and has another.
#[test]
#[ignore = "needs root, a kernel that CRIU works on: run by the lane"]
fn a_file_by_another_name() {
    assert!(criu_works());
    let bundle =
        Bundle::script("exec 5>/first; ln /first /second; rm /first; while :; do echo x >&5; sleep 0.05; done");
    let written = || std::fs::metadata(bundle.rootfs().join("second")).map_or(0, |data| data.len());
    bundle.run_detached();
    wait_until("some writing", || written() > 6);
    let name = bundle.name.as_str();
    let dump = ["checkpoint", "--image-path=images", "--work-path=work"];
    bundle.call(&[&dump[..], &[name]].concat()).fails_with(1, "Use link-remap option");
    bundle.call(&[&dump[..], &["--link-remap", name]].concat()).good();
    let before = written();
    restore(&bundle, &["--image-path=images"]);
    wait_until("more writing", || written() > before + 6);
    assert!(!bundle.rootfs().join("first").exists());
}
