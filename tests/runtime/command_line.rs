//! The command line as runc's callers write it, and what they read; runc itself is asked where it is here.

use crate::common::{Bundle, Said, binary, wait_until};
use serde_json::{Value, json};
use std::process::{Command, Stdio};

fn call(args: &[&str]) -> Said {
    Command::new(binary()).args(args).stdin(Stdio::null()).output().unwrap().into()
}

fn runc(args: &[&str]) -> Said {
    Command::new("runc").args(args).stdin(Stdio::null()).output().expect("runc is installed").into()
}

fn json(said: Said) -> Value {
    serde_json::from_str(&said.good()).unwrap()
}

#[test]
#[ignore = "needs root: makes containers"]
fn options_stand_before_and_after_the_id_with_one_dash_or_two() {
    let bundle = Bundle::script("exit 7");
    let path = bundle.path().to_str().unwrap().to_owned();
    let pid_file = bundle.path().join("pid");
    let pid_file = pid_file.to_str().unwrap();
    let name = bundle.name.as_str();
    for args in [
        &["run", name, "-bundle", &path, "-pid-file", pid_file][..],
        &["run", "--bundle", &path, name, "--keep=false", "-no-subreaper=true"],
        &["run", &format!("-bundle={path}"), "--detach=False", "--pid-file", "", name, "--no-pivot=0"],
        &["run", "-b", &path, "--no-new-keyring", "--", name],
        &["run", "--console-socket=", "--preserve-fds=0", name, "-b", &path],
    ] {
        let mut command = bundle.command(args);
        let said: Said = command.current_dir("/").output().unwrap().into();
        assert_eq!(said.code, 7, "{args:?}: {}", said.err);
    }
    assert!(std::fs::read_to_string(pid_file).unwrap().parse::<u32>().unwrap() > 1);
    let log = bundle.path().join("log");
    let globals = ["-log", log.to_str().unwrap(), "-log-format=json", "--debug=true", "-systemd-cgroup=false"];
    let said =
        bundle.call(&[&globals[..], &["--rootless=false", "--cgroup-manager", "cgroupfs", "state", name]].concat());
    said.fails_with(1, "container does not exist");
    let line: Value = serde_json::from_str(std::fs::read_to_string(&log).unwrap().trim()).unwrap();
    assert_eq!((&line["level"], &line["msg"]), (&json!("error"), &json!("container does not exist")));
    bundle.call(&["run", "--keep=perhaps", name]).fails_with(1, "invalid boolean value");
}

#[test]
#[ignore = "needs root: makes containers"]
fn another_configuration_than_the_bundle_s() {
    let bundle = Bundle::script("exit 3");
    let mut other = bundle.config.clone();
    other["process"]["args"] = json!(["sh", "-c", "exit 4"]);
    let file = bundle.path().join("other.json");
    std::fs::write(&file, other.to_string()).unwrap();
    assert_eq!(bundle.call(&["run", "--config", file.to_str().unwrap(), &bundle.name]).code, 4);
    assert_eq!(bundle.call(&["run", "-f", file.to_str().unwrap(), &bundle.name]).code, 4);
}

#[test]
fn help_is_there_for_what_can_be_done() {
    for verb in [
        "create", "start", "run", "state", "kill", "delete", "exec", "list", "ps", "pause", "resume", "update",
        "events", "spec", "features", "explain",
    ] {
        let text = call(&[verb, "--help"]).good();
        assert!(text.starts_with(&format!("Usage: carboy-runtime {verb}")), "{text}");
        assert_eq!(call(&["help", verb]).good(), text);
        assert!(call(&["--help"]).good().contains(&format!("  {verb}")));
    }
    assert_eq!(call(&["-h"]).good(), call(&["help"]).good());
}

/// Docker takes the words after `version` in a line that holds it, and the rest of a line that begins with `commit:`.
#[test]
fn engines_understand_the_version() {
    for flag in ["--version", "-v", "-version"] {
        let text = call(&[flag]).good();
        let line = text.lines().find(|line| line.contains("version")).unwrap();
        let (name, version) = line.split_once("version").unwrap();
        assert_eq!((name.trim(), version.trim()), ("carboy-runtime", env!("CARGO_PKG_VERSION")));
        let spec = text.lines().find_map(|line| line.strip_prefix("spec: ")).unwrap();
        assert_eq!(spec.split('.').count(), 3, "{text}");
    }
}

