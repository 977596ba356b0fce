//! Fetches all layers of an image one after the other and throws them away: the client's speed without a store.
#![allow(clippy::print_stdout, clippy::unwrap_used)]
use carboy_distribution::{Client, Settings, Target};
use carboy_oci::{Reference, image::Manifest};
use std::io::Read;
fn main() {
    let reference = Reference::parse(&std::env::args().nth(1).unwrap()).unwrap();
    let repository = Client::new(Settings::default()).repository(&reference);
    let begun = std::time::Instant::now();
    let manifest = repository.manifest(&Target::of(&reference)).unwrap();
    println!("manifest {:?}", begun.elapsed());
    let manifest: Manifest = serde_json::from_slice(&manifest.bytes).unwrap();
    let mut buffer = vec![0; 256 * 1024];
    let mut total = 0;
    for layer in &manifest.layers {
        let mut blob = repository.blob(layer);
        loop {
            let n = blob.read(&mut buffer).unwrap();
            if n == 0 {
                break;
            }
            total += n;
        }
    }
    println!("{total} bytes {:?}", begun.elapsed());
}
