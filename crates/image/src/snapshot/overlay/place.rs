//! Making the tree: folders from the root downwards, then everything in them, each by descriptors of folders made here.

use super::unpack::data_path;
use crate::LayerError;
use crate::tar::TarSummary;
use crate::tree::{Body, Id, Inode, Tree, Walk};
use carboy_state::file::FileError;
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags, chownat, linkat,
    mkdirat, mknodat, openat2, symlinkat, utimensat,
};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Makes one tree.
pub(super) struct Placer<'a> {
    tree: &'a mut Tree,
    root: OwnedFd,
    /// For messages.
    root_path: &'a Path,
    data: &'a Path,
    privileged: bool,
}

impl<'a> Placer<'a> {
    /// Makes the root folder.
    pub(super) fn new(
        tree: &'a mut Tree,
        root: &'a Path,
        data: &'a Path,
        privileged: bool,
    ) -> Result<Self, LayerError> {
        std::fs::create_dir(root).map_err(FileError::at("create folder", root))?;
        let folder = File::open(root).map_err(FileError::at("open", root))?.into();
        Ok(Placer { tree, root: folder, root_path: root, data, privileged })
    }

    /// Makes everything, breadth first.
    pub(super) fn place(self, summary: &mut TarSummary) -> Result<(), LayerError> {
        let mut walk = Walk::new(self.tree);
        while let Some(id) = walk.next(self.tree) {
            let Body::Directory(directory) = self.tree.inode(id).body else { continue };
            let path = self.tree.path(id);
            let folder = self.open(&path)?;
            for (name, child) in self.tree.children(directory) {
                let child_path = if path.is_empty() { name.to_vec() } else { [&path[..], b"/", name].concat() };
                self.child((&folder, id), name, child, &child_path, summary)?;
            }
            // Last, because making names in it changes its times. Its sub-folders get theirs in their turn.
            let shown = self.shown(&path);
            let metadata = Metadata { inode: self.tree.inode(id), privileged: self.privileged };
            metadata.apply_to_file(&File::from(folder), &shown, summary)?;
        }
        Ok(())
    }

    /// Opens a folder that was made here; nothing that it passes through may be a link.
    fn open(&self, path: &[u8]) -> Result<OwnedFd, LayerError> {
        let path_or_dot = if path.is_empty() { b"." } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        openat2(&self.root, path_or_dot, flags, Mode::empty(), resolve).map_err(|e| self.failed("open", path)(e))
    }

    fn child(
        &self,
        (folder, directory): (&OwnedFd, Id),
        name: &[u8],
        id: Id,
        path: &[u8],
        summary: &mut TarSummary,
    ) -> Result<(), LayerError> {
        let inode = self.tree.inode(id);
        if matches!(inode.body, Body::Directory(_)) {
            return mkdirat(folder, name, Mode::RWXU).map_err(self.failed("create folder", path));
        }
        if self.tree.is_linked(id)
            && let first = self.tree.first_name(id)
            && first != (directory, name)
        {
            return self.link(first, folder, name, path, summary);
        }
        match inode.body {
            Body::File { .. } => {
                let data = data_path(self.data, self.tree.place(id));
                rustix::fs::renameat(CWD, &data, folder, name).map_err(self.failed("rename to", path))?;
            }
            Body::Symlink(target) => {
                symlinkat(target, folder, name).map_err(self.failed("create link", path))?;
            }
            Body::Whiteout | Body::Below(_) => {
                let device = rustix::fs::makedev(0, 0);
                return mknodat(folder, name, FileType::CharacterDevice, Mode::empty(), device)
                    .map_err(self.failed("create whiteout", path));
            }
            Body::Fifo => {
                mknodat(folder, name, FileType::Fifo, Mode::RUSR, 0).map_err(self.failed("create pipe", path))?
            }
            Body::Device(device) => {
                if !self.device(folder, name, inode.mode, device, path)? {
                    summary.skipped_devices += 1;
                    return Ok(());
                }
            }
            Body::Directory(_) => {}
        }
        if !matches!(inode.body, Body::File { .. }) {
            let metadata = Metadata { inode, privileged: self.privileged };
            metadata.apply_to_name(folder.as_fd(), name, &self.shown(path), summary)?;
        }
        Ok(())
    }

    /// Makes another name of what has its first one already.
    fn link(
        &self,
        (directory, first): (Id, &[u8]),
        folder: &OwnedFd,
        name: &[u8],
        path: &[u8],
        summary: &mut TarSummary,
    ) -> Result<(), LayerError> {
        let above = self.tree.path(directory);
        let first = if above.is_empty() { first.to_vec() } else { [&above[..], b"/", first].concat() };
        match linkat(&self.root, &first[..], folder, name, AtFlags::empty()) {
            // A device that could not be made has no other names either.
            Err(Errno::NOENT) if summary.skipped_devices > 0 => {
                summary.skipped_devices += 1;
                Ok(())
            }
            linked => linked.map_err(self.failed("link", path)),
        }
    }

