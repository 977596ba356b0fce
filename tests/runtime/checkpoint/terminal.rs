//! A program on a terminal: the master of the restored one goes to the caller.

use super::criu_works;
use crate::common::{Bundle, wait_until};
use crate::terminal::{Terminal, accept_master};
use serde_json::json;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

/// Calls the runtime with a console socket, and takes the master.
fn with_console(bundle: &Bundle, args: &[&str]) -> File {
    let path = bundle.path().join("console.sock");
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let out = std::fs::File::create(bundle.path().join("said")).unwrap();
    let args = [args, &["-d", "--console-socket", path.to_str().unwrap(), &bundle.name]].concat();
    let mut command = bundle.command(&args);
    let status = command.stdout(std::process::Stdio::null()).stderr(out).status().unwrap();
    let said = || std::fs::read_to_string(bundle.path().join("said")).unwrap();
    assert!(status.success(), "{}", said());
    File::from(accept_master(&listener))
}

/// Types a line and waits for what the program says to it.
#[track_caller]
fn converse(master: &mut File, line: &str, answer: &str) {
    master.write_all(line.as_bytes()).unwrap();
    let mut seen = String::new();
    wait_until(&format!("{answer:?}"), || {
        let mut buffer = [0; 256];
        let length = master.read(&mut buffer).unwrap();
        seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
        seen.contains(answer)
    });
}

/// Says what it is told, with a number.
fn echoing() -> Bundle {
    Bundle::script("i=0; while read line; do i=$((i+1)); echo \"said $i: <$line>\"; done; exit 5")
}

/// One that was told something at a terminal before it was saved in `images`.
fn checkpointed_in_conversation() -> Bundle {
    assert!(criu_works());
    let mut bundle = echoing();
    bundle.set("process/terminal", json!(true));
    let mut master = with_console(&bundle, &["run"]);
    converse(&mut master, "one\n", "said 1: <one>");
    bundle.call(&["checkpoint", "--image-path=images", &bundle.name]).good();
    bundle
}

#[test]
#[ignore = "needs root, a kernel that CRIU works on: run by the lane"]
fn a_shell_goes_on_at_another_terminal() {
    let bundle = checkpointed_in_conversation();
    bundle.call(&["restore", "--image-path=images", "-d", &bundle.name]).fails_with(1, "console socket");
    let mut master = with_console(&bundle, &["restore", "--image-path=images", "--work-path=work"]);
    converse(&mut master, "two\n", "said 2: <two>");
    assert_eq!(bundle.status(), "running");
    // The end of file that a terminal knows.
    master.write_all(b"\x04").unwrap();
    bundle.wait_for("stopped");
}

#[test]
#[ignore = "needs root, a kernel that CRIU works on: run by the lane"]
fn a_shell_goes_on_before_who_restores_it() {
    let bundle = checkpointed_in_conversation();
    let terminal = Terminal::new();
    let mut restored = terminal.spawn(bundle.command(&["restore", "--image-path=images", &bundle.name]));
    terminal.type_in("two\r");
    terminal.expect("said 2: <two>");
    assert_eq!(bundle.status(), "running");
    terminal.type_in("\x04");
    assert_eq!(restored.wait().unwrap().code(), Some(5));
    bundle.call(&["state", &bundle.name]).fails_with(1, "container does not exist");
}
