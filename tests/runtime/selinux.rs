//! SELinux in force, by the policy in selinux.cil: the lane boots a kernel that has loaded it.

use crate::common::{Bundle, Said, wait_until};
use serde_json::json;
use std::path::Path;
use std::process::Command;

const PROGRAM: &str = "system_u:system_r:container_t:s0:c1,c2";
const FILES: &str = "system_u:object_r:container_file_t:s0:c1,c2";
/// Of whatever is not confined.
const HOST: &str = "system_u:system_r:host_t:s0-s0:c0.c3";
const HOST_FILES: &str = "system_u:object_r:host_file_t:s0";

/// As dockerd and podman write it: a label with categories of the container's own for the program, one for the mounts.
fn confined(script: &str) -> Bundle {
    let mut bundle = Bundle::script(script);
    bundle.set("process/selinuxLabel", json!(PROGRAM));
    bundle.set("linux/mountLabel", json!(FILES));
    relabel(&bundle.rootfs());
    bundle
}

/// What programs of all categories may read and execute.
fn relabel(path: &Path) {
    let done = Command::new("chcon").args(["-R", "system_u:object_r:container_file_t:s0"]).arg(path).status().unwrap();
    assert!(done.success());
}

fn label_of(path: &str) -> String {
    let mut buffer = [0; 256];
    let length = rustix::fs::getxattr(path, c"security.selinux", &mut buffer[..]);
    text(&buffer[..length.unwrap_or_else(|e| panic!("{path}: {e}"))])
}

fn label_of_process(pid: &serde_json::Value) -> String {
    text(&std::fs::read(format!("/proc/{pid}/attr/current")).unwrap())
}

fn text(label: &[u8]) -> String {
    String::from_utf8_lossy(label).trim_end_matches('\0').to_owned()
}

fn exec(bundle: &Bundle, options: &[&str], script: &str) -> Said {
    bundle.call(&[&["exec"], options, &[&bundle.name, "sh", "-c", script]].concat())
}

const LABEL: &str = "tr -d '\\0' < /proc/self/attr/current";

#[test]
#[ignore = "needs root and a kernel with SELinux: run by the lane"]
fn a_program_gets_its_label_when_it_is_executed() {
    let bundle = confined("exec sleep 1000");
    bundle.create();
    let pid = bundle.state()["pid"].clone();
    assert_eq!(label_of_process(&pid), HOST, "what waits for start is the runtime");
    bundle.call(&["start", &bundle.name]).good();
    wait_until("the program", || label_of_process(&pid) == PROGRAM);
}

#[test]
#[ignore = "needs root and a kernel with SELinux: run by the lane"]
fn mounts_get_their_label() {
    let mut bundle = confined("exec sleep 1000");
    let shown = bundle.path().join("shown");
    std::fs::write(&shown, "secret").unwrap();
    let tmpfs = |to: &str, options: serde_json::Value| json!({ "destination": to, "type": "tmpfs", "source": "tmpfs", "options": options });
    bundle.add_mount(tmpfs("/run", json!(["tmpcopyup"])));
    bundle.add_mount(tmpfs("/ro", json!(["ro"])));
    let other = FILES.replace("c1,c2", "c3");
    bundle.add_mount(tmpfs("/other", json!([format!("context=\"{other}\"")])));
    bundle.add_mount(json!({ "destination": "/shown", "source": shown, "options": ["bind"] }));
    bundle.set("linux/maskedPaths", json!(["/proc/scsi", "/proc/kcore", "/sys/firmware"]));
    bundle.run_detached();
    let root = format!("/proc/{}/root", bundle.state()["pid"]);
    for path in
        ["/run", "/ro", "/dev", "/dev/null", "/dev/shm", "/dev/pts", "/dev/pts/ptmx", "/dev/mqueue", "/sys/firmware"]
    {
        assert_eq!(label_of(&format!("{root}{path}")), FILES, "{path}");
    }
    assert_eq!(label_of(&format!("{root}/other")), other);
    assert_eq!(label_of(&format!("{root}/shown")), HOST_FILES);
    for path in ["/proc", "/sys", "/sys/fs/cgroup"] {
        assert_eq!(label_of(&format!("{root}{path}")), "system_u:object_r:kernel_file_t:s0", "{path}");
    }
    exec(&bundle, &[], "echo x > /dev/shm/f && cat /dev/shm/f /bin/busybox > /dev/null").good();
    assert_eq!(label_of(&format!("{root}/dev/shm/f")), FILES);
    exec(&bundle, &[], "cat /shown").fails_with(1, "Permission denied");
}

#[test]
#[ignore = "needs root and a kernel with SELinux: run by the lane"]
fn what_joins_a_container_has_its_label_or_another() {
    let bundle = confined("echo x > /dev/shm/f; exec sleep 1000");
    bundle.run_detached();
    let read = format!("{LABEL}; cat /dev/shm/f");
    wait_until("its file", || exec(&bundle, &[], &read).out == format!("{PROGRAM}x\n"));
    let other = PROGRAM.replace("c1,c2", "c3");
    let said = exec(&bundle, &["--process-label", &other], &read);
    said.fails_with(1, "Permission denied");
    assert_eq!(said.out, other);
    assert_eq!(label_of_process(&bundle.state()["pid"]), PROGRAM);
}

