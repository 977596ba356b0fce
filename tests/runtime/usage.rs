//! `update` and `events`: limits changed, usage told, on whichever cgroup version the machine has.

use crate::cgroups::file;
use crate::common::{Bundle, cgroups_of, wait_until};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

pub(crate) fn is_v2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// Quota and period in µs.
fn cpu(bundle: &Bundle) -> String {
    if is_v2() {
        return file(bundle, &["cpu.max"]);
    }
    format!("{} {}", file(bundle, &["cpu.cfs_quota_us"]), file(bundle, &["cpu.cfs_period_us"]))
}

fn sleeping(resources: Value) -> Bundle {
    let mut bundle = Bundle::script("exec sleep 100");
    bundle.set("linux/resources", resources);
    bundle.run_detached();
    bundle
}

#[test]
#[ignore = "needs root: makes containers and cgroups"]
fn each_option_changes_its_limit_and_no_other() {
    let bundle = sleeping(json!({
        "memory": { "limit": 64 << 20, "swap": 64 << 20 },
        "cpu": { "quota": 50000, "period": 50000, "shares": 1024 },
        "pids": { "limit": 33 }
    }));
    let update = |options: &[&str]| bundle.call(&[&["update"], options, &[&bundle.name]].concat()).good();
    assert_eq!(cpu(&bundle), "50000 50000");
    update(&["--cpu-quota", "20000"]);
    assert_eq!(cpu(&bundle), "20000 50000", "the period stays");
    update(&["--cpu-period", "40000"]);
    assert_eq!(cpu(&bundle), "20000 40000", "the quota stays");
    update(&[
        "--cpu-share",
        "2048",
        "--memory-reservation",
        "32M",
        "--cpuset-cpus",
        "0",
        "--cpuset-mems=0",
        "--memory=",
    ]);
    let shares = file(&bundle, &["cpu.weight", "cpu.shares"]);
    assert_eq!(shares, if is_v2() { "174" } else { "2048" });
    assert_eq!(file(&bundle, &["memory.low", "memory.soft_limit_in_bytes"]), (32 << 20).to_string());
    assert_eq!((file(&bundle, &["cpuset.cpus"]).as_str(), file(&bundle, &["cpuset.mems"]).as_str()), ("0", "0"));
    update(&["--cpu-quota", "-1", "--pids-limit", "-1"]);
    assert!(cpu(&bundle).starts_with(if is_v2() { "max" } else { "-1" }), "{}", cpu(&bundle));
    assert_eq!(file(&bundle, &["pids.max"]), "max");
    update(&["--pids-limit", "0"]);
    assert_eq!(file(&bundle, &["pids.max"]), "1", "as runc since 1.4");
    // Both up, both down, and no limit at all, in whatever order the kernel needs.
    for (limit, swap) in [("96M", "128M"), ("48M", "48M"), ("-1", "-1")] {
        update(&["--memory", limit, "--memory-swap", swap]);
    }
    let lifted = file(&bundle, &["memory.max", "memory.limit_in_bytes"]);
    assert!(lifted == "max" || lifted.parse::<u64>().unwrap() > 1 << 60, "{lifted}");
    let said = bundle.call(&["update", "--kernel-memory", "5M", &bundle.name]);
    assert!(said.code == 0 && said.err.contains("--kernel-memory is ignored"), "{}", said.err);
}

