//! Limits, read back from the kernel.

use crate::common::{Bundle, Said, binary, cgroups_of};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) fn file(bundle: &Bundle, names: &[&str]) -> String {
    let folders = cgroups_of(&bundle.name);
    let found =
        folders.iter().flat_map(|folder| names.iter().map(move |name| folder.join(name))).find(|path| path.exists());
    std::fs::read_to_string(found.unwrap_or_else(|| panic!("none of {names:?} in {folders:?}")))
        .unwrap()
        .trim()
        .to_owned()
}

#[test]
#[ignore = "needs root: makes containers and cgroups"]
fn limits_are_written() {
    let mut bundle = Bundle::script("sleep 100");
    bundle.set(
        "linux/resources",
        json!({ "memory": { "limit": 64 << 20 }, "cpu": { "quota": 50000, "period": 100000 }, "pids": { "limit": 33 } }),
    );
    bundle.run_detached();
    assert_eq!(file(&bundle, &["memory.max", "memory.limit_in_bytes"]), (64 << 20).to_string());
    assert_eq!(file(&bundle, &["pids.max"]), "33");
    let cpu = file(&bundle, &["cpu.max", "cpu.cfs_quota_us"]);
    assert!(cpu.starts_with("50000"), "{cpu}");
    let pid = bundle.state()["pid"].to_string();
    assert_eq!(file(&bundle, &["cgroup.procs"]), pid);
}

#[test]
#[ignore = "needs root: makes containers and cgroups"]
fn limits_hold() {
    let mut bundle = Bundle::script("for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done; wait");
    bundle.set("linux/resources", json!({ "pids": { "limit": 5 } }));
    let said = bundle.run();
    assert!(said.err.contains("Resource temporarily unavailable") || said.err.contains("can't fork"), "{}", said.err);
    let mut bundle = Bundle::script("dd if=/dev/zero of=/dev/shm/x bs=1M count=32; echo survived");
    bundle.set("linux/resources", json!({ "memory": { "limit": 8 << 20, "swap": 8 << 20 } }));
    let said = bundle.run();
    assert!(said.err.contains("Killed") || said.code == 137, "{} {} {}", said.code, said.out, said.err);
}

#[test]
#[ignore = "needs root: makes containers and cgroups"]
fn a_small_container_fits_into_little_memory() {
    let mut bundle = Bundle::new();
    bundle.set("linux/resources", json!({ "memory": { "limit": 512 << 10 } }));
    bundle.run().good();
}

#[test]
#[ignore = "needs root: makes containers and cgroups"]
fn device_rules_hold() {
    let mut bundle = Bundle::script("head -c 1 /dev/zero | wc -c; head -c 1 /dev/kmsg2");
    bundle.set("linux/devices", json!([{ "path": "/dev/kmsg2", "type": "c", "major": 1, "minor": 11 }]));
    bundle.set("linux/resources", json!({ "devices": [{ "allow": false, "access": "rwm" }] }));
    let said = bundle.run();
    assert_eq!(said.out, "1\n");
    assert!(said.err.contains("Operation not permitted"), "{}", said.err);
}

#[test]
#[ignore = "needs root: makes containers and cgroups"]
fn nodes_are_made_and_only_some_can_be_used() {
    let script = "mknod /tmp/null c 1 3 && echo x > /tmp/null && echo null; mknod /tmp/kmsg c 1 11 && echo made; \
        head -c 1 /tmp/kmsg; mknod /tmp/fuse c 10 229 && head -c 1 < /tmp/fuse; mknod /tmp/rtc c 250 77; echo $?";
    let mut bundle = Bundle::script(script);
    let mut capabilities = crate::common::CAPABILITIES.to_vec();
    capabilities.push("CAP_MKNOD");
    for set in ["bounding", "effective", "permitted"] {
        bundle.config["process"]["capabilities"][set] = json!(capabilities);
    }
    bundle.set(
        "linux/resources",
        json!({ "devices": [
            { "allow": false, "access": "rwm" },
            { "allow": true, "type": "c", "major": 10, "minor": 229, "access": "w" }
        ] }),
    );
    let said = bundle.run();
    assert_eq!(said.out, "null\nmade\n0\n", "{}", said.err);
    let refused = said.err.matches("Operation not permitted").count();
    assert_eq!(refused, 2, "kmsg is in no rule, and fuse may be written only: {}", said.err);
}

