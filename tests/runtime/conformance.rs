//! What the runtime-spec demands and no other test shows; and that docs/conformance.md names tests that there are.

use crate::common::{Bundle, Said};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

#[test]
fn every_test_of_the_list_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = std::fs::read_to_string(root.join("docs/conformance.md")).unwrap();
    let mut named = 0;
    for word in list.split('`').filter(|word| word.contains(".rs::")) {
        let (file, test) = word.split_once("::").unwrap();
        let text = std::fs::read_to_string(root.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert!(text.contains(&format!("fn {test}(")), "docs/conformance.md names {word}, which is not there");
        named += 1;
    }
    assert!(named > 60, "only {named} tests were found in docs/conformance.md");
    for line in
        list.lines().filter(|line| line.starts_with('|') && !line.starts_with("|-") && !line.starts_with("| Section"))
    {
        let last = line.trim_end_matches('|').rsplit('|').next().unwrap();
        assert!(last.contains(".rs::") || last.contains("not supported"), "nothing shows: {line}");
    }
}

#[test]
#[ignore = "needs root: makes containers"]
fn a_configuration_changed_after_create_changes_nothing() {
    let mut bundle = Bundle::script("echo first");
    let out = bundle.create();
    bundle.set("process/args", json!(["echo", "second"]));
    bundle.call(&["start", &bundle.name]).good();
    bundle.wait_for("stopped");
    assert_eq!(std::fs::read_to_string(out).unwrap(), "first\n");
}

#[test]
#[ignore = "needs root: makes containers"]
fn namespaces_that_are_not_listed_are_the_runtime_s() {
    let mut bundle =
        Bundle::script("for n in net ipc uts cgroup pid mnt user time; do readlink /proc/self/ns/$n; done");
    bundle.set("linux/namespaces", json!([{ "type": "mount" }]));
    bundle.config.as_object_mut().unwrap().remove("hostname");
    // The network namespace is shared, so a new sysfs may show it.
    let out = bundle.run().good();
    let own = |kind: &str| std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string();
    for kind in ["net", "ipc", "uts", "cgroup", "pid", "user", "time"] {
        assert!(out.contains(&own(kind)), "{kind}: {out}");
    }
    assert!(!out.contains(&own("mnt")), "{out}");
}

#[test]
#[ignore = "needs root: makes containers"]
fn a_path_of_another_kind_of_namespace_is_an_error() {
    let mut bundle = Bundle::new();
    for namespace in bundle.config["linux"]["namespaces"].as_array_mut().unwrap() {
        if namespace["type"] == "network" {
            namespace["path"] = json!("/proc/self/ns/uts");
        }
    }
    bundle.run().fails_with(1, "/proc/self/ns/uts");
    bundle.config["linux"]["namespaces"][1]["path"] = json!("/no/such/namespace");
    bundle.run().fails_with(1, "/no/such/namespace: no such file or directory");
}

#[test]
#[ignore = "needs root: makes containers"]
fn mounts_are_made_in_their_order() {
    let mut bundle = Bundle::script("ls /a; ls /a/b");
    let tmpfs = |to: &str| json!({ "destination": to, "type": "tmpfs", "source": "t" });
    let etc = json!({ "destination": "/a/b", "type": "bind", "source": "rootfs/bin", "options": ["bind"] });
    bundle.add_mount(tmpfs("/a"));
    bundle.add_mount(etc);
    let out = bundle.run().good();
    assert!(out.starts_with("b\n") && out.contains("busybox"), "{out}");
    bundle.add_mount(tmpfs("/a"));
    let said = bundle.run();
    assert!(said.out.is_empty() && said.code != 0, "the last covers the others: {}", said.out);
}