#[test]
#[ignore = "needs root: makes containers and cgroups"]
fn limits_come_from_standard_input_and_what_is_wrong_is_refused() {
    let bundle = sleeping(json!({ "memory": { "limit": 64 << 20 }, "pids": { "limit": 33 } }));
    let mut command = bundle.command(&["update", "--pids-limit", "77", "-r", "-", &bundle.name]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let text =
        json!({ "pids": { "limit": 44 }, "memory": { "limit": 32 << 20, "checkBeforeUpdate": true } }).to_string();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(file(&bundle, &["pids.max"]), "44", "what a file says replaces the options");
    assert_eq!(file(&bundle, &["memory.max", "memory.limit_in_bytes"]), (32 << 20).to_string());
    for (options, words) in [
        (&["--cpuset-cpus", "99999"][..], "linux.resources.cpu.cpus: write \"99999\""),
        (&["--memory", "64M", "--memory-swap", "32M"], "linux.resources.memory.swap: "),
        (&["--memory", "much"], "\"much\" is no number of bytes"),
        (&["--cpu-quota", "x"], "\"x\" is no number"),
        (&["--l3-cache-schema", "x"], "Intel RDT is not supported"),
        (&["--blkio-weight", "5"], "linux.resources.blockIO.weight: 5 is not between 10 and 1000"),
    ] {
        bundle.call(&[&["update"], options, &[&bundle.name]].concat()).fails_with(1, words);
    }
    bundle.call(&["kill", &bundle.name, "KILL"]).good();
    bundle.wait_for("stopped");
    bundle.call(&["update", "--pids-limit", "5", &bundle.name]).fails_with(1, "container not running");
}

/// v1's kernel refuses it by itself.
#[test]
#[ignore = "needs root: makes containers and cgroups"]
fn a_limit_below_what_is_used_is_refused_if_asked_for() {
    let mut bundle = Bundle::script("dd if=/dev/zero of=/dev/shm/x bs=1M count=32; echo done > /tmp/done; sleep 1000");
    bundle.set("linux/resources", json!({ "memory": { "limit": 128 << 20 } }));
    bundle.run_detached();
    let done = bundle.rootfs().join("tmp/done");
    crate::common::wait_until("32 MiB", || std::fs::read_to_string(&done).is_ok_and(|text| !text.is_empty()));
    let path = bundle.path().join("resources.json");
    let update = |limit: u64| {
        let resources = json!({ "memory": { "limit": limit, "checkBeforeUpdate": true } });
        std::fs::write(&path, resources.to_string()).unwrap();
        bundle.call(&["update", "--resources", path.to_str().unwrap(), &bundle.name])
    };
    update(16 << 20).fails_with(1, "linux.resources.memory.");
    assert_eq!(file(&bundle, &["memory.max", "memory.limit_in_bytes"]), (128 << 20).to_string());
    assert_eq!(bundle.status(), "running");
    update(64 << 20).good();
    assert_eq!(file(&bundle, &["memory.max", "memory.limit_in_bytes"]), (64 << 20).to_string());
}

#[test]
#[ignore = "needs root: makes containers and cgroups"]
fn files_of_the_unified_hierarchy_are_for_pure_v2() {
    let mut bundle = Bundle::script("exec sleep 100");
    bundle.set("linux/resources", json!({ "unified": { "memory.high": "33554432", "pids.max": "17" } }));
    if is_v2() {
        bundle.run_detached();
        assert_eq!(file(&bundle, &["memory.high"]), "33554432");
        assert_eq!(file(&bundle, &["pids.max"]), "17");
        let mut other = Bundle::script("true");
        other.set("linux/resources", json!({ "unified": { "memory.nonsense": "1" } }));
        other.run().fails_with(1, "linux.resources.unified[\"memory.nonsense\"]");
    } else {
        bundle.run().fails_with(1, "linux.resources.unified[\"memory.high\"]: there is no unified hierarchy");
    }
}

/// A string that doubles until there is no room.
pub(crate) const GREEDY: &str = "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done";

#[test]
#[ignore = "needs root: makes containers and cgroups"]
fn what_is_killed_for_want_of_memory_is_told() {
    let bundle = sleeping(json!({ "memory": { "limit": 24 << 20, "swap": 24 << 20 } }));
    let mut events = bundle.command(&["events", "--interval", "1h", &bundle.name]);
    let mut events = events.stdout(Stdio::piped()).spawn().unwrap();
    // Only what happens while it watches is told: on the way to its wait it opens what it waits for.
    let watching = || {
        let fds = std::fs::read_dir(format!("/proc/{}/fd", events.id())).into_iter().flatten().flatten();
        let mut links = fds.filter_map(|fd| std::fs::read_link(fd.path()).ok());
        let wanted = if is_v2() { "inotify" } else { "eventfd" };
        links.any(|link| link.to_string_lossy().contains(wanted))
    };
    wait_until("the watch", watching);
    let hog = bundle.call(&["exec", &bundle.name, "sh", "-c", GREEDY]);
    assert_eq!(hog.code, 137, "{}", hog.err);
    let mut lines = BufReader::new(events.stdout.take().unwrap()).lines();
    let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(line, json!({ "type": "oom", "id": bundle.name }));
    bundle.call(&["kill", &bundle.name, "KILL"]).good();
    assert!(events.wait().unwrap().success(), "it ends with the container");
}

#[test]
#[ignore = "needs root: makes containers and cgroups"]
fn usage_comes_again_and_again() {
    let bundle = sleeping(json!({ "pids": { "limit": 33 } }));
    let mut events = bundle.command(&["events", "--interval", "50ms", &bundle.name]);
    let mut events = events.stdout(Stdio::piped()).spawn().unwrap();
    let lines: Vec<String> =
        BufReader::new(events.stdout.take().unwrap()).lines().take(3).map(Result::unwrap).collect();
    for line in lines {
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&line["type"], &line["data"]["pids"]["limit"]), (&json!("stats"), &json!(33)));
    }
    let _ = events.kill();
    let _ = events.wait();
    bundle
        .call(&["events", "--interval", "0s", &bundle.name])
        .fails_with(1, "duration interval must be greater than 0");
}