    /// Makes a device; false if this user may not, and a user namespace never may.
    fn device(&self, folder: &OwnedFd, name: &[u8], mode: u16, device: u32, path: &[u8]) -> Result<bool, LayerError> {
        let kind = FileType::from_raw_mode(u32::from(mode));
        let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00));
        match mknodat(folder, name, kind, Mode::RUSR, rustix::fs::makedev(major, minor)) {
            Err(Errno::PERM) if !self.privileged => Ok(false),
            other => other.map(|()| true).map_err(self.failed("create device", path)),
        }
    }

    fn shown(&self, path: &[u8]) -> PathBuf {
        self.root_path.join(OsStr::from_bytes(path))
    }

    fn failed(&self, operation: &'static str, path: &[u8]) -> impl Fn(Errno) -> LayerError + use<> {
        let path = self.shown(path);
        move |errno| FileError::at(operation, &path)(errno.into()).into()
    }
}

/// Applies an inode's metadata.
pub(super) struct Metadata<'a> {
    pub(super) inode: Inode<'a>,
    pub(super) privileged: bool,
}

impl Metadata<'_> {
    /// To an open file or folder.
    pub(super) fn apply_to_file(&self, file: &File, path: &Path, summary: &mut TarSummary) -> Result<(), LayerError> {
        let failed = |operation| move |errno: Errno| FileError::at(operation, path)(errno.into());
        let (uid, gid) = (Uid::from_raw(self.inode.uid), Gid::from_raw(self.inode.gid));
        let owned = rustix::fs::fchown(file, Some(uid), Some(gid));
        let mode = self.mode_after(owned, summary).map_err(failed("chown"))?;
        rustix::fs::fchmod(file, mode).map_err(failed("chmod"))?;
        // After chown, which takes security.capability away.
        for (name, value) in self.xattrs() {
            let set = rustix::fs::fsetxattr(file, name, value, XattrFlags::empty());
            self.tolerated(set).map_err(failed("set attribute of"))?;
        }
        rustix::fs::futimens(file, &self.times()).map_err(failed("set times of"))?;
        Ok(())
    }

    /// To a name that cannot be opened: a link, a device, a pipe.
    fn apply_to_name(
        &self,
        folder: BorrowedFd<'_>,
        name: &[u8],
        path: &Path,
        summary: &mut TarSummary,
    ) -> Result<(), LayerError> {
        let failed = |operation| move |errno: Errno| FileError::at(operation, path)(errno.into());
        let (uid, gid) = (Uid::from_raw(self.inode.uid), Gid::from_raw(self.inode.gid));
        let owned = chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW);
        let mode = self.mode_after(owned, summary).map_err(failed("chown"))?;
        if !matches!(self.inode.body, Body::Symlink(_)) {
            rustix::fs::chmodat(folder, name, mode, AtFlags::empty()).map_err(failed("chmod"))?;
        }
        // The folder by its descriptor, and lsetxattr does not follow the last name.
        let by_descriptor = Path::new(&format!("/proc/self/fd/{}", folder.as_raw_fd())).join(OsStr::from_bytes(name));
        for (name, value) in self.xattrs() {
            let set = rustix::fs::lsetxattr(&by_descriptor, name, value, XattrFlags::empty());
            self.tolerated(set).map_err(failed("set attribute of"))?;
        }
        utimensat(folder, name, &self.times(), AtFlags::SYMLINK_NOFOLLOW).map_err(failed("set times of"))?;
        Ok(())
    }

    /// The mode to set, given how chown went: an owner that cannot be set must not lend its rights to another.
    fn mode_after(&self, owned: Result<(), Errno>, summary: &mut TarSummary) -> Result<Mode, Errno> {
        let permissions = u32::from(self.inode.mode & 0o7777);
        match owned {
            Ok(()) => Ok(Mode::from_raw_mode(permissions)),
            Err(Errno::PERM | Errno::INVAL) if !self.privileged => {
                summary.unowned += 1;
                let set_ids = if matches!(self.inode.body, Body::Directory(_)) { 0 } else { 0o6000 };
                Ok(Mode::from_raw_mode(permissions & !set_ids))
            }
            Err(e) => Err(e),
        }
    }

    fn xattrs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let opaque = matches!(self.inode.body, Body::Directory(directory) if directory.opaque);
        let mark = if self.privileged { &b"trusted.overlay.opaque"[..] } else { b"user.overlay.opaque" };
        let own = self.inode.xattrs.iter();
        own.chain(opaque.then_some((mark, &b"y"[..])))
    }

    /// Attributes that the file system does not have, or that this user may not set, are left out, as every unpacker does; but
    /// overlayfs's mark must not be lost, and root's refusals are errors.
    fn tolerated(&self, set: Result<(), Errno>) -> Result<(), Errno> {
        let opaque = matches!(self.inode.body, Body::Directory(directory) if directory.opaque);
        match set {
            Err(Errno::NOTSUP) if !opaque => Ok(()),
            Err(Errno::PERM) if !opaque && (!self.privileged || matches!(self.inode.body, Body::Symlink(_))) => Ok(()),
            other => other,
        }
    }

    fn times(&self) -> Timestamps {
        let time = Timespec { tv_sec: self.inode.mtime, tv_nsec: i64::from(self.inode.mtime_ns) };
        Timestamps { last_access: time, last_modification: time }
    }
}