#[test]
#[ignore = "needs root: makes containers and cgroups"]
fn limits_are_changed_and_usage_is_told() {
    let mut bundle = Bundle::script("sleep 100");
    bundle.set("linux/resources", json!({ "memory": { "limit": 64 << 20 }, "pids": { "limit": 33 } }));
    bundle.run_detached();
    bundle.call(&["update", "--memory", "128M", "--pids-limit", "44", &bundle.name]).good();
    assert_eq!(file(&bundle, &["memory.max", "memory.limit_in_bytes"]), (128 << 20).to_string());
    assert_eq!(file(&bundle, &["pids.max"]), "44");
    let path = bundle.path().join("resources.json");
    std::fs::write(&path, json!({ "pids": { "limit": 55 } }).to_string()).unwrap();
    bundle.call(&["update", "--resources", path.to_str().unwrap(), &bundle.name]).good();
    assert_eq!(file(&bundle, &["pids.max"]), "55");
    let event: serde_json::Value =
        serde_json::from_str(&bundle.call(&["events", "--stats", &bundle.name]).good()).unwrap();
    assert_eq!(event["type"], "stats");
    assert_eq!(event["data"]["pids"]["limit"], 55);
    assert_eq!(event["data"]["memory"]["usage"]["limit"], 128 << 20);
    assert!(event["data"]["pids"]["current"].as_u64().unwrap() >= 1);
}

/// What can be changed at the same time is changed altogether or not at all.
#[test]
#[ignore = "needs root: makes containers and cgroups"]
fn an_update_that_fails_changes_nothing() {
    let mut bundle = Bundle::script("sleep 100");
    bundle.set(
        "linux/resources",
        json!({ "memory": { "limit": 64 << 20 }, "cpu": { "shares": 512, "quota": 50000, "period": 100000 }, "pids": { "limit": 33 } }),
    );
    bundle.run_detached();
    let limits = || {
        [
            &["memory.max", "memory.limit_in_bytes"][..],
            &["memory.swap.max", "memory.memsw.limit_in_bytes"],
            &["cpu.weight", "cpu.shares"],
            &["cpu.max", "cpu.cfs_quota_us"],
            &["pids.max"],
        ]
        .map(|names| file(&bundle, names))
    };
    let before = limits();
    // All that can be done comes before the device, which does not exist.
    let update = |devices: serde_json::Value| {
        let path = bundle.path().join("resources.json");
        let resources = json!({
            "memory": { "limit": 128 << 20, "swap": 256 << 20 }, "cpu": { "shares": 2048, "quota": 20000 }, "pids": { "limit": 44 },
            "blockIO": { "throttleReadBpsDevice": devices }
        });
        std::fs::write(&path, resources.to_string()).unwrap();
        bundle.call(&["update", "--resources", path.to_str().unwrap(), &bundle.name])
    };
    let missing = json!([{ "major": 250, "minor": 77, "rate": 1000 }]);
    update(missing).fails_with(1, "linux.resources.blockIO.throttleReadBpsDevice[0]");
    assert_eq!(limits(), before);
    update(json!([])).good();
    let after = limits();
    assert!(before.iter().zip(&after).all(|(before, after)| before != after), "{before:?} {after:?}");
}

