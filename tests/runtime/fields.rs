//! Fields of the configuration that engines use rarely: each must reach the kernel, or be refused by its name.

use crate::common::{Bundle, Said};
use serde_json::{Value, json};
use std::process::Command;

fn add_namespace(bundle: &mut Bundle, kind: &str) {
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": kind }));
}

fn with_users(bundle: &mut Bundle, first: u32) {
    add_namespace(bundle, "user");
    let map = json!([{ "containerID": 0, "hostID": first, "size": 1000 }]);
    bundle.set("linux/uidMappings", map.clone());
    bundle.set("linux/gidMappings", map);
}

#[test]
#[ignore = "needs root: makes containers"]
fn clocks_and_names_are_its_own() {
    let mut bundle = Bundle::script("cat /proc/self/timens_offsets /proc/sys/kernel/domainname; busybox uname -m");
    add_namespace(&mut bundle, "time");
    bundle.set(
        "linux/timeOffsets",
        json!({ "monotonic": { "secs": 172800, "nanosecs": 5 }, "boottime": { "secs": 86400 } }),
    );
    bundle.set("domainname", json!("example.org"));
    bundle.set("linux/personality", json!({ "domain": "LINUX32" }));
    let out = bundle.run().good();
    let words: Vec<&str> = out.split_whitespace().collect();
    let machine = if cfg!(target_arch = "x86_64") { "i686" } else { "armv8l" };
    assert_eq!(words, ["monotonic", "172800", "5", "boottime", "86400", "0", "example.org", machine]);
    for (field, value) in [
        ("linux/timeOffsets", json!({ "realtime": { "secs": 1 } })),
        ("linux/timeOffsets", json!({ "boottime": { "nanosecs": 1_000_000_000u32 } })),
    ] {
        bundle.set(field, value);
        bundle.run().fails_with(1, "linux.timeOffsets.");
    }
}

