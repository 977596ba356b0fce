//! SIGKILL in the middle of a pull: the next command cleans up, no finished image is lost, and the next pull succeeds.
#![allow(clippy::unwrap_used)]

#[path = "../../distribution/tests/common/mod.rs"]
mod common;

use carboy_distribution::Client;
use carboy_image::pull::{NoProgress, PullOptions, pull};
use carboy_image::{Images, SnapshotterChoice};
use common::*;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Where the child of [`killed_at_any_time`] finds its orders.
const ORDERS: &str = "PULL_KILLED_ORDERS";

fn open(dir: &Path) -> Images {
    Images::open(&dir.join("root"), &dir.join("run"), SnapshotterChoice::Overlay).unwrap()
}

/// Two images of three layers; the second shares one with the first. Every answer takes its time, so that there is one to be killed at.
fn slow_registry() -> Server {
    let mut shelf: HashMap<String, Vec<u8>> = HashMap::new();
    for (tag, seeds) in [("first", [1_u8, 2, 3]), ("second", [3, 4, 5])] {
        let layers: Vec<Vec<u8>> = seeds.iter().map(|seed| tar(*seed)).collect();
        let ids: Vec<String> = layers.iter().map(|layer| format!("\"{}\"", digest(layer))).collect();
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","author":"{tag}","rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
            ids.join(",")
        );
        let entry = |kind: &str, bytes: &[u8]| {
            let digest = digest(bytes);
            format!(r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"{digest}","size":{}}}"#, bytes.len())
        };
        let entries: Vec<String> = layers.iter().map(|layer| entry("layer.v1.tar", layer)).collect();
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}]}}"#,
            entry("config.v1+json", config.as_bytes()),
            entries.join(",")
        );
        shelf.extend(layers.into_iter().map(|layer| (digest(&layer).to_string(), layer)));
        shelf.insert(digest(config.as_bytes()).to_string(), config.into_bytes());
        shelf.insert(digest(manifest.as_bytes()).to_string(), manifest.clone().into_bytes());
        shelf.insert(tag.to_owned(), manifest.into_bytes());
    }
    Server::start(move |request| {
        let name = request.path.rsplit('/').next().unwrap();
        std::thread::sleep(Duration::from_millis(3));
        shelf.get(name).map_or_else(|| status(404), |bytes| body(bytes.clone()))
    })
}

/// A hundred small files and one of a megabyte, by GNU tar.
fn tar(seed: u8) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..100 {
        std::fs::write(dir.path().join(format!("{seed}-{number}")), [seed; 300]).unwrap();
    }
    std::fs::write(dir.path().join("large"), vec![seed; 1 << 20]).unwrap();
    let args = ["-c", "--sort=name", "--mtime=@0", "."];
    Command::new("tar").args(args).current_dir(dir.path()).output().unwrap().stdout
}

/// Not a test by itself: the process that [`killed_at_any_time`] starts and kills.
#[test]
fn child() {
    let Some(orders) = std::env::var_os(ORDERS) else { return };
    let orders = orders.into_string().unwrap();
    let (reference, dir) = orders.split_once(' ').unwrap();
    let images = open(Path::new(dir));
    pull(&images, &Client::default(), &reference.parse().unwrap(), &PullOptions::default(), &NoProgress).unwrap();
}

fn start_child(server: &Server, tag: &str, dir: &Path) -> std::process::Child {
    let orders = format!("{} {}", server.reference(&format!("x:{tag}")), dir.display());
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child"]).env(ORDERS, orders).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

fn entries(folder: PathBuf) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[test]
fn killed_at_any_time() {
    let server = slow_registry();
    let dir = tempfile::tempdir().unwrap();
    let begun = std::time::Instant::now();
    assert!(start_child(&server, "first", dir.path()).wait().unwrap().success());
    let whole = begun.elapsed();
    let first = open(dir.path()).list().unwrap();
    let layers = entries(dir.path().join("root/layers")).len();
    assert_eq!((first.len(), layers), (1, 3));

    let mut killed = 0;
    for round in 0..24_u32 {
        let mut child = start_child(&server, "second", dir.path());
        std::thread::sleep(whole.mul_f64(f64::from(round) / 24.0));
        child.kill().unwrap();
        killed += u32::from(!child.wait().unwrap().success());

        let images = open(dir.path());
        assert!(entries(dir.path().join("root/ingest")).is_empty(), "round {round}: opening cleans up");
        for image in images.list().unwrap() {
            assert!(image.layers().iter().all(|layer| images.has_layer(layer)), "round {round}: images are whole");
        }
        assert!(images.list().unwrap().contains(&first[0]), "round {round}");
        let named = images.store().get_ref(&server.reference("x:second")).unwrap().is_some();
        images.collect().unwrap();
        let expected = if named { 5 } else { 3 };
        assert_eq!(entries(dir.path().join("root/layers")).len(), expected, "round {round}");
        assert!(entries(dir.path().join("root/trash")).is_empty(), "round {round}");
        if named {
            // Begin again from the first image alone.
            drop(images);
            reset(dir.path(), &server);
        }
    }
    assert!(killed >= 8, "only {killed} of 24 pulls were caught at work");
    assert!(start_child(&server, "second", dir.path()).wait().unwrap().success());
    assert_eq!(open(dir.path()).list().unwrap().len(), 2);
}

fn reset(dir: &Path, server: &Server) {
    let images = open(dir);
    let store = images.store();
    for named in store.list_refs().unwrap() {
        if named.name != server.reference("x:first") && !named.name.to_string().contains('@') {
            let manifest = store.get_ref(&named.name).unwrap().unwrap();
            store.remove_ref(&named.name).unwrap();
            store.remove_ref(&named.name.with_digest(manifest.digest)).unwrap();
        }
    }
    for image in images.list().unwrap() {
        if image.config.author.as_deref() == Some("second") {
            store.remove_image(&image.id).unwrap();
        }
    }
    images.collect().unwrap();
}
