//! Signals, deaths and the cleanup.

use crate::common::{Container, Runtime, collect, collect_until, eventually, spawn_with};
use crate::on_each_runtime;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

on_each_runtime! {
    /// A program killed by a signal: 128 and its number.
    fn killed_by_a_signal(runtime) {
        let container = Container::new(runtime, &["sleep", "1000"]);
        let (started, client) = container.started();
        signal(started.pid, Signal::KILL);
        let exit = collect(&client).exit.unwrap();
        assert_eq!((exit.code, exit.signal, exit.oom_killed), (137, Some(9), false));
        container.wait_for_end();
        container.assert_nothing_left();
    }

    /// What the monitor is sent reaches the program.
    fn signals_are_passed_on(runtime) {
        let script = "trap 'echo term; exit 8' TERM; trap 'echo usr1' USR1; echo ready; while :; do sleep 0.05; done";
        let container = Container::new(runtime, &["sh", "-c", script]);
        let (started, client) = container.started();
        collect_until(&client, |output| output.stdout == b"ready\n");
        signal(started.monitor_pid, Signal::USR1);
        collect_until(&client, |output| output.stdout == b"usr1\n");
        signal(started.monitor_pid, Signal::TERM);
        let output = collect(&client);
        assert_eq!((output.text().as_str(), output.code()), ("term\n", 8));
    }

    /// `--rm`: everything named is gone, with the overlay's unreadable folder, and nothing else.
    fn removed_at_the_end(runtime) {
        let mut container = Container::new(runtime, &["sh", "-c", "echo x > /file; mkdir -p /a/b; ln -s / /a/b/root; exit 2"]);
        let kept = container.dir.path().join("kept");
        std::fs::create_dir(&kept).unwrap();
        std::fs::write(kept.join("file"), "x").unwrap();
        symlink(&kept, container.config.container_dir.join("link")).unwrap();
        container.config.remove_on_exit = vec![container.config.container_dir.clone(), container.config.run_dir.clone()];
        let exit = container.run().exit.unwrap();
        assert_eq!((exit.code, exit.error), (2, None));
        assert!(!container.config.container_dir.exists() && !container.config.run_dir.exists());
        assert!(kept.join("file").exists());
    }
}