/// Every key that runc prints is there.
fn assert_covers(ours: &Value, theirs: &Value, path: &str) {
    let Some(keys) = theirs.as_object() else { return };
    for (key, value) in keys {
        let path = format!("{path}.{key}");
        // What the kernel has not counted yet is left out by both.
        let zero = ["usage", "max", "cache", "periods", "throttledPeriods", "throttledTime"].contains(&key.as_str());
        assert!(!ours[key].is_null() || value.is_null() || zero, "{path} is missing in {ours}");
        assert_covers(&ours[key], value, &path);
    }
}

#[test]
#[ignore = "needs root: makes containers and cgroups; runs runc"]
fn statistics_have_runc_s_form() {
    let bundle = sleeping(json!({ "memory": { "limit": 64 << 20 }, "pids": { "limit": 33 } }));
    let ours = bundle.call(&["events", "--stats", &bundle.name]).good();
    let other = Bundle::script("exec sleep 100");
    drop(other.command(&["state"]));
    let runc = |args: &[&str]| {
        let mut command = Command::new("runc");
        command.arg("--root").arg(other.path().join("runc")).args(args).current_dir(other.path()).stdin(Stdio::null());
        command
    };
    let made = runc(&["run", "-d", &other.name]).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    let theirs = runc(&["events", "--stats", &other.name]).output().unwrap();
    let _ = runc(&["delete", "-f", &other.name]).output();
    assert!(made.success() && theirs.status.success(), "{}", String::from_utf8_lossy(&theirs.stderr));
    let (ours, theirs): (Value, Value) =
        (serde_json::from_str(&ours).unwrap(), serde_json::from_slice(&theirs.stdout).unwrap());
    assert_covers(&ours, &theirs, "");
}

#[test]
#[ignore = "needs root: makes containers and cgroups"]
fn a_paused_container_can_be_removed() {
    let bundle = sleeping(json!({}));
    bundle.call(&["pause", &bundle.name]).good();
    assert_eq!(bundle.status(), "paused");
    bundle.call(&["pause", &bundle.name]).fails_with(1, "container not running or created");
    let said = bundle.call(&["ps", "-f", "json", &bundle.name]).good();
    assert_eq!(said.trim(), format!("[{}]", bundle_pid(&bundle)));
    bundle.call(&["delete", "-f", &bundle.name]).good();
    assert!(cgroups_of(&bundle.name).is_empty());
}

