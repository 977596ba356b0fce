//! Containers that share namespaces: with one another, and in pods.

use super::Podman;

#[test]
#[ignore = "needs root, podman"]
fn namespaces_of_another_container() {
    let podman = Podman::new();
    podman.run(["-d", "--name=first", "--hostname=shared", "busybox", "sleep", "100"]).ok();
    let shared =
        ["--network=container:first", "--pid=container:first", "--ipc=container:first", "--uts=container:first"];
    let out = podman
        .run(["--rm", shared[0], shared[1], shared[2], shared[3], "busybox", "sh", "-c", "ps -o args; hostname"])
        .ok();
    assert!(out.contains("\nsleep 100\n") && out.ends_with("shared\n"), "{out}");
}

#[test]
#[ignore = "needs root, podman, catatonit"]
fn a_pod() {
    let podman = Podman::new();
    let parent = podman.place.cgroup();
    podman
        .call(["pod", "create", "--name=p", "--network=none", "--share=net,ipc,uts,pid", "--cgroup-parent", &parent])
        .ok();
    podman
        .base(podman.place.call("podman"))
        .args(["run", "-d", "--pod=p", "--name=one", "busybox", "sleep", "100"])
        .ok();
    let out = podman
        .base(podman.place.call("podman"))
        .args(["run", "--rm", "--pod=p", "busybox", "sh", "-c", "ps -o args; hostname"])
        .ok();
    assert!(out.contains("catatonit") && out.contains("sleep 100") && out.ends_with("p\n"), "{out}");
    podman.call(["pod", "pause", "p"]).ok();
    assert_eq!(podman.inspect("one", "{{.State.Status}}"), "paused");
    podman.call(["pod", "unpause", "p"]).ok();
    podman.call(["pod", "stop", "-t", "0", "p"]).ok();
    podman.call(["pod", "start", "p"]).ok();
    podman.call(["pod", "rm", "-f", "-t", "0", "p"]).ok();
}
