//! What the runtime writes to /proc (parameters, labels) sent elsewhere by what an image or a volume puts there.

use super::{Swapper, attempts, replace_by_link};
use crate::common::Bundle;
use serde_json::json;
use std::path::{Path, PathBuf};

const PARAMETER: &str = "sys/net/ipv4/ip_unprivileged_port_start";

/// A folder that looks like /proc to whoever writes a parameter or a label.
fn make_fake(folder: &Path) -> PathBuf {
    for name in [PARAMETER, "self/attr/exec", "self/attr/apparmor/exec", "thread-self/attr/exec"] {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "before").unwrap();
    }
    folder.join(PARAMETER)
}

fn is_untouched(file: &Path) {
    assert_eq!(std::fs::read_to_string(file).unwrap(), "before");
}

fn with_parameter(script: &str) -> Bundle {
    let mut bundle = Bundle::script(script);
    bundle.set("linux/sysctl", json!({ "net.ipv4.ip_unprivileged_port_start": "77" }));
    bundle
}

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2019_19921_and_cve_2023_27561_proc_is_a_link() {
    for name in ["proc", "sys"] {
        for target in ["/other", "other", "/proc/../other"] {
            let bundle = with_parameter("true");
            let fake = make_fake(&bundle.rootfs().join("other"));
            replace_by_link(&bundle, name, target);
            bundle.run().fails_with(1, "must be mounted on ordinary directory");
            is_untouched(&fake);
        }
    }
}

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2019_16884_a_volume_covers_proc() {
    for destination in ["/proc", "/proc/self/attr", "/proc/../proc/sys", "proc/sys/net", "/proc/cpuinfo/../sys"] {
        let mut bundle = Bundle::new();
        bundle.add_mount(json!({ "destination": destination, "type": "tmpfs", "source": "tmpfs", "options": [] }));
        bundle.run().fails_with(1, "inside /proc");
    }
    let mut bundle = with_parameter("true");
    let fake = make_fake(&bundle.path().join("volume"));
    let volume = bundle.path().join("volume");
    bundle.add_mount(json!({ "destination": "/proc", "type": "bind", "source": volume, "options": ["rbind"] }));
    bundle.run().fails_with(1, "cover /proc");
    is_untouched(&fake);
}

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2019_16884_a_volume_covers_proc_by_a_link() {
    // The image's link leads a volume whose name looks harmless over what the runtime writes to.
    for (target, below) in [("/proc", ""), ("/proc/sys/net/ipv4", "sys/net/ipv4"), ("../../proc/sys", "sys")] {
        for kind in ["bind", "tmpfs"] {
            let mut bundle = with_parameter("true");
            let volume = bundle.path().join("volume");
            let fake = make_fake(&volume);
            replace_by_link(&bundle, "data", target);
            let source = volume.join(below);
            bundle.add_mount(json!({ "destination": "/data", "type": kind, "source": source, "options": if kind == "bind" { json!(["rbind"]) } else { json!([]) } }));
            bundle.run().fails_with(1, "inside /proc");
            is_untouched(&fake);
        }
    }
}

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2023_28642_proc_is_swapped() {
    let bundle = with_parameter("true");
    let rootfs = bundle.rootfs();
    std::fs::create_dir(rootfs.join("proc")).unwrap();
    let fake = make_fake(&rootfs.join("other"));
    let swapper = Swapper::new(rootfs.join("proc"), rootfs.join("other"));
    let file = |name: &str| rootfs.join(name).join(PARAMETER);
    for _ in attempts() {
        bundle.run();
        let text = ["proc", "other"].iter().find_map(|name| std::fs::read_to_string(file(name)).ok());
        assert!(text.is_none_or(|text| text == "before"));
    }
    swapper.stop();
    if !fake.exists() {
        rustix::fs::renameat_with(
            rustix::fs::CWD,
            rootfs.join("proc"),
            rustix::fs::CWD,
            rootfs.join("other"),
            rustix::fs::RenameFlags::EXCHANGE,
        )
        .unwrap();
    }
    is_untouched(&fake);
}

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2025_52881_a_volume_is_swapped_into_proc() {
    // A parameter's file is covered by one of the volume's while the parameter is being written.
    let mut bundle = with_parameter("cat /proc/sys/net/ipv4/ip_unprivileged_port_start");
    let volume = bundle.path().join("volume");
    let fake = make_fake(&volume);
    let shared = bundle.rootfs().join("shared");
    std::fs::create_dir_all(shared.join("data")).unwrap();
    std::os::unix::fs::symlink("/proc/sys/net/ipv4", shared.join("link")).unwrap();
    let source = volume.join("sys/net/ipv4");
    bundle.add_mount(json!({ "destination": "/shared/data", "type": "bind", "source": source, "options": ["rbind"] }));
    let swapper = Swapper::new(shared.join("data"), shared.join("link"));
    let mut fine = 0;
    for _ in attempts() {
        let said = bundle.run();
        assert!(said.code != 0 || said.out == "77\n", "{} {}", said.out, said.err);
        fine += usize::from(said.code == 0);
        is_untouched(&fake);
    }
    swapper.stop();
    assert!(fine > 0, "nothing could be started at all");
}

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2025_52881_exec() {
    // A container that may mount covers its own /proc; what `exec` writes must not go there.
    let mut bundle = Bundle::script(
        "mount -t tmpfs none /proc/sys; mount -t tmpfs none /proc; \
         for d in self thread-self; do mkdir -p /proc/$d/attr/apparmor; \
         for f in exec apparmor/exec; do echo before > /proc/$d/attr/$f; done; done; touch /done; sleep 1000",
    );
    let caps = json!(["CAP_SYS_ADMIN"]);
    bundle.set("process/capabilities", json!({ "bounding": caps, "effective": caps, "permitted": caps }));
    bundle.set("linux/readonlyPaths", json!([]));
    bundle.run_detached();
    crate::common::wait_until("a covered /proc", || bundle.rootfs().join("done").exists());
    let exec = |options: &[&str], script: &str| {
        bundle.call(&[&["exec"], options, &[&bundle.name, "sh", "-c", script]].concat())
    };
    assert_eq!(exec(&[], "ls /proc; pwd").good(), "self\nthread-self\n/\n");
    // There is no such label; what matters is that no file is taken for one. (Without AppArmor in the kernel it is not even tried.)
    let said = exec(&["--apparmor", "x"], "ls -R /proc");
    assert!(said.code == 255 && !said.err.is_empty(), "{} {}", said.out, said.err);
    assert_eq!(exec(&[], "cat /proc/*/attr/exec /proc/*/attr/apparmor/exec").good(), "before\n".repeat(4));
}
