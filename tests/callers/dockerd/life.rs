//! A container from `run -d` or `create` to `rm`.

use super::Docker;
use crate::common::wait_until;
use crate::place::by_version;
use std::time::Duration;

#[test]
#[ignore = "needs root, dockerd"]
fn a_whole_life() {
    let docker = Docker::new();
    let program = "trap 'echo got; exit 3' TERM; echo start; while :; do sleep 0.1; done";
    let memory = ["--memory=64m", "--memory-swap=128m"];
    docker.run(["-d", "--name=live", memory[0], memory[1], "busybox", "sh", "-c", program]).ok();
    assert_eq!(docker.inspect("live", "{{.State.Status}} {{.HostConfig.Runtime}}"), "running carboy");
    in_it(&docker);

    docker.call(["pause", "live"]).ok();
    assert_eq!(docker.inspect("live", "{{.State.Status}}"), "paused");
    assert_eq!(docker.call(["exec", "live", "true"]).output().code, 1);
    docker.call(["unpause", "live"]).ok();
    let usage = docker.call(["stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}} {{.MemUsage}}", "live"]).ok();
    assert!(usage.starts_with("live ") && usage.ends_with(" / 64MiB\n") && !usage.contains(" 0 "), "{usage}");

    let limits =
        ["--memory=32m", "--memory-swap=64m", "--cpus=0.5", "--cpu-shares=100", "--cpuset-cpus=0", "--pids-limit=50"];
    docker.call(["update"]).args(limits).arg("live").ok();
    let (files, values) = by_version(
        (
            "memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes cpu/cpu.cfs_quota_us cpuset/cpuset.cpus pids/pids.max cpu/cpu.shares",
            "33554432\n67108864\n50000\n0\n50\n100\n",
        ),
        ("memory.max memory.swap.max cpu.max cpuset.cpus pids.max", "33554432\n33554432\n50000 100000\n0\n50\n"),
    );
    let script = format!("cd /sys/fs/cgroup; cat {files}");
    let now = docker.call(["exec", "live", "sh", "-c", &script]).ok();
    assert_eq!(now, values);

    docker.call(["stop", "-t", "20", "live"]).ok();
    assert_eq!(docker.inspect("live", "{{.State.ExitCode}} {{.State.Status}}"), "3 exited");
    assert_eq!(docker.call(["logs", "live"]).ok(), "start\ngot\n");
    docker.call(["start", "live"]).ok();
    docker.call(["restart", "-t", "20", "live"]).ok();
    docker.call(["kill", "live"]).ok();
    assert_eq!(docker.call(["wait", "live"]).ok(), "137\n");
    docker.call(["rm", "live"]).ok();
    assert!(docker.place.containers().is_empty());
}

/// Programs, files and signals in a running container.
fn in_it(docker: &Docker) {
    let script = "id; pwd; echo $X; exit 4";
    let out = docker.call(["exec", "-u", "app", "-w", "/home/app", "-e", "X=y", "live", "sh", "-c", script]).output();
    let said = "uid=1000(app) gid=1001(app) groups=1001(app),2000(extra)\n/home/app\ny\n";
    assert_eq!((out.code, out.text().as_str()), (4, said));
    assert_eq!(docker.call(["exec", "-i", "live", "cat"]).stdin("piped").ok(), "piped");
    docker.call(["exec", "-d", "live", "sleep", "50"]).ok();
    // The client does not wait until it is that program.
    wait_until("the program in `top`", Duration::from_secs(20), || {
        let top = docker.call(["top", "live", "-eo", "pid,args"]).ok();
        top.contains("sleep 50") && top.contains("trap")
    });
    docker.call(["cp", "daemon.json", "live:/tmp/copied"]).ok();
    assert_eq!(docker.call(["exec", "live", "cat", "/tmp/copied"]).ok(), "{}");
    assert!(docker.call(["diff", "live"]).ok().contains("A /tmp/copied\n"));
    docker.call(["kill", "-s", "URG", "live"]).ok();
}

#[test]
#[ignore = "needs root, dockerd"]
fn created_restarted_checked() {
    let docker = Docker::new();
    docker.create(["--name=made", "busybox", "sh", "-c", "echo ran; exit 5"]).ok();
    let out = docker.call(["start", "-a", "made"]).output();
    assert_eq!((out.code, out.text().as_str()), (5, "ran\n"));

    docker.run(["-d", "--name=again", "--restart=on-failure:2", "busybox", "sh", "-c", "exit 3"]).ok();
    docker.wait_for("again", "{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}", "2 exited 3");

    let check = ["--health-cmd=test -e /tmp/ok", "--health-interval=300ms", "--health-retries=1"];
    docker.run(["-d", "--init", "--name=checked"]).args(check).args(["busybox", "sleep", "100"]).ok();
    docker.wait_for("checked", "{{.State.Health.Status}}", "unhealthy");
    docker.call(["exec", "checked", "touch", "/tmp/ok"]).ok();
    docker.wait_for("checked", "{{.State.Health.Status}}", "healthy");
    assert!(docker.call(["exec", "checked", "ps", "-o", "pid,args"]).ok().contains("1 /sbin/docker-init -- sleep 100"));
    // The init passes the signal on, and sleep ends by it.
    docker.call(["stop", "-t", "20", "checked"]).ok();
    assert_eq!(docker.inspect("checked", "{{.State.ExitCode}}"), "143");
}

#[test]
#[ignore = "needs root, dockerd"]
fn on_a_terminal() {
    let docker = Docker::new();
    let mut terminal = docker.run_on_terminal(["-it", "--rm", "--name=tty", "busybox", "sh"]);
    terminal.expect("# ");
    // The client tells the size after the start.
    terminal.send("tty; until stty size 2>&1 | grep '24 80'; do sleep 0.1; done; id -u\r");
    terminal.expect("/dev/pts/0\r\n24 80\r\n0\r\n");
    let mut other = docker.on_terminal(["exec", "-it", "-e", "PS1=other: ", "tty", "sh"]);
    other.expect("other: ");
    other.send("tty; readlink /proc/1/fd/0; exit 6\r");
    other.expect("/dev/pts/1\r\n/dev/pts/0\r\n");
    assert_eq!(other.wait(), 6);
    terminal.resize(40, 100);
    terminal.send("until stty size | grep '40 100'; do sleep 0.1; done; exit 9\r");
    terminal.expect("\n40 100\r\n");
    assert_eq!(terminal.wait(), 9);
}
