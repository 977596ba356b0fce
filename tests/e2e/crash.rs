//! SIGKILL at any time: the next command finds what was left and puts it away.

use crate::common::{Env, Registry, slowness, wait_until};
use std::time::Duration;

#[test]
#[ignore = "needs root"]
fn run_killed_at_any_time() {
    let env = Env::new();
    env.load_busybox();
    let images = env.files();
    for step in 0..40 {
        let mut client = env.carboy(["run", "--rm", "-m", "64m", "busybox", "sh", "-c", "echo x >/file"]).spawn();
        std::thread::sleep(Duration::from_micros(700 * step) * slowness());
        let _ = client.kill();
        client.wait().unwrap();
    }
    // What had started runs to its end by itself; what had not is listed, or gone already.
    let listed = || env.carboy(["ps", "-aq"]).ok();
    wait_until("programs to end", Duration::from_secs(10), || env.carboy(["ps", "-q"]).ok().is_empty());
    for id in listed().lines() {
        env.carboy(["rm", "-f", id]).output();
    }
    assert_eq!(listed(), "");
    assert_eq!(env.carboy(["run", "--rm", "busybox", "echo", "well"]).ok(), "well\n");
    // A creation that was cut short is left alone while it is young, and swept by the next listing after.
    wait_until("files to be removed", Duration::from_secs(15), || {
        env.carboy(["ps"]).ok();
        env.files() == images
    });
}

#[test]
#[ignore = "needs root"]
fn monitor_killed_while_the_program_runs() {
    let env = Env::new();
    env.load_busybox();
    let id = env.carboy(["run", "-d", "--name", "orphan", "busybox", "sleep", "1000"]).ok();
    let seen: serde_json::Value = serde_json::from_str(&env.carboy(["inspect", "orphan"]).ok()).unwrap();
    let program = seen[0]["State"]["Pid"].as_i64().unwrap();
    let monitor =
        std::fs::read_to_string(env.runroot().join("containers").join(id.trim()).join("monitor.pid")).unwrap();
    env.call("kill").args(["-9", monitor.trim()]).ok();
    // Every command still answers, and none says that it runs and can be reached when it cannot.
    env.carboy(["ps", "-a"]).ok();
    env.carboy(["inspect", "orphan"]).ok();
    env.carboy(["rm", "-f", "orphan"]).ok();
    wait_until("the program to be gone", Duration::from_secs(5), || {
        !std::path::Path::new(&format!("/proc/{program}")).exists()
    });
    assert_eq!(env.carboy(["ps", "-aq"]).ok(), "");
}

#[test]
#[ignore = "needs root, mmdebstrap, umoci, skopeo, docker-registry"]
fn pull_killed_at_any_time() {
    let registry = Registry::start();
    let reference = registry.push("debian", "test/debian:12", &[]);
    let env = Env::new();
    for step in 0..12 {
        let mut client = env.carboy(["pull", &reference]).spawn();
        std::thread::sleep(Duration::from_millis(25 * step));
        let _ = client.kill();
        client.wait().unwrap();
        env.carboy(["images"]).ok();
    }
    env.carboy(["pull", &reference]).ok();
    assert_eq!(env.carboy(["run", "--rm", &reference, "cat", "/srv/two"]).ok(), "linked\n");
    env.carboy(["rmi", &reference]).ok();
    assert_eq!(env.files(), [""; 0]);
}
