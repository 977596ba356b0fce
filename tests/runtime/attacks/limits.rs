//! CVE-2021-43784: what is said too often to fit a message must not be cut short.

use crate::common::Bundle;
use serde_json::{Value, json};

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2021_43784_id_maps_are_whole_or_refused() {
    let with = |ranges: u32| {
        let mut bundle = Bundle::script("cat /proc/self/uid_map | wc -l; cat /proc/self/gid_map | wc -l");
        bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
        // Root is mapped last: cut short, the map would have none.
        let range = |n: u32| json!({ "containerID": (ranges - 1 - n) * 2, "hostID": 500_000 + n * 2, "size": 1 });
        let map: Vec<Value> = (0..ranges).map(range).collect();
        bundle.set("linux/uidMappings", json!(map));
        bundle.set("linux/gidMappings", json!(map));
        let owner = 500_000 + (ranges - 1) * 2;
        let chown =
            std::process::Command::new("chown").args(["-R", &format!("{owner}:{owner}")]).arg(bundle.rootfs()).status();
        assert!(chown.unwrap().success());
        bundle
    };
    assert_eq!(with(200).run().good(), "200\n200\n");
    // A page at most, says the kernel (user_namespaces(7)), which refuses more.
    for ranges in [339, 340] {
        let said = with(ranges).run();
        assert!(said.code != 0 || said.out == format!("{ranges}\n{ranges}\n"), "{ranges}: {}", said.out);
    }
    with(341).run().fails_with(1, "linux.uidMappings");
}

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2021_43784_many_of_everything() {
    let mut bundle = Bundle::script(
        "ls /many | wc -l; grep -c ' /many/' /proc/self/mountinfo; test -e /last/1 || echo masked; env | grep -c ^V; echo $#",
    );
    for n in 0..300 {
        bundle.add_mount(json!({ "destination": format!("/many/{n}"), "type": "bind", "source": "/etc/hostname", "options": ["bind", "ro"] }));
    }
    std::fs::create_dir(bundle.rootfs().join("last")).unwrap();
    std::fs::write(bundle.rootfs().join("last/1"), "").unwrap();
    let masks = bundle.config["linux"]["maskedPaths"].as_array_mut().unwrap();
    masks.extend((0..5000).map(|n| json!(format!("/no/such/path/at/all/{n}"))));
    masks.push(json!("/last"));
    let env = bundle.config["process"]["env"].as_array_mut().unwrap();
    env.extend((0..2000).map(|n| json!(format!("V{n}={}", "x".repeat(50)))));
    let args = bundle.config["process"]["args"].as_array_mut().unwrap();
    args.extend((0..=2000).map(|n| json!(n.to_string())));
    assert_eq!(bundle.run().good(), "300\n300\nmasked\n2000\n2000\n");
}

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2021_43784_a_filter_too_long_is_refused() {
    let rule = |n: u64| json!({ "names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [{ "index": 0, "value": n, "op": "SCMP_CMP_EQ" }] });
    let mut bundle = Bundle::new();
    let rules: Vec<Value> = (1000..6000).map(|n| rule(n * n)).collect();
    bundle.set("linux/seccomp", json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules }));
    let said = bundle.run();
    assert!(said.code == 1 && !said.err.is_empty(), "{} {}", said.code, said.err);
}

#[test]
#[ignore = "needs root: makes containers"]
fn numbers_that_wrap_are_refused() {
    let bundle = Bundle::new();
    for count in ["4294967295", "4294967292", "100000"] {
        bundle.call(&["run", "--preserve-fds", count, &bundle.name]).fails_with(1, "preserved-fd");
    }
}
