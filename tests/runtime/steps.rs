//! `explain` and `--trace`: the same steps, shown and timed.

use crate::common::{Bundle, binary};
use serde_json::{Value, json};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

#[test]
#[ignore = "needs root: makes containers"]
fn what_is_traced_is_what_was_explained() {
    let bundle = Bundle::new();
    let explained: Value = serde_json::from_str(&bundle.call(&["explain", "--json"]).good()).unwrap();
    let file = bundle.path().join("trace.json");
    bundle.call(&["run", "--trace", file.to_str().unwrap(), &bundle.name]).good();
    let traced: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let names = |report: &Value| {
        let steps = report["steps"].as_array().unwrap();
        steps.iter().map(|step| step["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&explained), names(&traced));
    assert!(explained["steps"].as_array().unwrap().iter().all(|step| step["took_ns"].is_null()));
    let steps = traced["steps"].as_array().unwrap();
    let untimed: Vec<_> = steps.iter().filter(|step| step["took_ns"].is_null()).map(|step| &step["name"]).collect();
    assert_eq!(untimed, [&json!("execute program")], "only what replaces the process cannot be timed");
    assert!(names(&traced).contains(&"mount /proc".to_owned()));
}

#[test]
fn explaining_needs_neither_root_nor_a_root_file_system() {
    let config = json!({
        "ociVersion": "1.0.2", "root": { "path": "/no/such/rootfs" },
        "process": { "args": ["true"], "cwd": "/", "user": { "uid": 0, "gid": 0 } },
        "mounts": [{ "destination": "/proc", "type": "proc", "source": "proc" }],
        "linux": { "namespaces": [{ "type": "mount" }, { "type": "pid" }], "resources": { "memory": { "limit": 1048576 } },
            "cgroupsPath": "/explained" }
    });
    let mut command = Command::new(binary());
    command.args(["explain", "--config", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if rustix::process::geteuid().is_root() {
        command.uid(12345).gid(12345).current_dir("/");
    }
    // The binary may lie where an ordinary user cannot go.
    let Ok(mut child) = command.spawn() else { return };
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), config.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for words in
        ["clone3(CLONE_NEWPID|CLONE_NEWNS", "mount /proc", "1048576", "execve([\"true\"])", "[mounts[0]]", "/explained"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!std::path::Path::new("/sys/fs/cgroup/memory/explained").exists());
}
