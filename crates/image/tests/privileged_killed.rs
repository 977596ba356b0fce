//! SIGKILL at every step that changes the store, of a pull, a load, a copy, an import, a removal, a tag, a collection and of blobs made
//! anew, and at random times, at least 300 times in all, which the tests assert: no finished image is lost, the next command puts everything away, and a check that reads every byte finds nothing wrong.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "../../distribution/tests/common/mod.rs"]
mod server;

use carboy_distribution::Client;
use carboy_image::pull::{NoProgress, PullOptions, pull};
use carboy_image::{CheckOptions, Images, ImportOptions, LoadSource, Members, SnapshotterChoice};
use carboy_transport::{
    CopyOptions, Destination, LayoutDestination, LayoutSource, Silent, StoreDestination, StoreSource, copy,
};
use common::{TarBuilder, Unmount, manifest_and_config, shell};
use rustix::process::Signal;
use server::{Server, body, status};
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a child process is to do: a word, and arguments.
const ORDERS: &str = "CARBOY_KILLED_ORDERS";
const DIR: &str = "CARBOY_KILLED_DIR";
/// Which fault point kills it (carboy_state::fault).
const FAULT: &str = "CARBOY_FAULT";

fn open(dir: &Path) -> Images {
    Images::open(&dir.join("root"), &dir.join("run"), SnapshotterChoice::Auto).unwrap()
}

/// Not a test by itself: the process that is killed.
#[test]
#[ignore = "not a test: a process of the other tests"]
fn child() {
    let (Ok(orders), Ok(dir)) = (std::env::var(ORDERS), std::env::var(DIR)) else { return };
    let dir = PathBuf::from(dir);
    let images = open(&dir);
    let words: Vec<&str> = orders.split(' ').collect();
    match words[..] {
        ["pull", reference] => {
            let (reference, options) = (reference.parse().unwrap(), PullOptions::default());
            pull(&images, &Client::default(), &reference, &options, &NoProgress).unwrap();
        }
        ["load", tag] => load(&images, &dir, tag),
        ["import", name] => import(&images, &dir, name),
        ["copy", tag] => copy_in(&images, &dir, tag),
        ["copy-out", tag] => copy_out(&images, &dir, tag),
        ["remove", name] => {
            images.remove(name, true, &|_| None).unwrap();
        }
        ["tag", name, new] => images.tag(name, &new.parse().unwrap()).unwrap(),
        ["collect"] => {
            images.collect().unwrap();
        }
        _ => panic!("{orders}"),
    }
}

fn load(images: &Images, dir: &Path, tag: &str) {
    images.load(LoadSource::Path(&dir.join("layouts").join(tag)), &|_, _, _| {}).unwrap();
}

/// A tar, compressed, as an image of one layer.
fn import(images: &Images, dir: &Path, name: &str) {
    let options = ImportOptions {
        name: Some(name.parse().unwrap()),
        os: "linux".to_owned(),
        architecture: "amd64".to_owned(),
        created: "2024-05-06T07:08:09Z".to_owned(),
        ..ImportOptions::default()
    };
    let mut tar = fs::File::open(dir.join("import.tar.gz")).unwrap();
    images.import(&mut tar, "import.tar.gz", &options).unwrap();
}

/// `oci:` to `carboy:`.
fn copy_in(images: &Images, dir: &Path, tag: &str) {
    let layout = dir.join("layouts").join(tag);
    let members = Members::open(LoadSource::Path(&layout), &dir.join("root/ingest")).unwrap();
    let source = LayoutSource::open(members, "a layout".to_owned(), Some(tag)).unwrap();
    let target = Box::new(StoreDestination::new(images, vec![tag.parse().unwrap()]).unwrap());
    copy(&source, &*target, &CopyOptions::default(), &Silent).unwrap();
    target.finish().unwrap();
}

/// `carboy:` to `oci:`, of an image whose blobs were dropped.
fn copy_out(images: &Images, dir: &Path, tag: &str) {
    let source = StoreSource::open(images, tag).unwrap();
    let out = dir.join("out");
    let _ = fs::remove_dir_all(&out);
    let target = Box::new(LayoutDestination::new(out, Some("x".to_owned())).unwrap());
    copy(&source, &*target, &CopyOptions::default(), &Silent).unwrap();
    target.finish().unwrap();
}

