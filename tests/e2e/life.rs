//! A container's life: detached, listed, looked into, stopped, removed.

use crate::common::Env;
use std::time::{Duration, Instant};

fn inspect(env: &Env, name: &str) -> serde_json::Value {
    let text = env.carboy(["inspect", name]).ok();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    value[0].clone()
}

#[test]
#[ignore = "needs root"]
fn a_whole_life() {
    let env = Env::new();
    env.load_busybox();
    let id = env.carboy(["run", "-d", "--name", "web", "busybox", "sh", "-c", "echo up; sleep 1000"]).ok();
    let id = id.trim();
    assert!(id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id:?}");

    let list = env.carboy(["ps"]).ok();
    let line = list.lines().nth(1).unwrap();
    assert!(
        line.starts_with(&id[..12]) && line.contains("busybox") && line.contains("Up ") && line.ends_with("web"),
        "{list}"
    );
    assert_eq!(env.carboy(["ps", "-q"]).ok().trim(), &id[..12]);
    let seen = inspect(&env, "web");
    assert_eq!(seen["Id"], id);
    assert_eq!(seen["Name"], "/web");
    assert_eq!(seen["State"]["Running"], true);
    assert_eq!(seen["State"]["Status"], "running");
    let pid = seen["State"]["Pid"].as_i64().unwrap();
    let program = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(program.contains("sleep"), "{program:?}");

    // By name, by ID, by the start of the ID.
    for handle in ["web", id, &id[..12], &id[..4]] {
        assert_eq!(env.carboy(["exec", handle, "echo", "seen"]).ok(), "seen\n");
    }
    assert_eq!(env.carboy(["logs", "web"]).ok(), "up\n");
    let running = env.carboy(["rm", "web"]).fails(1);
    assert!(running.contains("web") && running.contains("running"), "{running}");

    assert_eq!(env.carboy(["kill", "web"]).ok(), "web\n");
    assert_eq!(env.carboy(["wait", "web"]).ok(), "137\n");
    assert_eq!(env.carboy(["ps", "-q"]).ok(), "");
    let list = env.carboy(["ps", "-a"]).ok();
    assert!(list.contains("Exited (137)"), "{list}");
    let seen = inspect(&env, "web");
    assert_eq!((&seen["State"]["Running"], &seen["State"]["ExitCode"]), (&false.into(), &137.into()));
    assert_eq!(env.carboy(["rm", "web"]).ok(), "web\n");
    assert_eq!(env.carboy(["ps", "-aq"]).ok(), "");
}

#[test]
#[ignore = "needs root"]
fn stop_kills_what_ignores_sigterm() {
    let env = Env::new();
    env.load_busybox();
    let deaf = "trap '' TERM; echo up; while :; do sleep 0.2; done";
    env.carboy(["run", "-d", "--name", "deaf", "busybox", "sh", "-c", deaf]).ok();
    crate::common::wait_until("the trap", Duration::from_secs(20), || env.carboy(["logs", "deaf"]).ok() == "up\n");
    let begun = Instant::now();
    env.carboy(["stop", "-t", "2", "deaf"]).ok();
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(2), "killed before its time: {took:?}");
    assert!(took < Duration::from_secs(5) * crate::common::slowness(), "{took:?}");
    assert_eq!(env.carboy(["wait", "deaf"]).ok(), "137\n");

    let polite = "trap 'exit 4' TERM; echo up; while :; do sleep 0.1; done";
    env.carboy(["run", "-d", "--name", "polite", "busybox", "sh", "-c", polite]).ok();
    crate::common::wait_until("the trap", Duration::from_secs(20), || env.carboy(["logs", "polite"]).ok() == "up\n");
    let begun = Instant::now();
    env.carboy(["stop", "polite"]).ok();
    assert!(begun.elapsed() < Duration::from_secs(5) * crate::common::slowness(), "{:?}", begun.elapsed());
    assert_eq!(env.carboy(["wait", "polite"]).ok(), "4\n");
    // Stopping what has stopped is no error.
    env.carboy(["stop", "polite"]).ok();
}