fn bundle_pid(bundle: &Bundle) -> String {
    bundle.state()["pid"].to_string()
}

#[test]
#[ignore = "needs root: makes containers and cgroups"]
fn a_cgroup_in_use_is_left_alone() {
    let first = sleeping(json!({}));
    let mut second = Bundle::script("true");
    second.set("linux/cgroupsPath", json!(format!("/{}", first.name)));
    second.run().fails_with(1, "exists and has processes in it");
    assert_eq!(first.status(), "running", "the other container has not been killed");
    assert_eq!(second.call(&["state", &second.name]).code, 1, "nothing is left of the second");
}

#[test]
#[ignore = "needs root: makes containers"]
fn without_cgroups_a_container_stays_where_it_was_called() {
    let mut bundle = Bundle::script("cat /proc/self/cgroup");
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().retain(|ns| ns["type"] != "cgroup");
    let out = bundle.call(&["--cgroup-manager", "disabled", "run", &bundle.name]).good();
    assert_eq!(out, std::fs::read_to_string("/proc/self/cgroup").unwrap());
    bundle.set("linux/resources", json!({ "pids": { "limit": 5 } }));
    bundle
        .call(&["--cgroup-manager=disabled", "run", &bundle.name])
        .fails_with(1, "linux.resources.pids.limit: is given");
    bundle.call(&["--cgroup-manager", "other", "run", &bundle.name]).fails_with(1, "cgroupfs, systemd or disabled");
    if !Path::new("/run/systemd/system").exists() {
        bundle.set("linux/cgroupsPath", json!("system.slice:test:x"));
        let said = bundle.call(&["--systemd-cgroup", "run", &bundle.name]);
        said.fails_with(1, "systemd is not running on this machine");
    }
}

/// An ordinary user with a cgroup that is theirs: made by root, as a service manager would.
struct Delegated {
    folders: Vec<std::path::PathBuf>,
}

impl Delegated {
    fn new(name: &str, uid: u32) -> Delegated {
        let mounts: Vec<_> = if is_v2() {
            vec!["/sys/fs/cgroup".into()]
        } else {
            let all =
                std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten().filter(|e| !e.file_type().unwrap().is_symlink());
            all.map(|entry| entry.path()).collect()
        };
        let delegated = Delegated { folders: mounts.iter().map(|mount| mount.join(name)).collect() };
        for folder in &delegated.folders {
            std::fs::create_dir(folder).unwrap();
            std::fs::create_dir(folder.join("caller")).unwrap();
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if folder.join(file).exists() && !is_v2() {
                    let value = std::fs::read_to_string(folder.parent().unwrap().join(file)).unwrap();
                    std::fs::write(folder.join(file), &value).unwrap();
                    std::fs::write(folder.join("caller").join(file), &value).unwrap();
                }
            }
            for one in [folder.clone(), folder.join("caller")] {
                for file in ["", "cgroup.procs", "cgroup.subtree_control", "tasks"] {
                    let path = one.join(file);
                    if path.exists() {
                        std::os::unix::fs::chown(path, Some(uid), Some(uid)).unwrap();
                    }
                }
            }
        }
        delegated
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        for folder in &self.folders {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten().filter(|e| e.path().is_dir()) {
                let _ = std::fs::remove_dir(entry.path());
            }
            let _ = std::fs::remove_dir(folder);
        }
    }
}

/// A bundle for an ordinary user, with a user namespace of one.
pub(crate) fn of_user(script: &str, uid: u32) -> Bundle {
    let mut bundle = Bundle::script(script);
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    let map = json!([{ "containerID": 0, "hostID": uid, "size": 1 }]);
    bundle.set("linux/uidMappings", map.clone());
    bundle.set("linux/gidMappings", map);
    bundle.config["mounts"]
        .as_array_mut()
        .unwrap()
        .retain(|m| m["destination"] != "/dev/pts" && m["destination"] != "/sys");
    std::fs::create_dir_all(bundle.rootfs().join("sys/fs/cgroup")).unwrap();
    drop(bundle.command(&["state"]));
    let given = Command::new("chown").arg("-R").arg(format!("{uid}:{uid}")).arg(bundle.path()).status().unwrap();
    assert!(given.success());
    bundle
}

