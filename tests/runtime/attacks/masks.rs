//! CVE-2025-31133: what a mask is made of is the container's own /dev/null.

use super::{Swapper, replace_by_link};
use crate::common::Bundle;
use serde_json::json;
use std::os::unix::fs::symlink;

/// What lies over the masked file, what the mask of a folder holds, and whether the victim is reached through either.
const SCRIPT: &str =
    "stat -c '%F %t:%T' /proc/timer_list; ls /masked | wc -l; echo pwned > /proc/timer_list; cat /victim";
const SAFE: &str = "character special file 1:3\n0\nintact\n";

fn victim(bundle: &mut Bundle) {
    std::fs::write(bundle.rootfs().join("victim"), "intact\n").unwrap();
    std::fs::create_dir(bundle.rootfs().join("masked")).unwrap();
    std::fs::write(bundle.rootfs().join("masked/secret"), "").unwrap();
    bundle.config["linux"]["maskedPaths"].as_array_mut().unwrap().push(json!("/masked"));
}

fn without_dev(bundle: &mut Bundle) {
    bundle.config["mounts"].as_array_mut().unwrap().retain(|m| !m["destination"].as_str().unwrap().starts_with("/dev"));
}

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2025_31133_null_is_a_link() {
    // In the image's own /dev.
    let mut bundle = Bundle::script(SCRIPT);
    victim(&mut bundle);
    without_dev(&mut bundle);
    std::fs::create_dir(bundle.rootfs().join("dev")).unwrap();
    symlink("/victim", bundle.rootfs().join("dev/null")).unwrap();
    assert_eq!(bundle.run().good(), SAFE);
    // In a /dev that is a volume, where the runtime makes nothing itself.
    let mut bundle = Bundle::script(SCRIPT);
    victim(&mut bundle);
    without_dev(&mut bundle);
    let volume = tempfile::tempdir().unwrap();
    symlink("/victim", volume.path().join("null")).unwrap();
    bundle.add_mount(json!({ "destination": "/dev", "type": "bind", "source": volume.path(), "options": ["rbind"] }));
    assert_eq!(bundle.run().good(), SAFE);
}

/// Without pivot_root the host's /proc and /sys stay in the container's mount namespace; as long as they are there whole, a user namespace
/// of the container's own may mount others that have no masks.
#[test]
#[ignore = "needs root: makes containers"]
fn no_other_proc_or_sysfs_can_be_mounted_without_pivot_root() {
    let script = "busybox unshare -U -r -m -p -f mount -t proc proc /tmp && echo a whole proc; \
        busybox unshare -U -r -m -n mount -o ro -t sysfs sysfs /tmp && echo a whole sysfs; \
        busybox unshare -U -r -m true && echo tried; cat /proc/self/mounts | grep -c ' /proc '";
    for args in [&["run"][..], &["run", "--no-pivot"]] {
        let mut bundle = Bundle::script(script);
        // Without it root of the container cannot be mapped to root.
        let list = ["CAP_SETFCAP"];
        bundle.set("process/capabilities", json!({ "bounding": list, "effective": list, "permitted": list }));
        let said = bundle.call(&[args, &[&bundle.name]].concat());
        assert_eq!(said.out, "tried\n1\n", "{args:?}: {}", said.err);
    }
}

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2025_31133_null_is_swapped() {
    let mut bundle = Bundle::script(SCRIPT);
    victim(&mut bundle);
    without_dev(&mut bundle);
    let dev = bundle.rootfs().join("dev");
    std::fs::create_dir(&dev).unwrap();
    symlink("/victim", dev.join("a")).unwrap();
    let null = rustix::fs::makedev(1, 3);
    let mode = rustix::fs::Mode::from_raw_mode(0o666);
    rustix::fs::mknodat(rustix::fs::CWD, dev.join("null"), rustix::fs::FileType::CharacterDevice, mode, null).unwrap();
    let swapper = Swapper::new(dev.join("a"), dev.join("null"));
    for _ in super::attempts() {
        // The runtime puts a node in the place of a link that it finds there: the next one gets another link.
        symlink("/victim", dev.join("next")).unwrap();
        std::fs::rename(dev.join("next"), dev.join("a")).unwrap();
        let said = bundle.run();
        // It may fail where the swapping gets into the way of making the node.
        assert!(said.out == SAFE || said.code != 0 && said.out.is_empty(), "{} {} {}", said.code, said.out, said.err);
        assert_eq!(std::fs::read_to_string(bundle.rootfs().join("victim")).unwrap(), "intact\n");
    }
    swapper.stop();
}

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2025_31133_the_masked_path_is_a_link() {
    // The mask lands where the link leads, in the container.
    let mut bundle = Bundle::script("cat /way; cat /etc/secret");
    std::fs::write(bundle.rootfs().join("etc/secret"), "secret").unwrap();
    replace_by_link(&bundle, "way", "../../../../etc/secret");
    bundle.set("linux/maskedPaths", json!(["/way", "/nowhere/at/all"]));
    assert_eq!(bundle.run().good(), "");
    // Where it leads to what is not the container's, there is none.
    let mut bundle = Bundle::new();
    replace_by_link(&bundle, "way", "/proc/self/fd/3");
    bundle.set("linux/maskedPaths", json!(["/way"]));
    bundle.run().fails_with(1, "/way");
}
