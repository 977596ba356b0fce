//! A daemon that remaps users, with the runtime as its default.

use super::Docker;
use crate::common::User;

#[test]
#[ignore = "needs root, dockerd, a user with subordinate IDs"]
fn remapped_users() {
    let user = User::with_subordinate_ids();
    let docker = Docker::remapped(&user);
    let ranges = std::fs::read_to_string("/etc/subuid").unwrap();
    let start = ranges.lines().find_map(|line| line.strip_prefix(&format!("{}:", user.name))).unwrap();
    let start = start.split(':').next().unwrap();

    let script = "id -u; tr -s ' ' < /proc/self/uid_map; touch /x; stat -c %u /x; cat /dev/null; ls /dev/pts; hostname; \
        mount -t tmpfs none /mnt 2>&1 | cut -c-6";
    let out = docker.run(["--rm", "--hostname=inside", "busybox", "sh", "-c", script]).ok();
    assert_eq!(out, format!("0\n 0 {start} 65536\n0\nptmx\ninside\nmount:\n"));

    docker
        .run(["-d", "--init", "--name=live", "--user=app", "--tmpfs=/t", "--memory=64m", "busybox", "sleep", "100"])
        .ok();
    assert_eq!(docker.call(["exec", "live", "id", "-u"]).ok(), "1000\n");
    assert_eq!(docker.call(["exec", "-u", "0", "live", "sh", "-c", "touch /x; stat -c %u /x"]).ok(), "0\n");
    let pid = docker.inspect("live", "{{.State.Pid}}");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let on_host = start.parse::<u32>().unwrap() + 1000;
    assert!(status.contains(&format!("\nUid:\t{on_host}\t")), "{status}");
    docker.call(["pause", "live"]).ok();
    docker.call(["unpause", "live"]).ok();
    docker.call(["stop", "-t", "20", "live"]).ok();
    docker.call(["start", "live"]).ok();

    let host = docker.run(["--rm", "--userns=host", "busybox", "sh", "-c", "tr -s ' ' < /proc/self/uid_map"]).ok();
    assert_eq!(host, " 0 0 4294967295\n");
    let mut terminal = docker.run_on_terminal(["-it", "--rm", "busybox", "sh"]);
    terminal.expect("# ");
    terminal.send("tty; stat -c %u /dev/pts/0; exit 9\r");
    terminal.expect("/dev/pts/0\r\n0\r\n");
    assert_eq!(terminal.wait(), 9);
}
