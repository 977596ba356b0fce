//! Further programs in a running container.

use crate::common::Bundle;
use crate::users::with_user_namespace;
use serde_json::json;
use std::process::Stdio;

fn running() -> Bundle {
    let bundle = Bundle::script("sleep 1000");
    bundle.run_detached();
    bundle
}

#[test]
#[ignore = "needs root: makes containers"]
fn exec_is_in_all_namespaces_and_gives_the_status() {
    let bundle = running();
    let exec = |args: &[&str]| bundle.call(&[&["exec", &bundle.name], args].concat());
    assert_eq!(exec(&["sh", "-c", "exit 9"]).code, 9);
    assert_eq!(exec(&["hostname"]).good(), "inside\n");
    assert_eq!(exec(&["sh", "-c", "kill -9 $$"]).code, 137);
    let script = "cd /proc; for n in pid mnt net ipc uts cgroup; do \
        test $(readlink self/ns/$n) = $(readlink 1/ns/$n) || echo differs $n; done; cat /proc/self/cgroup";
    let said = exec(&["sh", "-c", script]).good();
    assert!(!said.contains("differs"), "{said}");
    for line in said.lines().filter(|line| !line.contains("name=")) {
        assert!(line.ends_with(":/"), "own cgroup is the root of its namespace: {line}");
    }
    exec(&["nothing"]).fails_with(255, "exec: \"nothing\": executable file not found in $PATH");
    exec(&["/tmp"]).fails_with(255, "permission denied");
}

#[test]
#[ignore = "needs root: makes containers"]
fn options_change_the_process() {
    let bundle = running();
    let name = bundle.name.as_str();
    let said = bundle.call(&[
        "exec",
        "--cwd",
        "/tmp",
        "-e",
        "A=a",
        "-e",
        "A=b",
        "-u",
        "12:34",
        "-g",
        "56",
        "--cap",
        "CAP_NET_RAW",
        name,
        "sh",
        "-c",
        "pwd; echo $A; id -u; id -g; id -G; grep CapBnd /proc/self/status",
    ]);
    // Chown, kill, bind service, raw, audit write.
    assert_eq!(said.good(), "/tmp\nb\n12\n34\n34 56\nCapBnd:\t0000000020002421\n");
    let file = bundle.path().join("process.json");
    let process = json!({
        "args": ["sh", "-c", "id -u; grep -E 'CapEff|NoNewPrivs' /proc/self/status"], "cwd": "/", "env": ["PATH=/bin"],
        "user": { "uid": 5, "gid": 6, "additionalGids": null }, "capabilities": { "bounding": null }, "noNewPrivileges": true
    });
    std::fs::write(&file, process.to_string()).unwrap();
    let said = bundle.call(&["exec", "--process", file.to_str().unwrap(), name]);
    assert_eq!(said.good(), "5\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n");
}

#[test]
#[ignore = "needs root: makes containers"]
fn a_detached_exec_leaves_its_pid() {
    let bundle = running();
    let file = bundle.path().join("exec.pid");
    let status = bundle
        .command(&["exec", "-d", "--pid-file", file.to_str().unwrap(), &bundle.name, "sleep", "500"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let pid = std::fs::read_to_string(&file).unwrap();
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    assert_eq!(line, b"sleep\x00500\x00");
    let cgroup = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(cgroup.lines().all(|line| line.contains(&bundle.name)), "{cgroup}");
}

#[test]
#[ignore = "needs root: makes containers"]
fn exec_lives_under_the_filter_too() {
    let mut bundle = Bundle::script("sleep 1000");
    bundle.set(
        "linux/seccomp",
        json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99 }] }),
    );
    bundle.run_detached();
    let said = bundle.call(&["exec", &bundle.name, "mkdir", "/tmp/x"]);
    assert!(said.code == 1 && said.err.contains("Cannot assign requested address"), "{}", said.err);
    bundle.call(&["kill", &bundle.name, "9"]).good();
    bundle.wait_for("stopped");
    bundle.call(&["exec", &bundle.name, "true"]).fails_with(255, "cannot exec in a stopped container");
}

#[test]
#[ignore = "needs root: makes containers"]
fn a_label_that_the_kernel_does_not_know_is_refused() {
    let bundle = Bundle::script("sleep 100");
    bundle.run_detached();
    let exec = |label: &str| bundle.call(&["exec", "--process-label", label, &bundle.name, "id", "-u"]);
    exec("a:b:c").fails_with(255, "process.selinuxLabel: ");
    assert_eq!(exec("").good(), "0\n", "an empty one is none");
}

#[test]
#[ignore = "needs root: makes containers"]
fn a_missing_working_directory_is_not_made() {
    let bundle = running();
    let said = bundle.call(&["exec", "--cwd", "/not/there", &bundle.name, "true"]);
    said.fails_with(255, "chdir to cwd (\"/not/there\") set in config.json failed");
    assert!(!bundle.rootfs().join("not").exists());
}

/// A key is listed for one who is neither its owner nor root only if a keyring of the session leads to it.
#[test]
#[ignore = "needs root: makes containers"]
fn exec_joins_the_session_keyring_of_its_container() {
    for users in [false, true] {
        for kept in [false, true] {
            let program = "sleep 1000";
            let mut bundle =
                if users { with_user_namespace(program, 100_000, 65_536) } else { Bundle::script(program) };
            bundle.set("linux/maskedPaths", json!([]));
            let mut run = bundle.command(&["run", "-d", &format!("--no-new-keyring={kept}"), &bundle.name]);
            assert!(run.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
            let keyring = format!("_ses.{}", bundle.name);
            let keys = bundle.call(&["exec", "-u", "4321", &bundle.name, "cat", "/proc/keys"]).good();
            assert_eq!(keys.contains(&keyring), !kept, "users: {users}, kept: {kept}: {keys}");
        }
    }
}
