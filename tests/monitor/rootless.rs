//! Ordinary users: their own ID mapped, or ranges by newuidmap; `userns` and `enter`.
//!
//! The user is made up in a mount namespace of the test's own, over /etc/passwd and its like, so that the machine keeps its users.

use crate::common::{Container, Runtime, collect};
use carboy_wire::attach::{self, write_frame};
use carboy_wire::monitor::{RootMount, StartReport, UserNamespace};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

const USER: u32 = 51234;
const OWN: (u32, u32, u32) = (0, USER, 1);
const RANGE: (u32, u32, u32) = (1, 1_700_000, 65_536);

/// Writes a script that runs its arguments as the made-up user.
fn as_user(dir: &Path) -> String {
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    let text = |name: &str| std::fs::read_to_string(Path::new("/etc").join(name)).unwrap_or_default();
    let inside = dir.join("etc");
    std::fs::create_dir(&inside).unwrap();
    let passwd = format!("{}\ncarboymon:x:{USER}:{USER}::/:/bin/sh\n", text("passwd").trim_end());
    std::fs::write(inside.join("passwd"), passwd).unwrap();
    let range = format!("carboymon:{}:{}\n", RANGE.1, RANGE.2);
    for name in ["subuid", "subgid"] {
        std::fs::write(inside.join(name), &range).unwrap();
    }
    let script = format!(
        "#!/bin/sh\nexec unshare -m sh -c '\
         for name in passwd subuid subgid; do mount --bind {0}/$name /etc/$name; done; \
         umount /sys/fs/cgroup/unified 2>/dev/null; \
         exec setpriv --reuid {USER} --regid {USER} --clear-groups \"$@\"' as-user \"$@\"\n",
        inside.display()
    );
    let path = dir.join("as-user");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The monitor where the user can reach it.
fn monitor_in(dir: &Path) -> String {
    let path = dir.join("carboy-monitor");
    std::fs::copy(env!("CARGO_BIN_EXE_carboy-monitor"), &path).unwrap();
    path.to_str().unwrap().to_owned()
}

fn rootless(ranges: bool, args: &[&str]) -> Container {
    let mut container = Container::new(Runtime::Runc, args);
    let map = if ranges { vec![OWN, RANGE] } else { vec![OWN] };
    container.config.user_namespace =
        Some(UserNamespace { uid_map: map.clone(), gid_map: map, setuid_helpers: ranges });
    let Some(RootMount::Overlay { userxattr, .. }) = &mut container.config.root_mount else { panic!() };
    *userxattr = true;
    container.spec["linux"]["resources"] = serde_json::json!({});
    let mounts = container.spec["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["type"] != "cgroup");
    for mount in mounts {
        if let Some(options) = mount["options"].as_array_mut() {
            options.retain(|option| !option.as_str().unwrap().starts_with("gid="));
        }
    }
    container.write();
    chown(container.dir.path(), Some(USER), Some(USER)).unwrap();
    for entry in [
        "bundle",
        "bundle/config.json",
        "state",
        "container",
        "container/monitor.json",
        "container/upper",
        "container/work",
        "run",
    ] {
        chown(container.dir.path().join(entry), Some(USER), Some(USER)).unwrap();
    }
    container
}

fn start(container: &Container) -> std::os::unix::net::UnixStream {
    let (script, monitor) = (as_user(container.dir.path()), monitor_in(container.dir.path()));
    match container.start_by(&[&script, &monitor]) {
        (StartReport::Started { .. }, client) => client,
        (StartReport::Failed { message, .. }, _) => panic!("{message}"),
    }
}

fn runs_as_root_of_its_own(ranges: bool) {
    let mut container = rootless(ranges, &["sh", "-c", "id -u; cat /proc/self/uid_map; echo x > /file; exit 4"]);
    container.config.remove_on_exit = vec![container.config.container_dir.clone()];
    let output = collect(&start(&container));
    let text = output.text();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("0"));
    let map: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(map, ["0", &USER.to_string(), "1"]);
    assert_eq!(lines.count(), usize::from(ranges));
    let exit = output.exit.unwrap();
    assert_eq!((exit.code, exit.error), (4, None));
    container.wait_for_end();
    assert!(!container.config.container_dir.exists(), "the overlay's unreadable folder goes too");
    container.assert_nothing_left();
}

#[test]
#[ignore = "needs root, runc, busybox-static, setpriv"]
fn with_the_own_id_only() {
    runs_as_root_of_its_own(false);
}

#[test]
#[ignore = "needs root, runc, busybox-static, setpriv and uidmap"]
fn with_ranges_of_ids() {
    runs_as_root_of_its_own(true);
}

#[test]
#[ignore = "needs root, runc, busybox-static, setpriv"]
fn ids_that_are_not_the_users_are_refused_with_the_cause() {
    let mut container = rootless(false, &["true"]);
    container.config.user_namespace.as_mut().unwrap().uid_map = vec![(0, 1, 1)];
    let (script, monitor) = (as_user(container.dir.path()), monitor_in(container.dir.path()));
    let (StartReport::Failed { message, code }, _) = container.start_by(&[&script, &monitor]) else {
        panic!("started")
    };
    assert_eq!(code, 125);
    assert!(message.contains("uid_map") && message.contains("Operation not permitted"), "{message}");
    container.assert_nothing_left();
}

#[test]
#[ignore = "needs root, runc, busybox-static, setpriv"]
fn a_live_container_can_be_entered() {
    let container = rootless(false, &["sh", "-c", "echo here > /file; echo up; read x"]).with_stdin();
    let mut client = start(&container);
    crate::common::collect_until(&client, |output| !output.stdout.is_empty());
    let pid = std::fs::read_to_string(container.config.run_dir.join("monitor.pid")).unwrap();
    let file = container.config.run_dir.join("rootfs/file");
    // Outside there is nothing mounted.
    assert!(!file.exists());
    let dir = container.dir.path();
    let output = Command::new(dir.join("as-user"))
        .arg(dir.join("carboy-monitor"))
        .args(["enter", pid.trim(), "--", "sh", "-c", "id -u; cat \"$1\"; kill -0 $$; exit 3", "sh"])
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\nhere\n", "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(3));
    write_frame(&mut client, attach::STDIN, b"\n").unwrap();
    assert_eq!(collect(&client).code(), 0);
}