#[test]
#[ignore = "needs runc, to compare with"]
fn features_hold_all_that_runc_has() {
    let (ours, theirs) = (json(call(&["features"])), json(runc(&["features"])));
    let list = |value: &Value, path: &str| -> Vec<String> {
        let list = value.pointer(path).and_then(Value::as_array).unwrap_or_else(|| panic!("no {path}"));
        list.iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    for path in [
        "/hooks",
        "/mountOptions",
        "/linux/namespaces",
        "/linux/capabilities",
        "/linux/seccomp/actions",
        "/linux/seccomp/operators",
        "/linux/seccomp/archs",
    ] {
        let ours = list(&ours, path);
        for word in list(&theirs, path) {
            assert!(ours.contains(&word), "{path}: {word} is missing");
        }
    }
    assert_eq!(ours["ociVersionMin"], "1.0.0");
    for flag in list(&ours, "/linux/seccomp/supportedFlags") {
        assert!(flag.starts_with("SECCOMP_FILTER_FLAG_"));
    }
    assert_eq!(ours["linux"]["netDevices"]["enabled"], true);
    assert!(list(&ours, "/linux/memoryPolicy/modes").contains(&"MPOL_BIND".to_owned()));
}

/// A configuration that names everything in `features` is accepted.
#[test]
fn what_features_names_is_understood() {
    let features = json(call(&["features"]));
    let linux = &features["linux"];
    let strings = |value: &Value| value.as_array().unwrap().clone();
    let capabilities = linux["capabilities"].clone();
    let rules: Vec<Value> = strings(&linux["seccomp"]["actions"])
        .iter()
        .zip(["open", "openat", "mkdir", "mkdirat", "unlink", "rmdir", "link", "symlink", "rename"])
        .map(|(action, name)| json!({ "names": [name], "action": action }))
        .chain(strings(&linux["seccomp"]["operators"]).iter().map(|op| {
            json!({ "names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "args": [{ "index": 1, "value": 7, "valueTwo": 7, "op": op }] })
        }))
        .collect();
    let namespaces: Vec<Value> = strings(&linux["namespaces"]).iter().map(|kind| json!({ "type": kind })).collect();
    let flags = strings(&linux["seccomp"]["supportedFlags"]);
    let map = json!([{ "containerID": 0, "hostID": 1, "size": 5 }]);
    for mode in strings(&linux["memoryPolicy"]["modes"]) {
        let config = json!({
            "ociVersion": features["ociVersionMax"], "root": { "path": "/r" },
            "process": { "args": ["true"], "cwd": "/", "capabilities": {
                "bounding": capabilities, "permitted": capabilities, "effective": capabilities, "inheritable": capabilities,
                "ambient": capabilities } },
            "linux": { "namespaces": namespaces, "uidMappings": map, "gidMappings": map,
                "memoryPolicy": { "mode": mode, "nodes": "0", "flags": linux["memoryPolicy"]["flags"] },
                "seccomp": { "defaultAction": "SCMP_ACT_ALLOW", "architectures": linux["seccomp"]["archs"], "flags": flags,
                    "listenerPath": "/l", "syscalls": rules } }
        });
        let mut child = Command::new(binary())
            .args(["explain", "--config", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), config.to_string().as_bytes()).unwrap();
        let said: Said = child.wait_with_output().unwrap().into();
        // Nothing but that this kernel executes one machine's programs only.
        let expected = |line: &str| line.contains("linux.seccomp.architectures");
        assert!(said.err.lines().all(expected), "{}", said.err);
        said.good();
    }
}

#[test]
#[ignore = "needs root: makes containers; and runc, to compare with"]
fn lists_and_states_look_like_runc_s() {
    let mut bundle = Bundle::script("sleep 100");
    bundle.set("annotations", json!({ "org.example": "x" }));
    let empty = bundle.path().join("empty");
    let empty = empty.to_str().unwrap();
    for args in [&["list"][..], &["list", "-q"], &["list", "--format", "json"]] {
        let args = [&["--root", empty], args].concat();
        assert_eq!(call(&args).good(), runc(&args).good(), "{args:?}");
    }
    bundle.run_detached();
    let theirs = bundle.path().join("runc");
    let their_name = format!("{}-runc", bundle.name);
    bundle.set("linux/cgroupsPath", json!(format!("/{their_name}")));
    bundle.command(&[]);
    let their = |args: &[&str]| {
        let mut command = Command::new("runc");
        command.arg("--root").arg(&theirs).args(args).current_dir(bundle.path()).stdin(Stdio::null());
        command
    };
    let started = their(&["run", "-d", &their_name]).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    let said = |args: &[&str]| -> String { Said::from(their(args).output().unwrap()).good() };
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        assert!(started.success());
        let keys = |value: &Value| {
            let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
            keys.sort();
            keys
        };
        let parse = |text: String| -> Value { serde_json::from_str(&text).unwrap() };
        let theirs = parse(said(&["state", &their_name]));
        assert_eq!(keys(&bundle.state()), keys(&theirs));
        let ours = parse(bundle.call(&["list", "-f", "json"]).good());
        let theirs = parse(said(&["list", "-f", "json"]));
        assert_eq!(keys(&ours[0]), keys(&theirs[0]));
        assert_eq!((&ours[0]["owner"], &ours[0]["status"]), (&theirs[0]["owner"], &theirs[0]["status"]));
        let table = |text: String| -> Vec<String> {
            text.lines().map(|line| line.split_whitespace().last().unwrap().to_owned()).collect()
        };
        assert_eq!(table(bundle.call(&["list"]).good()), table(said(&["list"])));
        assert!(parse(bundle.call(&["ps", "-f", "json", &bundle.name]).good())[0].is_i64());
        let columns = |text: String| text.lines().next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        for rest in [&[][..], &["-o", "pid,comm"], &["-e", "-f"]] {
            let args = |name| [&["ps", name][..], rest].concat();
            let (ours, theirs) = (bundle.call(&args(&bundle.name)).good(), said(&args(&their_name)));
            assert_eq!(
                (columns(ours.clone()), ours.lines().count()),
                (columns(theirs.clone()), theirs.lines().count())
            );
            assert!(ours.contains("sleep"), "{ours}");
        }
    }));
    let _ = their(&["delete", "-f", &their_name]).status();
    result.unwrap();
}

