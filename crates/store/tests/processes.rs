//! Several processes on one store: this test's own executable, started again as each of them.
#![allow(clippy::unwrap_used)]

use carboy_oci::Digest;
use carboy_store::{Hasher, Marks, Store, StoreError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ROLE: &str = "CARBOY_TEST_ROLE";
const DIR: &str = "CARBOY_TEST_DIR";

/// Starts this executable as a process with a role; `None` in the process itself, whose test then plays the role.
fn start(dir: &Path, role: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "role", "--ignored", "--nocapture"])
        .env(ROLE, role)
        .env(DIR, dir)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn open(dir: &Path) -> Store {
    Store::open(&dir.join("root"), &dir.join("run")).unwrap()
}

fn blob(n: usize) -> (Digest, Vec<u8>) {
    let bytes = format!("blob {n} ").repeat(20_000).into_bytes();
    (Hasher::digest_of(&bytes), bytes)
}

#[test]
#[ignore = "not a test: a process of the other tests"]
fn role() {
    let (Ok(role), Ok(dir)) = (std::env::var(ROLE), std::env::var(DIR)) else { return };
    let dir = PathBuf::from(dir);
    match role.as_str() {
        "write" => write_again_and_again(&open(&dir)),
        "collect" => {
            let store = open(&dir);
            for _ in 0..200 {
                store.collect(|| Ok::<_, StoreError>(Marks::default())).unwrap();
            }
        }
        "die" => {
            let store = open(&dir);
            let lease = store.lease().unwrap();
            let (digest, bytes) = blob(0);
            lease.protect(&digest).unwrap();
            let mut writer = store.blob_writer(&digest).unwrap();
            writer.write_all(&bytes[..1000]).unwrap();
            std::fs::write(dir.join("ready"), "").unwrap();
            std::thread::sleep(Duration::from_secs(60));
        }
        other => panic!("{other}"),
    }
}

/// What is protected stays readable whatever others write and collect.
fn write_again_and_again(store: &Store) {
    for round in 0..60 {
        let lease = store.lease().unwrap();
        let (digest, bytes) = blob(round % 3);
        lease.protect(&digest).unwrap();
        store.write_blob(&digest, &bytes).unwrap();
        assert_eq!(store.read_blob(&digest).unwrap(), bytes);
    }
}

#[test]
fn writers_and_collectors_do_not_disturb_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let children: Vec<Child> =
        ["write", "write", "write", "collect", "collect"].iter().map(|role| start(dir.path(), role)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let store = open(dir.path());
    store.collect(|| Ok::<_, StoreError>(Marks::default())).unwrap();
    for folder in ["blobs/sha256", "ingest", "trash", "leases"] {
        let left: Vec<_> = std::fs::read_dir(dir.path().join("root").join(folder)).unwrap().collect();
        assert!(left.is_empty(), "{folder}: {left:?}");
    }
}

#[test]
fn what_a_killed_process_left_is_waited_for_and_then_removed() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = start(dir.path(), "die");
    let begun = Instant::now();
    while !dir.path().join("ready").exists() {
        assert!(begun.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(5));
    }
    let (digest, bytes) = blob(0);
    // Opening cleans nothing that somebody works on.
    let store = open(dir.path());
    assert_eq!(std::fs::read_dir(dir.path().join("root/ingest")).unwrap().count(), 1);
    let writing = std::thread::spawn({
        let (store, digest, bytes) = (store.clone(), digest.clone(), bytes.clone());
        move || store.write_blob(&digest, &bytes).unwrap()
    });
    std::thread::sleep(Duration::from_millis(100));
    assert!(!writing.is_finished(), "did not wait");
    child.kill().unwrap();
    child.wait().unwrap();
    writing.join().unwrap();
    assert_eq!(store.read_blob(&digest).unwrap(), bytes);
    let collected = store.collect(|| Ok::<_, StoreError>(Marks::default())).unwrap();
    assert_eq!(collected.blobs, [digest.to_string()]);
    open(dir.path());
    assert_eq!(std::fs::read_dir(dir.path().join("root/ingest")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(dir.path().join("root/leases")).unwrap().count(), 0);
}
