//! CVE-2023-25809: a container of an ordinary user without a cgroup namespace could write to the user's cgroups.

use crate::common::{Bundle, cgroups_of};
use crate::users::{SOMEBODY, rootless_bundle};
use serde_json::json;
use std::os::unix::fs::chown;
use std::process::Command;

#[test]
#[ignore = "needs root: becomes an ordinary user, makes a cgroup"]
fn cve_2023_25809() {
    // The user's own, delegated to them in every hierarchy.
    let delegated = Delegated::new();
    for namespace in [false, true] {
        let bundle = Bundle::new();
        let (own, mut config) = rootless_bundle(&bundle);
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|n| n["type"] != "cgroup");
        if namespace {
            namespaces.push(json!({ "type": "cgroup" }));
        }
        let script = "for d in $(busybox find /sys/fs/cgroup -type d); do mkdir $d/x && echo made $d; \
            (echo 0 > $d/cgroup.procs) && echo joined $d; done 2>/dev/null; grep ' /sys/fs/cgroup' /proc/self/mountinfo";
        config["process"]["args"] = json!(["sh", "-c", script]);
        config["linux"].as_object_mut().unwrap().remove("cgroupsPath");
        std::fs::write(own.join("config.json"), config.to_string()).unwrap();
        let enter = "for d in \"$@\"; do echo 0 > $d/cgroup.procs || exit 1; done";
        let user = format!("setpriv --reuid {SOMEBODY} --regid {SOMEBODY} --clear-groups");
        let line = format!("{enter}; exec {user} ../runtime --root state run x");
        let mut shell = Command::new("sh");
        shell.args(["-c", &line, "sh"]).args(&delegated.0).current_dir(&own).env_clear().env("PATH", "/usr/bin:/bin");
        let said: crate::common::Said = shell.output().unwrap().into();
        let out = said.good();
        assert!(!out.contains("made") && !out.contains("joined"), "{out}");
        for line in out.lines() {
            let options = line.split(' ').nth(5).unwrap();
            assert!(options.starts_with("ro"), "{line}");
        }
    }
}

/// A cgroup in each hierarchy that belongs to the user.
struct Delegated(Vec<std::path::PathBuf>);

impl Delegated {
    fn new() -> Delegated {
        let name = format!("carboy-test-delegated-{}", std::process::id());
        let text = std::fs::read_to_string("/proc/self/mounts").unwrap();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            if words[2].starts_with("cgroup") && words[1].starts_with("/sys/fs/cgroup") {
                let _ = std::fs::create_dir(std::path::Path::new(words[1]).join(&name));
            }
        }
        let made = Delegated(cgroups_of(&name));
        for folder in &made.0 {
            chown(folder, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
            for file in ["cgroup.procs", "tasks", "cgroup.subtree_control"] {
                let _ = chown(folder.join(file), Some(SOMEBODY), Some(SOMEBODY));
            }
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if let Ok(value) = std::fs::read_to_string(folder.parent().unwrap().join(file)) {
                    let _ = std::fs::write(folder.join(file), value);
                }
            }
        }
        made
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        for folder in &self.0 {
            // An ended process leaves a moment later.
            for _ in 0..200 {
                if std::fs::remove_dir(folder).is_ok() || !folder.exists() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
    }
}
