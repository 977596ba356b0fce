//! A store that is damaged in every way that a check knows: found, repaired as far as possible, and sound afterwards.
#![allow(clippy::unwrap_used)]

mod common;

use carboy_image::{CheckOptions, Finding, Outcome, Problem, SnapshotterChoice};
use common::*;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

fn layer(seed: u8) -> Vec<u8> {
    let mut tar = TarBuilder::default();
    tar.file(&format!("file{seed}"), &vec![seed; 200_000]).finish()
}

/// A store with the images `whole` (layers 1 and 2) and `hit` (layers 1 and 3).
struct Damaged {
    sandbox: Sandbox,
    whole: carboy_image::Image,
    hit: carboy_image::Image,
}

impl Damaged {
    fn new(choice: SnapshotterChoice) -> Self {
        let sandbox = Sandbox::new(choice);
        let whole = sandbox.image("whole", &[layer(1), layer(2)]);
        let hit = sandbox.image("hit", &[layer(1), layer(3)]);
        let damaged = Damaged { sandbox, whole, hit };
        assert_eq!(damaged.check(true, false), []);
        damaged
    }

    fn check(&self, deep: bool, repair: bool) -> Vec<Finding> {
        self.sandbox.images.check(CheckOptions { deep, repair }).unwrap()
    }

    /// The problems that are found, then those of a repair; afterwards there is none, and `whole` can be used.
    fn found(&self, deep: bool) -> (Vec<Problem>, Vec<Outcome>) {
        let found = self.check(deep, false);
        assert!(found.iter().all(|finding| finding.outcome == Outcome::Left));
        let repaired = self.check(deep, true);
        assert_eq!(self.check(true, false), []);
        self.sandbox.assert_nothing_left();
        self.sandbox.with_root(&self.whole, |root| assert_eq!(fs::read(root.join("file2")).unwrap().len(), 200_000));
        let problems = found.into_iter().map(|finding| finding.problem).collect();
        (problems, repaired.into_iter().map(|finding| finding.outcome).collect())
    }

    fn blob(&self) -> PathBuf {
        self.sandbox.images.store().blob_path(&self.hit.manifest_data.layers[1].digest)
    }

    fn layer(&self) -> PathBuf {
        self.sandbox.images.store().layer_dir(&self.hit.layers()[1])
    }

    fn is_usable(&self, name: &str) -> bool {
        let Some(image) = self.sandbox.images.find(name).unwrap() else { return false };
        fs::remove_dir_all(self.sandbox.path("root/containers")).unwrap();
        self.sandbox.with_root(&image, |root| fs::read(root.join("file3")).unwrap() == vec![3; 200_000])
    }
}

/// Changes one byte of a file.
fn flip(path: &Path, at: u64) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

fn both(test: impl Fn(SnapshotterChoice)) {
    [SnapshotterChoice::Erofs, SnapshotterChoice::Overlay].into_iter().for_each(test);
}

#[test]
#[ignore = "needs root: mounts"]
fn a_lost_layer_is_made_again() {
    both(|choice| {
        let damaged = Damaged::new(choice);
        fs::remove_dir_all(damaged.layer()).unwrap();
        let (problems, outcomes) = damaged.found(false);
        assert!(matches!(&problems[..], [Problem::MissingLayer { blob: Some(_), .. }]), "{problems:?}");
        assert!(matches!(&outcomes[..], [Outcome::Repaired(how)] if how.contains("made again")), "{outcomes:?}");
        assert!(damaged.is_usable("hit"));
    });
}

#[test]
#[ignore = "needs root: mounts"]
fn a_lost_blob_is_told() {
    both(|choice| {
        let damaged = Damaged::new(choice);
        fs::remove_file(damaged.blob()).unwrap();
        let (problems, _) = damaged.found(false);
        assert!(matches!(&problems[..], [Problem::MissingBlob { .. }]), "{problems:?}");
        assert!(damaged.is_usable("hit"));
    });
}

