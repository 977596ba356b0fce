//! User namespaces: made by root, and by ordinary users.

use crate::common::{Bundle, copy_binary};
use serde_json::json;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// An ordinary user of the host.
pub(crate) const SOMEBODY: u32 = 12345;

pub(crate) fn with_user_namespace(script: &str, first: u32, count: u32) -> Bundle {
    let mut bundle = Bundle::script(script);
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    let map = json!([{ "containerID": 0, "hostID": first, "size": count }]);
    bundle.set("linux/uidMappings", map.clone());
    bundle.set("linux/gidMappings", map);
    give(&bundle, first);
    bundle
}

/// Makes a user the owner of the root file system, as mount points are made in it.
fn give(bundle: &Bundle, uid: u32) {
    let owner = format!("{uid}:{uid}");
    assert!(Command::new("chown").args(["-R", &owner]).arg(bundle.rootfs()).status().unwrap().success());
}

#[test]
#[ignore = "needs root: makes containers"]
fn root_of_the_container_is_nobody_outside() {
    let mut bundle = with_user_namespace(
        "id -u; cat /proc/self/uid_map; cat /proc/sys/kernel/hostname; echo x > /dev/null && stat -c %u /dev/null /dev/mqueue; cat /proc/self/setgroups",
        200_000,
        65_536,
    );
    bundle.set("process/rlimits", json!([{ "type": "RLIMIT_NOFILE", "soft": 50, "hard": 60 }]));
    let out = bundle.run().good();
    let words: Vec<&str> = out.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "200000", "65536", "inside", "65534", "0", "allow"], "{out}");
    let bundle = with_user_namespace("sleep 100", 200_000, 65_536);
    bundle.run_detached();
    let pid = bundle.state()["pid"].as_i64().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("Uid:\t200000\t200000"), "{status}");
    let said = bundle
        .call(&["exec", &bundle.name, "sh", "-c", "id -u; readlink /proc/self/ns/user; readlink /proc/1/ns/user"])
        .good();
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0] == "0" && lines[1] == lines[2], "{said}");
}

#[test]
#[ignore = "needs root: makes containers"]
fn a_container_joins_the_user_namespace_of_another() {
    let first = with_user_namespace("sleep 100", 300_000, 65_536);
    first.run_detached();
    let pid = first.state()["pid"].as_i64().unwrap();
    let mut second = Bundle::script(
        "cat /proc/self/uid_map; readlink /proc/self/ns/user; readlink /proc/self/ns/net; stat -c mqueue:%u /dev/mqueue",
    );
    for namespace in second.config["linux"]["namespaces"].as_array_mut().unwrap() {
        if namespace["type"] == "network" {
            namespace["path"] = json!(format!("/proc/{pid}/ns/net"));
        }
    }
    let user = json!({ "type": "user", "path": format!("/proc/{pid}/ns/user") });
    second.config["linux"]["namespaces"].as_array_mut().unwrap().push(user);
    second.config["mounts"].as_array_mut().unwrap().retain(|m| m["destination"] != "/sys/fs/cgroup");
    give(&second, 300_000);
    let out = second.run().good();
    let link = |kind: &str| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap().display().to_string();
    assert!(out.contains("300000") && out.contains(&link("user")) && out.contains(&link("net")), "{out}");
    assert!(out.contains("mqueue:0\n"), "{out}");
}

#[test]
#[ignore = "needs root: makes containers"]
fn namespaces_are_joined_by_path() {
    let first = Bundle::script("sleep 100");
    first.run_detached();
    let pid = first.state()["pid"].as_i64().unwrap();
    let mut second = Bundle::script("for n in pid net ipc uts; do readlink /proc/self/ns/$n; done; echo $$");
    for namespace in second.config["linux"]["namespaces"].as_array_mut().unwrap() {
        let file = match namespace["type"].as_str().unwrap() {
            "network" => "net",
            kind @ ("pid" | "ipc" | "uts") => kind,
            _ => continue,
        };
        namespace["path"] = json!(format!("/proc/{pid}/ns/{file}"));
    }
    let out = second.run().good();
    for kind in ["pid", "net", "ipc", "uts"] {
        let link = std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap().display().to_string();
        assert!(out.contains(&link), "{kind}: {out}");
    }
    assert!(!out.ends_with("\n1\n"), "PID 1 is the first container's");
}

