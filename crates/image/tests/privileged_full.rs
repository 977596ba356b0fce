//! A disk that is full at any write: a clear error, the store as it was, and the room given back.
#![allow(clippy::unwrap_used)]

mod common;

use carboy_image::{CheckOptions, Images, LoadSource, SnapshotterChoice};
use common::*;
use rustix::fs::FallocateFlags;
use std::fs::{self, File};
use std::path::Path;

/// Bytes that the limit moves along at a time.
const STEP: u64 = 96 << 10;

fn archive(dir: &Path) -> std::path::PathBuf {
    let mut layers = Vec::new();
    for n in 0..3_u8 {
        let noise = pipe("head", &["-c", "300000", "/dev/urandom"], b"");
        let mut tar = TarBuilder::default();
        tar.file(&format!("big{n}"), &noise).directory("d", 0o700);
        for i in 0..30 {
            tar.file(&format!("d/{n}-{i}"), &[n; 3000]);
        }
        layers.push(tar.finish());
    }
    let digests: Vec<_> = layers.iter().map(|tar| carboy_store::Hasher::digest_of(tar)).collect();
    let (_, config) = manifest_and_config(&[], &digests);
    let names: Vec<String> = (0..3).map(|n| format!("l{n}.tar")).collect();
    let manifest = serde_json::json!([{"Config": "config.json", "RepoTags": ["second:latest"], "Layers": names}]);
    let mut tar = TarBuilder::default();
    tar.file("config.json", &config).file("manifest.json", manifest.to_string().as_bytes());
    for (name, layer) in names.iter().zip(&layers) {
        tar.file(name, layer);
    }
    let path = dir.join("archive.tar.gz");
    fs::write(&path, gzip(&tar.finish())).unwrap();
    path
}

/// Leaves `room` bytes on the file system of `dir`.
fn fill(dir: &Path, room: u64) {
    let _ = fs::remove_file(dir.join("filler"));
    let stat = rustix::fs::statvfs(dir).unwrap();
    let filler = File::create(dir.join("filler")).unwrap();
    let mut size = (stat.f_bavail * stat.f_frsize).saturating_sub(room);
    // The file's own metadata need room too.
    while rustix::fs::fallocate(&filler, FallocateFlags::empty(), 0, size).is_err() {
        size -= 16 << 10;
    }
}

fn at_every_write(kind: &str, choice: SnapshotterChoice) {
    let temp = tempfile::tempdir_in("/dev/shm").unwrap();
    let mount = temp.path().join("mount");
    fs::create_dir(&mount).unwrap();
    let _unmount = Unmount(mount.clone());
    shell(
        temp.path(),
        match kind {
            "tmpfs" => "mount -t tmpfs -o size=24m none mount",
            _ => "truncate -s 24M image; mkfs.ext4 -q -m 0 image; mount -o loop image mount",
        },
    );
    let archive = archive(temp.path());
    let sandbox = Sandbox::within(&mount, choice);
    let mut first = TarBuilder::default();
    first.file("first", &[1; 100_000]);
    sandbox.image("first", &[first.finish()]);
    let images = || Images::open(&sandbox.path("root"), &sandbox.path("run"), choice).unwrap();
    let available = || images().store().space().unwrap().available;
    let (mut room, mut refused) = (0, 0);
    loop {
        fill(&mount, room);
        let before = available();
        let loaded = images().load(LoadSource::Path(&archive), &|_, _, _| {});
        let done = match loaded {
            Ok(_) => true,
            Err(e) => {
                refused += 1;
                let chain =
                    format!("{e}: {}", std::error::Error::source(&e).map(ToString::to_string).unwrap_or_default());
                assert!(chain.contains("No space left on device"), "{room} bytes left: {chain}");
                assert!(before.saturating_sub(available()) < 64 << 10, "{room} bytes left: room is given back");
                false
            }
        };
        fs::remove_file(mount.join("filler")).unwrap();
        let images = images();
        assert_eq!(images.list().unwrap().len(), 1 + usize::from(done), "{room} bytes left");
        let findings = images.check(CheckOptions { deep: true, repair: false }).unwrap();
        assert!(findings.is_empty(), "{room} bytes left: {findings:?}");
        sandbox.assert_nothing_left();
        if done {
            break;
        }
        room += STEP;
    }
    assert!(refused > 10, "{refused} of the limits were too low");
}

#[test]
#[ignore = "needs root: mounts"]
fn tmpfs_with_directories() {
    at_every_write("tmpfs", SnapshotterChoice::Overlay);
}

#[test]
#[ignore = "needs root: mounts"]
fn ext4_with_erofs() {
    at_every_write("ext4", SnapshotterChoice::Erofs);
}

/// A window that finds no room in memory finds none on the disk either: that is said, and nothing is left. A page of it that the disk had
/// not given would end this process.
#[test]
#[ignore = "needs root: mounts"]
fn a_window_larger_than_the_disk() {
    let temp = tempfile::tempdir_in("/dev/shm").unwrap();
    let mount = temp.path().join("mount");
    fs::create_dir(&mount).unwrap();
    let _unmount = Unmount(mount.clone());
    shell(temp.path(), "mount -t tmpfs -o size=24m none mount");
    let sandbox = Sandbox::within(&mount, SnapshotterChoice::Overlay);
    let tar = TarBuilder::default().file("x", &[0; 100_000]).finish();
    let blob = pipe("zstd", &["-q", "-1", "--long=27"], &tar);
    let intake = sandbox.images.intake().unwrap();
    let descriptor = descriptor(&blob, carboy_oci::image::media_type::OCI_LAYER_ZSTD);
    let diff_id = carboy_store::Hasher::digest_of(&tar);
    let error = intake.ingest_layer(&descriptor, &diff_id, &mut &blob[..], &|_| {}).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("No space left on device"), "{error}: {source}");
    drop(intake);
    sandbox.assert_nothing_left();
}