#[test]
#[ignore = "needs root and a kernel with SELinux: run by the lane"]
fn the_session_keyring_has_the_programs_label() {
    let mut bundle = confined("exec sleep 1000");
    bundle.set("linux/maskedPaths", json!([]));
    bundle.run_detached();
    // It shows the keys that one may see.
    let keys = exec(&bundle, &[], "cat /proc/keys").good();
    assert!(keys.contains(&format!("_ses.{}", bundle.name)), "{keys}");
}

/// What the policy does not know, what nobody may have, and what is not to be had with no_new_privs, with what is said of it.
const REFUSED: [(&str, &str); 3] = [
    ("system_u:system_r:no_such_t:s0", r#"process.selinuxLabel: SELinux's policy does not know "{}""#),
    (
        "system_u:system_r:forbidden_t:s0",
        r#"process.selinuxLabel "{}": write /proc/thread-self/attr/keycreate: permission denied"#,
    ),
    ("system_u:system_r:strict_t:s0", r#"exec: "sh" as process.selinuxLabel "{}": operation not permitted"#),
];

#[test]
#[ignore = "needs root and a kernel with SELinux: run by the lane"]
fn a_label_that_cannot_be_had_is_named() {
    let running = confined("exec sleep 1000");
    running.run_detached();
    for (label, words) in REFUSED {
        let words = words.replace("{}", label);
        let mut bundle = confined(LABEL);
        bundle.set("process/selinuxLabel", json!(label));
        bundle.run().fails_with(1, &words);
        bundle.call(&["state", &bundle.name]).fails_with(1, "container does not exist");
        exec(&running, &["--process-label", label], LABEL).fails_with(255, &words);
    }
    for (kind, words) in [
        ("no_such_t", r#"linux.mountLabel: SELinux's policy does not know "{}""#),
        ("forbidden_t", "mount /dev in init: create tmpfs with context={}: permission denied"),
    ] {
        let label = FILES.replace("container_file_t", kind);
        let mut bundle = confined(LABEL);
        bundle.set("linux/mountLabel", json!(label));
        bundle.run().fails_with(1, &words.replace("{}", &label));
    }
    assert_eq!(running.status(), "running");
}

#[test]
#[ignore = "needs root and a kernel with SELinux: run by the lane"]
fn a_transition_that_is_denied_is_named() {
    // A key may have this label, a program not.
    let mut bundle = confined(LABEL);
    bundle.set("process/noNewPrivileges", json!(false));
    bundle.set("process/selinuxLabel", json!("system_u:system_r:keys_t:s0"));
    let words = r#"exec: "sh" as process.selinuxLabel "system_u:system_r:keys_t:s0": permission denied"#;
    bundle.run().fails_with(1, words);
    // Without no_new_privs this one may be had.
    bundle.set("process/selinuxLabel", json!("system_u:system_r:strict_t:s0"));
    assert_eq!(bundle.run().good(), "system_u:system_r:strict_t:s0");
}

#[test]
#[ignore = "needs root and a kernel with SELinux: run by the lane"]
fn a_container_with_a_user_namespace_has_its_labels() {
    let mut bundle = confined("exec sleep 1000");
    let map = json!([{ "containerID": 0, "hostID": 200_000, "size": 65_536 }]);
    bundle.set("linux/uidMappings", map.clone());
    bundle.set("linux/gidMappings", map);
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    assert!(Command::new("chown").args(["-R", "200000:200000"]).arg(bundle.rootfs()).status().unwrap().success());
    bundle.run_detached();
    let pid = bundle.state()["pid"].clone();
    assert_eq!(label_of_process(&pid), PROGRAM);
    for path in ["/dev", "/dev/shm", "/dev/pts", "/dev/mqueue"] {
        assert_eq!(label_of(&format!("/proc/{pid}/root{path}")), FILES, "{path}");
    }
    assert_eq!(exec(&bundle, &[], LABEL).good(), PROGRAM);
}

#[test]
#[ignore = "needs root and a kernel with SELinux: run by the lane"]
fn a_terminal_has_the_label_of_the_mounts() {
    let mut bundle = confined("read x");
    bundle.set("process/terminal", json!(true));
    let path = bundle.path().join("console.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    bundle.call(&["run", "-d", "--console-socket", path.to_str().unwrap(), &bundle.name]).good();
    let _master = crate::terminal::accept_master(&listener);
    let root = format!("/proc/{}/root", bundle.state()["pid"]);
    for path in ["/dev/console", "/dev/pts/0"] {
        assert_eq!(label_of(&format!("{root}{path}")), FILES, "{path}");
    }
}
