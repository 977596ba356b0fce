//! What `fuzz/` tries of this crate: bytes in, nothing out. Compiled for it only.

use crate::archive::LoadSource;
use crate::layer::Format;
use crate::pull::Wanted;
use crate::{Images, SnapshotterChoice};
use carboy_oci::image::{ImageConfig, Index, Manifest};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// A folder in memory of this call's own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Option<Folder> {
        let parent = if Path::new("/dev/shm").is_dir() { PathBuf::from("/dev/shm") } else { std::env::temp_dir() };
        let thread = format!("{:?}", std::thread::current().id()).replace(['(', ')'], "");
        let folder = parent.join(format!("carboy-fuzz-{}-{thread}", std::process::id()));
        std::fs::create_dir_all(&folder).ok().map(|()| Folder(folder))
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A tar is read to its end or refused; of one that is read an index is written.
pub fn tar(data: &[u8]) {
    let Ok((index, summary)) = crate::erofs::index_tar(&mut &data[..], &std::env::temp_dir()) else { return };
    assert!(summary.entries <= data.len() as u64 / 512, "more entries than headers");
    let Some(folder) = Folder::new() else { return };
    let Ok(()) = std::fs::write(folder.join("tar"), data) else { return };
    let _ = index.write_open_ends(&folder.0);
    if let Ok(file) = std::fs::File::open(folder.join("tar")) {
        let _ = index.write(&file, &folder.join("index"));
    }
}

/// A blob is told by its first bytes, inflated as far as 16 MiB, and read as a tar.
pub fn layer(data: &[u8]) {
    if let Ok(inflated) = Format::of_archive(data).reader(data, &std::env::temp_dir()) {
        let _ = crate::erofs::index_tar(&mut BufReader::new(inflated.take(16 << 20)), &std::env::temp_dir());
    }
}

/// An archive of either kind is loaded into a store, or refused.
pub fn archive(data: &[u8]) {
    let Some(folder) = Folder::new() else { return };
    let root = folder.join("store");
    let Ok(images) = Images::open(&root, &folder.join("run"), SnapshotterChoice::Overlay) else { return };
    let path = folder.join("archive");
    let Ok(()) = std::fs::write(&path, data) else { return };
    let loaded = images.load(LoadSource::Path(&path), &|_, _, _| {});
    for loaded in loaded.into_iter().flatten() {
        let _ = images.remove(loaded.image.id.as_str(), true, &|_| None);
    }
    let _ = images.collect();
    let left = std::fs::read_dir(root.join("layers")).into_iter().flatten().count();
    assert!(left == 0, "{left} layers left after a collection");
}

/// Manifests, indexes and configurations, and the decisions that are made on them.
pub fn documents(data: &[u8]) {
    if let Ok(manifest) = serde_json::from_slice::<Manifest>(data) {
        let _ = crate::pull::check_manifest("fuzzed", &manifest);
    }
    if let Ok(index) = serde_json::from_slice::<Index>(data) {
        let _ = Wanted::host().best(&index.manifests);
    }
    let _ = serde_json::from_slice::<ImageConfig>(data);
}
