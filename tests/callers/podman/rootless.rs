//! An ordinary user's podman, and user namespaces that podman chooses.

use super::Podman;
use crate::common::User;
use crate::place::Place;

/// The first line of each map, words apart by one blank.
const MAP: &str = "tr -s ' ' < /proc/self/uid_map | head -n 1";

#[test]
#[ignore = "needs root, podman, a user with subordinate IDs"]
fn a_user_s_containers() {
    let podman = Podman::at(Place::new("libpod-", Some(User::with_subordinate_ids())));
    let uid = podman.place.user().unwrap().uid;
    let program = "trap 'exit 3' TERM; sleep 1000 & wait";
    podman.run(["-d", "--name=l", "busybox", "sh", "-c", program]).ok();
    assert_eq!(podman.call(["exec", "l", "sh", "-c", MAP]).ok(), format!(" 0 {uid} 1\n"));
    assert_eq!(podman.call(["exec", "-u", "app", "l", "id", "-u"]).ok(), "1000\n");
    let id = podman.inspect("l", "{{.Id}}");
    assert!(podman.path("carboy-runtime").join(&id).exists() || !podman.is_ours(), "in the user's runtime folder");
    podman.call(["stop", "-t", "20", "l"]).ok();
    assert_eq!(podman.inspect("l", "{{.State.ExitCode}}"), "3");
    podman.call(["rm", "l"]).ok();
    assert!(!podman.path("carboy-runtime").join(&id).exists());

    let script = format!("id -u; {MAP}; touch /tmp/x; stat -c %u /tmp/x; hostname; cat /dev/null");
    let out = podman.run(["--rm", "--userns=keep-id", "--hostname=h", "busybox", "sh", "-c", &script]).ok();
    assert_eq!(out, format!("{uid}\n 0 1 {uid}\n{uid}\nh\n"));
    let out = podman.run(["--rm", "--userns=auto:size=2000", "busybox", "sh", "-c", MAP]).ok();
    assert_eq!(out, " 0 1 2000\n");
    assert_eq!(podman.run(["--rm", "--userns=nomap", "busybox", "sh", "-c", MAP]).ok(), " 0 1 65536\n");
    std::fs::create_dir(podman.path("v")).unwrap();
    std::fs::write(podman.path("v/f"), "content\n").unwrap();
    let volume = format!("-v={}:/v:ro", podman.path("v").display());
    assert_eq!(podman.run(["--rm", &volume, "busybox", "cat", "/v/f"]).ok(), "content\n");
    let out = podman.run(["--rm", "busybox", "nonexistent"]).output();
    assert_eq!(out.code, 127, "{out}");
}

#[test]
#[ignore = "needs root, podman, a user with subordinate IDs"]
fn ranges_that_are_chosen_for_root_s_containers() {
    let user = User::with_subordinate_ids();
    let podman = Podman::new();
    let mut storage = std::fs::read_to_string(podman.path("storage.conf")).unwrap();
    storage.push_str(&format!("[storage.options]\nroot-auto-userns-user = \"{}\"\n", user.name));
    podman.write("storage.conf", &storage);
    let ranges = std::fs::read_to_string("/etc/subuid").unwrap();
    let start = ranges.lines().find_map(|line| line.strip_prefix(&format!("{}:", user.name))).unwrap();
    let start = start.split(':').next().unwrap();
    let script = format!("id -u; {MAP}; touch /x; stat -c %u /x");
    let out = podman.run(["--rm", "--userns=auto:size=3000", "busybox", "sh", "-c", &script]).ok();
    assert_eq!(out, format!("0\n 0 {start} 3000\n0\n"));
    let two = ["--userns=auto:size=3000", "--memory=64m", "--user=app"];
    podman.run(["-d", "--name=l", two[0], two[1], two[2], "busybox", "sleep", "1000"]).ok();
    assert_eq!(podman.call(["exec", "l", "id", "-u"]).ok(), "1000\n");
    assert!(!podman.place.containers().is_empty(), "it has cgroups");
}
