//! The directory snapshotter inside a user namespace, as rootless uses it: this test's own executable, started again in there.
#![allow(clippy::unwrap_used)]

mod common;

use carboy_image::{Images, SnapshotterChoice, SnapshotterKind};
use carboy_oci::image::media_type::{OCI_LAYER, OCI_MANIFEST};
use carboy_store::Hasher;
use common::*;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const DIR: &str = "CARBOY_TEST_DIR";
/// First ID outside; nobody has it here.
const OUTSIDE: u32 = 700_000;

#[test]
#[ignore = "not a test: the process inside the user namespace"]
fn role() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let dir = PathBuf::from(dir);
    let images = Images::open(&dir.join("root"), &dir.join("run"), SnapshotterChoice::Auto).unwrap();
    assert_eq!(images.snapshotter(), SnapshotterKind::Overlay);
    let sandbox = Sandbox { dir: tempfile::tempdir_in(&dir).unwrap(), images };
    let intake = sandbox.images.intake().unwrap();
    let (mut descriptors, mut diff_ids) = (Vec::new(), Vec::new());
    for name in ["base.tar", "top.tar"] {
        let tar = fs::read(dir.join(name)).unwrap();
        let (descriptor, diff_id) = (descriptor(&tar, OCI_LAYER), Hasher::digest_of(&tar));
        intake.ingest_layer(&descriptor, &diff_id, &mut &tar[..], &|_| {}).unwrap();
        descriptors.push(descriptor);
        diff_ids.push(diff_id);
    }
    let (manifest, config) = manifest_and_config(&descriptors, &diff_ids);
    let image = intake.finish(&[], OCI_MANIFEST, &manifest, &config).unwrap();
    let seen = sandbox.with_root(&image, listing);
    let lines: Vec<String> = seen.iter().map(|(name, line)| format!("{}\t{line}", name.display())).collect();
    fs::write(dir.join("seen"), lines.join("\n")).unwrap();
    drop(intake);
    // Devices are left out, as podman leaves them out, and the layer's record says how many.
    let record = fs::read(dir.join("root/layers").join(diff_ids[0].hex()).join("layer.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(record["skipped_devices"], 2, "a device and a hard link to it");
    assert!(!seen.keys().any(|name| name.starts_with("device") || name.starts_with("device2")));
    // What was made with mapped IDs can be removed with them.
    for image in sandbox.images.list().unwrap() {
        sandbox.images.remove(image.id.as_str(), true, &|_| None).unwrap();
    }
    for folder in ["layers", "ingest", "trash", "blobs/sha256"] {
        assert_eq!(fs::read_dir(dir.join("root").join(folder)).unwrap().count(), 0, "{folder}");
    }
}

/// Runs the role in new user and mount namespaces with this map, and answers what it saw.
fn run(dir: &Path, count: u32) -> BTreeMap<PathBuf, String> {
    let script = "echo ready; read -r _; exec \"$0\" --exact role --ignored --nocapture >&2";
    // Without privilege outside, as an ordinary user has none.
    let mut child = Command::new("setpriv")
        .args([&format!("--reuid={OUTSIDE}"), &format!("--regid={OUTSIDE}"), "--clear-groups"])
        .args(["unshare", "-U", "-m", "bash", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .env(DIR, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let map = format!("0 {OUTSIDE} {count}\n");
    for file in ["uid_map", "gid_map"] {
        fs::write(format!("/proc/{}/{file}", child.id()), &map).unwrap();
    }
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    assert!(child.wait().unwrap().success());
    let seen = fs::read_to_string(dir.join("seen")).unwrap();
    seen.lines().filter_map(|line| line.split_once('\t')).map(|(name, line)| (name.into(), line.to_owned())).collect()
}

fn prepare(dir: &Path) {
    for folder in ["source", "changes", "root", "run"] {
        fs::create_dir(dir.join(folder)).unwrap();
    }
    shell(
        &dir.join("source"),
        "mkdir -p a/b c/d e; echo x > a/b/x; echo y > a/y; echo old > c/d/old; echo suid > suid; mkfifo pipe; ln -s y link; ln a/y hard
         chown 1000:1001 a/y a; chown 65000:65000 e; chown 33:44 suid; chmod 4755 suid; chmod 2775 e
         mknod device c 1 3; ln device device2; touch -d '2001-01-01 UTC' a/y a e",
    );
    shell(&dir.join("changes"), "mkdir -p a c; : > a/.wh.b; : > c/.wh..wh..opq; echo new > c/new; chown 1000:1001 a");
    for (folder, name) in [("source", "base.tar"), ("changes", "top.tar")] {
        fs::write(dir.join(name), tar(&dir.join(folder), &["--format=pax", "--mtime=2001-01-01"])).unwrap();
    }
    shell(dir, &format!("chmod 755 .; chown -R {OUTSIDE}:{OUTSIDE} root run .; chmod 644 *.tar"));
}

fn expected(dir: &Path) -> BTreeMap<PathBuf, String> {
    let expected = dir.join("expected");
    fs::create_dir(&expected).unwrap();
    for name in ["base.tar", "top.tar"] {
        untar(&fs::read(dir.join(name)).unwrap(), &expected);
    }
    shell(&expected, "rm -r a/b a/.wh.b c/d c/.wh..wh..opq device device2; touch -d 2001-01-01 a c");
    listing(&expected)
}

#[test]
#[ignore = "needs root: maps of a user namespace"]
fn a_user_namespace_with_many_ids_has_everything_but_devices() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path());
    assert_same(&run(dir.path(), 65536), &expected(dir.path()));
}

#[test]
#[ignore = "needs root: maps of a user namespace"]
fn one_id_is_enough_and_lends_nobodys_rights() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path());
    let seen = run(dir.path(), 1);
    let expected = expected(dir.path());
    assert_eq!(seen.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    assert!(seen[Path::new("a/y")].starts_with("100644 0:0 "), "{}", seen[Path::new("a/y")]);
    // Its owner could not be set, so it must not be set-UID for whoever has it instead.
    assert!(seen[Path::new("suid")].starts_with("100755 0:0 "), "{}", seen[Path::new("suid")]);
}