/// The runtime-spec's "Cgroup ownership".
#[test]
#[ignore = "needs root: makes containers and cgroups"]
fn a_writable_cgroup_is_its_user_s() {
    let unified_alone = crate::usage::is_v2();
    for (uid, option, namespace, owned) in
        [(0, "rw", true, true), (7, "rw", true, true), (0, "ro", true, false), (0, "rw", false, false)]
    {
        let mut bundle =
            Bundle::script("mkdir /sys/fs/cgroup/inner && echo $$ > /sys/fs/cgroup/inner/cgroup.procs; sleep 1000");
        // Root of the container may make nothing in what is not its own.
        for name in ["proc", "dev", "sys"] {
            std::fs::create_dir(bundle.rootfs().join(name)).unwrap();
        }
        let kinds = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
        kinds.retain(|kind| namespace || kind["type"] != "cgroup");
        kinds.push(json!({ "type": "user" }));
        let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
        bundle.set("linux/uidMappings", map.clone());
        bundle.set("linux/gidMappings", map);
        bundle.set("process/user/uid", json!(uid));
        let mounts = bundle.config["mounts"].as_array_mut().unwrap();
        let mount = mounts.iter_mut().find(|mount| mount["type"] == "cgroup").unwrap();
        mount["options"] = json!(["nosuid", "noexec", "nodev", option]);
        bundle.run_detached();
        let expected = if owned && unified_alone { 100_000 + uid } else { 0 };
        for folder in cgroups_of(&bundle.name) {
            let owner = |name: &str| std::os::unix::fs::MetadataExt::uid(&folder.join(name).metadata().unwrap());
            assert_eq!((owner(""), owner("cgroup.procs")), (expected, expected), "{folder:?} {uid} {option}");
            if unified_alone {
                assert_eq!((owner("cgroup.subtree_control"), owner("cgroup.threads")), (expected, expected));
                assert_eq!((owner("pids.max"), owner("cgroup.max.depth")), (0, 0), "limits are not its to change");
                let inner = || std::fs::read_to_string(folder.join("inner/cgroup.procs")).unwrap_or_default();
                if expected != 0 {
                    crate::common::wait_until("a cgroup below", || !inner().is_empty());
                }
                assert_eq!(inner().is_empty(), expected == 0);
            }
        }
    }
}

/// A directory of /sys/fs/cgroup may have the name of a hierarchy that is mounted elsewhere, or not at all.
#[test]
#[ignore = "needs root: makes containers and cgroups, and unmounts a hierarchy in a mount namespace of its own"]
fn hierarchies_that_are_not_where_their_names_say_are_done_without() {
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        return;
    }
    // In place of what is there, the same without a directory: one that is removed would be gone for the host, too.
    let without = r#"mount -t tmpfs new $PLACE && for d in /sys/fs/cgroup/*; do
            if [ -L $d ]; then cp -P $d $PLACE
            elif [ ${d##*/} != pids ]; then mkdir $PLACE/${d##*/} && mount --bind $d $PLACE/${d##*/}; fi || exit
        done && mount --rbind $PLACE /sys/fs/cgroup"#;
    let unmount = |name: &str| format!("umount /sys/fs/cgroup/{name}");
    let hidden = ["pids", "blkio", "unified"].map(|name| (name, unmount(name)));
    for (hierarchy, hide) in hidden.into_iter().chain([("pids", without.to_owned())]) {
        let mut bundle = Bundle::script("cat /proc/self/cgroup");
        // In one of its own it would see roots only.
        bundle.config["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "cgroup");
        bundle.command(&[]);
        let script = format!("mount --make-rprivate / && {hide} && exec \"$@\"");
        let mut command = Command::new("unshare");
        let place = bundle.path().join("hierarchies");
        std::fs::create_dir(&place).unwrap();
        command
            .args(["-m", "sh", "-c", &script, "sh", binary(), "--root"])
            .arg(bundle.state_root())
            .env("PLACE", place);
        command.args(["run", &bundle.name]).current_dir(bundle.path()).stdin(Stdio::null());
        let text = Said::from(command.output().unwrap()).good();
        let line = |key: &str| text.lines().find(|line| line.contains(key)).unwrap_or_default().to_owned();
        let key = if hierarchy == "unified" { "0::" } else { hierarchy };
        assert!(!line(key).contains(&bundle.name), "{text}");
        assert!(line(":memory:").contains(&bundle.name), "{text}");
        assert_eq!(cgroups_of(&bundle.name), Vec::<PathBuf>::new());
    }
}
