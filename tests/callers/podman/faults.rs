//! Containers that cannot start, and podman's exit codes for them, which depend on the runtime's words.

use super::Podman;
use crate::place::by_version;

#[test]
#[ignore = "needs root, podman"]
fn what_cannot_be_executed() {
    let podman = Podman::new();
    for (args, code, words) in [
        (["busybox", "nonexistent"], 127, "executable file not found in $PATH"),
        (["busybox", "/nonexistent"], 127, "no such file or directory"),
        (["busybox", "/etc/passwd"], 126, "permission denied"),
        (["busybox", "/etc"], 126, ""),
        (["-w=/etc/passwd", "busybox"], 126, ""),
        (["--sysctl=net.none=1", "busybox"], 127, "net/none"),
    ] {
        let out = podman.run(["--rm", args[0], args[1]]).output();
        assert!(out.code == code && out.error().contains(words), "{out}");
    }
    podman.run(["-d", "--name=x", "busybox", "sleep", "100"]).ok();
    for (program, code) in [("nonexistent", 127), ("/nonexistent", 127), ("/etc/passwd", 126), ("/etc", 126)] {
        let out = podman.call(["exec", "x", program]).output();
        assert!(out.code == code && !out.error().is_empty(), "{out}");
    }
    assert_eq!(podman.call(["ps", "-a", "--format={{.Names}}"]).ok(), "x\n");
}

#[test]
#[ignore = "needs root, podman"]
fn out_of_memory() {
    let podman = Podman::new();
    // Not by podman's `OOMKilled`: Debian's conmon does not see it on cgroup v1 of this age, with runc either.
    let file = by_version("memory/memory.oom_control", "memory.events");
    let program =
        format!("dd if=/dev/zero of=/dev/null bs=64M count=1; echo $?; grep 'oom_kill ' /sys/fs/cgroup/{file}");
    let out = podman.run(["--name=oom", "--memory=16m", "--memory-swap=16m", "busybox", "sh", "-c", &program]).ok();
    assert_eq!(out, "137\noom_kill 1\n");
    let out = podman
        .run([
            "--name=whole",
            "--memory=16m",
            "--memory-swap=16m",
            "busybox",
            "dd",
            "if=/dev/zero",
            "of=/dev/null",
            "bs=64M",
        ])
        .output();
    assert_eq!(out.code, 137, "{out}");
    assert_eq!(podman.inspect("whole", "{{.State.ExitCode}}"), "137");
}
