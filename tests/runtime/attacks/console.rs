//! CVE-2025-52565: the terminal is bound to /dev/console before anything is masked; where from and where to must not be the image's choice.

use super::{Outside, Swapper, attempts};
use crate::common::{Bundle, Said};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use serde_json::json;
use std::os::unix::fs::symlink;
use std::process::Stdio;

/// A container with a terminal, and a /dev that is the image's.
fn with_terminal(script: &str) -> Bundle {
    let mut bundle = Bundle::script(script);
    bundle.set("process/terminal", json!(true));
    bundle.config["mounts"]
        .as_array_mut()
        .unwrap()
        .retain(|m| !["/dev", "/dev/shm", "/dev/mqueue"].contains(&m["destination"].as_str().unwrap()));
    std::fs::create_dir(bundle.rootfs().join("dev")).unwrap();
    std::fs::write(bundle.rootfs().join("victim"), "intact\n").unwrap();
    bundle
}

/// Runs it on a terminal; what the program prints is in /out.
fn run(bundle: &Bundle) -> Said {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    unlockpt(&master).unwrap();
    let slave = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    let mut command = bundle.command(&["run", &bundle.name]);
    let mut said: Said =
        command.stdin(slave.try_clone().unwrap()).stdout(slave).stderr(Stdio::piped()).output().unwrap().into();
    said.out = std::fs::read_to_string(bundle.rootfs().join("out")).unwrap_or_default();
    said
}

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2025_52565_console_is_a_link() {
    let outside = Outside::new();
    let script = "stat -c %F /victim > /out; stat -c %t /proc/sys/kernel/hostname >> /out";
    for target in [
        "/victim",
        "/proc/sys/kernel/hostname",
        &format!("{}/made", outside.relative()),
        &format!("{}/made", outside.path().display()),
    ] {
        let bundle = with_terminal(script);
        symlink(target, bundle.rootfs().join("dev/console")).unwrap();
        let said = run(&bundle);
        assert!(said.code != 0 || said.out == "regular file\n0\n", "{target}: {} {}", said.out, said.err);
        outside.is_untouched();
    }
}

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2025_52565_terminals_are_swapped() {
    // The name of the container's terminal leads to another file: that one must not appear as /dev/console.
    let bundle = with_terminal("echo pwned > /dev/console; stat -c %t /dev/console > /out; cat /victim >> /out");
    let rootfs = bundle.rootfs();
    std::fs::create_dir(rootfs.join("dev/pts")).unwrap();
    std::fs::create_dir(rootfs.join("dev/other")).unwrap();
    for name in ["0", "1", "ptmx"] {
        symlink("/victim", rootfs.join("dev/other").join(name)).unwrap();
    }
    let swapper = Swapper::new(rootfs.join("dev/pts"), rootfs.join("dev/other"));
    for _ in attempts() {
        let said = run(&bundle);
        // 88: a terminal's major number, in hexadecimal.
        assert!(said.code != 0 || said.out == "88\nintact\n", "{} {}", said.out, said.err);
        assert_eq!(std::fs::read_to_string(rootfs.join("victim")).unwrap(), "intact\n");
        let _ = std::fs::remove_file(rootfs.join("out"));
    }
    swapper.stop();
}

#[test]
#[ignore = "needs root: makes containers"]
fn a_terminal_of_exec_comes_from_a_devpts() {
    // What the container put there in its place is not even opened.
    let mut bundle = with_terminal("while :; do sleep 1; done");
    bundle.set("process/terminal", json!(false));
    bundle.config["mounts"].as_array_mut().unwrap().retain(|m| m["destination"] != "/dev/pts");
    std::fs::create_dir(bundle.rootfs().join("dev/pts")).unwrap();
    symlink("/victim", bundle.rootfs().join("dev/pts/ptmx")).unwrap();
    bundle.run_detached();
    for target in ["/victim", "/dev/ptmx", "/dev/tty", "/dev/zero"] {
        let way = bundle.rootfs().join("dev/pts/ptmx");
        std::fs::remove_file(&way).unwrap();
        symlink(target, way).unwrap();
        bundle.call(&["exec", "-t", &bundle.name, "true"]).fails_with(255, "/dev/pts");
    }
}