#[test]
#[ignore = "needs root: makes containers"]
fn every_container_has_its_devices_and_links() {
    let mut bundle = Bundle::script(
        "for n in null zero full random urandom tty; do stat -c '%n %t:%T %a' /dev/$n; done; \
         for n in fd stdin stdout stderr; do readlink /dev/$n; done; test -c /dev/ptmx && echo ptmx; ls /dev/console",
    );
    let said = bundle.run();
    let wanted = "/dev/null 1:3 666\n/dev/zero 1:5 666\n/dev/full 1:7 666\n/dev/random 1:8 666\n/dev/urandom 1:9 666\n\
        /dev/tty 5:0 666\n/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\nptmx\n";
    assert_eq!(said.out, wanted, "{}", said.err);
    assert!(said.err.contains("/dev/console"), "without a terminal there is none");
    std::fs::write(bundle.rootfs().join("taken"), "").unwrap();
    bundle.set("linux/devices", json!([{ "path": "/taken", "type": "c", "major": 1, "minor": 3 }]));
    bundle.run().fails_with(1, "device nodes in init: mknod /taken: file exists");
    assert!(bundle.rootfs().join("taken").is_file());
}

#[test]
#[ignore = "needs root: makes containers"]
fn what_is_not_asked_for_stays_as_it_was() {
    let bundle = Bundle::script("cat /proc/self/oom_score_adj; ulimit -n; readlink /proc/self/ns/time");
    let mut command = bundle.command(&[]);
    let line = "echo 321 > /proc/self/oom_score_adj; ulimit -n 777; exec \"$@\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", line, "sh"]).arg(crate::common::binary()).arg("--root").arg(bundle.state_root());
    shell.args(["run", &bundle.name]).current_dir(command.current_dir(bundle.path()).get_current_dir().unwrap());
    let said: Said = shell.output().unwrap().into();
    let time = std::fs::read_link("/proc/self/ns/time").unwrap();
    assert_eq!(said.good(), format!("321\n777\n{}\n", time.display()));
}

#[test]
#[ignore = "needs root: makes containers"]
fn operations_without_an_id_or_on_none_are_errors() {
    let bundle = Bundle::new();
    for verb in ["state", "start", "kill", "delete", "create", "pause", "resume", "ps", "update", "events"] {
        bundle.call(&[verb]).fails_with(1, "a container ID is needed");
        if verb != "create" {
            bundle.call(&[verb, "no-such-container"]).fails_with(1, "container does not exist");
        }
    }
}

/// The message and the descriptor of one connection; that it is one message, and then closed.
fn receive(listener: &UnixListener) -> (Value, OwnedFd) {
    let (stream, _): (UnixStream, _) = listener.accept().unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = vec![0u8; 65536];
    let received = recvmsg(&stream, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let mut fds = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds.collect::<Vec<_>>()),
        _ => None,
    });
    let mut fds = fds.next().expect("a descriptor comes with the message");
    assert_eq!(fds.len(), 1);
    let text = &bytes[..received.bytes];
    let value = serde_json::from_slice(text).unwrap_or_else(|_| json!(String::from_utf8_lossy(text)));
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut &stream, &mut rest).unwrap();
    assert!(rest.is_empty());
    (value, fds.remove(0))
}