#[test]
#[ignore = "needs runc, to compare with"]
fn the_configuration_to_start_from_is_runc_s() {
    let dir = tempfile::tempdir().unwrap();
    for rootless in [false, true] {
        let [ours, theirs] = ["ours", "theirs"].map(|name| dir.path().join(format!("{name}-{rootless}")));
        let made = [(binary(), &ours), ("runc", &theirs)].map(|(program, folder)| {
            std::fs::create_dir(folder).unwrap();
            let mut command = Command::new(program);
            command.args(["spec", "-b"]).arg(folder).args(rootless.then_some("--rootless"));
            Said::from(command.output().unwrap()).good();
            let text = std::fs::read(folder.join("config.json")).unwrap();
            let mut value: Value = serde_json::from_slice(&text).unwrap();
            // Another name, other versions; this one has a cgroup namespace, the current lists of paths, and, for an ordinary user, no
            // cgroups to show.
            for pointer in ["/process", "/linux", "/root"] {
                assert!(value.pointer(pointer).is_some());
            }
            let linux = value["linux"].as_object_mut().unwrap();
            let masked = linux.remove("maskedPaths").unwrap();
            linux["namespaces"].as_array_mut().unwrap().retain(|n| n["type"] != "cgroup");
            value["mounts"].as_array_mut().unwrap().retain(|m| m["destination"] != "/sys/fs/cgroup");
            // The host's mounts below /sys are read-only here, too.
            for mount in value["mounts"].as_array_mut().unwrap() {
                if let Some(options) = mount["options"].as_array_mut() {
                    options.retain(|option| option != "rro");
                }
            }
            value["process"]["capabilities"].as_object_mut().unwrap().remove("ambient");
            for name in ["hostname", "ociVersion"] {
                value.as_object_mut().unwrap().remove(name);
            }
            (value, masked)
        });
        assert_eq!(made[0].0, made[1].0);
        let [ours, theirs] = made.map(|(_, masked)| masked.as_array().unwrap().clone());
        assert!(theirs.iter().all(|path| ours.contains(path)));
    }
    let again = Command::new(binary()).args(["spec", "-b"]).arg(dir.path().join("ours-false")).output().unwrap();
    Said::from(again).fails_with(1, "exists. Remove it first");
}

