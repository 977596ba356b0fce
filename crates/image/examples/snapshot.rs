//! Prepares a container's snapshot of an image that is in a store, and removes it, again and again, and says what each took as JSON:
//! `snapshot ROOT RUNROOT IMAGE COUNT`. For measuring.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use carboy_image::{Images, SnapshotterChoice};
use carboy_state::tree::remove_tree;
use std::path::Path;
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [root, runroot, name, count] = &args[..] else { panic!("snapshot ROOT RUNROOT IMAGE COUNT") };
    let root = Path::new(root);
    let images = Images::open(root, Path::new(runroot), SnapshotterChoice::Auto).unwrap();
    let image = images.find(name).unwrap().unwrap();
    let (mut prepared, mut removed) = (Vec::new(), Vec::new());
    let ms = |since: Instant| since.elapsed().as_secs_f64() * 1000.0;
    for number in 0..count.parse().unwrap() {
        // What the engine makes beforehand, and removes with the container.
        let container = root.join(format!("containers/snapshot-{number}"));
        std::fs::create_dir(&container).unwrap();
        let begun = Instant::now();
        images.prepare(&image, &container).unwrap();
        prepared.push(ms(begun));
        let begun = Instant::now();
        remove_tree(&container).unwrap();
        removed.push(ms(begun));
    }
    // The first one mounts the layers.
    println!("{}", serde_json::json!({ "layers": image.layers().len(), "prepare_ms": prepared, "remove_ms": removed }));
    images.unmount_unused().unwrap();
}
