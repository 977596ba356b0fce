//! Ordinary users: with ranges of subordinate IDs and without.

use crate::common::{Env, User, images};

fn busybox(env: &Env) {
    // The archive is where only root may be able to go.
    let archive = env.path("busybox.tar");
    std::fs::copy(images::file("busybox.docker.tar"), &archive).unwrap();
    env.carboy(["load", "-q", "-i", archive.to_str().unwrap()]).ok();
}

#[test]
#[ignore = "needs root and the users that dev/test makes"]
fn hello_with_and_without_subordinate_ids() {
    for user in [User::with_subordinate_ids(), User::without_subordinate_ids()] {
        let env = Env::for_user(user);
        let out = env.carboy(["run", "--rm", "hello"]).output();
        assert_eq!(out.code, 0, "{out}");
        assert!(out.error().is_empty(), "{out}");
    }
}

#[test]
#[ignore = "needs root and the users that dev/test makes"]
fn a_user_runs_a_loaded_image() {
    for user in [User::with_subordinate_ids(), User::without_subordinate_ids()] {
        let uid = user.uid;
        let env = Env::for_user(user);
        busybox(&env);
        assert_eq!(env.carboy(["run", "--rm", "busybox", "id", "-u"]).ok(), "0\n");
        assert_eq!(env.carboy(["run", "--rm", "busybox", "sh", "-c", "echo x >/file; exit 3"]).output().code, 3);
        let map = env.carboy(["run", "--rm", "busybox", "cat", "/proc/self/uid_map"]).ok();
        let first: Vec<&str> = map.lines().next().unwrap().split_whitespace().collect();
        assert_eq!(first[..2], ["0".to_owned(), uid.to_string()], "the container's root is the user: {map}");

        let shared = env.path("shared");
        env.call("mkdir").arg(&shared).ok();
        let volume = format!("{}:/data", shared.display());
        env.carboy(["run", "--rm", "-v", &volume, "busybox", "sh", "-c", "echo mine >/data/file"]).ok();
        use std::os::unix::fs::MetadataExt;
        assert_eq!(std::fs::metadata(shared.join("file")).unwrap().uid(), uid);

        env.carboy(["run", "-d", "--name", "long", "busybox", "sh", "-c", "echo up; exec sleep 1000"]).ok();
        assert_eq!(env.carboy(["exec", "long", "sh", "-c", "echo $(id -u) $(cat /proc/1/comm)"]).ok(), "0 sleep\n");
        assert_eq!(env.carboy(["exec", "-i", "long", "cat"]).stdin("through").ok(), "through");
        assert_eq!(env.carboy(["logs", "long"]).ok(), "up\n");
        env.carboy(["stop", "-t", "0", "long"]).ok();
        assert_eq!(env.carboy(["wait", "long"]).ok(), "137\n");
        env.carboy(["rm", "long"]).ok();
        env.carboy(["rmi", "busybox"]).ok();
        assert_eq!(env.files(), [""; 0]);
    }
}

#[test]
#[ignore = "needs root and the users that dev/test makes"]
fn a_user_keeps_a_store_in_order() {
    for user in [User::with_subordinate_ids(), User::without_subordinate_ids()] {
        let env = Env::for_user(user);
        busybox(&env);
        // With files of the container's own, and in an image of a user's with ranges of other IDs than the user's.
        env.carboy(["run", "--name", "stopped", "busybox", "sh", "-c", "echo x >/file; chown 1000 /file || true"]).ok();
        let df = env.carboy(["system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Active}}"]).ok();
        assert_eq!(df, "Images 1 1\nContainers 1 0\nLocal Volumes 0 0\n");
        let sizes = env.carboy(["system", "df", "--format", "{{.Size}}"]).ok();
        assert!(!sizes.starts_with("0B"), "{sizes}");
        assert_eq!(env.carboy(["system", "check"]).ok(), "The store is whole.\n");
        let deep = env.carboy(["system", "check", "--deep"]).ok();
        assert_eq!(deep, "The store is whole; every blob and layer has its digest.\n");

        let layer = std::fs::read_dir(env.root().join("layers")).unwrap().next().unwrap().unwrap().path();
        std::fs::remove_dir_all(layer.join("fs")).unwrap();
        let found = env.carboy(["system", "check"]).output();
        assert!(found.code == 1 && found.text().contains("1 problem."), "{found}");
        let repaired = env.carboy(["system", "check", "--repair"]).ok();
        assert!(repaired.contains("made again from its blob"), "{repaired}");
        assert_eq!(env.carboy(["run", "--rm", "busybox", "echo", "ran"]).ok(), "ran\n");

        assert_eq!(env.carboy(["image", "prune", "-af"]).ok(), "Total reclaimed space: 0B\n", "a container is of it");
        let pruned = env.carboy(["system", "prune", "-af"]).ok();
        assert!(pruned.contains("Total reclaimed space: ") && !pruned.contains("space: 0B"), "{pruned}");
        assert_eq!(env.files(), [""; 0]);
    }
}

#[test]
#[ignore = "needs root and the users that dev/test makes"]
fn a_user_has_a_terminal() {
    for user in [User::with_subordinate_ids(), User::without_subordinate_ids()] {
        let env = Env::for_user(user);
        busybox(&env);
        let mut terminal = env.terminal(["run", "--rm", "-it", "-e", "PS1=ready> ", "busybox", "sh"]);
        let before = terminal.modes();
        terminal.expect("ready> ");
        terminal.send("stty size; tty\n");
        terminal.expect("\r\n24 80\r\n/dev/pts/0\r\n");
        terminal.send("exit 6\n");
        assert_eq!(terminal.wait(), 6, "{}", terminal.screen());
        assert_eq!(terminal.modes(), before);
    }
}

#[test]
#[ignore = "needs root and the users that dev/test makes"]
fn other_ids_need_subordinate_ones() {
    let env = Env::for_user(User::with_subordinate_ids());
    busybox(&env);
    assert_eq!(env.carboy(["run", "--rm", "-u", "app", "busybox", "id", "-u"]).ok(), "1000\n");
    let env = Env::for_user(User::without_subordinate_ids());
    busybox(&env);
    let line = env.carboy(["run", "--rm", "-u", "app", "busybox", "id", "-u"]).fails(125);
    assert!(line.contains("1000") && line.contains("subuid"), "says what is missing: {line}");
}

#[test]
#[ignore = "needs root and the users that dev/test makes"]
fn without_a_runtime_folder() {
    // As after `su USER`: no XDG_RUNTIME_DIR. It works, or says what to set.
    let user = User::with_subordinate_ids();
    let fallback = std::path::PathBuf::from(format!("/tmp/carboy-run-{}", user.uid));
    let env = Env::for_user(user);
    let mut call = env.carboy(["run", "--rm", "hello"]);
    call.command().env_remove("XDG_RUNTIME_DIR");
    let out = call.output();
    if out.code != 0 {
        assert_eq!((out.code, out.error().lines().count()), (125, 1), "{out}");
        assert!(out.error().contains("XDG_RUNTIME_DIR"), "{out}");
    }
    // The user's own, and only the user is meant to have been here.
    let _ = std::fs::remove_dir_all(fallback);
}