/// crun refuses the hybrid cgroup set-up; it gets a mount namespace without the second hierarchy.
fn start(program: &str) -> Command {
    if program != "crun" {
        return Command::new(program);
    }
    let mut command = Command::new("unshare");
    let script = "umount /sys/fs/cgroup/unified 2>/dev/null; exec crun \"$@\"";
    command.args(["-m", "sh", "-c", script, "crun"]);
    command
}

/// crun's own answers are the reference.
#[test]
#[ignore = "needs root: makes containers; and crun, to compare with"]
fn several_containers_are_named_by_an_expression() {
    for program in ["crun", binary()] {
        let mut bundle = Bundle::script("sleep 1000");
        let root = bundle.path().join(if program == "crun" { "crun" } else { "state" });
        let call = |args: &[&str], bundle: &Bundle| -> Said {
            bundle.command(&[]);
            let mut command = start(program);
            command.arg("--root").arg(&root).args(args).current_dir(bundle.path());
            command.stdin(Stdio::null()).output().unwrap().into()
        };
        let ids = ["web-1", "web-2", "db-1"];
        for id in ids {
            bundle.set("linux/cgroupsPath", json!(format!("/{}-{id}", bundle.name)));
            bundle.command(&[]);
            let mut command = start(program);
            command.arg("--root").arg(&root).args(["run", "-d", id]).current_dir(bundle.path());
            assert!(command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap().success());
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let listed = || call(&["list", "-q"], &bundle).good().lines().map(str::to_owned).collect::<Vec<_>>();
            let status = |id| json(call(&["state", id], &bundle))["status"].as_str().unwrap().to_owned();
            assert_eq!(call(&["kill", "--regex", "^web-[[:digit:]]$", "KILL"], &bundle).good(), "");
            wait_until("two ends", || status("web-1") == "stopped" && status("web-2") == "stopped");
            assert_eq!(status("db-1"), "running");
            assert_eq!(call(&["delete", "-r", "(web|none)-"], &bundle).good(), "");
            assert_eq!(listed(), ["db-1"]);
            let said = call(&["delete", "--regex", "b.1$"], &bundle);
            assert!(
                said.code == 0 && said.err.contains("db-1") && said.err.contains("not"),
                "{} {}",
                said.code,
                said.err
            );
            assert_eq!(listed(), ["db-1"]);
            if program != "crun" {
                // crun 1.8.1 dies of it.
                call(&["delete", "-r", "("], &bundle).fails_with(1, "invalid regular expression");
            }
            assert_eq!(call(&["delete", "-f", "-r", "."], &bundle).good(), "");
            assert!(listed().is_empty());
        }));
        for id in ids {
            call(&["delete", "-f", id], &bundle);
        }
        outcome.unwrap_or_else(|cause| std::panic::resume_unwind(cause));
    }
}

#[test]
fn what_crun_takes_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    call(&["spec", "-b", dir.path().to_str().unwrap(), "-f", "other.json"]).good();
    assert!(dir.path().join("other.json").exists() && !dir.path().join("config.json").exists());
    assert_eq!(call(&["kill", "--usage"]).good(), "Usage: carboy-runtime kill [OPTIONS] ID [SIGNAL]\n");
    let missing = dir.path().join("none");
    let said = call(&["create", "--no-subreaper", "-b", missing.to_str().unwrap(), "carboy-test-no-subreaper"]);
    said.fails_with(1, "none");
}
