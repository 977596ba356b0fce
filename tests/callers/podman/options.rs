//! What `podman run` can ask for, as the program inside sees it.

use super::Podman;
use crate::place::by_version;

/// Runs a shell script with options; what it printed.
fn seen(podman: &Podman, options: &[&str], script: &str) -> String {
    let call = options.iter().fold(podman.run(["--rm"]), |call, option| call.arg(option));
    call.args(["busybox", "sh", "-c", script]).ok()
}

#[test]
#[ignore = "needs root, podman"]
fn credentials() {
    let podman = Podman::new();
    let caps = "grep -E 'CapEff|CapBnd|NoNew' /proc/self/status | cut -f2";
    assert_eq!(seen(&podman, &["--cap-drop=all"], caps), "0000000000000000\n0000000000000000\n0\n");
    let some = ["--cap-drop=all", "--cap-add=net_admin,chown", "--security-opt=no-new-privileges"];
    assert_eq!(seen(&podman, &some, caps), "0000000000001001\n0000000000001001\n1\n");
    assert_eq!(seen(&podman, &["--user=app", "--group-add=77", "--umask=077"], "id -G; umask"), "1001 77 2000\n0077\n");
    let privileged = seen(
        &podman,
        &["--privileged"],
        "grep Seccomp: /proc/self/status; ls /dev/fuse /dev/net/tun; touch /proc/sys/kernel/hostname",
    );
    assert_eq!(privileged, "Seccomp:\t0\n/dev/fuse\n/dev/net/tun\n");
    let profile = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":111}]}"#;
    let option = format!("--security-opt=seccomp={}", podman.write("profile.json", profile).display());
    assert!(seen(&podman, &[&option], "mkdir /x 2>&1; mkdir -p /; touch /y").contains("Connection refused"));
}

#[test]
#[ignore = "needs root, podman"]
fn file_systems() {
    let podman = Podman::new();
    let script = "touch /x 2>&1; touch /t/x; stat -c %a /t; mount | grep -c ' on /t type tmpfs (rw,nosuid,nodev,relatime,size=1024k'";
    let out = seen(&podman, &["--read-only", "--tmpfs=/t:size=1m,mode=1770"], script);
    assert_eq!(out, "touch: /x: Read-only file system\n1770\n1\n");
    std::fs::create_dir(podman.path("v")).unwrap();
    podman.write("v/f", "content\n");
    let folder = format!("-v={}:/v:ro", podman.path("v").display());
    let file = format!("-v={}:/etc/not/yet/f", podman.path("v/f").display());
    assert_eq!(
        seen(&podman, &[&folder, &file], "cat /v/f /etc/not/yet/f; touch /v/x 2>&1; true"),
        "content\ncontent\ntouch: /v/x: Read-only file system\n"
    );
    let shared = format!("--mount=type=bind,src={},dst=/v,bind-propagation=rslave", podman.path("v").display());
    assert_eq!(
        seen(&podman, &[&shared], "echo new > /v/new; grep -c ' /v .*master:' /proc/self/mountinfo; true")
            .lines()
            .count(),
        1
    );
    assert_eq!(std::fs::read_to_string(podman.path("v/new")).unwrap(), "new\n");
    let copied = seen(&podman, &["--mount=type=tmpfs,dst=/etc,tmpcopyup"], "grep app: /etc/passwd; touch /etc/x");
    assert_eq!(copied, "app:x:1000:1001:app:/home/app:/bin/sh\n");
    assert!(seen(&podman, &["--shm-size=5m"], "df -k /dev/shm").contains(" 5120 "));
    let masked = ["--security-opt=mask=/proc/meminfo", "--security-opt=unmask=/proc/timer_list"];
    assert_eq!(seen(&podman, &masked, "wc -c < /proc/meminfo; head -c 5 /proc/timer_list"), "0\nTimer");
    podman.call(["volume", "create", "vol"]).ok();
    assert_eq!(seen(&podman, &["-v=vol:/home"], "touch /home/mine; ls /home"), "app\nmine\n");
}

#[test]
#[ignore = "needs root, podman"]
fn limits() {
    let podman = Podman::new();
    let options = [
        "--cpus=0.5",
        "--cpu-shares=300",
        "--cpuset-cpus=0",
        "--memory=64m",
        "--memory-reservation=32m",
        "--pids-limit=77",
    ];
    let (files, values) = by_version(
        (
            "cpu/cpu.cfs_quota_us cpuset/cpuset.cpus memory/memory.limit_in_bytes memory/memory.soft_limit_in_bytes pids/pids.max cpu/cpu.shares",
            "50000\n0\n67108864\n33554432\n77\n300\n",
        ),
        ("cpu.max cpuset.cpus memory.max memory.low pids.max", "50000 100000\n0\n67108864\n33554432\n77\n"),
    );
    let file = by_version("cpu/cpu.shares", "cpu.weight");
    let script = format!("cd /sys/fs/cgroup; cat {files}; (echo 1 > {file}) 2>/dev/null || echo read-only");
    assert_eq!(seen(&podman, &options, &script), format!("{values}read-only\n"));
    let limits = ["--ulimit=nofile=1000:1010", "--ulimit=core=0", "--ulimit=nproc=500:600", "--oom-score-adj=300"];
    assert_eq!(
        seen(&podman, &limits, "ulimit -n; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj"),
        "1000\n1010\n0\n300\n"
    );
    let devices = ["--device=/dev/fuse", "--device=/dev/fuse:/dev/other:r"];
    let script = "test -c /dev/fuse && echo fuse; exec 3</dev/other && echo read; (echo x > /dev/other) 2>&1 | grep -c 'not permitted'";
    assert_eq!(seen(&podman, &devices, script), "fuse\nread\n1\n");
}

#[test]
#[ignore = "needs root, podman"]
fn namespaces() {
    let podman = Podman::new();
    let settings =
        ["--sysctl=net.ipv4.ip_forward=1", "--sysctl=kernel.msgmax=9000", "--hostname=inside", "--tz=Europe/Berlin"];
    let script = "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax; hostname";
    assert_eq!(seen(&podman, &settings, script), "1\n9000\ninside\n");
    let maps =
        "id -u; cat /proc/self/uid_map | tr -s ' '; touch /x; stat -c %u /x; mount -t tmpfs none /mnt 2>&1 | head -c 6";
    assert_eq!(seen(&podman, &["--uidmap=0:100000:65536"], maps), "0\n 0 100000 65536\n0\nmount:");
    let mapped = seen(
        &podman,
        &["--uidmap=0:100000:65536", "--user=app", "--hostname=u"],
        "id -u; hostname; cat /dev/null; ls /sys/class/net",
    );
    assert_eq!(mapped, "1000\nu\nlo\n");
    let host = ["--pid=host", "--ipc=host", "--uts=host"];
    let us = ["pid", "ipc", "uts"]
        .map(|kind| std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string());
    assert_eq!(
        seen(&podman, &host, "cd /proc/self/ns; for n in pid ipc uts; do readlink $n; done"),
        us.join("\n") + "\n"
    );
    let own = by_version("grep pids: /proc/self/cgroup | cut -d: -f3", "cut -d: -f3 /proc/self/cgroup");
    assert_eq!(seen(&podman, &["--cgroupns=private"], own), "/\n");
    assert!(seen(&podman, &["--cgroupns=host"], own).contains("/libpod-"));
}
