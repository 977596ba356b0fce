//! Limits, read back from the kernel's own files, on whichever cgroup version the machine has.

use crate::common::{Env, cgroup};

#[test]
#[ignore = "needs root"]
fn limits_are_in_the_kernel() {
    let env = Env::new();
    env.load_busybox();
    let limits = ["-m", "64m", "--cpus", "0.5", "--pids-limit", "20"];
    env.carboy(["run", "-d", "--name", "small"]).args(limits).args(["busybox", "sleep", "1000"]).ok();
    let seen: serde_json::Value = serde_json::from_str(&env.carboy(["inspect", "small"]).ok()).unwrap();
    let pid = seen[0]["State"]["Pid"].as_i64().unwrap() as i32;
    let expected = cgroup::Limits { memory: "67108864".into(), cpu: "50000 100000".into(), pids: "20".into() };
    assert_eq!(cgroup::limits(pid), expected);
    assert_eq!(seen[0]["HostConfig"]["Memory"], 67_108_864);
    assert_eq!(seen[0]["HostConfig"]["NanoCpus"], 500_000_000);
    assert_eq!(seen[0]["HostConfig"]["PidsLimit"], 20);
    // A process that exec starts is in the same cgroup.
    let own = std::fs::read_to_string(cgroup::folder(pid, "pids").join("cgroup.procs")).unwrap();
    assert!(own.lines().any(|line| line == pid.to_string()), "{own}");
    let forks = "for i in $(seq 1 40); do sleep 5 & done 2>&1 | grep -c \"can't fork\"";
    let out = env.carboy(["exec", "small", "sh", "-c", forks]).output();
    assert!(out.code != 0 || out.text().trim() != "0", "40 processes within a limit of 20: {out}");
    let folders: Vec<_> = ["memory", "cpu", "pids"].iter().map(|name| cgroup::folder(pid, name)).collect();
    env.carboy(["rm", "-f", "small"]).ok();
    for folder in folders {
        assert!(!folder.exists(), "{} is left", folder.display());
    }
}

#[test]
#[ignore = "needs root"]
fn memory_beyond_the_limit_is_killed_and_said() {
    let env = Env::new();
    env.load_busybox();
    // A string that doubles until there is no room.
    let greedy = "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done";
    let out = env.carboy(["run", "--name", "greedy", "-m", "32m", "busybox", "sh", "-c", greedy]).output();
    assert_eq!(out.code, 137, "{out}");
    let seen: serde_json::Value = serde_json::from_str(&env.carboy(["inspect", "greedy"]).ok()).unwrap();
    assert_eq!(seen[0]["State"]["OOMKilled"], true, "{}", seen[0]["State"]);
}
