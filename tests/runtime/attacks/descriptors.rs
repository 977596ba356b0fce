//! Nothing that the caller or the runtime has open reaches a container.

use super::agent;
use crate::common::{Bundle, binary, wait_until};
use serde_json::json;
use std::process::Command;

/// Runs the runtime with directories of the host open at 3 to 99 and at some higher numbers, none of them close-on-exec.
fn with_open_descriptors(bundle: &Bundle, args: &[&str]) -> Command {
    bundle.command(&[]);
    let line = "for n in $(seq 3 99) 255 256 1000 1023; do eval \"exec $n</etc\"; done; exec \"$0\" \"$@\"";
    let mut command = Command::new("bash");
    command.args(["-c", line, binary(), "--root"]).arg(bundle.state_root()).args(args).current_dir(bundle.path());
    command
}

/// What the agent printed, without the three streams.
fn leaked(out: &str) -> Vec<&str> {
    out.lines()
        .filter(|l| l.starts_with("fd ") && !["fd 0 ", "fd 1 ", "fd 2 "].iter().any(|s| l.starts_with(s)))
        .collect()
}

#[test]
#[ignore = "needs root: makes containers"]
fn no_descriptor_of_the_host_reaches_a_program() {
    let mut bundle = Bundle::new();
    agent::install(&bundle);
    bundle.set("process/args", agent::args("descriptors"));
    let output = with_open_descriptors(&bundle, &["run", &bundle.name]).output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(out.contains("cwd -> /\n") && leaked(&out).is_empty(), "{out} {output:?}");
    bundle.set("process/args", json!(["sleep", "1000"]));
    bundle.run_detached();
    let args = agent::args("descriptors");
    let args: Vec<&str> = args.as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
    let output = with_open_descriptors(&bundle, &[&["exec", &bundle.name], &args[..]].concat()).output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(out.contains("cwd -> /\n") && leaked(&out).is_empty(), "{out} {output:?}");
}

#[test]
#[ignore = "needs root: makes containers"]
fn a_created_container_holds_nothing_of_the_host() {
    // Its init waits for `start`; programs in it may look into that one already.
    let bundle = Bundle::script("sleep 1000");
    let mut create = with_open_descriptors(&bundle, &["create", &bundle.name]);
    let out = std::fs::File::create(bundle.path().join("out")).unwrap();
    assert!(
        create
            .stdin(std::process::Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .status()
            .unwrap()
            .success()
    );
    let pid = bundle.state()["pid"].as_i64().unwrap();
    // Its root, as that is where it stands, and sockets.
    let links = || -> Vec<String> {
        let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        let numbered = entries.filter(|entry| entry.file_name().to_str().unwrap().parse::<u32>().unwrap() > 2);
        let links = numbered.filter_map(|entry| std::fs::read_link(entry.path()).ok());
        links.map(|link| link.display().to_string()).filter(|link| !link.starts_with("socket:")).collect()
    };
    let held = links();
    assert!(held.iter().all(|link| link == "/"), "{held:?}");
    let said = bundle.call(&[
        "exec",
        &bundle.name,
        "sh",
        "-c",
        "for n in /proc/1/fd/*; do stat -L -c '%d:%i' $n/..; done; stat -c 'root %d:%i' /",
    ]);
    let out = said.good();
    let root = out.lines().find_map(|line| line.strip_prefix("root ")).unwrap();
    assert!(out.lines().all(|line| line.ends_with(root)), "{out}");
    bundle.call(&["start", &bundle.name]).good();
    wait_until("the program", || links().is_empty());
}
