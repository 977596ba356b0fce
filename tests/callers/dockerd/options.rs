//! What `docker run` can ask for, as the program inside sees it.

use super::Docker;
use crate::place::by_version;

/// Runs a shell script with options; what it printed.
fn seen(docker: &Docker, options: &[&str], script: &str) -> String {
    docker.run(["--rm"]).args(options).args(["busybox", "sh", "-c", script]).ok()
}

#[test]
#[ignore = "needs root, dockerd"]
fn credentials() {
    let docker = Docker::new();
    let caps = "grep -E 'CapEff|CapBnd|NoNew' /proc/self/status | cut -f2";
    let some = ["--cap-drop=all", "--cap-add=net_admin", "--cap-add=chown", "--security-opt=no-new-privileges"];
    assert_eq!(seen(&docker, &some, caps), "0000000000001001\n0000000000001001\n1\n");
    let user = ["--user=app", "--group-add=77", "--oom-score-adj=300"];
    assert_eq!(seen(&docker, &user, "id -G; cat /proc/self/oom_score_adj"), "1001 77 2000\n300\n");
    let profile = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":111}]}"#;
    let option = format!("--security-opt=seccomp={}", docker.place.write("profile.json", profile).display());
    assert!(seen(&docker, &[&option], "mkdir /x 2>&1; touch /y").contains("Connection refused"));
    let limits = ["--ulimit=nofile=1000:1010", "--ulimit=core=0"];
    assert_eq!(seen(&docker, &limits, "ulimit -n; ulimit -Hn; ulimit -c"), "1000\n1010\n0\n");

    // Docker asks for all capabilities that the kernel knows; those that this machine does not let anybody have are done without.
    let script = "grep Seccomp: /proc/self/status; ls /dev/fuse; touch /proc/sys/kernel/hostname /sys/kernel/x 2>&1; mkdir /mnt; mount -t tmpfs none /mnt && echo mounted";
    let out = docker.run(["--rm", "--privileged", "busybox", "sh", "-c", script]).output();
    assert!(out.text().starts_with("Seccomp:\t0\n/dev/fuse\n") && out.text().ends_with("mounted\n"), "{out}");
}

#[test]
#[ignore = "needs root, dockerd"]
fn file_systems() {
    let docker = Docker::new();
    let script = "touch /x 2>&1; touch /t/x; stat -c %a /t; mount | grep -c ' on /t type tmpfs (rw,nosuid,nodev,noexec,relatime,size=1024k,'";
    let out = seen(&docker, &["--read-only", "--tmpfs=/t:size=1m,mode=1770"], script);
    assert_eq!(out, "touch: /x: Read-only file system\n1770\n1\n");
    std::fs::create_dir(docker.place.path("v")).unwrap();
    docker.place.write("v/f", "content\n");
    let folder = format!("-v={}:/v:ro", docker.place.path("v").display());
    let file = format!("-v={}:/etc/not/yet/f", docker.place.path("v/f").display());
    let out = seen(
        &docker,
        &[&folder, &file, "-v=vol:/home"],
        "cat /v/f /etc/not/yet/f; touch /v/x 2>&1; touch /home/mine; ls /home",
    );
    assert_eq!(out, "content\ncontent\ntouch: /v/x: Read-only file system\napp\nmine\n");
    let shared = format!("--mount=type=bind,src={},dst=/v,bind-propagation=rprivate", docker.place.path("v").display());
    seen(&docker, &[&shared], "echo new > /v/new");
    assert_eq!(std::fs::read_to_string(docker.place.path("v/new")).unwrap(), "new\n");
    assert!(seen(&docker, &["--shm-size=5m"], "df -k /dev/shm").contains(" 5120 "));
    let unmasked = seen(&docker, &["--security-opt=systempaths=unconfined"], "head -c 5 /proc/timer_list");
    assert_eq!(unmasked, "Timer");
    let devices = ["--device=/dev/fuse", "--device=/dev/fuse:/dev/other:r"];
    let script = "test -c /dev/fuse && echo fuse; exec 3</dev/other && echo read; (echo x > /dev/other) 2>&1 | grep -c 'not permitted'";
    assert_eq!(seen(&docker, &devices, script), "fuse\nread\n1\n");
    let rule =
        seen(&docker, &["--device-cgroup-rule=c 10:229 rw"], "mknod /dev/f c 10 229; exec 3<>/dev/f && echo opened");
    assert_eq!(rule, "opened\n");
}

#[test]
#[ignore = "needs root, dockerd"]
fn limits_and_namespaces() {
    let docker = Docker::new();
    let options =
        ["--cpus=0.5", "--cpu-shares=300", "--cpuset-cpus=0", "--memory=64m", "--memory-swap=128m", "--pids-limit=77"];
    let (files, values) = by_version(
        (
            "cpu/cpu.cfs_quota_us cpuset/cpuset.cpus memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes pids/pids.max cpu/cpu.shares",
            "50000\n0\n67108864\n134217728\n77\n300\n",
        ),
        ("cpu.max cpuset.cpus memory.max memory.swap.max pids.max", "50000 100000\n0\n67108864\n67108864\n77\n"),
    );
    let file = by_version("cpu/cpu.shares", "cpu.weight");
    let script = format!("cd /sys/fs/cgroup; cat {files}; (echo 1 > {file}) 2>/dev/null || echo read-only");
    assert_eq!(seen(&docker, &options, &script), format!("{values}read-only\n"));
    let settings =
        ["--sysctl=net.ipv4.ip_forward=1", "--sysctl=kernel.msgmax=9000", "--hostname=inside", "--domainname=here"];
    let script = "cd /proc/sys; cat net/ipv4/ip_forward kernel/msgmax kernel/domainname; hostname";
    assert_eq!(seen(&docker, &settings, script), "1\n9000\nhere\ninside\n");
    let host = ["--pid=host", "--ipc=host", "--uts=host", "--userns=host"];
    let kinds = ["pid", "ipc", "uts", "user"];
    let ours =
        kinds.map(|kind| std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string() + "\n");
    assert_eq!(
        seen(&docker, &host, "cd /proc/self/ns; for n in pid ipc uts user; do readlink $n; done"),
        ours.concat()
    );
    let own = by_version("grep pids: /proc/self/cgroup | cut -d: -f3", "cut -d: -f3 /proc/self/cgroup");
    assert_eq!(seen(&docker, &["--cgroupns=private"], own), "/\n");
    assert!(seen(&docker, &["--cgroupns=host"], own).contains(&docker.place.cgroup()));
    docker.run(["-d", "--name=first", "--ipc=shareable", "busybox", "sleep", "100"]).ok();
    let shared = ["--pid=container:first", "--ipc=container:first"];
    assert!(seen(&docker, &shared, "ps -o args").contains("\nsleep 100\n"));
}