/// The runtime called by an ordinary user, in a shell that may prepare something as root.
pub(crate) fn as_user(bundle: &Bundle, uid: u32, before: &str, args: &[&str]) -> crate::common::Said {
    drop(bundle.command(&["state"]));
    let program = bundle.path().join("runtime");
    if !program.exists() {
        crate::common::copy_binary(&program);
    }
    let script =
        format!("{before}\nexec setpriv --reuid {uid} --regid {uid} --clear-groups \"$0\" --root state \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(program).args(args).current_dir(bundle.path()).stdin(Stdio::null());
    // Whoever holds a pipe would wait for the container.
    let [out, err] = ["user.out", "user.err"].map(|name| bundle.path().join(name));
    command.stdout(std::fs::File::create(&out).unwrap()).stderr(std::fs::File::create(&err).unwrap());
    let code = command.status().unwrap().code().unwrap_or(-1);
    let text = |path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    crate::common::Said { code, out: text(out), err: text(err) }
}

const SOMEBODY: u32 = 12_347;

#[test]
#[ignore = "needs root: becomes an ordinary user"]
fn a_user_without_a_cgroup_has_no_limits_and_asks_for_none() {
    let mut bundle = of_user("echo ran", SOMEBODY);
    assert_eq!(as_user(&bundle, SOMEBODY, "", &["run", &bundle.name]).good(), "ran\n");
    bundle.set("linux/resources", json!({ "pids": { "limit": 5 } }));
    let said = as_user(&bundle, SOMEBODY, "", &["run", &bundle.name]);
    said.fails_with(1, "mkdir /sys/fs/cgroup/");
    assert!(said.err.contains("permission denied"), "{}", said.err);
}

#[test]
#[ignore = "needs root: becomes an ordinary user, makes cgroups"]
fn a_user_with_a_cgroup_has_limits() {
    let mut bundle = of_user("exec sleep 100", SOMEBODY);
    let folder = format!("{}-given", bundle.name);
    let delegated = Delegated::new(&folder, SOMEBODY);
    if is_v2() {
        std::fs::write(delegated.folders[0].join("cgroup.subtree_control"), "+memory +pids").unwrap();
    }
    bundle.set("linux/cgroupsPath", json!(format!("/{folder}/box")));
    bundle.set(
        "linux/resources",
        json!({ "memory": { "limit": 32 << 20 }, "pids": { "limit": 21 }, "devices": [{ "allow": false }] }),
    );
    let moves = delegated.folders.iter().map(|folder| format!("echo 0 > {}/caller/cgroup.procs\n", folder.display()));
    let before: String = moves.collect();
    as_user(&bundle, SOMEBODY, &before, &["run", "-d", &bundle.name]).good();
    let read = |name: &str| {
        let found = delegated.folders.iter().map(|folder| folder.join("box").join(name)).find(|path| path.exists());
        std::fs::read_to_string(found.unwrap()).unwrap().trim().to_owned()
    };
    assert_eq!(read("pids.max"), "21");
    assert_eq!(read(if is_v2() { "memory.max" } else { "memory.limit_in_bytes" }), (32 << 20).to_string());
    let said = as_user(&bundle, SOMEBODY, &before, &["exec", &bundle.name, "cat", "/proc/self/cgroup"]).good();
    assert!(!said.contains("caller"), "{said}");
    as_user(&bundle, SOMEBODY, &before, &["update", "--pids-limit", "22", &bundle.name]).good();
    assert_eq!(read("pids.max"), "22");
    as_user(&bundle, SOMEBODY, &before, &["delete", "-f", &bundle.name]).good();
    assert!(delegated.folders.iter().all(|folder| !folder.join("box").exists()));
}
