//! Takes layer blobs (.tar, .gz, .zst) in, all at once, prepares a container's root and removes the image, and says what each took:
//! `ingest ROOT erofs|overlay BLOB…`. For measuring.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use carboy_image::{Images, SnapshotterChoice};
use carboy_oci::image::Descriptor;
use carboy_oci::image::media_type::OCI_MANIFEST;
use carboy_store::Hasher;
use std::path::Path;
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let root = Path::new(&args[0]);
    let choice = if args[1] == "erofs" { SnapshotterChoice::Erofs } else { SnapshotterChoice::Overlay };
    // By other processes, so that their memory does not count.
    let digest = |command: &str, path: &str| -> carboy_oci::Digest {
        let command = format!("{command} \"$0\" | sha256sum | cut -c -64 | tr -d '\\n'");
        let output = std::process::Command::new("sh").args(["-c", &command, path]).output().unwrap();
        format!("sha256:{}", String::from_utf8(output.stdout).unwrap()).parse().unwrap()
    };
    let layers: Vec<_> = args[2..]
        .iter()
        .map(|path| {
            let undo = match path.rsplit('.').next() {
                Some("zst") => "zstd -dc --long=31",
                Some("tar") => "cat",
                _ => "gzip -dc",
            };
            let size = std::fs::metadata(path).unwrap().len();
            let blob: Descriptor =
                serde_json::from_value(serde_json::json!({"digest": digest("cat", path), "size": size})).unwrap();
            (path, blob, digest(undo, path))
        })
        .collect();
    let (begun, cpu) = (Instant::now(), cpu_s());
    let images = Images::open(&root.join("root"), &root.join("run"), choice).unwrap();
    let intake = images.intake().unwrap();
    std::thread::scope(|scope| {
        for (path, blob, diff_id) in &layers {
            let intake = &intake;
            scope.spawn(move || {
                let mut file = std::fs::File::open(path).unwrap();
                intake.ingest_layer(blob, diff_id, &mut file, &|_| {}).unwrap();
            });
        }
    });
    println!("{} layers in {:.3} s, CPU {:.3} s", layers.len(), begun.elapsed().as_secs_f64(), cpu_s() - cpu);

    let diff_ids: Vec<_> = layers.iter().map(|layer| &layer.2).collect();
    let config = serde_json::json!({"os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let config = serde_json::to_vec(&config).unwrap();
    let blobs: Vec<_> = layers.iter().map(|layer| &layer.1).collect();
    let digest = Hasher::digest_of(&config);
    let manifest = serde_json::json!({
        "schemaVersion": 2, "config": {"digest": digest, "size": config.len()}, "layers": blobs
    });
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let name = "measured".parse().unwrap();
    let timed = |what: &str, begun: Instant| println!("{what} {:.2} ms", begun.elapsed().as_secs_f64() * 1e3);
    let begun = Instant::now();
    let image = intake.finish(&[name], OCI_MANIFEST, &manifest, &config).unwrap();
    timed("finish", begun);
    drop(intake);
    for container in ["first", "second"] {
        let folder = root.join("root/containers").join(container);
        std::fs::create_dir_all(&folder).unwrap();
        let begun = Instant::now();
        images.prepare(&image, &folder).unwrap();
        timed(&format!("prepare of the {container} container"), begun);
    }
    let begun = Instant::now();
    let images = Images::open(&root.join("root"), &root.join("run"), choice).unwrap();
    let image = images.find("measured").unwrap().unwrap();
    timed("open and find", begun);
    std::fs::remove_dir_all(root.join("root/containers")).unwrap();
    let begun = Instant::now();
    images.remove(image.id.as_str(), true, &|_| None).unwrap();
    timed("remove", begun);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default());
}

fn cpu_s() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