#[test]
#[ignore = "needs root: mounts"]
fn what_cannot_be_saved_is_given_up() {
    both(|choice| {
        let damaged = Damaged::new(choice);
        fs::remove_dir_all(damaged.layer()).unwrap();
        fs::remove_file(damaged.blob()).unwrap();
        let (problems, outcomes) = damaged.found(false);
        assert!(matches!(&problems[..], [Problem::MissingLayer { blob: None, .. }]), "{problems:?}");
        assert!(
            matches!(&outcomes[..], [Outcome::Repaired(how), ..] if how.contains("pull hit:latest anew")),
            "{outcomes:?}"
        );
        assert!(damaged.sandbox.images.find("hit").unwrap().is_none());
        for part in [damaged.hit.id.clone(), damaged.hit.manifest.digest.clone()] {
            let damaged = Damaged::new(choice);
            fs::remove_file(damaged.sandbox.images.store().blob_path(&part)).unwrap();
            let (problems, _) = damaged.found(false);
            assert!(problems.iter().any(|problem| matches!(problem, Problem::Broken { .. })), "{problems:?}");
        }
    });
}

#[test]
#[ignore = "needs root: mounts"]
fn records_that_are_none() {
    let damaged = Damaged::new(SnapshotterChoice::Erofs);
    let root = damaged.sandbox.path("root");
    fs::write(root.join("refs/junk.json"), "{").unwrap();
    fs::write(root.join("images/junk.json"), "").unwrap();
    let name = fs::read_to_string(root.join("refs/docker.io%library%hit:latest.json")).unwrap();
    let gone = name.replace(damaged.hit.manifest.digest.hex(), &"0".repeat(64)).replace("hit:latest", "gone:latest");
    fs::write(root.join("refs/docker.io%library%gone:latest.json"), gone).unwrap();
    let (problems, outcomes) = damaged.found(false);
    assert_eq!((problems.len(), outcomes.len()), (3, 3), "{problems:?}");
    assert!(matches!(&problems[2], Problem::DanglingName { name } if name.familiar() == "gone:latest"), "{problems:?}");
    assert!(damaged.is_usable("hit"));
}

#[test]
#[ignore = "needs root: mounts"]
fn what_nobody_needs_is_counted_and_removed() {
    let damaged = Damaged::new(SnapshotterChoice::Erofs);
    damaged.sandbox.layer(&layer(9)).unwrap();
    let (problems, _) = damaged.found(false);
    let [Problem::OrphanedBlob { .. }, Problem::OrphanedLayer { bytes, .. }] = &problems[..] else {
        panic!("{problems:?}")
    };
    assert!(*bytes >= 200_000);
}

#[test]
#[ignore = "needs root: mounts"]
fn damaged_content_is_found_by_reading_it() {
    for (file, at) in [("tar", 1000), ("erofs", 1024), ("erofs", 1300)] {
        let damaged = Damaged::new(SnapshotterChoice::Erofs);
        flip(&damaged.layer().join(file), at);
        assert_eq!(damaged.check(false, false), [], "nothing is read unless it is asked for");
        let (problems, outcomes) = damaged.found(true);
        assert!(matches!(&problems[..], [Problem::DamagedLayer { .. }]), "{file}: {problems:?}");
        assert!(
            outcomes.iter().any(|how| matches!(how, Outcome::Repaired(how) if how.contains("made again"))),
            "{outcomes:?}"
        );
        assert!(damaged.is_usable("hit"));
    }
    both(|choice| {
        let damaged = Damaged::new(choice);
        flip(&damaged.blob(), 100);
        let (problems, _) = damaged.found(true);
        assert!(matches!(&problems[..], [Problem::DamagedBlob { .. }]), "{problems:?}");
        assert!(damaged.is_usable("hit"));
    });
}

#[test]
#[ignore = "needs root: mounts"]
fn what_a_container_uses_is_left_to_it() {
    let damaged = Damaged::new(SnapshotterChoice::Erofs);
    damaged.sandbox.images.prepare(&damaged.hit, &damaged.sandbox.folder("root/containers/c9")).unwrap();
    flip(&damaged.layer().join("tar"), 1000);
    let repaired = damaged.check(true, true);
    assert!(
        matches!(&repaired[..], [Finding { outcome: Outcome::Failed(why), .. }] if why.contains("container")),
        "{repaired:?}"
    );
    fs::remove_dir_all(damaged.sandbox.path("root/containers/c9")).unwrap();
    damaged.found(true);
    assert!(damaged.is_usable("hit"));
}