#[test]
#[ignore = "needs root: makes containers"]
fn a_listener_gets_notifications_and_the_state() {
    let mut bundle = Bundle::script("sleep 100");
    let path = bundle.path().join("listener");
    let listener = UnixListener::bind(&path).unwrap();
    bundle.set(
        "linux/seccomp",
        json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path, "listenerMetadata": "for me",
            "syscalls": [{ "names": ["getcwd"], "action": "SCMP_ACT_NOTIFY" }] }),
    );
    bundle.set("annotations", json!({ "k": "v" }));
    bundle.run_detached();
    let (state, fd) = receive(&listener);
    let pid = bundle.state()["pid"].clone();
    assert_eq!((&state["fds"], &state["pid"], &state["metadata"]), (&json!(["seccompFd"]), &pid, &json!("for me")));
    let inner = &state["state"];
    assert_eq!((&inner["id"], &inner["pid"], &inner["status"]), (&json!(bundle.name), &pid, &json!("creating")));
    assert_eq!((&inner["annotations"]["k"], &inner["ociVersion"]), (&json!("v"), &bundle.config["ociVersion"]));
    assert_eq!(inner["bundle"], json!(bundle.path()));
    let link = std::fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd))).unwrap();
    assert_eq!(link.to_str(), Some("anon_inode:seccomp notify"));
    drop(fd);
    // Of a process that joins: its own number, and the container's state as it is.
    bundle.call(&["exec", &bundle.name, "true"]).good();
    let (state, _fd) = receive(&listener);
    assert_eq!((&state["state"]["pid"], &state["state"]["status"]), (&pid, &json!("running")));
    assert_ne!(state["pid"], pid);
    drop(listener);
    std::fs::remove_file(&path).unwrap();
    let mut second = Bundle::new();
    second.config["linux"]["seccomp"] = bundle.config["linux"]["seccomp"].clone();
    second.run().fails_with(1, "listener: no such file or directory");
    second.config["linux"]["seccomp"].as_object_mut().unwrap().remove("listenerPath");
    second.run().fails_with(1, "linux.seccomp.listenerMetadata");
}

#[test]
#[ignore = "needs root: makes containers"]
fn a_pidfd_is_handed_to_who_asks() {
    let bundle = Bundle::script("sleep 100");
    let path = bundle.path().join("pidfd");
    let listener = UnixListener::bind(&path).unwrap();
    let pid_of = |fd: &OwnedFd| -> i64 {
        let info = format!("/proc/self/fdinfo/{}", std::os::fd::AsRawFd::as_raw_fd(fd));
        let text = std::fs::read_to_string(info).unwrap();
        text.lines().find_map(|line| line.strip_prefix("Pid:")).unwrap().trim().parse().unwrap()
    };
    let socket = path.to_str().unwrap();
    let quiet = |args: &[&str]| {
        let mut command = bundle.command(args);
        let null = std::process::Stdio::null;
        assert!(command.stdout(null()).stderr(null()).status().unwrap().success());
    };
    quiet(&["run", "-d", "--pidfd-socket", socket, &bundle.name]);
    let (_, fd) = receive(&listener);
    assert_eq!(pid_of(&fd), bundle.state()["pid"].as_i64().unwrap());
    quiet(&["exec", "-d", "--pidfd-socket", socket, &bundle.name, "sleep", "100"]);
    let (_, other) = receive(&listener);
    assert_ne!(pid_of(&other), pid_of(&fd));
    assert!(pid_of(&other) > 1);
}

#[test]
#[ignore = "needs root: makes containers"]
fn what_a_container_joined_outlives_it() {
    let first = Bundle::script("sleep 100");
    first.run_detached();
    let pid = first.state()["pid"].as_i64().unwrap();
    let mut second = Bundle::script("sleep 100");
    for namespace in second.config["linux"]["namespaces"].as_array_mut().unwrap() {
        if namespace["type"] == "network" {
            namespace["path"] = json!(format!("/proc/{pid}/ns/net"));
        }
    }
    second.run_detached();
    second.call(&["delete", "-f", &second.name]).good();
    assert_eq!(first.status(), "running");
    assert!(first.call(&["exec", &first.name, "cat", "/proc/net/dev"]).good().contains("lo:"));
    assert!(second.rootfs().join("bin/busybox").is_file(), "the root file system is not the runtime's to delete");
}

