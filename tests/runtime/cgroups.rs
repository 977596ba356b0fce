//! Limits, read back from the kernel.

use crate::common::{Bundle, cgroups_of};
use serde_json::json;

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
