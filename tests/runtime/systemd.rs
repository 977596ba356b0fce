//! Cgroups by systemd. Only where systemd is process 1 and cgroup v2 all there is: the lane boots a machine for them, everywhere else
//! nextest leaves them out (.config/nextest.toml).

use crate::common::{Bundle, Said, wait_until};
use crate::usage::{GREEDY, as_user, of_user};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs detached, by systemd. Its output goes nowhere.
fn start(bundle: &Bundle) {
    let mut command = bundle.command(&["--systemd-cgroup", "run", "-d", &bundle.name]);
    let err = bundle.path().join("err");
    let status = command.stdout(std::process::Stdio::null()).stderr(std::fs::File::create(&err).unwrap()).status();
    assert!(status.unwrap().success(), "{}", std::fs::read_to_string(err).unwrap());
}

fn show(unit: &str, property: &str) -> String {
    let output = Command::new("systemctl").args(["show", unit, "--value", "-p", property]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn read(folder: &Path, file: &str) -> String {
    let path = folder.join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).trim().to_owned()
}

fn call(bundle: &Bundle, args: &[&str]) -> Said {
    bundle.call(&[args, &[&bundle.name]].concat())
}

#[test]
#[ignore = "needs systemd as process 1 and cgroup v2: run by the lane"]
fn a_scope_s_whole_life() {
    let mut bundle = Bundle::script("exec sleep 1000");
    bundle.set("linux/cgroupsPath", json!(format!("carboy-deep.slice:pre:{}", bundle.name)));
    bundle.config["annotations"] = json!({ "org.systemd.property.TimeoutStopSec": "7" });
    bundle.set(
        "linux/resources",
        json!({
            "memory": { "limit": 64 << 20, "swap": 64 << 20 },
            "cpu": { "shares": 512, "quota": 33333, "period": 100000, "cpus": "0" },
            "pids": { "limit": 33 },
            "unified": { "memory.high": "50331648" },
            "devices": [{ "allow": false }, { "allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw" }]
        }),
    );
    start(&bundle);
    let unit = format!("pre-{}.scope", bundle.name);
    let folder = PathBuf::from("/sys/fs/cgroup/carboy.slice/carboy-deep.slice").join(&unit);
    for (property, expected) in [
        ("Slice", "carboy-deep.slice"),
        ("Delegate", "yes"),
        ("MemoryMax", "67108864"),
        ("MemorySwapMax", "0"),
        ("MemoryHigh", "50331648"),
        ("CPUQuotaPerSecUSec", "340ms"),
        ("CPUWeight", "59"),
        ("TasksMax", "33"),
        ("AllowedCPUs", "0"),
        ("DevicePolicy", "strict"),
        ("TimeoutStopUSec", "7s"),
    ] {
        assert_eq!(show(&unit, property), expected, "{property}");
    }
    assert!(show(&unit, "DeviceAllow").contains("/dev/char/10:229 rw"));
    for (file, expected) in
        [("memory.max", "67108864"), ("cpu.max", "33333 100000"), ("pids.max", "33"), ("cpuset.cpus", "0")]
    {
        assert_eq!(read(&folder, file), expected, "{file}");
    }
    assert_eq!(read(&folder, "cgroup.procs"), bundle.state()["pid"].to_string());
    // A further process is in the scope too, and sees it as its root.
    assert_eq!(bundle.call(&["exec", &bundle.name, "cat", "/proc/self/cgroup"]).good(), "0::/\n");
    call(&bundle, &["update", "--cpu-quota", "20000", "--pids-limit", "44", "--memory", "96M", "--memory-swap", "96M"])
        .good();
    let reload = Command::new("systemctl").arg("daemon-reload").status().unwrap();
    assert!(reload.success());
    for (file, expected) in [("memory.max", "100663296"), ("cpu.max", "20000 100000"), ("pids.max", "44")] {
        assert_eq!(read(&folder, file), expected, "{file}, after systemd has read its units again");
    }
    assert_eq!((show(&unit, "TasksMax").as_str(), show(&unit, "CPUQuotaPerSecUSec").as_str()), ("44", "200ms"));
    // One that fails midway is taken back, in the files and in what systemd knows.
    let path = bundle.path().join("resources.json");
    let resources = json!({
        "pids": { "limit": 55 }, "memory": { "limit": 80 << 20, "swap": 80 << 20 },
        "blockIO": { "throttleReadBpsDevice": [{ "major": 250, "minor": 77, "rate": 1000 }] }
    });
    std::fs::write(&path, resources.to_string()).unwrap();
    call(&bundle, &["update", "--resources", path.to_str().unwrap()]).fails_with(1, "throttleReadBpsDevice[0]");
    assert!(Command::new("systemctl").arg("daemon-reload").status().unwrap().success());
    for (file, expected) in [("memory.max", "100663296"), ("pids.max", "44"), ("memory.swap.max", "0")] {
        assert_eq!(read(&folder, file), expected, "{file}, after an update that failed");
    }
    assert_eq!((show(&unit, "TasksMax").as_str(), show(&unit, "MemoryMax").as_str()), ("44", "100663296"));
    call(&bundle, &["pause"]).good();
    assert_eq!((bundle.status().as_str(), read(&folder, "cgroup.freeze").as_str()), ("paused", "1"));
    call(&bundle, &["resume"]).good();
    let event: Value = serde_json::from_str(&call(&bundle, &["events", "--stats"]).good()).unwrap();
    assert_eq!(event["data"]["pids"]["limit"], 44);
    let hog = bundle.call(&["exec", &bundle.name, "sh", "-c", GREEDY]);
    assert_eq!(hog.code, 137, "{}", hog.err);
    call(&bundle, &["delete", "-f"]).good();
    assert!(!folder.exists());
    assert_eq!(show(&unit, "LoadState"), "not-found");
}

#[test]
#[ignore = "needs systemd as process 1 and cgroup v2: run by the lane"]
fn names_by_default_and_names_that_are_refused() {
    let mut bundle = Bundle::script("cat /proc/self/cgroup");
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().retain(|ns| ns["type"] != "cgroup");
    bundle.set("linux/cgroupsPath", json!(""));
    let run = |bundle: &Bundle| bundle.call(&["--systemd-cgroup", "run", &bundle.name]);
    assert_eq!(run(&bundle).good(), format!("0::/system.slice/carboy-{}.scope\n", bundle.name));
    bundle.set("linux/cgroupsPath", json!("/docker/x"));
    run(&bundle).fails_with(1, "is not of the form \"slice:prefix:name\"");
    bundle.set("linux/cgroupsPath", json!("::x"));
    bundle.config["annotations"] = json!({ "org.systemd.property.NoSuchThing": "true" });
    let said = run(&bundle);
    said.fails_with(1, "start -x.scope by systemd: org.freedesktop.DBus.Error.");
    assert!(said.err.contains("NoSuchThing"), "{}", said.err);
    bundle.config["annotations"] = json!({ "org.systemd.property.Nice": "[" });
    run(&bundle).fails_with(1, "annotations[\"org.systemd.property.Nice\"]: ");
    // As crun spells it.
    bundle.config["annotations"] = json!({});
    let out = bundle.call(&["--cgroup-manager=systemd", "run", &bundle.name]).good();
    assert_eq!(out, "0::/system.slice/-x.scope\n");
}

#[test]
#[ignore = "needs systemd as process 1 and cgroup v2: run by the lane"]
fn a_scope_in_use_is_left_alone() {
    let mut first = Bundle::script("exec sleep 1000");
    first.set("linux/cgroupsPath", json!(format!(":one:{}", first.name)));
    start(&first);
    let mut second = Bundle::script("true");
    second.set("linux/cgroupsPath", json!(format!(":one:{}", first.name)));
    let said = second.call(&["--systemd-cgroup", "run", &second.name]);
    said.fails_with(1, "org.freedesktop.systemd1.UnitExists");
    assert_eq!(first.status(), "running");
    // A small container, and one without room for a second process.
    let mut small = Bundle::script("exec true");
    small.set("linux/cgroupsPath", json!(format!(":small:{}", small.name)));
    small.set("linux/resources", json!({ "memory": { "limit": 512 << 10 }, "pids": { "limit": 1 } }));
    small.call(&["--systemd-cgroup", "run", &small.name]).good();
    call(&first, &["delete", "-f"]).good();
}

/// The user whose systemd the lane has started.
fn user() -> u32 {
    std::env::var("CARBOY_TEST_USER").expect("the lane names the user").parse().unwrap()
}

#[test]
#[ignore = "needs systemd as process 1 and cgroup v2: run by the lane"]
fn a_scope_of_a_user_s_systemd() {
    let uid = user();
    let manager = PathBuf::from(format!("/sys/fs/cgroup/user.slice/user-{uid}.slice/user@{uid}.service"));
    wait_until("the user's systemd", || Path::new(&format!("/run/user/{uid}/bus")).exists());
    let mut bundle = of_user("exec sleep 1000", uid);
    bundle.set("linux/cgroupsPath", json!(format!("user.slice:pre:{}", bundle.name)));
    bundle.set(
        "linux/resources",
        json!({ "memory": { "limit": 32 << 20 }, "pids": { "limit": 21 }, "devices": [{ "allow": false }] }),
    );
    let before = format!("export XDG_RUNTIME_DIR=/run/user/{uid}; unset DBUS_SESSION_BUS_ADDRESS");
    as_user(&bundle, uid, &before, &["--systemd-cgroup", "run", "-d", &bundle.name]).good();
    let folder = manager.join("user.slice").join(format!("pre-{}.scope", bundle.name));
    assert_eq!((read(&folder, "pids.max").as_str(), read(&folder, "memory.max").as_str()), ("21", "33554432"));
    // The caller is outside of what the user's systemd has been given: only systemd can move a process there.
    let inside = as_user(&bundle, uid, &before, &["exec", &bundle.name, "cat", "/proc/self/cgroup"]).good();
    assert_eq!(inside, "0::/\n");
    // By the bus alone, too.
    let by_bus = format!("{before}; export DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/{uid}/bus");
    as_user(&bundle, uid, &by_bus, &["update", "--pids-limit", "22", &bundle.name]).good();
    assert_eq!(read(&folder, "pids.max"), "22");
    as_user(&bundle, uid, &before, &["delete", "-f", &bundle.name]).good();
    assert!(!folder.exists());
    let nowhere = "export XDG_RUNTIME_DIR=/nonexistent; unset DBUS_SESSION_BUS_ADDRESS";
    let said = as_user(&bundle, uid, nowhere, &["--systemd-cgroup", "run", &bundle.name]);
    said.fails_with(1, "the user's systemd does not answer");
}

#[test]
#[ignore = "needs systemd as process 1 and cgroup v2: run by the lane"]
fn the_system_bus_does_as_well() {
    let mut bundle = Bundle::script("exec sleep 1000");
    bundle.set("linux/cgroupsPath", json!(format!(":bus:{}", bundle.name)));
    let mut command = bundle.command(&["--systemd-cgroup", "run", "-d", &bundle.name]);
    let address = "unix:path=/run/dbus/system_bus_socket";
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    assert!(command.env("DBUS_SYSTEM_BUS_ADDRESS", address).status().unwrap().success());
    let unit = format!("bus-{}.scope", bundle.name);
    assert_eq!(show(&unit, "ActiveState"), "active");
    let mut command = bundle.command(&["delete", "-f", &bundle.name]);
    assert!(command.env("DBUS_SYSTEM_BUS_ADDRESS", address).status().unwrap().success());
    assert_eq!(show(&unit, "LoadState"), "not-found");
}

/// systemd makes a scope for CRIU, and what that restores is born in it.
#[test]
#[ignore = "needs systemd as process 1 and cgroup v2, a kernel that CRIU works on: run by the lane"]
fn a_restored_container_is_in_a_scope() {
    let mut bundle = Bundle::script("i=0; while :; do i=$((i+1)); echo $i > /new; mv /new /count; sleep 0.05; done");
    bundle.set("linux/cgroupsPath", json!(format!(":again:{}", bundle.name)));
    bundle.set("linux/resources", json!({ "memory": { "limit": 64 << 20 }, "pids": { "limit": 33 } }));
    // Without streams of the host's, which CRIU could not save.
    let null = std::process::Stdio::null;
    let mut command = bundle.command(&["--systemd-cgroup", "run", "-d", &bundle.name]);
    assert!(command.stdout(null()).stderr(null()).status().unwrap().success());
    let unit = format!("again-{}.scope", bundle.name);
    let folder = PathBuf::from("/sys/fs/cgroup/system.slice").join(&unit);
    let count =
        || std::fs::read_to_string(bundle.rootfs().join("count")).ok().and_then(|t| t.trim().parse().ok()).unwrap_or(0);
    wait_until("some counting", || count() > 3);
    call(&bundle, &["checkpoint", "--image-path=images", "--work-path=work"]).good();
    wait_until("the scope's end", || show(&unit, "LoadState") == "not-found");
    let before: u64 = count();
    let mut command = bundle.command(&["--systemd-cgroup", "restore", "-d", "--image-path=images", &bundle.name]);
    let err = bundle.path().join("err");
    let status = command.stdout(null()).stderr(std::fs::File::create(&err).unwrap()).status();
    let log = || std::fs::read_to_string(bundle.path().join("images/restore.log")).unwrap_or_default();
    assert!(status.unwrap().success(), "{}\n{}", std::fs::read_to_string(&err).unwrap(), log());
    wait_until("more counting", || count() > before + 3);
    assert_eq!((show(&unit, "ActiveState").as_str(), show(&unit, "TasksMax").as_str()), ("active", "33"));
    assert_eq!((read(&folder, "memory.max").as_str(), read(&folder, "pids.max").as_str()), ("67108864", "33"));
    let pid = bundle.state()["pid"].to_string();
    assert!(read(&folder, "cgroup.procs").lines().any(|line| line == pid));
    assert_eq!(bundle.call(&["exec", &bundle.name, "cat", "/proc/self/cgroup"]).good(), "0::/\n");
    call(&bundle, &["update", "--pids-limit", "44"]).good();
    assert_eq!((show(&unit, "TasksMax").as_str(), read(&folder, "pids.max").as_str()), ("44", "44"));
    call(&bundle, &["delete", "-f"]).good();
    assert!(!folder.exists());
    assert_eq!(show(&unit, "LoadState"), "not-found");
}