/// As an ordinary user, from `spec --rootless` on.
fn rootless(bundle: &Bundle, args: &[&str]) -> crate::common::Said {
    let program = bundle.path().join("runtime");
    if !program.exists() {
        copy_binary(&program);
    }
    let mut command = Command::new(&program);
    command.arg("--root").arg(bundle.path().join("user/state")).args(args);
    command.current_dir(bundle.path().join("user")).uid(SOMEBODY).gid(SOMEBODY).env_clear();
    command.output().unwrap().into()
}

/// A bundle of the user's own below that one, from `spec --rootless` on; a copy of the runtime is in its parent.
pub(crate) fn rootless_bundle(bundle: &Bundle) -> (PathBuf, serde_json::Value) {
    let own = bundle.path().join("user");
    std::fs::create_dir(&own).unwrap();
    let copied = Command::new("cp").arg("-a").arg(bundle.rootfs()).arg(own.join("rootfs")).status().unwrap();
    assert!(copied.success());
    assert!(Command::new("chown").args(["-R", "12345:12345"]).arg(&own).status().unwrap().success());
    rootless(bundle, &["spec", "--rootless"]).good();
    let path = own.join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config["process"]["terminal"] = json!(false);
    config["process"]["env"] = json!(["PATH=/bin"]);
    (own, config)
}

#[test]
#[ignore = "needs root: becomes an ordinary user"]
fn an_ordinary_user_runs_a_container() {
    let bundle = Bundle::new();
    let (own, mut config) = rootless_bundle(&bundle);
    let path = own.join("config.json");
    config["process"]["args"] =
        json!(["sh", "-c", "id -u; cat /proc/self/uid_map; hostname; echo x > /dev/null; ls /dev | wc -l; exit 3"]);
    std::fs::write(&path, config.to_string()).unwrap();
    let said = rootless(&bundle, &["run", "mine"]);
    assert_eq!(said.code, 3, "{}", said.err);
    let words: Vec<&str> = said.out.split_whitespace().collect();
    assert_eq!(words[..5], ["0", "0", "12345", "1", "carboy"], "{}", said.out);
    config["process"]["args"] = json!(["sleep", "100"]);
    std::fs::write(&path, config.to_string()).unwrap();
    let status = Command::new("sh")
        .args(["-c", "exec \"$0\" --root state run -d two >/dev/null 2>&1"])
        .arg(bundle.path().join("runtime"))
        .current_dir(&own)
        .uid(SOMEBODY)
        .gid(SOMEBODY)
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(rootless(&bundle, &["exec", "two", "id", "-u"]).good(), "0\n");
    rootless(&bundle, &["delete", "-f", "two"]).good();
    assert_eq!(std::fs::read_dir(own.join("state")).unwrap().count(), 0);
}

/// Of a program of root's that somebody else calls (set-user-ID) only the effective ID is root's.
#[test]
#[ignore = "needs root: makes containers"]
fn root_is_root_whatever_the_runtime_was_started_as() {
    let ids = "grep -E '^[UG]id:' /proc/self/status";
    let mut bundle = Bundle::script(ids);
    let as_called = |ids: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(ids).arg(crate::common::binary()).arg("--root").arg(bundle.state_root());
        crate::common::Said::from(command.args(["run", &bundle.name]).current_dir(bundle.path()).output().unwrap())
    };
    bundle.command(&[]);
    for ids in [["--ruid=12345", "--euid=0"], ["--rgid=12345", "--egid=0"]] {
        let ids = [&ids[..], if ids[0].contains("gid") { &["--clear-groups"] } else { &[] }].concat();
        assert_eq!(as_called(&ids).good(), "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n", "{ids:?}");
    }
    bundle.set("process/user/gid", json!(5));
    assert_eq!(bundle.run().good(), "Uid:\t0\t0\t0\t0\nGid:\t5\t5\t5\t5\n");
}
