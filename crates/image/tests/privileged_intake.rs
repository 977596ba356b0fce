//! Taking layers in: from two processes at once, onto a full disk, and with a mount for each layer only.
#![allow(clippy::unwrap_used)]

mod common;

use carboy_image::{Images, SnapshotterChoice};
use carboy_oci::image::media_type::{OCI_LAYER_GZIP, OCI_MANIFEST};
use carboy_store::Hasher;
use common::*;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const DIR: &str = "CARBOY_TEST_DIR";

/// A source that takes its time, and that leaves a mark when it is read.
struct Slow<'a> {
    bytes: &'a [u8],
    mark: PathBuf,
}

impl Read for Slow<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        fs::write(&self.mark, "")?;
        std::thread::sleep(Duration::from_millis(2));
        let count = target.len().min(20_000);
        (&mut self.bytes).take(count as u64).read(target)
    }
}

#[test]
#[ignore = "not a test: one of several processes"]
fn role() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let dir = PathBuf::from(dir);
    let (blob, tar) = (fs::read(dir.join("blob")).unwrap(), fs::read(dir.join("tar")).unwrap());
    let images = Images::open(&dir.join("root"), &dir.join("run"), SnapshotterChoice::Auto).unwrap();
    let intake = images.intake().unwrap();
    let mark = dir.join(format!("read-by-{}", std::process::id()));
    let descriptor = descriptor(&blob, OCI_LAYER_GZIP);
    let diff_id = Hasher::digest_of(&tar);
    intake.ingest_layer(&descriptor, &diff_id, &mut Slow { bytes: &blob, mark }, &|_| {}).unwrap();
    let (manifest, config) = manifest_and_config(&[descriptor], &[diff_id]);
    intake.finish(&["shared".parse().unwrap()], OCI_MANIFEST, &manifest, &config).unwrap();
}

fn layer(megabytes: usize) -> Vec<u8> {
    let mut tar = TarBuilder::default();
    for n in 0..megabytes {
        let bytes = pipe("head", &["-c", "1000000", "/dev/urandom"], b"");
        tar.file(&format!("file{n}"), &bytes);
    }
    tar.finish()
}

#[test]
#[ignore = "needs root: mounts"]
fn of_several_processes_one_reads_and_the_others_reuse() {
    let sandbox = Sandbox::new(SnapshotterChoice::Auto);
    let tar = layer(3);
    fs::write(sandbox.path("tar"), &tar).unwrap();
    fs::write(sandbox.path("blob"), gzip(&tar)).unwrap();
    let children: Vec<_> = (0..4)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "role", "--ignored", "--nocapture"])
                .env(DIR, sandbox.dir.path())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let names = fs::read_dir(sandbox.dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.filter(|name| name.to_string_lossy().starts_with("read-by-")).count(), 1);
    let image = sandbox.images.find("shared").unwrap().unwrap();
    sandbox.with_root(&image, |root| assert_eq!(fs::read_dir(root).unwrap().count(), 3));
    sandbox.assert_nothing_left();
}

/// A small file system of its own.
fn with_small_disk(kind: &str, test: impl FnOnce(&Path)) {
    let dir = tempfile::tempdir().unwrap();
    let mount = dir.path().join("mount");
    fs::create_dir(&mount).unwrap();
    let _unmount = Unmount(mount.clone());
    shell(
        dir.path(),
        match kind {
            "tmpfs" => "mount -t tmpfs -o size=8m none mount",
            _ => "truncate -s 16M image; mkfs.ext4 -q image; mount -o loop image mount",
        },
    );
    test(&mount);
}

fn a_full_disk(kind: &str) {
    with_small_disk(kind, |mount| {
        let tar = layer(24);
        let sandbox = Sandbox::within(mount, SnapshotterChoice::Auto);
        let before = sandbox.images.store().space().unwrap().available;
        let error = sandbox.layer(&tar).unwrap_err().to_string();
        assert!(error.contains("No space left on device") && error.starts_with("write "), "{error}");
        sandbox.assert_nothing_left();
        assert!(before - sandbox.images.store().space().unwrap().available < 200_000, "space is given back");
        // The store is intact.
        let image = sandbox.image("small", &[layer(1)]);
        sandbox.with_root(&image, |root| assert_eq!(fs::read_dir(root).unwrap().count(), 1));
    });
}

#[test]
#[ignore = "needs root: mounts"]
fn a_full_tmpfs_is_said_and_left_clean() {
    a_full_disk("tmpfs");
}

#[test]
#[ignore = "needs root: mounts"]
fn a_full_ext4_is_said_and_left_clean() {
    a_full_disk("ext4");
}

