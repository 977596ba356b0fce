//! Mount points, device nodes and links that are to be made outside, by links of an image or by swapping them in.

use super::{Outside, Swapper, attempts, replace_by_link};
use crate::common::Bundle;
use serde_json::{Value, json};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

fn tmpfs(to: &str) -> Value {
    json!({ "destination": to, "type": "tmpfs", "source": "tmpfs", "options": [] })
}

fn file(to: &str) -> Value {
    json!({ "destination": to, "type": "bind", "source": "/etc/hostname", "options": ["bind"] })
}

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2021_30465_links_of_an_image() {
    let outside = Outside::new();
    for target in [
        outside.path().display().to_string(),
        outside.relative(),
        format!("/proc/self/root{}", outside.path().display()),
    ] {
        let mut bundle = Bundle::script("ls /link");
        symlink(&target, bundle.rootfs().join("link")).unwrap();
        bundle.add_mount(tmpfs("/link/x"));
        bundle.add_mount(file("/link/y"));
        let said = bundle.run();
        // A magic link is followed by nobody; others end inside.
        assert!(said.out == "x\ny\n" || target.starts_with("/proc") && said.code != 0, "{} {}", said.out, said.err);
        outside.is_untouched();
    }
}

/// A folder that the attacker swaps with a link to the outside, below which mount points are to be made.
fn while_swapped(mounts: &[Value]) {
    let outside = Outside::new();
    for target in [outside.relative(), outside.path().display().to_string()] {
        let mut bundle = Bundle::new();
        let shared = bundle.rootfs().join("shared");
        std::fs::create_dir_all(shared.join("data")).unwrap();
        symlink(&target, shared.join("link")).unwrap();
        mounts.iter().for_each(|mount| bundle.add_mount(mount.clone()));
        bundle.set("process/args", json!(["ls", "/shared/data/", "/shared/link/"]));
        let swapper = Swapper::new(shared.join("data"), shared.join("link"));
        let mut fine = 0;
        for _ in attempts() {
            fine += usize::from(bundle.run().code == 0);
            // New mount points each time.
            for folder in [shared.join("data/a"), shared.join("link/a")] {
                let _ = std::fs::remove_dir_all(folder);
            }
            outside.is_untouched();
        }
        swapper.stop();
        assert!(fine > 0, "nothing could be started at all");
    }
}

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2021_30465_a_mount_point_is_swapped() {
    while_swapped(&[tmpfs("/shared/data")]);
}

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2024_45310_folders_and_files_are_made_while_swapped() {
    while_swapped(&[file("/shared/data/a/b/c/file"), tmpfs("/shared/data/a/d/e")]);
}

/// What a runtime must leave alone in a folder: names, what they are, and when they were changed.
fn picture(folder: &Path) -> Vec<(String, u32, u64, i64, i64)> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let mut all: Vec<_> = entries
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with("loop"))
        .filter_map(|entry| {
            let stat = entry.path().symlink_metadata().ok()?;
            // In folders, such as shm, the machine's other processes make files meanwhile.
            let changed = if stat.is_dir() { (0, 0) } else { (stat.ctime(), stat.ctime_nsec()) };
            Some((entry.file_name().into_string().unwrap(), stat.mode(), stat.rdev(), changed.0, changed.1))
        })
        .filter(|(_, mode, ..)| *mode & 0o170_000 != 0o020_000)
        .collect();
    all.sort();
    all
}

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2026_41579_dev_is_a_link() {
    let outside = Outside::new();
    let (host, ptmx) = (picture(Path::new("/dev")), std::fs::symlink_metadata("/dev/ptmx").unwrap().ino());
    for target in [
        outside.path().to_str().unwrap(),
        &outside.relative(),
        "../../../../../../../../../../dev",
        "/proc/self/root/dev",
    ] {
        for with_dev in [true, false] {
            let mut bundle = Bundle::new();
            replace_by_link(&bundle, "dev", target);
            if !with_dev {
                bundle.config["mounts"]
                    .as_array_mut()
                    .unwrap()
                    .retain(|m| !m["destination"].as_str().unwrap().starts_with("/dev"));
            }
            bundle.run();
            outside.is_untouched();
        }
    }
    assert_eq!(picture(Path::new("/dev")), host);
    assert_eq!(std::fs::symlink_metadata("/dev/ptmx").unwrap().ino(), ptmx);
}

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2026_41579_dev_is_a_link_to_a_volume() {
    // A folder of the host that the container was given, as the host's /dev is to some: no names of theirs are removed or replaced.
    let volume = tempfile::tempdir().unwrap();
    for name in ["ptmx", "null", "fd", "console"] {
        std::fs::write(volume.path().join(name), name).unwrap();
    }
    let mut bundle = Bundle::new();
    replace_by_link(&bundle, "dev", "/volume");
    bundle.config["mounts"].as_array_mut().unwrap().retain(|m| !m["destination"].as_str().unwrap().starts_with("/dev"));
    bundle
        .add_mount(json!({ "destination": "/volume", "type": "bind", "source": volume.path(), "options": ["rbind"] }));
    bundle.run();
    for name in ["ptmx", "null", "fd", "console"] {
        assert_eq!(std::fs::read_to_string(volume.path().join(name)).ok().as_deref(), Some(name));
    }
    assert_eq!(std::fs::read_dir(volume.path()).unwrap().count(), 4);
}

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2026_41579_dev_is_swapped() {
    let outside = Outside::new();
    let mut bundle = Bundle::new();
    bundle.config["mounts"].as_array_mut().unwrap().retain(|m| !m["destination"].as_str().unwrap().starts_with("/dev"));
    let rootfs = bundle.rootfs();
    std::fs::create_dir(rootfs.join("dev")).unwrap();
    symlink(outside.relative(), rootfs.join("way")).unwrap();
    let swapper = Swapper::new(rootfs.join("dev"), rootfs.join("way"));
    for _ in attempts() {
        bundle.run();
        outside.is_untouched();
    }
    swapper.stop();
}

#[test]
#[ignore = "needs root: makes containers"]
fn the_working_directory_is_made_inside() {
    let outside = Outside::new();
    let with_link = |target: &str| {
        let mut bundle = Bundle::script("pwd");
        symlink(target, bundle.rootfs().join("link")).unwrap();
        bundle.set("process/cwd", json!("/link/made/here"));
        bundle
    };
    let path = outside.path().to_str().unwrap();
    for target in [&outside.relative(), path] {
        let bundle = with_link(target);
        assert_eq!(bundle.run().good(), format!("{path}/made/here\n"));
        outside.is_untouched();
        assert!(bundle.rootfs().join(&path[1..]).join("made/here").is_dir());
    }
    // The root that the container has by then keeps those in. Where it sees the host's processes, their links lead out of any root.
    let mut bundle = with_link(&format!("/proc/{}/root{path}", std::process::id()));
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "pid");
    let said = bundle.run();
    outside.is_untouched();
    said.fails_with(
        1,
        "chdir to cwd (\"/link/made/here\") set in config.json failed: too many levels of symbolic links",
    );
}