/// A runtime whose launcher is still there when the program has ended, which then is not the monitor's child yet.
const LAUNCHER: &str = r#"#!/bin/sh
case " $* " in *" run "*) ;; *) exit 0;; esac
while [ $# -gt 0 ]; do [ "$1" = --pid-file ] && file=$2; shift; done
setsid sh -c '
    sh -c "read x < DIR/go; exit 5" & program=$!
    sh -c "until grep -q \") Z\" /proc/$program/stat; do sleep 0.01; done; echo late; : DIR" &
    echo $program > $0.new; mv $0.new $0
    exec cat DIR/hold' "$file" &
until [ -s "$file" ]; do sleep 0.01; done
"#;

#[test]
#[ignore = "needs root, runc and busybox-static"]
fn output_goes_on_while_the_program_is_another_s_child() {
    let mut container = Container::new(Runtime::Runc, &["true"]);
    let dir = container.dir.path().to_owned();
    let path = dir.join("launcher");
    std::fs::write(&path, LAUNCHER.replace("DIR", dir.to_str().unwrap())).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let fifos = ["go", "hold"].map(|name| {
        let path = dir.join(name);
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        path
    });
    container.config.runtime.path = path;
    container.config.runtime.global_args.clear();
    let (_, client) = container.started();
    let hold = std::fs::OpenOptions::new().write(true).open(&fifos[1]).unwrap();
    std::fs::write(&fifos[0], "go\n").unwrap();
    // The client has this before the launcher goes.
    collect_until(&client, |output| output.stdout == b"late\n");
    drop(hold);
    assert_eq!(collect(&client).code(), 5);
    assert_eq!(container.logged("stdout"), "late\n");
}

#[test]
#[ignore = "needs root, runc and busybox-static"]
fn orphans_are_reaped() {
    // Without a PID namespace, what the program leaves behind becomes the monitor's child.
    let mut container = Container::new(
        Runtime::Runc,
        &["sh", "-c", "sh -c 'sleep 0.2 & exit'; sh -c 'sleep 0.3 & exit'; sleep 1; echo end"],
    );
    container.spec["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "pid");
    let (started, client) = container.started();
    std::thread::sleep(std::time::Duration::from_millis(700));
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", started.monitor_pid)).unwrap();
    assert_eq!(children.trim(), started.pid.to_string());
    assert_eq!(collect(&client).text(), "end\n");
}

#[test]
#[ignore = "needs root, runc and busybox-static"]
fn a_killed_monitor_leaves_what_its_records_say() {
    let container = Container::new(Runtime::Runc, &["sleep", "1000"]);
    let (started, client) = container.started();
    signal(started.monitor_pid, Signal::KILL);
    assert_eq!(collect(&client).exit, None);
    container.wait_for_end();
    assert!(!container.config.container_dir.join("exit.json").exists());
    // The kernel has unmounted the root in the host's eyes; the program still runs, until whoever finds this ends it.
    assert!(!std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(container.dir.path().to_str().unwrap()));
    let process = carboy_state::process::ProcessRef { pid: started.pid, start: started.pid_start };
    assert!(process.is_alive());
    let runtime = &container.config.runtime;
    let mut delete = std::process::Command::new(&runtime.path);
    assert!(
        delete.args(&runtime.global_args).args(["delete", "--force", &container.config.id]).status().unwrap().success()
    );
    eventually("the program has ended", || !process.is_alive());
    // And it can be started anew, over what was left.
    let (_, client) = container.started();
    drop(client);
}

#[test]
#[ignore = "needs root, runc and busybox-static"]
fn a_monitor_killed_during_the_start_holds_nothing() {
    let mut container = Container::new(Runtime::Runc, &["true"]);
    let slow = container.dir.path().join("slow-runtime");
    std::fs::write(&slow, "#!/bin/sh\nexec sleep 1000\n").unwrap();
    std::fs::set_permissions(&slow, std::fs::Permissions::from_mode(0o755)).unwrap();
    container.config.runtime.path = slow;
    let config = container.write();
    let (mut status, status_write) = std::io::pipe().unwrap();
    let args = [env!("CARGO_BIN_EXE_carboy-monitor"), "run", "--config", config.to_str().unwrap(), "--status-fd", "3"];
    let spawner = spawn_with(&args, &[(status_write.as_fd(), 3)]);
    drop(status_write);
    waitpid(Some(spawner), WaitOptions::empty()).unwrap();
    let pid_file = container.config.run_dir.join("monitor.pid");
    let read_pid = || std::fs::read_to_string(&pid_file).ok()?.trim().parse::<i32>().ok();
    eventually("the monitor says who it is", || read_pid().is_some());
    let children = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let runtime: i32 = children(read_pid().unwrap()).trim().parse().unwrap();
    signal(read_pid().unwrap(), Signal::KILL);
    let mut line = String::new();
    status.read_to_string(&mut line).unwrap();
    assert_eq!(line, "", "the status descriptor ends without a word");
    container.wait_for_end();
    assert!(!std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(container.dir.path().to_str().unwrap()));
    signal(runtime, Signal::KILL);
}

#[test]
#[ignore = "needs root, runc, busybox-static and a memory cgroup"]
fn want_of_memory_is_told() {
    let mut container = Container::new(Runtime::Runc, &["sh", "-c", "head -c 100m /dev/zero | busybox tail"]);
    container.spec["linux"]["resources"]["memory"] = serde_json::json!({ "limit": 16_000_000, "swap": 16_000_000 });
    let exit = container.run().exit.unwrap();
    assert!(exit.oom_killed, "{exit:?}");
    container.assert_nothing_left();
}