fn in_new_namespace(ranges: bool, script: &str) -> (std::process::Output, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (user, monitor) = (as_user(dir.path()), monitor_in(dir.path()));
    let text =
        |map: &[(u32, u32, u32)]| map.iter().map(|(a, b, n)| format!("{a}:{b}:{n}")).collect::<Vec<_>>().join(",");
    let map = if ranges { text(&[OWN, RANGE]) } else { text(&[OWN]) };
    let mut command = Command::new(user);
    command.args([&monitor, "userns", "--uid-map", &map, "--gid-map", &map]);
    if ranges {
        command.arg("--setuid-helpers");
    }
    (command.args(["--", "sh", "-c", script]).output().unwrap(), dir)
}

#[test]
#[ignore = "needs root and setpriv"]
fn a_command_in_a_new_namespace_with_the_own_id() {
    let script = "id -u; cat /proc/self/setgroups; mount -t tmpfs none /tmp && echo mounted; kill -TERM $$";
    let (output, _dir) = in_new_namespace(false, script);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\ndeny\nmounted\n", "{output:?}");
    // Nothing stands between: the signal's death is the process's own.
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(15));
    assert!(!std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(" /tmp rw,relatime - tmpfs none"));
}

#[test]
#[ignore = "needs root, setpriv and uidmap"]
fn a_command_in_a_new_namespace_with_ranges() {
    let (output, _dir) = in_new_namespace(
        true,
        "touch /tmp/carboy-mon-$$ && chown 7:7 /tmp/carboy-mon-$$ && stat -c %u /tmp/carboy-mon-$$; rm /tmp/carboy-mon-$$; exit 6",
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout), "7\n", "{output:?}");
    assert_eq!(output.status.code(), Some(6));
}
