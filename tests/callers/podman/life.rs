//! A container from `run -d` or `create` to `rm`.

use super::Podman;
use crate::place::by_version;

#[test]
#[ignore = "needs root, podman"]
fn a_whole_life() {
    let podman = Podman::new();
    let program = "trap 'echo got; exit 3' TERM; echo start; while :; do sleep 0.1; done";
    let id = podman.run(["-d", "--name=l", "--memory=64m", "busybox", "sh", "-c", program]).ok();
    let id = id.trim();
    assert!(podman.on_record(id));
    assert_eq!(
        podman.inspect("l", "{{.State.Status}} {{.OCIRuntime}}"),
        format!("running {}", crate::place::runtime().display())
    );

    let file = by_version("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max");
    let limit = podman.call(["exec", "l", "cat", file]).ok();
    assert_eq!(limit, "67108864\n");
    let out = podman
        .call(["exec", "-u", "app", "-w", "/home/app", "-e", "X=y", "l", "sh", "-c", "id; pwd; echo $X; exit 4"])
        .output();
    assert_eq!((out.code, out.text().as_str()), (4, "uid=1000(app) gid=1001(app) groups=2000(extra)\n/home/app\ny\n"));
    assert_eq!(podman.call(["exec", "-i", "l", "cat"]).stdin("piped").ok(), "piped");
    let all = std::fs::read_to_string("/proc/self/status").unwrap();
    let all = all.lines().find(|line| line.starts_with("CapBnd:")).unwrap();
    assert_eq!(podman.call(["exec", "--privileged", "l", "grep", "CapBnd", "/proc/self/status"]).ok().trim_end(), all);
    podman.call(["exec", "-d", "l", "sleep", "50"]).ok();
    let top = podman.call(["top", "l", "args"]).ok();
    assert!(top.contains("sleep 50") && top.contains("trap"), "{top}");
    let stats = podman.call(["stats", "--no-stream", "--format", "{{.Name}} {{.MemLimit}}", "l"]).ok();
    assert_eq!(stats, "l 67108864\n");

    podman.call(["pause", "l"]).ok();
    assert_eq!(podman.inspect("l", "{{.State.Status}}"), "paused");
    podman.call(["unpause", "l"]).ok();
    podman.call(["cp", "containers.conf", "l:/tmp/copied"]).ok();
    assert!(podman.call(["exec", "l", "cat", "/tmp/copied"]).ok().contains("cgroup_manager"));
    podman.call(["kill", "-s", "URG", "l"]).ok();

    podman.call(["stop", "-t", "10", "l"]).ok();
    assert_eq!(podman.inspect("l", "{{.State.ExitCode}} {{.State.Status}}"), "3 exited");
    assert_eq!(podman.call(["logs", "l"]).ok(), "start\ngot\n");
    assert!(!podman.on_record(id), "podman deletes what has ended");
    podman.call(["start", "l"]).ok();
    podman.call(["restart", "-t", "10", "l"]).ok();
    podman.call(["kill", "l"]).ok();
    assert_eq!(podman.call(["wait", "l"]).ok(), "137\n");
    podman.call(["rm", "l"]).ok();
    assert!(!podman.on_record(id));
}

#[test]
#[ignore = "needs root, podman"]
fn created_before_it_is_started() {
    let podman = Podman::new();
    let id = podman.create(["--name=c", "busybox", "sh", "-c", "echo ran; exit 5"]).ok();
    podman.call(["init", "c"]).ok();
    assert!(podman.on_record(id.trim()));
    assert_eq!(podman.inspect("c", "{{.State.Status}}"), "initialized");
    let out = podman.call(["start", "-a", "c"]).output();
    assert_eq!((out.code, out.text().as_str()), (5, "ran\n"));
    podman.call(["rm", "c"]).ok();
}

#[test]
#[ignore = "needs root, podman"]
fn on_a_terminal() {
    let podman = Podman::new();
    let mut terminal = podman.run_on_terminal(["-it", "--rm", "--name=tty", "busybox", "sh"]);
    terminal.expect("# ");
    terminal.send("tty; stty size; id -u\r");
    terminal.expect("/dev/pts/0\r\n24 80\r\n0\r\n");
    terminal.resize(40, 100);
    let mut other = podman.on_terminal(["exec", "-it", "-e", "PS1=other: ", "tty", "sh"]);
    other.expect("other: ");
    other.send("tty; readlink /proc/1/fd/0; exit 6\r");
    other.expect("/dev/pts/1\r\n/dev/pts/0\r\n");
    assert_eq!(other.wait(), 6);
    // The new size reaches it by conmon, after a while.
    terminal.send("until stty size | grep '40 100'; do sleep 0.1; done; exit 9\r");
    terminal.expect("\n40 100\r\n");
    assert_eq!(terminal.wait(), 9);
}

#[test]
#[ignore = "needs root, podman, catatonit"]
fn an_init_and_a_health_check() {
    let podman = Podman::new();
    let check = ["--health-cmd=test -e /tmp/ok", "--health-interval=disable"];
    podman.run(["-d", "--init", "--name=h", check[0], check[1], "busybox", "sleep", "100"]).ok();
    assert!(podman.call(["exec", "h", "ps", "-o", "pid,args"]).ok().contains("1 /run/podman-init -- sleep 100"));
    assert_eq!(podman.call(["healthcheck", "run", "h"]).output().code, 1);
    podman.call(["exec", "h", "touch", "/tmp/ok"]).ok();
    podman.call(["healthcheck", "run", "h"]).ok();
    // An init passes the signal on, and sleep ends by it.
    podman.call(["stop", "-t", "20", "h"]).ok();
    assert_eq!(podman.inspect("h", "{{.State.ExitCode}}"), "143");
}
