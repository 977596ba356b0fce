//! The EROFS snapshotter: the tar as it came, an index that is written here, and one shared mount of the two for each layer.
//!
//! ```text
//! layers/<hex>/tar      the uncompressed layer, byte for byte (a last block that is not whole is filled with zeros)
//! layers/<hex>/erofs    the index: inodes and names; files' content is in the tar, as an extra device
//! <runroot>/layers/<hex>    where it is mounted
//! ```
//!
//! File-backed EROFS mounts exist since Linux 6.12, blocks of 512 bytes since 6.4; a user namespace cannot mount EROFS.

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
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxAttributes, StatxFlags, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen, move_mount,
};
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

const TAR: &str = "tar";
const INDEX: &str = "erofs";
/// fsconfig(2) takes strings of at most 255 bytes.
const STRING_LIMIT: usize = 255;

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
        let indexed = index_tar(&mut tee);
        if let Some(e) = tee.failed {
            return Err(e);
        }
        let (index, summary) = indexed?;
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

    fn mount(&self, store: &Store, diff_id: &Digest) -> Result<(), ImageError> {
        let target = self.lower(store, diff_id);
        if is_mounted(&target) {
            return Ok(());
        }
        let _lock = Lock::wait(&store.runroot().join("layers.lock"), LockMode::Exclusive)?;
        match std::fs::create_dir(&target) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                return Err(FileError::at("create folder", &target)(e).into());
            }
            _ => {}
        }
        if is_mounted(&target) {
            return Ok(());
        }
        let folder = store.layer_dir(diff_id);
        let failed = |errno: Errno| FileError::at("mount layer on", &target)(errno.into());
        let mount = mount_detached(&folder.join(INDEX), &folder.join(TAR)).map_err(FileError::at("mount", &folder))?;
        move_mount(&mount, "", CWD, &target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(failed)?;
        Ok(())
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

/// Mounts an index with its tar, attached to nothing yet.
pub(super) fn mount_detached(index: &Path, tar: &Path) -> io::Result<OwnedFd> {
    let (index_file, tar_file) = (File::open(index)?, File::open(tar)?);
    let context = configured((index, &index_file), (tar, &tar_file), is_cold(&tar_file))?;
    // Set-ID bits, devices and programs are for each container's own mount to allow or not: overlayfs asks its own flags only.
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY)?)
}

fn configured(index: (&Path, &File), tar: (&Path, &File), direct: bool) -> io::Result<OwnedFd> {
    let context = fsopen("erofs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let outcome = fsconfig_set_string(&context, "source", &*name_of(index.0, index.1))
        .and_then(|()| fsconfig_set_string(&context, "device", &*name_of(tar.0, tar.1)))
        .and_then(|()| if direct { fsconfig_set_flag(&context, "directio") } else { Ok(()) })
        .and_then(|()| fsconfig_create(&context));
    match outcome {
        Ok(()) => Ok(context),
        // The option came with Linux 6.15.
        Err(_) if direct => configured(index, tar, false),
        Err(errno) => Err(with_kernel_message(&context, errno)),
    }
}

/// Whether to read the tar past its own page cache. EROFS caches what it has read for itself; what the tar's cache holds is a second
/// copy. A tar that was just taken in is all there, and reading it from memory is quicker than from the disk; one that is not is read once,
/// into EROFS's cache only. Direct reads must be possible at any block of 512 bytes (statx(2), STATX_DIOALIGN).
fn is_cold(tar: &File) -> bool {
    let aligned = || {
        let stat = rustix::fs::statx(tar, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN).ok()?;
        Some((1..=512).contains(&stat.stx_dio_offset_align))
    };
    let cold = || {
        let pages = carboy_sys::cache::cached_pages(tar)?;
        let size = tar.metadata().ok()?.len();
        Some(pages * 4096 < size / 4)
    };
    cold().unwrap_or(false) && aligned().unwrap_or(false)
}

/// The path as the mount table should show it, or the descriptor's if that is too long for fsconfig.
fn name_of(path: &Path, file: &File) -> PathBuf {
    if path.as_os_str().len() <= STRING_LIMIT {
        path.to_owned()
    } else {
        format!("/proc/self/fd/{}", file.as_raw_fd()).into()
    }
}

/// The kernel's own words about a failed mount, which the context hands out line by line (fsopen(2), "retrieving messages").
fn with_kernel_message(context: &OwnedFd, errno: Errno) -> io::Error {
    let mut text = String::new();
    let mut line = [0; 1024];
    if let Ok(copy) = context.try_clone() {
        let mut file = File::from(copy);
        while let Ok(count) = file.read(&mut line) {
            text.push_str(": ");
            text.push_str(String::from_utf8_lossy(&line[..count]).trim());
        }
    }
    let error = io::Error::from(errno);
    if text.is_empty() { error } else { io::Error::new(error.kind(), format!("{error}{text}")) }
}

/// Whether something is mounted on this directory (statx, since 5.8).
pub(crate) fn is_mounted(path: &Path) -> bool {
    rustix::fs::statx(CWD, path, AtFlags::NO_AUTOMOUNT | AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE)
        .is_ok_and(|stat| stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
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