#[test]
#[ignore = "needs root: makes containers"]
fn priorities_are_set_and_contradictions_refused() {
    let mut bundle = Bundle::script("cat /proc/self/stat; busybox ionice; head -1 /proc/self/numa_maps");
    bundle.set("process/scheduler", json!({ "policy": "SCHED_BATCH", "nice": 7 }));
    bundle.set("process/ioPriority", json!({ "class": "IOPRIO_CLASS_BE", "priority": 6 }));
    let numa = std::path::Path::new("/proc/self/numa_maps").exists();
    if numa {
        bundle
            .set("linux/memoryPolicy", json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"] }));
    }
    let out = bundle.run().good();
    // proc(5): 19 is nice, 41 the policy; the second field is the only one in brackets.
    let fields: Vec<&str> = out.lines().next().unwrap().rsplit(')').next().unwrap().split_whitespace().collect();
    assert_eq!((fields[19 - 3], fields[41 - 3]), ("7", "3"), "{out}");
    assert!(out.contains("best-effort: prio 6"), "{out}");
    assert!(!numa || out.contains("bind=static:0"), "{out}");
    for (field, value, words) in [
        ("process/scheduler", json!({ "policy": "SCHED_OTHER", "priority": 3 }), "process.scheduler.priority"),
        ("process/scheduler", json!({ "policy": "SCHED_OTHER", "nice": 30 }), "process.scheduler.nice"),
        ("process/ioPriority", json!({ "class": "IOPRIO_CLASS_X", "priority": 1 }), "process.ioPriority.class"),
        ("process/ioPriority", json!({ "class": "IOPRIO_CLASS_BE", "priority": 8 }), "process.ioPriority.priority"),
        ("linux/memoryPolicy", json!({ "mode": "MPOL_X" }), "linux.memoryPolicy.mode"),
        ("linux/personality", json!({ "domain": "BSD" }), "linux.personality.domain"),
    ] {
        let mut bundle = Bundle::new();
        bundle.set(field, value);
        bundle.run().fails_with(1, words);
    }
}

#[test]
#[ignore = "needs root: makes containers"]
fn a_joining_process_has_its_cpus() {
    let mut bundle = Bundle::script("sleep 100");
    bundle.set("process/execCPUAffinity", json!({ "initial": "0", "final": "0" }));
    bundle.run_detached();
    let cpus = |pid: &str| format!("grep Cpus_allowed_list /proc/{pid}/status");
    let exec = |args: &[&str]| bundle.call(&[&["exec"], args, &[&bundle.name, "sh", "-c", &cpus("self")]].concat());
    assert_eq!(exec(&[]).good(), "Cpus_allowed_list:\t0\n");
    let file = bundle.path().join("process.json");
    let last = std::thread::available_parallelism().unwrap().get() - 1;
    let mut process = json!({ "args": ["sh", "-c", cpus("self")], "cwd": "/", "env": ["PATH=/bin"],
        "user": { "uid": 0, "gid": 0 }, "execCPUAffinity": { "initial": "0", "final": last.to_string() } });
    std::fs::write(&file, process.to_string()).unwrap();
    let by_file = || bundle.call(&["exec", "--process", file.to_str().unwrap(), &bundle.name]);
    assert_eq!(by_file().good(), format!("Cpus_allowed_list:\t{last}\n"));
    process["execCPUAffinity"] = json!({ "final": "zero" });
    std::fs::write(&file, process.to_string()).unwrap();
    by_file().fails_with(255, "process.execCPUAffinity.final");
}

#[test]
#[ignore = "needs root: makes containers"]
fn what_nobody_knows_is_ignored_and_told_of() {
    let mut bundle = Bundle::script("exit 5");
    bundle.set("future", json!({ "a": 1 }));
    bundle.set("process/colour", json!("red"));
    bundle.set("windows", json!({}));
    bundle.set("process/capabilities/ambient", json!(["CAP_KILL"]));
    bundle
        .add_mount(json!({ "destination": "/x", "type": "bind", "source": "rootfs", "options": ["bind", "mode=755"] }));
    let log = bundle.path().join("log");
    let path = log.to_str().unwrap();
    let said = bundle.call(&["--log", path, "--log-format", "json", "run", &bundle.name]);
    assert_eq!((said.code, said.err.as_str()), (5, ""));
    let text = std::fs::read_to_string(&log).unwrap();
    let messages: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(messages.iter().all(|message| message["level"] == "warning"), "{text}");
    let said: Vec<&str> = messages.iter().map(|message| message["msg"].as_str().unwrap()).collect();
    for words in [
        "ignoring unknown property future",
        "ignoring unknown property process.colour",
        "ignoring ambient capability CAP_KILL",
        "mounts[7].options: mode means nothing here",
    ] {
        assert!(said.iter().any(|message| message.contains(words)), "{words}: {text}");
    }
    assert_eq!(said.len(), 4, "{text}");
}

#[test]
#[ignore = "needs root: makes containers"]
fn hooks_are_checked_before_anything_is_done() {
    let mut bundle = Bundle::new();
    for (hook, words) in [
        (json!({ "path": "relative" }), "hooks.poststop[0].path"),
        (json!({ "path": "/bin/true", "timeout": 0 }), "hooks.poststop[0].timeout"),
    ] {
        bundle.set("hooks", json!({ "poststop": [hook] }));
        bundle.run().fails_with(1, words);
    }
    assert!(!bundle.state_root().exists());
}

#[test]
#[ignore = "needs root: makes containers"]
fn parameters_of_the_host_s_network_stay() {
    let mut bundle = Bundle::new();
    bundle.set("linux/sysctl", json!({ "net.ipv4.ip_forward": "1" }));
    for namespace in bundle.config["linux"]["namespaces"].as_array_mut().unwrap() {
        if namespace["type"] == "network" {
            namespace["path"] = json!("/proc/self/ns/net");
        }
    }
    bundle.run().fails_with(1, "not allowed in host network namespace");
}

#[test]
#[ignore = "needs root: makes containers"]
fn users_of_a_container_see_bound_files_that_only_root_reaches() {
    let mut bundle = Bundle::script("cat /data/f /file; stat -c %u:%g /mapped/f /data/f; touch /ro/x");
    with_users(&mut bundle, 500_000);
    let closed = bundle.path().join("closed");
    std::fs::create_dir_all(closed.join("data")).unwrap();
    std::fs::write(closed.join("data/f"), "text\n").unwrap();
    Said::from(Command::new("chmod").arg("700").arg(&closed).output().unwrap()).good();
    let chown = Command::new("chown").args(["-R", "500000:500000"]).arg(bundle.rootfs()).output().unwrap();
    Said::from(chown).good();
    let bind = |to: &str, from: &str, options: Value| json!({ "destination": to, "type": "bind", "source": closed.join(from), "options": options });
    bundle.add_mount(bind("/data", "data", json!(["rbind"])));
    bundle.add_mount(bind("/file", "data/f", json!(["bind", "ro"])));
    bundle.add_mount(bind("/ro", "data", json!(["bind", "ro"])));
    bundle.add_mount(bind("/mapped", "data", json!(["bind", "idmap"])));
    let said = bundle.run();
    const TMPFS: rustix::fs::FsWord = 0x0102_1994;
    if rustix::fs::statfs(&closed).unwrap().f_type == TMPFS && said.code != 0 && said.err.contains("idmap") {
        // tmpfs can be idmapped from Linux 6.3 on.
        return;
    }
    assert!(said.err.contains("Read-only file system"), "{}", said.err);
    assert_eq!(said.out, "text\ntext\n0:0\n65534:65534\n", "{}", said.err);
    let explained = bundle.call(&["explain"]).good();
    assert!(
        explained.contains("open the source of /data") && explained.contains("IDMAP, users 0 500000 1000"),
        "{explained}"
    );
}

#[test]
#[ignore = "needs root: makes containers"]
fn a_mount_is_changed_by_remount() {
    let mut bundle = Bundle::script("busybox df -k /small | busybox tail -1; touch /small/x");
    bundle.add_mount(json!({ "destination": "/small", "type": "tmpfs", "source": "t", "options": ["size=1m"] }));
    bundle.add_mount(json!({ "destination": "/small", "options": ["remount", "size=2m", "ro"] }));
    let said = bundle.run();
    assert!(said.out.contains(" 2048 ") && said.err.contains("Read-only file system"), "{} {}", said.out, said.err);
    bundle.config["mounts"].as_array_mut().unwrap().pop();
    bundle.add_mount(json!({ "destination": "/small", "options": ["remount", "size=banana"] }));
    bundle.run().fails_with(1, "mount /small in init: fsconfig remount size=banana");
}

#[test]
#[ignore = "needs root: makes containers"]
fn the_working_directory_is_made_for_the_container_only() {
    let mut bundle = Bundle::script("pwd; sleep 100");
    bundle.set("process/cwd", json!("/made/here"));
    bundle.run_detached();
    assert!(bundle.rootfs().join("made/here").is_dir());
    let said = bundle.call(&["exec", "--cwd", "/not/there", &bundle.name, "pwd"]);
    said.fails_with(255, "chdir to cwd (\"/not/there\") set in config.json failed: no such file or directory");
    assert!(!bundle.rootfs().join("not").exists());
    assert_eq!(bundle.call(&["exec", &bundle.name, "pwd"]).good(), "/made/here\n");
}

#[test]
#[ignore = "needs root: makes cgroups"]
fn a_process_may_join_a_cgroup_below_the_container_s() {
    let bundle = Bundle::script("sleep 100");
    bundle.run_detached();
    let folders = crate::common::cgroups_of(&bundle.name);
    let below: Vec<_> = folders.iter().map(|folder| folder.join("sub")).collect();
    for (own, sub) in folders.iter().zip(&below) {
        std::fs::create_dir(sub).unwrap();
        // A cpuset of v1 begins with nothing.
        for name in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(text) = std::fs::read_to_string(own.join(name)) {
                let _ = std::fs::write(sub.join(name), text);
            }
        }
    }
    let exec = |argument: &str| bundle.call(&["exec", "--cgroup", argument, &bundle.name, "cat", "/proc/self/cgroup"]);
    let said = exec("/sub");
    assert!(
        said.out.lines().filter(|line| !line.contains("name=")).all(|line| line.ends_with(":/sub")),
        "{}",
        said.out
    );
    said.good();
    exec("nowhere").fails_with(255, "nowhere");
    exec("../up").fails_with(255, "it is not below the container's cgroup");
    exec("nothing:sub").fails_with(255, "there is no hierarchy with this controller");
    below.iter().for_each(|folder| std::fs::remove_dir(folder).unwrap());
}