#[test]
#[ignore = "needs root: makes containers"]
fn every_limit_is_what_is_asked_for() {
    // proc_pid_limits(5); none of these exceeds what an ordinary machine gives its root.
    const LIMITS: [(&str, &str, u64); 14] = [
        ("CPU", "Max cpu time", 5000),
        ("FSIZE", "Max file size", 5_000_000),
        ("DATA", "Max data size", 500_000_000),
        ("STACK", "Max stack size", 5_000_000),
        ("CORE", "Max core file size", 0),
        ("RSS", "Max resident set", 50_000_000),
        ("NPROC", "Max processes", 500),
        ("NOFILE", "Max open files", 50),
        ("MEMLOCK", "Max locked memory", 50_000),
        ("AS", "Max address space", 5_000_000_000),
        ("LOCKS", "Max file locks", 50),
        ("SIGPENDING", "Max pending signals", 50),
        ("MSGQUEUE", "Max msgqueue size", 5000),
        ("RTTIME", "Max realtime timeout", 5000),
    ];
    let mut bundle = Bundle::script("cat /proc/self/limits");
    let entries = LIMITS
        .iter()
        .map(|(kind, _, value)| json!({ "type": format!("RLIMIT_{kind}"), "soft": value, "hard": value + 1 }));
    bundle.set("process/rlimits", entries.collect());
    let out = bundle.run().good();
    for (kind, name, value) in LIMITS {
        let line = out.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{kind}: {out}"));
        let numbers: Vec<&str> = line.split_whitespace().take(2).collect();
        assert_eq!(numbers, [value.to_string(), (value + 1).to_string()], "{kind}");
    }
}

#[test]
#[ignore = "needs root: makes containers"]
fn a_created_container_can_be_killed_and_deleted() {
    let bundle = Bundle::script("sleep 100");
    bundle.create();
    bundle.call(&["kill", &bundle.name, "KILL"]).good();
    bundle.wait_for("stopped");
    bundle.call(&["delete", &bundle.name]).good();
    bundle.create();
    bundle.call(&["delete", &bundle.name]).good();
    bundle.call(&["state", &bundle.name]).fails_with(1, "container does not exist");
}

#[test]
#[ignore = "needs root: makes containers"]
fn paths_are_taken_from_where_the_spec_says() {
    let mut bundle = Bundle::script("ls /from-root; ls /bound");
    bundle.add_mount(json!({ "destination": "from-root", "type": "tmpfs", "source": "t" }));
    std::fs::create_dir(bundle.path().join("beside")).unwrap();
    std::fs::write(bundle.path().join("beside/file"), "").unwrap();
    bundle.add_mount(json!({ "destination": "bound", "source": "beside", "options": ["rbind"] }));
    let mut command = bundle.command(&["run", "-b", bundle.path().to_str().unwrap(), &bundle.name]);
    assert_eq!(Said::from(command.current_dir("/").output().unwrap()).good(), "file\n");
    bundle.set("root/path", json!("rootfs/bin/busybox"));
    bundle.run().fails_with(1, "rootfs/bin/busybox: not a directory");
}

#[test]
#[ignore = "needs root: makes containers"]
fn what_is_there_already_may_be_the_device_asked_for() {
    let mut bundle = Bundle::script("stat -c %t:%T /there");
    let path = bundle.rootfs().join("there");
    let made = Command::new("mknod").arg(&path).args(["c", "1", "3"]).status().unwrap();
    assert!(made.success());
    bundle.set("linux/devices", json!([{ "path": "/there", "type": "c", "major": 1, "minor": 3 }]));
    assert_eq!(bundle.run().good(), "1:3\n");
    bundle.set("linux/devices", json!([{ "path": "/there", "type": "c", "major": 1, "minor": 5 }]));
    bundle.run().fails_with(1, "mknod /there: file exists");
}

#[test]
#[ignore = "needs root: makes containers"]
fn a_listener_that_nothing_is_sent_to_is_ignored() {
    let mut bundle = Bundle::script("echo fine");
    bundle.set(
        "linux/seccomp",
        json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/no/such/socket",
            "syscalls": [{ "names": ["mkdir"], "action": "SCMP_ACT_ERRNO" }] }),
    );
    assert_eq!(bundle.run().good(), "fine\n");
}
