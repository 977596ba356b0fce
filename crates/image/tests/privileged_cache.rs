//! Memory: what several containers of one image read is in the page cache once.
#![allow(clippy::unwrap_used)]

mod common;

use carboy_image::SnapshotterChoice;
use carboy_sys::cache::cached_pages;
use common::*;
use rustix::fs::Advice;
use std::fs::{self, File};

const SIZE: usize = 48 << 20;

#[test]
#[ignore = "needs root: mounts"]
fn five_containers_read_one_copy() {
    let sandbox = Sandbox::new(SnapshotterChoice::Erofs);
    let noise = pipe("head", &["-c", &SIZE.to_string(), "/dev/urandom"], b"");
    let mut tar = TarBuilder::default();
    tar.file("big", &noise);
    let image = sandbox.image("big", &[tar.finish()]);
    let layer = sandbox.images.store().layer_dir(&image.layers()[0]);
    let tar = File::open(layer.join("tar")).unwrap();
    let blob = File::open(sandbox.images.store().blob_path(&image.manifest_data.layers[0].digest)).unwrap();
    let Some(pages) = cached_pages(&blob) else { return eprintln!("this kernel has no cachestat(2)") };
    assert!(pages * 4096 < SIZE as u64 / 4, "the blob, which nobody reads, is still cached: {pages} pages");
    // As after a reboot: nothing of the layer is in memory.
    rustix::fs::fadvise(&tar, 0, None, Advice::DontNeed).unwrap();
    let mounted: Vec<_> = (0..5).map(|n| sandbox.mount_root(&image, &format!("c{n}"))).collect();
    for (root, _unmount) in &mounted {
        assert!(fs::read(root.join("big")).unwrap() == noise);
    }
    // What EROFS has cached is the layer's, whichever container reads it.
    let shared = File::open(sandbox.path("run/layers").join(image.layers()[0].hex()).join("big")).unwrap();
    assert!(cached_pages(&shared).unwrap() * 4096 >= SIZE as u64 * 9 / 10);
    let twice = cached_pages(&tar).unwrap() * 4096;
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|n| n.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap(), numbers.next().unwrap());
    // EROFS reads past the tar's own cache since Linux 6.15.
    if version >= (6, 15) {
        assert!(twice < SIZE as u64 / 4, "{twice} bytes are cached a second time");
    }
    // And on the disk: the containers have nothing of their own.
    for n in 0..5 {
        assert_eq!(fs::read_dir(sandbox.path(&format!("root/containers/c{n}/upper"))).unwrap().count(), 0);
    }
}
