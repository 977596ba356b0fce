//! What a start reads of the store: the image that is meant, once.

use crate::common::Env;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::path::PathBuf;

/// Calls `act`, and answers how often each file in these folders was opened meanwhile.
fn opened(folders: &[PathBuf], act: impl FnOnce()) -> BTreeMap<PathBuf, u32> {
    let events = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
    let watch = |folder: &PathBuf| (inotify::add_watch(&events, folder, WatchFlags::OPEN).unwrap(), folder.clone());
    let watched: BTreeMap<i32, PathBuf> = folders.iter().map(watch).collect();
    act();
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(&events, &mut buffer);
    let mut counts = BTreeMap::new();
    while let Ok(event) = reader.next() {
        if let (Some(name), false) = (event.file_name(), event.events().contains(ReadFlags::ISDIR)) {
            *counts.entry(watched[&event.wd()].join(name.to_str().unwrap())).or_default() += 1;
        }
    }
    counts
}

#[test]
#[ignore = "needs root"]
fn a_start_reads_its_image_once_and_no_other() {
    let env = Env::new();
    env.load_busybox();
    env.carboy(["run", "--name", "c", "busybox", "touch", "/new"]).ok();
    let tar = env.carboy(["export", "c"]).output().stdout;
    env.carboy(["import", "-", "other"]).stdin(tar).ok();
    let id = env.carboy(["images", "-q", "--no-trunc", "other"]).ok();
    let id = id.trim().trim_start_matches("sha256:");
    let root = env.root();
    let mut folders: Vec<PathBuf> = ["refs", "images", "blobs/sha256"].iter().map(|name| root.join(name)).collect();
    folders.extend(std::fs::read_dir(root.join("layers")).unwrap().map(|entry| entry.unwrap().path()));
    let reads = opened(&folders, || drop(env.carboy(["run", "--rm", "busybox", "true"]).ok()));
    let of =
        |kind: &str| reads.keys().filter(|path| path.parent().is_some_and(|folder| folder.ends_with(kind))).count();
    assert_eq!(of("sha256"), 2, "manifest and configuration: {reads:?}");
    assert!(reads.values().all(|count| *count == 1), "{reads:?}");
    assert!(!reads.contains_key(&root.join("blobs/sha256").join(id)), "{reads:?}");
    // Which is why one that is damaged is in nobody's way.
    let config = root.join("blobs/sha256").join(id);
    let bytes = std::fs::read(&config).unwrap();
    let replace = |bytes: &[u8]| {
        std::fs::remove_file(&config).unwrap();
        std::fs::write(&config, bytes).unwrap();
    };
    replace(b"{");
    env.carboy(["run", "--rm", "busybox", "true"]).ok();
    let error = env.carboy(["run", "--rm", "other", "true"]).fails(125);
    assert!(error.contains(id), "{error}");
    replace(&bytes);
    env.carboy(["rm", "c"]).ok();
}
