//! Each caller through a container's whole life in few calls: for the virtual machines without hardware's help, where each call takes
//! seconds. Everywhere else the longer tests show the same and more.

use crate::buildah::Buildah;
use crate::containerd::{Containerd, IMAGE};
use crate::dockerd::Docker;
use crate::place::{by_systemd, by_version};
use crate::podman::Podman;
use std::path::PathBuf;
use std::time::Duration;

/// Ends with 3 when it is asked to, and does nothing until then.
const PROGRAM: &str = "trap 'exit 3' TERM; sleep 1000 & wait";

/// Prints a limit on memory.
const MEMORY: (&str, &str) = ("cat /sys/fs/cgroup/memory/memory.limit_in_bytes", "cat /sys/fs/cgroup/memory.max");

/// By systemd, each is a scope.
#[track_caller]
fn assert_placed(cgroups: &[PathBuf]) {
    let scopes = cgroups.iter().all(|path| path.extension().is_some_and(|end| end == "scope"));
    assert!(!cgroups.is_empty() && scopes == by_systemd(), "{cgroups:?}");
}

#[test]
#[ignore = "needs root, podman"]
fn podman() {
    let podman = Podman::new();
    podman.run(["-d", "--name=l", "--memory=64m", "busybox", "sh", "-c", PROGRAM]).ok();
    assert_placed(&podman.place.containers());
    let script = format!("{}; id -u; exit 4", by_version(MEMORY.0, MEMORY.1));
    let out = podman.call(["exec", "-u", "app", "l", "sh", "-c", &script]).output();
    assert_eq!((out.code, out.text().as_str()), (4, "67108864\n1000\n"), "{out}");
    podman.call(["pause", "l"]).ok();
    podman.call(["unpause", "l"]).ok();
    podman.call(["stop", "-t", "100", "l"]).ok();
    assert_eq!(podman.inspect("l", "{{.State.ExitCode}}"), "3");
}

#[test]
#[ignore = "needs root, dockerd"]
fn dockerd() {
    let docker = Docker::new();
    docker.run(["-d", "--init", "--name=live", "--memory=64m", "busybox", "sh", "-c", PROGRAM]).ok();
    assert_placed(&docker.place.containers());
    docker.call(["update", "--memory=32m", "--memory-swap=64m", "live"]).ok();
    let script = format!("{}; id -u; exit 4", by_version(MEMORY.0, MEMORY.1));
    let out = docker.call(["exec", "-u", "app", "live", "sh", "-c", &script]).output();
    assert_eq!((out.code, out.text().as_str()), (4, "33554432\n1000\n"), "{out}");
    docker.call(["pause", "live"]).ok();
    docker.call(["unpause", "live"]).ok();
    let usage = docker.call(["stats", "--no-stream", "--format", "{{.MemUsage}}", "live"]).ok();
    assert!(usage.ends_with(" / 32MiB\n"), "{usage}");
    docker.call(["restart", "-t", "100", "live"]).ok();
    docker.call(["stop", "-t", "100", "live"]).ok();
    assert_eq!(docker.inspect("live", "{{.State.ExitCode}}"), "3");
}

#[test]
#[ignore = "needs root, containerd"]
fn containerd() {
    let containerd = Containerd::new();
    containerd.run(["-d", "--memory-limit=33554432", IMAGE, "l", "sh", "-c", PROGRAM]).ok();
    assert_placed(&containerd.place.containers());
    let exec = ["task", "exec", "--exec-id=a", "--user=app", "l", "sh", "-c", "id -u; sleep 1; exit 4"];
    let out = containerd.ctr(exec).output();
    assert_eq!((out.code, out.text().as_str()), (4, "1000\n"), "{out}");
    let metrics = containerd.ctr(["task", "metrics", "--format=json", "l"]).ok();
    assert!(metrics.contains("33554432"), "{metrics}");
    containerd.ctr(["task", "pause", "l"]).ok();
    containerd.ctr(["task", "resume", "l"]).ok();
    containerd.ctr(["task", "kill", "-s", "TERM", "l"]).ok();
    crate::common::wait_until("its end", Duration::from_secs(20), || containerd.status("l") == "STOPPED");
    let out = containerd.ctr(["task", "delete", "l"]).output();
    assert!(out.error().contains("exit code 3"), "{out}");
    containerd.ctr(["containers", "delete", "l"]).ok();
}

#[test]
#[ignore = "needs root, buildah"]
fn buildah() {
    let buildah = Buildah::new();
    std::fs::create_dir(buildah.place.path("context")).unwrap();
    let file =
        format!("FROM localhost/busybox:latest\nRUN {} > /limit; id -u >> /limit\n", by_version(MEMORY.0, MEMORY.1));
    buildah.place.write("context/Containerfile", &file);
    let parent = format!("--cgroup-parent={}", buildah.place.cgroup_path());
    let bud = buildah.with_runtime("bud", []).args(crate::buildah::LIMITS);
    bud.args([parent.as_str(), "--memory=64m", "-t", "localhost/made", "context"]).ok();
    let name = buildah.call(["from"]).args(crate::buildah::LIMITS).args([parent.as_str(), "localhost/made"]).ok();
    let out = buildah.with_runtime("run", []).args(["--", name.trim(), "sh", "-c", "cat /limit; exit 4"]).output();
    assert_eq!((out.code, out.text().as_str()), (4, "67108864\n0\n"), "{out}");
}
