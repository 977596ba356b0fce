//! The EROFS snapshotter: the tar as it came, an index that is written here, and one shared mount of the two for each layer.
//!
//! ```text
//! layers/<hex>/tar      the uncompressed layer, byte for byte (a last block that is not whole is filled with zeros)
//! layers/<hex>/erofs    the index: inodes and names; files' content is in the tar, as an extra device
//! <runroot>/layers/<hex>    where it is mounted
//! ```
//!
//! File-backed EROFS mounts exist since Linux 6.12, blocks of 512 bytes since 6.4; a user namespace cannot mount EROFS.

use super::mount::{is_cold, is_mounted, mount_detached};
use super::{Snapshotter, SnapshotterKind};
use crate::erofs::index_tar;
use crate::layer::Copy;
use crate::tar::TarSummary;
use crate::{ImageError, LayerError};
use carboy_oci::Digest;
use carboy_state::fault;
use carboy_state::file::FileError;
use carboy_state::lock::{Lock, LockMode};
use carboy_store::Store;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, move_mount};
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

const TAR: &str = "tar";
const INDEX: &str = "erofs";
pub(super) struct Erofs;

impl Snapshotter for Erofs {
    fn kind(&self) -> SnapshotterKind {
        SnapshotterKind::Erofs
    }

    fn has(&self, layer_dir: &Path) -> bool {
        rustix::fs::access(layer_dir.join(INDEX), rustix::fs::Access::EXISTS).is_ok()
    }

    fn unpack(&self, tar: &mut dyn BufRead, work: &Path) -> Result<TarSummary, LayerError> {
        let mut tee = Tee { input: tar, copy: Copy::create(&work.join(TAR))?, copied: 0, failed: None };
        let indexed = index_tar(&mut tee, work);
        if let Some(e) = tee.failed {
            return Err(e);
        }
        let (index, summary) = indexed?;
        index.write_open_ends(work)?;
        tee.copy.pad()?;
        index.write(tee.copy.file(), &work.join(INDEX))?;
        Ok(summary)
    }

    fn tar_in(&self, folder: &Path) -> Option<PathBuf> {
        Some(folder.join(TAR))
    }

    fn sync(&self, work: &Path) -> Result<(), LayerError> {
        for name in [TAR, INDEX] {
            let path = work.join(name);
            File::open(&path).and_then(|file| file.sync_data()).map_err(FileError::at("sync", &path))?;
        }
        Ok(())
    }

    fn publish(&self, work: &Path, layer_dir: &Path) -> Result<(), LayerError> {
        // The index last: it is what makes the layer present.
        for name in [TAR, INDEX] {
            let target = layer_dir.join(name);
            std::fs::rename(work.join(name), &target).map_err(FileError::at("rename to", &target))?;
            fault::point("layer: a file of it is named");
        }
        Ok(())
    }

    fn open_root(&self, store: &Store, diff_id: &Digest) -> Result<OwnedFd, ImageError> {
        let folder = store.layer_dir(diff_id);
        let mount = mount_detached(&folder.join(INDEX), &folder.join(TAR)).map_err(FileError::at("mount", &folder))?;
        // What fsmount answers is a path descriptor; the mount lives as long as anything of it is open.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(&mount, ".", flags, Mode::empty());
        Ok(root.map_err(|errno| FileError::at("open root of", &folder)(errno.into()))?)
    }

    fn lower(&self, store: &Store, diff_id: &Digest) -> PathBuf {
        store.runroot().join("layers").join(diff_id.hex())
    }

    fn mount(&self, store: &Store, diff_ids: &[&Digest]) -> Result<(), ImageError> {
        let mut missing = diff_ids.iter().filter(|diff_id| !is_mounted(&self.lower(store, diff_id))).peekable();
        if missing.peek().is_none() {
            return Ok(());
        }
        let _lock = Lock::wait(&store.runroot().join("layers.lock"), LockMode::Exclusive)?;
        // One after the other: side by side, the kernel's own locks make up for what a second thread saves.
        missing.try_for_each(|diff_id| self.mount_one(store, diff_id))
    }

    fn mount_calls(&self, store: &Store, diff_id: &Digest) -> Vec<String> {
        let folder = store.layer_dir(diff_id);
        let mut calls = vec![
            "fsopen(\"erofs\")".to_owned(),
            format!("fsconfig(source = {})", folder.join(INDEX).display()),
            format!("fsconfig(device = {})", folder.join(TAR).display()),
        ];
        if File::open(folder.join(TAR)).is_ok_and(|tar| is_cold(&tar)) {
            calls.push("fsconfig(directio)".to_owned());
        }
        calls.push("fsmount(MOUNT_ATTR_RDONLY)".to_owned());
        calls.push(format!("move_mount({})", self.lower(store, diff_id).display()));
        calls
    }

    fn userxattr(&self) -> bool {
        false
    }
}

impl Erofs {
    /// Mounts a layer that was not. Called under `layers.lock`.
    fn mount_one(&self, store: &Store, diff_id: &Digest) -> Result<(), ImageError> {
        let target = self.lower(store, diff_id);
        match std::fs::create_dir(&target) {
            Ok(()) => {}
            // Somebody else was quicker.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && is_mounted(&target) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(FileError::at("create folder", &target)(e).into()),
        }
        let folder = store.layer_dir(diff_id);
        let failed = |errno: Errno| FileError::at("mount layer on", &target)(errno.into());
        let mount = mount_detached(&folder.join(INDEX), &folder.join(TAR)).map_err(FileError::at("mount", &folder))?;
        move_mount(&mount, "", CWD, &target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(failed)?;
        Ok(())
    }
}

/// Writes to a file what is read through it: whole buffers, before the reader sees them.
struct Tee<'a> {
    input: &'a mut dyn BufRead,
    copy: Copy,
    /// Bytes of the current buffer that are written already.
    copied: usize,
    /// The write that failed, whole; the reader sees only an end of its input.
    failed: Option<LayerError>,
}

impl BufRead for Tee<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.failed.is_some() {
            return Ok(&[]);
        }
        let available = self.input.fill_buf()?;
        if available.len() > self.copied {
            if let Err(e) = self.copy.write(&available[self.copied..]) {
                self.failed = Some(e);
                return Ok(&[]);
            }
            self.copied = available.len();
        }
        Ok(available)
    }

    fn consume(&mut self, amount: usize) {
        self.copied = self.copied.saturating_sub(amount);
        self.input.consume(amount);
    }
}

impl Read for Tee<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(target.len());
        target[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}
