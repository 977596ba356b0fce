//! Takes layer blobs in, all at once, and says what it took: `ingest ROOT erofs|overlay BLOB…`. For measuring.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use carboy_image::{Images, SnapshotterChoice};
use carboy_oci::image::Descriptor;
use carboy_store::Hasher;
use std::io::Read;
use std::path::Path;
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let root = Path::new(&args[0]);
    let choice = if args[1] == "erofs" { SnapshotterChoice::Erofs } else { SnapshotterChoice::Overlay };
    let layers: Vec<_> = args[2..]
        .iter()
        .map(|path| {
            let bytes = std::fs::read(path).unwrap();
            let blob: Descriptor =
                serde_json::from_value(serde_json::json!({"digest": Hasher::digest_of(&bytes), "size": bytes.len()}))
                    .unwrap();
            let mut tar = Vec::new();
            flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut tar).unwrap();
            (path, blob, Hasher::digest_of(&tar))
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
}

fn cpu_s() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
