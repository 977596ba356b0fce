//! What callers parse, and what people read.

use crate::common::Bundle;
use serde_json::{Value, json};

#[test]
#[ignore = "needs root: makes containers"]
fn a_program_that_cannot_run_is_told_by_runc_s_words() {
    let mut bundle = Bundle::new();
    std::fs::write(bundle.rootfs().join("plain"), "text").unwrap();
    for (program, words) in [
        ("nothing", "exec: \"nothing\": executable file not found in $PATH"),
        ("/nothing", "exec: \"/nothing\": no such file or directory"),
        ("/plain", "exec: \"/plain\": permission denied"),
        ("/tmp", "exec: \"/tmp\": permission denied"),
    ] {
        bundle.set("process/args", json!([program]));
        bundle.run().fails_with(1, words);
        assert_eq!(std::fs::read_dir(bundle.state_root()).unwrap().count(), 0);
    }
    bundle.call(&["create", &bundle.name]).fails_with(1, "permission denied");
    std::fs::write(bundle.rootfs().join("garbage"), "\x7fELFgarbage").unwrap();
    std::os::unix::fs::PermissionsExt::set_mode(&mut std::fs::metadata(bundle.path()).unwrap().permissions(), 0o755);
    std::fs::set_permissions(bundle.rootfs().join("garbage"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    bundle.set("process/args", json!(["/garbage"]));
    bundle.run().fails_with(1, "exec format error");
}

#[test]
#[ignore = "needs root: makes containers"]
fn what_start_finds_out_it_says() {
    let mut bundle = Bundle::new();
    std::fs::write(bundle.rootfs().join("garbage"), "\x7fELFgarbage").unwrap();
    std::fs::set_permissions(bundle.rootfs().join("garbage"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    bundle.set("process/args", json!(["/garbage"]));
    bundle.create();
    bundle.call(&["start", &bundle.name]).fails_with(1, "exec: \"/garbage\": exec format error");
    bundle.wait_for("stopped");
}

#[test]
#[ignore = "needs root: makes containers"]
fn a_failing_step_says_its_name_path_and_errno() {
    let mut bundle = Bundle::new();
    bundle.add_mount(json!({ "destination": "/x", "type": "bind", "source": "/no/such/path", "options": ["rbind"] }));
    bundle.run().fails_with(1, "mount /x in init: open_tree /no/such/path: no such file or directory");
    bundle.config["mounts"].as_array_mut().unwrap().pop();
    bundle.add_mount(json!({ "destination": "/x", "type": "tmpfs", "source": "t", "options": ["size=banana"] }));
    bundle.run().fails_with(1, "mount /x in init: fsconfig tmpfs size=banana: invalid argument");
    bundle.config["mounts"].as_array_mut().unwrap().pop();
    bundle.set("root/path", json!("nowhere"));
    bundle.run().fails_with(1, "nowhere: no such file or directory");
}

#[test]
#[ignore = "needs root: makes containers"]
fn invalid_configurations_are_refused_with_the_field() {
    for (path, value, words) in [
        ("ociVersion", json!("2.0.0"), "ociVersion"),
        ("ociVersion", json!("1.0"), "ociVersion"),
        ("process", json!(null), "process: is missing"),
        ("root", json!(null), "root.path: is missing"),
        ("mounts", json!([{ "destination": "/x", "source": "/", "options": ["bind", "idmap"] }]), "mounts[0].options"),
        (
            "mounts",
            json!([{ "destination": "/x", "source": "/", "options": ["bind"],
                "uidMappings": [{ "containerID": 0, "hostID": 1, "size": 1 }] }]),
            "mounts[0].uidMappings",
        ),
        ("process/args", json!([]), "process.args"),
        ("process/cwd", json!("tmp"), "process.cwd"),
        ("process/oomScoreAdj", json!(5000), "process.oomScoreAdj"),
        ("process/rlimits", json!([{ "type": "RLIMIT_X", "soft": 1, "hard": 1 }]), "process.rlimits[0].type"),
        ("process/selinuxLabel", json!("a:b:c"), "process.selinuxLabel"),
        ("process/apparmorProfile", json!("x"), "process.apparmorProfile"),
        ("linux/sysctl", json!({ "kernel.panic": "1" }), "linux.sysctl.kernel.panic"),
        ("linux/sysctl", json!({ "net/../../x": "1" }), "linux.sysctl.net/../../x"),
        ("linux/seccomp", json!({ "defaultAction": "SCMP_ACT_FOO" }), "defaultAction"),
        ("linux/intelRdt", json!({ "closID": "x" }), "linux.intelRdt"),
        (
            "linux/devices",
            json!([{ "path": "/dev/x", "type": "c", "major": 1, "minor": 3 }, { "path": "/dev/x", "type": "c", "major": 1, "minor": 5 }]),
            "linux.devices[1].path",
        ),
        ("linux/uidMappings", json!([{ "containerID": 0, "hostID": 0, "size": 1 }]), "linux.uidMappings"),
        ("annotations", json!({ "": "x" }), "annotations: holds an empty key"),
        ("linux/personality", json!({ "domain": "LINUX", "flags": ["X"] }), "linux.personality.flags"),
        ("linux/mountLabel", json!("a:b:c"), "linux.mountLabel"),
        ("linux/rootfsPropagation", json!("sideways"), "linux.rootfsPropagation"),
        ("linux/maskedPaths", json!(["relative"]), "linux.maskedPaths"),
        ("linux/readonlyPaths", json!(["relative"]), "linux.readonlyPaths"),
        (
            "linux/resources",
            json!({ "devices": [{ "allow": true, "access": "x" }] }),
            "linux.resources.devices[0].access",
        ),
        ("linux/resources", json!({ "memory": { "limit": -5 } }), "linux.resources.memory.limit"),
        ("linux/cgroupsPath", json!("../../up"), "linux.cgroupsPath"),
        ("linux/resources", json!({ "memory": { "swappiness": 1000 } }), "linux.resources.memory.swappiness"),
    ] {
        let mut bundle = Bundle::new();
        bundle.set(path, value);
        let said = bundle.run();
        assert!(said.code == 1 && said.err.contains(words), "{path}: {} {}", said.code, said.err);
        assert!(!bundle.state_root().exists() || std::fs::read_dir(bundle.state_root()).unwrap().count() == 0);
    }
}

#[test]
#[ignore = "needs root: makes containers"]
fn the_log_is_what_shims_parse() {
    let mut bundle = Bundle::new();
    bundle.set("process/args", json!(["nothing"]));
    let log = bundle.path().join("log.json");
    let path = log.to_str().unwrap();
    bundle.call(&["--log", path, "--log-format", "json", "run", &bundle.name]).fails_with(1, "not found");
    let text = std::fs::read_to_string(&log).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["level"], "error");
    assert!(last["msg"].as_str().unwrap().contains("executable file not found in $PATH"));
    assert!(last["time"].as_str().unwrap().ends_with('Z'));
}

#[test]
#[ignore = "needs root: makes containers"]
fn wrong_command_lines() {
    let bundle = Bundle::new();
    for (args, words) in [
        (&["frobnicate"][..], "no such command"),
        (&["run"], "container ID"),
        (&["run", "--frob", "x"], "--frob"),
        (&["run", "a/b"], "invalid container ID format"),
        (&["kill", "x", "TERM"], "container does not exist"),
        (&["exec", "x", "true"], "container does not exist"),
        (&["run", "-b", "/no/such/bundle", "x"], "/no/such/bundle/config.json"),
        (&["--log-format", "xml", "list"], "log-format"),
        (&["run", "--preserve-fds", "9", "x"], "preserved-fd"),
    ] {
        let said = bundle.call(args);
        assert!(said.code != 0 && said.err.contains(words), "{args:?}: {} {}", said.code, said.err);
    }
    bundle.create();
    bundle.call(&["run", &bundle.name]).fails_with(1, "container with given ID already exists");
    assert!(bundle.call(&["--version"]).good().contains("spec: 1."));
}
