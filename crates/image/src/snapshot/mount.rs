//! Mounting an index with its tar.

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// fsconfig(2) takes strings of at most 255 bytes.
const STRING_LIMIT: usize = 255;

/// How many pieces of a tar are looked at, and how large they are, to tell whether it is in memory.
const SAMPLES: u64 = 8;
const SAMPLE: u64 = 256 << 10;

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
pub(super) fn is_cold(tar: &File) -> bool {
    let aligned = || {
        let stat = rustix::fs::statx(tar, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN).ok()?;
        Some((1..=512).contains(&stat.stx_dio_offset_align))
    };
    let cold = || {
        let size = tar.metadata().ok()?.len();
        // To count all the pages of a large tar takes as long as the mount.
        let stride = (size / SAMPLES).max(SAMPLE);
        let (mut cached, mut looked_at) = (0, 0);
        for from in (0..size).step_by(usize::try_from(stride).ok()?) {
            let length = SAMPLE.min(size - from);
            cached += carboy_sys::cache::cached_pages_within(tar, from, length)? * 4096;
            looked_at += length;
        }
        Some(cached < looked_at / 4)
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
