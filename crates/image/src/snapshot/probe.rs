//! Whether this kernel mounts our EROFS indexes, found out by mounting one.

use super::mount::mount_detached;
use crate::erofs::index_tar;
use carboy_state::file::{Durability, FileError, write_atomic};
use carboy_store::{Ingest, Store};
use rustix::fs::{Mode, OFlags, openat};
use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

const CONTENT: &[u8] = b"carboy";

/// Whether EROFS works with files of the store's file system (not on tmpfs, for one), remembered in `<runroot>/snapshotter` until the
/// next boot.
pub(super) fn erofs_works_cached(store: &Store) -> bool {
    // Only who is root of the machine may mount it; what was found out by another user must not count.
    if !rustix::process::geteuid().is_root() {
        return false;
    }
    let path = store.runroot().join("snapshotter");
    let device = rustix::fs::stat(store.root()).map_or(0, |stat| stat.st_dev);
    let works = format!("erofs {device}\n");
    let fails = format!("overlay {device}\n");
    match std::fs::read_to_string(&path) {
        Ok(text) if text == works => return true,
        Ok(text) if text == fails => return false,
        _ => {}
    }
    // A disk that is full says nothing about the kernel, and must not count until the next boot.
    let Ok(probe) = Probe::make(store) else { return false };
    let text = if probe.try_erofs().is_ok() { works.as_str() } else { fails.as_str() };
    let _ = write_atomic(&path, text.as_bytes(), 0o644, Durability::Process);
    text == works
}

/// Mounts a small index on the store's own file system, and reads a file through it.
pub(super) fn try_erofs(store: &Store) -> Result<(), Box<dyn Error + Send + Sync>> {
    Probe::make(store)?.try_erofs()
}

/// A small layer on the store's own file system, as long as it is claimed.
struct Probe {
    tar: PathBuf,
    index: PathBuf,
    _ingest: Ingest,
}

impl Probe {
    fn make(store: &Store) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let digest = carboy_store::Hasher::digest_of(b"probe of the snapshotter");
        let ingest = store.ingest(&digest)?;
        let (tar_path, index_path) = (ingest.folder().join("tar"), ingest.folder().join("erofs"));
        let tar = small_tar();
        std::fs::write(&tar_path, &tar).map_err(FileError::at("write", &tar_path))?;
        let (index, _) = index_tar(&mut &tar[..], ingest.folder())?;
        let file = File::open(&tar_path).map_err(FileError::at("open", &tar_path))?;
        index.write(&file, &index_path)?;
        Ok(Probe { tar: tar_path, index: index_path, _ingest: ingest })
    }

    fn try_erofs(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mount = mount_detached(&self.index, &self.tar)?;
        let probe = openat(&mount, "probe", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut content = Vec::new();
        File::from(probe).take(64).read_to_end(&mut content)?;
        if content != CONTENT {
            let text = "a file read through EROFS has another content";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text).into());
        }
        Ok(())
    }
}

/// A tar of one file `probe`.
fn small_tar() -> Vec<u8> {
    let mut block = [0u8; 512];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, b"probe");
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", CONTENT.len()).as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut content = [0u8; 512];
    content[..CONTENT.len()].copy_from_slice(CONTENT);
    [&block[..], &content[..], &[0; 1024]].concat()
}

/// An error with all its causes on one line.
pub(super) fn chain(error: &(dyn Error + Send + Sync + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let line = error.to_string();
        if !text.ends_with(&line) {
            text = format!("{text}: {line}");
        }
        cause = error.source();
    }
    text
}