#[test]
#[ignore = "needs root: makes containers"]
fn descriptors_of_socket_activation_arrive() {
    let bundle = Bundle::script("echo $LISTEN_FDS $LISTEN_PID $$; cat <&3; cat <&4; readlink /proc/self/fd/5");
    bundle.command(&[]);
    let line = "exec 3</etc/hostname 4</etc/hostname 5</etc/passwd; export LISTEN_FDS=1 LISTEN_PID=$$; \
        exec \"$0\" --root \"$1\" run --preserve-fds 1 \"$2\"";
    let output = Command::new("sh")
        .args(["-c", line, crate::common::binary()])
        .arg(bundle.state_root())
        .arg(&bundle.name)
        .current_dir(bundle.path())
        .output()
        .unwrap();
    let host = std::fs::read_to_string("/etc/hostname").unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("1 1 1\n{host}{host}"), "{output:?}");
}

#[test]
#[ignore = "needs root: makes containers"]
fn the_session_keyring_is_its_own_unless_kept() {
    let mut bundle = Bundle::script("cat /proc/keys");
    bundle.set("linux/maskedPaths", json!([]));
    let keyring = format!("_ses.{}", bundle.name);
    assert!(bundle.run().good().contains(&keyring));
    // The kernel takes its time to collect the first one, which everybody of this user sees until then.
    let gone = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        !std::fs::read_to_string("/proc/keys").unwrap().contains(&keyring)
    });
    assert!(gone, "a keyring outlives its container");
    assert!(!bundle.call(&["run", "--no-new-keyring", &bundle.name]).good().contains(&keyring));
}