#[test]
#[ignore = "needs root"]
fn exec_runs_in_the_container() {
    let env = Env::new();
    env.load_busybox();
    env.carboy(["run", "-d", "--name", "cc", "--hostname", "vessel", "busybox", "sleep", "1000"]).ok();
    assert_eq!(env.carboy(["exec", "cc", "hostname"]).ok(), "vessel\n");
    assert_eq!(
        env.carboy(["exec", "-e", "A=1", "-w", "/usr", "cc", "sh", "-c", "echo $A $PWD $GREETING"]).ok(),
        "1 /usr hello\n"
    );
    assert_eq!(env.carboy(["exec", "-u", "app", "cc", "id", "-u"]).ok(), "1000\n");
    assert_eq!(env.carboy(["exec", "-i", "cc", "wc", "-c"]).stdin(vec![7; 1_000_000]).ok().trim(), "1000000");
    assert_eq!(env.carboy(["exec", "cc", "sh", "-c", "exit 9"]).output().code, 9);
    let out = env.carboy(["exec", "cc", "sh", "-c", "kill -9 $$"]).output();
    assert_eq!(out.code, 137, "{out}");
    let missing = env.carboy(["exec", "cc", "no-such-program"]).fails(127);
    assert!(missing.contains("no-such-program"), "{missing}");
    let plain = env.carboy(["exec", "cc", "/etc/passwd"]).fails(126);
    assert!(plain.contains("/etc/passwd"), "{plain}");
    assert_eq!(env.carboy(["exec", "cc", "grep", "Seccomp:", "/proc/self/status"]).ok().trim(), "Seccomp:\t2");
    env.carboy(["stop", "-t", "0", "cc"]).ok();
    let stopped = env.carboy(["exec", "cc", "true"]).output();
    assert!(stopped.code != 0 && stopped.error().contains("not running"), "{stopped}");
}

#[test]
#[ignore = "needs root"]
fn remove_on_exit_leaves_nothing() {
    let env = Env::new();
    env.load_busybox();
    let images = env.files();
    env.carboy(["run", "--rm", "busybox", "sh", "-c", "echo x >/file"]).ok();
    assert_eq!(env.carboy(["run", "--rm", "busybox", "false"]).output().code, 1);
    let id = env.carboy(["run", "--rm", "-d", "busybox", "sleep", "1000"]).ok();
    env.carboy(["kill", id.trim()]).ok();
    crate::common::wait_until("its removal", Duration::from_secs(10), || env.carboy(["ps", "-aq"]).ok().is_empty());
    crate::common::wait_until("its files' removal", Duration::from_secs(10), || env.files() == images);
}

#[test]
#[ignore = "needs root"]
fn many_at_once() {
    let env = Env::new();
    env.load_busybox();
    std::thread::scope(|scope| {
        for n in 0..12 {
            let env = &env;
            scope.spawn(move || {
                let name = format!("many{n}");
                let out = env
                    .carboy(["run", "--rm", "--name", &name, "busybox", "sh", "-c", &format!("echo {n}; exit {n}")])
                    .output();
                assert_eq!((out.code, out.text()), (n, format!("{n}\n")), "{out}");
            });
        }
    });
    assert_eq!(env.carboy(["ps", "-aq"]).ok(), "");
}

#[test]
#[ignore = "needs root"]
fn what_a_container_has_written_is_counted() {
    let env = Env::new();
    env.load_busybox();
    let script = "echo hello > /f; mkdir /d; head -c 10000 /dev/zero > /d/x; ln /d/x /d/y; rm /etc/group";
    env.carboy(["run", "--name", "w", "--network", "none", "busybox", "sh", "-c", script]).ok();
    let image: u64 = env.carboy(["image", "inspect", "-s", "-f", "{{.Size}}", "busybox"]).ok().trim().parse().unwrap();
    let sizes = env.carboy(["inspect", "-t", "container", "--size", "-f", "{{.SizeRw}} {{.SizeRootFs}}", "w"]).ok();
    assert_eq!(sizes, format!("10006 {}\n", image + 10006), "as docker counts: lengths of files, each once");
    assert_eq!(env.carboy(["inspect", "-f", "{{.SizeRw}}", "w"]).ok(), "<nil>\n", "only who asks waits for it");
}
