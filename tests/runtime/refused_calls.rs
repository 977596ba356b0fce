//! System calls that older kernels lack, and filters refuse: without them the same is done by others.

use crate::common::{Bundle, Said};
use crate::own_image::create_behind_read_only_mounts;
use carboy_seccomp::SockFilter;
use serde_json::json;
use std::process::{Command, Output};

/// Linux 6.15, on all architectures.
const OPEN_TREE_ATTR: u32 = 467;
/// What a kernel answers that has no such call, and what a filter answers that was made before it.
const ANSWERS: [u32; 2] = [38, 1];

/// Runs a command to which one system call is answered by an error. The filter is a thread's, and of what it starts.
fn refusing(call: u32, error: u32, mut command: Command) -> Output {
    const LOAD_NUMBER: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const ERRNO: u32 = 0x0005_0000;
    const ALLOW: u32 = 0x7fff_0000;
    let line = |code, jf, k| SockFilter { code, jt: 0, jf, k };
    let program =
        [line(LOAD_NUMBER, 0, 0), line(JUMP_IF_EQUAL, 1, call), line(RETURN, 0, ERRNO | error), line(RETURN, 0, ALLOW)];
    let run = move || {
        carboy_sys::seccomp::install(&program, 0).unwrap();
        command.output().unwrap()
    };
    std::thread::spawn(run).join().unwrap()
}

#[test]
#[ignore = "needs root: makes containers"]
fn paths_are_read_only_without_open_tree_attr() {
    for answer in ANSWERS {
        let mut bundle = Bundle::script(
            "touch /data/x; touch /data/below/x; echo inside > /proc/sys/kernel/hostname; ls /data/below",
        );
        std::fs::create_dir(bundle.rootfs().join("data")).unwrap();
        bundle.add_mount(json!({ "destination": "/data/below", "type": "tmpfs", "source": "tmpfs" }));
        bundle.config["linux"]["readonlyPaths"].as_array_mut().unwrap().push(json!("/data"));
        let said = Said::from(refusing(OPEN_TREE_ATTR, answer, bundle.command(&["run", &bundle.name])));
        assert_eq!(said.err.matches("Read-only file system").count(), 3, "{}", said.err);
        assert_eq!(said.good(), "");
    }
}

#[test]
#[ignore = "needs root: makes containers"]
fn the_runtime_s_image_is_read_only_without_open_tree_attr() {
    for answer in ANSWERS {
        create_behind_read_only_mounts(|create| refusing(OPEN_TREE_ATTR, answer, create).status);
    }
}
