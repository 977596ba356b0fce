//! The whole machine before and after.

use crate::common::{Call, Env};
use std::path::Path;

/// Every sort of end a container can have, successes and failures, then nothing new on the machine: mounts, cgroups, namespaces,
/// processes, network links, files.
#[test]
#[ignore = "needs root"]
fn exclusive_nothing_is_left_behind() {
    let leftovers = concat!(env!("CARGO_MANIFEST_DIR"), "/dev/leftovers");
    let dir = tempfile::Builder::new().prefix("snapshot").tempdir().unwrap();
    let before = dir.path().join("before");
    std::fs::write(&before, Call::new("bash").args([leftovers, "list"]).ok()).unwrap();
    for round in 0..2 {
        let env = Env::new();
        every_end(&env);
        drop(env);
        check(leftovers, &before, round);
    }
}

fn check(leftovers: &str, before: &Path, round: usize) {
    let out = Call::new("bash").args([leftovers, "check"]).arg(before).output();
    assert_eq!(out.code, 0, "round {round}: {out}");
}

fn every_end(env: &Env) {
    env.carboy(["run", "--rm", "hello"]).ok();
    env.load_busybox();
    env.carboy(["run", "--rm", "-m", "64m", "--cpus", "1", "--pids-limit", "50", "busybox", "true"]).ok();
    env.carboy(["run", "busybox", "false"]).output();
    env.carboy(["run", "--rm", "busybox", "no-such-program"]).output();
    env.carboy(["run", "--rm", "--network", "host", "--privileged", "busybox", "true"]).ok();
    env.carboy(["run", "--rm", "-m", "1k", "busybox", "true"]).output();
    env.carboy(["run", "-d", "--name", "aa", "busybox", "sleep", "1000"]).ok();
    env.carboy(["run", "-d", "--rm", "--name", "bb", "busybox", "sleep", "1000"]).ok();
    env.carboy(["exec", "aa", "true"]).ok();
    env.carboy(["stop", "-t", "0", "aa"]).ok();
    env.carboy(["kill", "bb"]).ok();
    // A container whose monitor is killed without warning.
    env.carboy(["run", "-d", "--name", "cc", "busybox", "sleep", "1000"]).ok();
    let id = env.carboy(["ps", "-q", "--no-trunc"]).ok().trim().to_owned();
    let monitor = std::fs::read_to_string(env.runroot().join("containers").join(&id).join("monitor.pid")).unwrap();
    Call::new("kill").args(["-9", monitor.trim()]).ok();
    env.carboy(["rm", "-f", "cc"]).ok();
    for id in env.carboy(["ps", "-aq"]).ok().lines() {
        env.carboy(["rm", "-f", id]).ok();
    }
    env.carboy(["rmi", "busybox"]).ok();
}
