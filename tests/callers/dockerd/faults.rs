//! Containers that cannot start, with docker's exit codes for them, and those that the kernel ends.

use super::Docker;

#[test]
#[ignore = "needs root, dockerd"]
fn what_cannot_be_executed() {
    let docker = Docker::new();
    for (args, code, words) in [
        (["busybox", "nonexistent"], 127, "executable file not found in $PATH"),
        (["busybox", "/nonexistent"], 127, "no such file or directory"),
        (["busybox", "/etc/passwd"], 126, "permission denied"),
        (["busybox", "/etc"], 126, "permission denied"),
        (["--sysctl=net.none=1", "busybox"], 127, "net/none"),
        (["--security-opt=apparmor=none", "busybox"], 0, ""),
    ] {
        let out = docker.run(["--rm", args[0], args[1]]).output();
        assert!(out.code == code && out.error().contains(words), "{out}");
    }
    docker.run(["-d", "--name=live", "busybox", "sleep", "100"]).ok();
    for (args, code) in [
        (["-w=/", "live", "nonexistent"], 126),
        (["-w=/", "live", "/etc/passwd"], 126),
        (["-w=/nowhere", "live", "true"], 126),
        (["-w=/", "live", "false"], 1),
    ] {
        let out = docker.call(["exec"]).args(args).output();
        assert!(out.code == code, "{out}");
    }
    assert_eq!(docker.call(["exec", "live", "ls", "-d", "/nowhere"]).output().code, 1, "exec makes no directory");
    docker.call(["rm", "-f", "live"]).ok();
    assert_eq!(docker.call(["ps", "-aq"]).ok(), "");
}

#[test]
#[ignore = "needs root, dockerd"]
fn out_of_memory() {
    let docker = Docker::new();
    let limit = ["--memory=16m", "--memory-swap=16m"];
    let program = ["busybox", "dd", "if=/dev/zero", "of=/dev/null", "bs=64M"];
    let out = docker.run(["--name=oom"]).args(limit).args(program).output();
    assert_eq!(out.code, 137, "{out}");
    docker.wait_for("oom", "{{.State.OOMKilled}} {{.State.ExitCode}}", "true 137");
    let beside = "dd if=/dev/zero of=/dev/null bs=64M; echo $?; sleep 1";
    assert_eq!(docker.run(["--name=beside"]).args(limit).args(["busybox", "sh", "-c", beside]).ok(), "137\n");
    let events = docker
        .call(["events", "--since=5m", "--until=0s", "--filter=event=oom", "--format={{.Actor.Attributes.name}}"])
        .ok();
    assert_eq!(events, "oom\nbeside\n");
}