/// A store on a file system of its own in memory, a registry and OCI layouts with two images, the first of which is in the store. The
/// second shares a layer with it, has one that describes no parents, and one that links to a file below.
struct World {
    dir: PathBuf,
    server: Server,
    baseline: BTreeSet<PathBuf>,
    kills: usize,
    _unmount: Unmount,
    _temp: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let temp = tempfile::tempdir_in("/dev/shm").unwrap();
        let dir = temp.path().join("mount");
        fs::create_dir(&dir).unwrap();
        let unmount = Unmount(dir.clone());
        shell(temp.path(), "truncate -s 96M image; mkfs.ext4 -q image; mount -o loop image mount");
        let server = serve(&dir);
        let mut tar = TarBuilder::default();
        tar.file("imported/a", &[5; 50_000]).file("imported/b", b"b");
        fs::write(dir.join("import.tar.gz"), common::gzip(&tar.finish())).unwrap();
        let mut world = World { dir, server, baseline: BTreeSet::new(), kills: 0, _unmount: unmount, _temp: temp };
        load(&open(&world.dir), &world.dir, "first");
        world.baseline = world.files();
        world
    }

    fn start(&self, orders: &str, fault: Option<usize>) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child", "--ignored"]).env(ORDERS, orders).env(DIR, &self.dir);
        if let Some(number) = fault {
            command.env(FAULT, number.to_string());
        }
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs a command that is killed at its n-th fault point; where that was, or nothing if it ended before.
    fn killed_at(&mut self, orders: &str, number: usize) -> Option<String> {
        let output = self.start(orders, Some(number)).wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.signal() == Some(Signal::KILL.as_raw()) {
            self.kills += 1;
            return Some(said.lines().last().unwrap_or_default().to_owned());
        }
        assert!(output.status.success(), "{orders}: {said}");
        None
    }

    /// Everything in the store but what every store has.
    fn files(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        let mut open = vec![self.dir.join("root")];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).unwrap().flatten() {
                if entry.file_type().unwrap().is_dir() {
                    open.push(entry.path());
                }
                found.insert(entry.path());
            }
        }
        found
    }

    /// What must hold at once after a kill: whatever is listed is whole, the first image is.
    fn assert_whole(&self, what: &str) {
        let images = open(&self.dir);
        let listed = images.list().unwrap();
        for image in &listed {
            assert!(image.layers().iter().all(|layer| images.has_layer(layer)), "{what}: an image is not whole");
        }
        assert!(images.find("first").unwrap().is_some(), "{what}: the first image is gone");
        assert!(self.folder_is_empty("ingest") && self.folder_is_empty("trash"), "{what}: opening cleans up");
    }

    /// The next command is over: the store is what it was at the beginning, and sound.
    fn assert_clean(&self, what: &str) {
        let images = open(&self.dir);
        let findings = images.check(CheckOptions { deep: true, repair: false }).unwrap();
        assert!(findings.is_empty(), "{what}: {findings:?}");
        let files = self.files();
        let difference: Vec<_> = files.symmetric_difference(&self.baseline).collect();
        assert!(difference.is_empty(), "{what}: {difference:?}");
        // Layers of images that are here may stay mounted.
        images.unmount_unused().unwrap();
        assert_eq!(fs::read_dir(self.dir.join("run/layers")).unwrap().count(), 0, "{what}: mounts");
    }

    fn folder_is_empty(&self, name: &str) -> bool {
        fs::read_dir(self.dir.join("root").join(name)).unwrap().next().is_none()
    }

    fn remove_second(&self) {
        self.remove("second");
    }

    fn remove(&self, name: &str) {
        let images = open(&self.dir);
        while let Some(image) = images.find(name).unwrap() {
            images.remove(image.id.as_str(), true, &|_| None).unwrap();
        }
    }

    /// Kills `orders` at each of its fault points; `before` makes the state that it starts from, `after` is the next command.
    fn at_every_point(&mut self, orders: &str, before: impl Fn(&World), after: impl Fn(&World)) -> usize {
        for number in 1.. {
            before(self);
            let killed = self.killed_at(orders, number);
            let what = format!("{orders}, point {number}: {}", killed.as_deref().unwrap_or("ended"));
            self.assert_whole(&what);
            after(self);
            self.assert_clean(&what);
            if killed.is_none() {
                return number - 1;
            }
        }
        0
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.dir.join("root/containers"));
        let mounts = fs::read_dir(self.dir.join("run/layers")).into_iter().flatten().flatten();
        mounts.for_each(|mount| drop(Unmount(mount.path())));
    }
}