#[test]
#[ignore = "needs root: mounts"]
fn layers_are_mounted_once_and_unmounted_when_unused() {
    let sandbox = Sandbox::new(SnapshotterChoice::Erofs);
    let (base, top) = (layer(1), layer(2));
    let one = sandbox.image("one", &[base.clone(), top]);
    let two = sandbox.image("two", &[base.clone(), layer(1), base]);
    let mounts = || {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let folder = sandbox.path("run/layers");
        table.lines().filter(|line| line.contains(folder.to_str().unwrap())).count()
    };
    let (_, steps) = sandbox.images.explain_prepare(&one, &sandbox.path("nowhere")).unwrap();
    assert_eq!((mounts(), steps.len()), (0, 5));
    assert!(steps[1].calls[0].starts_with("fsopen"), "{steps:?}");
    for (image, container) in [(&one, "c1"), (&two, "c2"), (&two, "c3")] {
        sandbox.images.prepare(image, &sandbox.folder(&format!("root/containers/{container}"))).unwrap();
    }
    assert_eq!(mounts(), 3);
    sandbox.images.collect().unwrap();
    assert_eq!(mounts(), 3);
    // The image goes, the layers of its container stay.
    sandbox.images.remove("one", true, &|_| None).unwrap();
    fs::remove_dir_all(sandbox.path("root/containers/c2")).unwrap();
    sandbox.images.unmount_unused().unwrap();
    assert_eq!(mounts(), 3);
    sandbox.images.prepare(&two, &sandbox.folder("root/containers/c2")).unwrap();
    fs::remove_dir_all(sandbox.path("root/containers/c1")).unwrap();
    sandbox.images.collect().unwrap();
    assert_eq!((mounts(), fs::read_dir(sandbox.path("root/layers")).unwrap().count()), (2, 2));
}

#[test]
#[ignore = "needs root: mounts"]
fn many_at_once_mount_each_layer_once() {
    let sandbox = Sandbox::new(SnapshotterChoice::Erofs);
    let tars: Vec<Vec<u8>> = (1..=4).map(layer).collect();
    let image = sandbox.image("many", &tars);
    // A mount point that somebody left behind, with nothing mounted.
    sandbox.folder(&format!("run/layers/{}", image.layers()[2].hex()));
    let folders: Vec<PathBuf> = (0..8).map(|number| sandbox.folder(&format!("root/containers/c{number}"))).collect();
    let ready = std::sync::Barrier::new(folders.len());
    std::thread::scope(|scope| {
        for folder in &folders {
            let (image, sandbox, ready) = (&image, &sandbox, &ready);
            scope.spawn(move || {
                let (root, run) = (sandbox.path("root"), sandbox.path("run"));
                let images = Images::open(&root, &run, SnapshotterChoice::Erofs).unwrap();
                ready.wait();
                images.prepare(image, folder).unwrap();
            });
        }
    });
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    for diff_id in image.layers() {
        assert_eq!(table.lines().filter(|line| line.contains(diff_id.hex())).count(), 1, "{diff_id}");
    }
}

#[test]
#[ignore = "needs root: mounts"]
fn garbage_is_given_back_later_and_by_nobody_else_meanwhile() {
    let sandbox = Sandbox::new(SnapshotterChoice::Erofs);
    let image = sandbox.image("big", &[layer(20)]);
    sandbox.with_root(&image, |root| assert!(fs::read(root.join("big")).is_ok() || root.is_dir()));
    fs::remove_dir_all(sandbox.path("root/containers")).unwrap();
    let trash = || fs::read_dir(sandbox.path("root/trash")).unwrap().count();
    let (removed, garbage) = sandbox.images.remove_to_trash("big", false, &|_| None).unwrap();
    assert_eq!(removed.len(), 3, "{removed:?}");
    assert_eq!(fs::read_dir(sandbox.path("run/layers")).unwrap().count(), 0, "nothing is mounted");
    assert!(!sandbox.images.store().trash_is_small() && trash() > 0);
    // Whoever opens the store meanwhile leaves it alone.
    let again =
        carboy_image::Images::open(&sandbox.path("root"), &sandbox.path("run"), SnapshotterChoice::Erofs).unwrap();
    assert!(trash() > 0 && again.list().unwrap().is_empty());
    // The image may come back before the garbage has gone.
    sandbox.image("big", &[layer(20)]);
    assert!(garbage.unwrap().empty(sandbox.images.store()).unwrap() >= 20 << 20);
    assert_eq!((trash(), sandbox.images.list().unwrap().len()), (0, 1));
    // Of a process that dies before it has emptied the trash, the next one finds it.
    drop(sandbox.images.remove_to_trash("big", false, &|_| None).unwrap());
    assert!(trash() > 0);
    carboy_image::Images::open(&sandbox.path("root"), &sandbox.path("run"), SnapshotterChoice::Erofs).unwrap();
    assert_eq!(trash(), 0);
}
