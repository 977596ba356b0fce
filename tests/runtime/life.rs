//! From create to delete.

use crate::common::{Bundle, cgroups_of, wait_until};
use serde_json::{Value, json};
use std::process::Stdio;

#[test]
#[ignore = "needs root: makes containers"]
fn a_container_s_whole_life() {
    let bundle = Bundle::script("echo started; exec sleep 100");
    let pid_file = bundle.path().join("pid");
    let out = bundle.path().join("out");
    let status = bundle
        .command(&["create", "--pid-file", pid_file.to_str().unwrap(), &bundle.name])
        .stdout(std::fs::File::create(&out).unwrap())
        .status()
        .unwrap();
    assert!(status.success());
    let state = bundle.state();
    assert_eq!(state["status"], "created");
    assert_eq!(state["id"], bundle.name.as_str());
    assert_eq!(state["bundle"], bundle.path().to_str().unwrap());
    let pid: i64 = std::fs::read_to_string(&pid_file).unwrap().parse().unwrap();
    assert_eq!(state["pid"], pid);
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "", "nothing runs before start");

    bundle.call(&["start", &bundle.name]).good();
    assert_eq!(bundle.status(), "running");
    wait_until("output", || std::fs::read_to_string(&out).unwrap() == "started\n");
    bundle.call(&["start", &bundle.name]).fails_with(1, "cannot start an already running container");
    bundle.call(&["delete", &bundle.name]).fails_with(1, "that is not stopped: running");

    bundle.call(&["kill", &bundle.name, "KILL"]).good();
    bundle.wait_for("stopped");
    assert_eq!(bundle.state()["pid"], 0);
    bundle.call(&["kill", &bundle.name]).fails_with(1, "container not running");
    bundle.call(&["start", &bundle.name]).fails_with(1, "cannot start a container that has stopped");
    assert!(!cgroups_of(&bundle.name).is_empty());
    bundle.call(&["delete", &bundle.name]).good();
    assert!(cgroups_of(&bundle.name).is_empty());
    bundle.call(&["state", &bundle.name]).fails_with(1, "container does not exist");
    bundle.call(&["delete", "-f", &bundle.name]).good();
}

#[test]
#[ignore = "needs root: makes containers"]
fn run_gives_the_exit_status_and_leaves_nothing() {
    let bundle = Bundle::script("echo out; echo err >&2; exit 37");
    let said = bundle.run();
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (37, "out\n", "err\n"));
    assert_eq!(std::fs::read_dir(bundle.state_root()).unwrap().count(), 0);
    assert_eq!(Bundle::script("kill -TERM $$; sleep 5").run().code, 0, "init has no default action for signals");
    let mut shared = Bundle::script("kill -KILL $$");
    shared.config["linux"]["namespaces"].as_array_mut().unwrap().retain(|n| n["type"] != "pid");
    assert_eq!(shared.run().code, 128 + 9);
}

#[test]
#[ignore = "needs root: makes containers"]
fn signals_reach_a_program_in_the_foreground() {
    let bundle = Bundle::script("trap 'echo got; exit 5' TERM; echo ready; while :; do sleep 0.1; done");
    let mut child = bundle.command(&["run", &bundle.name]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(child.id() as i32).unwrap(),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    assert_eq!(line, "ready\ngot\n");
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[test]
#[ignore = "needs root: makes containers"]
fn list_shows_what_there_is() {
    let bundle = Bundle::script("sleep 100");
    bundle.create();
    let table = bundle.call(&["list"]).good();
    assert!(table.starts_with("ID ") && table.contains(&bundle.name) && table.contains("created"), "{table}");
    assert_eq!(bundle.call(&["list", "-q"]).good(), format!("{}\n", bundle.name));
    let all: Value = serde_json::from_str(&bundle.call(&["list", "--format", "json"]).good()).unwrap();
    assert_eq!(all[0]["status"], "created");
    assert_eq!(all[0]["owner"], "root");
}

#[test]
#[ignore = "needs root: makes containers"]
fn pause_stops_and_resume_goes_on() {
    let bundle = Bundle::script("while :; do echo x; sleep 0.05; done");
    let out = bundle.create();
    bundle.call(&["start", &bundle.name]).good();
    let size = || std::fs::metadata(&out).unwrap().len();
    wait_until("output", || size() > 0);
    bundle.call(&["pause", &bundle.name]).good();
    assert_eq!(bundle.status(), "paused");
    let before = size();
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(size(), before);
    bundle.call(&["exec", &bundle.name, "true"]).fails_with(255, "cannot exec in a paused container");
    bundle.call(&["resume", &bundle.name]).good();
    wait_until("more output", || size() > before);
    bundle.call(&["pause", &bundle.name]).good();
    bundle.call(&["delete", "-f", &bundle.name]).good();
}

#[test]
#[ignore = "needs root: makes containers"]
fn what_a_killed_create_left_is_deleted() {
    let mut bundle = Bundle::script("sleep 100");
    // A hook that kills the runtime while the container is being made.
    bundle.set("hooks", json!({ "createRuntime": [{ "path": "/bin/sh", "args": ["sh", "-c", "kill -9 $PPID"] }] }));
    let status =
        bundle.command(&["create", &bundle.name]).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(!status.success());
    bundle.wait_for("stopped");
    assert!(!cgroups_of(&bundle.name).is_empty(), "the test is of no use if nothing was taken");
    bundle.call(&["delete", &bundle.name]).good();
    assert!(cgroups_of(&bundle.name).is_empty());
}

#[test]
#[ignore = "needs root: makes containers"]
fn without_a_pid_namespace_all_processes_go() {
    let mut bundle = Bundle::script("sleep 1000 & sleep 1000 & wait");
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().retain(|n| n["type"] != "pid");
    bundle.run_detached();
    wait_until("three processes", || {
        let pids: Value = serde_json::from_str(&bundle.call(&["ps", "-f", "json", &bundle.name]).good()).unwrap();
        pids.as_array().unwrap().len() == 3
    });
    bundle.call(&["delete", "--force", &bundle.name]).good();
    assert!(cgroups_of(&bundle.name).is_empty());
}