/// The images as a registry, and as layouts.
fn serve(dir: &Path) -> Server {
    let mut shelf: HashMap<String, Vec<u8>> = HashMap::new();
    let mut base = TarBuilder::default();
    base.directory("etc", 0o700).file("etc/base", &[1; 30_000]).directory("tmp", 0o1777);
    let mut own = TarBuilder::default();
    own.file("tmp/first", &[2; 20_000]);
    let mut implicit = TarBuilder::default();
    implicit.file("tmp/second", &[3; 200_000]).file("etc/x", b"x");
    let mut linked = TarBuilder::default();
    linked.hard_link("link", "etc/base").file("more", &[4; 1000]);
    let (base, own, implicit, linked) = (base.finish(), own.finish(), implicit.finish(), linked.finish());
    for (tag, layers) in [("first", vec![&base, &own]), ("second", vec![&base, &implicit, &linked])] {
        let blobs: Vec<Vec<u8>> = layers.iter().map(|tar| common::gzip(tar)).collect();
        let gzip = carboy_oci::image::media_type::OCI_LAYER_GZIP;
        let descriptors: Vec<_> = blobs.iter().map(|blob| common::descriptor(blob, gzip)).collect();
        let diff_ids: Vec<_> = layers.iter().map(|tar| carboy_store::Hasher::digest_of(tar)).collect();
        let (manifest, config) = manifest_and_config(&descriptors, &diff_ids);
        let layout = dir.join("layouts").join(tag);
        fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
        let mut entry =
            serde_json::to_value(common::descriptor(&manifest, carboy_oci::image::media_type::OCI_MANIFEST)).unwrap();
        entry["annotations"] = serde_json::json!({"org.opencontainers.image.ref.name": tag});
        let index = serde_json::json!({"schemaVersion": 2, "manifests": [entry]});
        fs::write(layout.join("index.json"), index.to_string()).unwrap();
        fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        shelf.insert(tag.to_owned(), manifest.clone());
        for bytes in blobs.into_iter().chain([manifest, config]) {
            let digest = carboy_store::Hasher::digest_of(&bytes);
            fs::write(layout.join("blobs/sha256").join(digest.hex()), &bytes).unwrap();
            shelf.insert(digest.to_string(), bytes);
        }
    }
    Server::start(move |request| {
        let name = request.path.rsplit('/').next().unwrap();
        shelf.get(name).map_or_else(|| status(404), |bytes| body(bytes.clone()))
    })
}

#[test]
#[ignore = "needs root: mounts"]
fn a_pull_at_every_point() {
    let mut world = World::new();
    let reference = world.server.reference("second:second").to_string();
    let next = |world: &World| {
        let child = world.start(&format!("pull {reference}"), None).wait_with_output().unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
        let images = open(&world.dir);
        images.remove(&reference, true, &|_| None).unwrap();
    };
    let points = world.at_every_point(&format!("pull {reference}"), |_| {}, next);
    assert!(points >= 60, "{points} points");
}

#[test]
#[ignore = "needs root: mounts"]
fn a_load_at_every_point() {
    let mut world = World::new();
    // The next command is another one this time: it puts away what the load left.
    let next = |world: &World| {
        world.remove_second();
        open(&world.dir).tag("first", &"again".parse().unwrap()).unwrap();
        open(&world.dir).remove("again", false, &|_| None).unwrap();
    };
    let points = world.at_every_point("load second", |_| {}, next);
    assert!(points >= 60, "{points} points");
}

#[test]
#[ignore = "needs root: mounts"]
fn a_copy_and_an_import_at_every_point() {
    let mut world = World::new();
    let copied = world.at_every_point(
        "copy second",
        |_| {},
        |world| {
            copy_in(&open(&world.dir), &world.dir, "second");
            world.remove_second();
        },
    );
    let imported = world.at_every_point(
        "import imported",
        |_| {},
        |world| {
            import(&open(&world.dir), &world.dir, "imported");
            world.remove("imported");
        },
    );
    assert!(copied >= 60 && imported >= 30, "{copied} + {imported} points");
}

#[test]
#[ignore = "needs root: mounts"]
fn blobs_made_anew_at_every_point() {
    let mut world = World::new();
    let dropped = |world: &World| {
        let images = open(&world.dir);
        load(&images, &world.dir, "second");
        images.drop_blobs_of(&images.find("second").unwrap().unwrap()).unwrap();
    };
    let points = world.at_every_point("copy-out second", dropped, |world| {
        // The first image shares a layer, whose blob it gets back.
        world.remove_second();
        load(&open(&world.dir), &world.dir, "first");
        open(&world.dir).collect().unwrap();
    });
    assert!(points >= 10, "{points} points");
}

#[test]
#[ignore = "needs root: mounts"]
fn a_removal_a_tag_and_a_collection_at_every_point() {
    let mut world = World::new();
    let loaded = |world: &World| {
        let images = open(&world.dir);
        load(&images, &world.dir, "second");
        // A container that was there, so that the layers are mounted.
        let container = world.dir.join("root/containers/c");
        fs::create_dir_all(&container).unwrap();
        images.prepare(&images.find("second").unwrap().unwrap(), &container).unwrap();
        fs::remove_dir_all(world.dir.join("root/containers")).unwrap();
    };
    let collect = |world: &World| {
        world.remove_second();
        open(&world.dir).collect().unwrap();
    };
    let removal = world.at_every_point("remove second", loaded, collect);
    let tag = world.at_every_point("tag second new", loaded, |world| {
        let images = open(&world.dir);
        assert!(images.find("second").unwrap().is_some());
        images.take_names("second", &[]).unwrap();
        images.prune(&|image| image.tags().next().is_none(), &|_| false).unwrap().1.empty(images.store()).unwrap();
    });
    let unnamed = |world: &World| {
        loaded(world);
        let images = open(&world.dir);
        let image = images.find("second").unwrap().unwrap();
        for name in &image.names {
            images.store().remove_ref(name).unwrap();
        }
        images.store().remove_image(&image.id).unwrap();
    };
    let collection = world.at_every_point("collect", unnamed, collect);
    assert!(removal >= 20 && tag >= 5 && collection >= 15, "{removal} + {tag} + {collection} points");
}

/// xorshift: the same times in every run, as far as a machine has the same times.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

#[test]
#[ignore = "needs root: mounts"]
fn anything_at_random_times() {
    let mut world = World::new();
    let pull = format!("pull {}", world.server.reference("second:second"));
    let commands =
        [pull.as_str(), "load second", "remove second", "tag first new", "collect", "import imported", "copy second"];
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let durations = commands.map(|command| {
        let begun = Instant::now();
        assert!(world.start(command, None).wait().unwrap().success(), "{command}");
        if command == "remove second" {
            load(&open(&world.dir), &world.dir, "second");
        }
        begun.elapsed().as_micros() as u64
    });
    for round in 0..170 {
        let chosen = random.below(commands.len() as u64) as usize;
        let command = commands[chosen];
        if command == "remove second" {
            load(&open(&world.dir), &world.dir, "second");
        }
        let mut child = world.start(command, None);
        std::thread::sleep(Duration::from_micros(random.below(durations[chosen])));
        child.kill().unwrap();
        let killed = child.wait().unwrap().signal() == Some(Signal::KILL.as_raw());
        world.kills += usize::from(killed);
        let what = format!("round {round}, {command}");
        world.assert_whole(&what);
        if round % 4 == 3 {
            // Every few rounds all that has gathered is put away.
            let images = open(&world.dir);
            for image in images.list().unwrap() {
                for name in image.names.iter().filter(|name| name.familiar() != "first:latest") {
                    images.store().remove_ref(name).unwrap();
                }
            }
            images.prune(&|image| image.tags().next().is_none(), &|_| false).unwrap().1.empty(images.store()).unwrap();
            world.assert_clean(&what);
        }
    }
    assert!(world.kills >= 60, "only {} of 170 commands were caught at work", world.kills);
}
