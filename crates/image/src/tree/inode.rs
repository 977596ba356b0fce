//! What a tree is made of: an entry as an object, with what of it is kept.

use super::children::Children;
use super::classes::Xattrs;
use super::records::Tag;
use super::segments::SparseMap;
use crate::tar::{Entry, Kind, Xattr};

const S_IFIFO: u16 = 0o010_000;
const S_IFCHR: u16 = 0o020_000;
const S_IFDIR: u16 = 0o040_000;
const S_IFBLK: u16 = 0o060_000;
const S_IFREG: u16 = 0o100_000;
const S_IFLNK: u16 = 0o120_000;

/// An object, as a tree or an entry has it.
#[derive(Clone, Copy)]
pub(crate) struct Inode<'a> {
    /// Type and permissions.
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: i64,
    pub(crate) mtime_ns: u32,
    pub(crate) xattrs: Xattrs<'a>,
    pub(crate) body: Body<'a>,
}

/// What it is.
#[derive(Clone, Copy)]
pub(crate) enum Body<'a> {
    Directory(Directory),
    /// Content at this byte of the tar; with segments if sparse.
    File {
        size: u64,
        offset: u64,
        sparse: Option<SparseMap<'a>>,
    },
    Symlink(&'a [u8]),
    /// The device number as EROFS writes it.
    Device(u32),
    Fifo,
    /// What lower layers have under this name is gone.
    Whiteout,
    /// What lower layers have under this path, to which the layer makes a hard link. A whiteout until it is put over the layer.
    Below(&'a [u8]),
}

/// A directory.
#[derive(Clone, Copy)]
pub(crate) struct Directory {
    pub(super) children: Children,
    /// Nothing of lower layers is seen in it.
    pub(crate) opaque: bool,
    /// No entry has described it.
    pub(super) implicit: bool,
}

impl<'a> Inode<'a> {
    /// What is not there: lower layers' object of the name is hidden by it.
    pub(super) fn absent(body: Body<'a>) -> Self {
        Inode { mode: S_IFCHR, body, ..Inode::implicit_directory() }
    }

    /// A directory that no entry has described: as `mkdir -p` by root makes it.
    pub(super) fn implicit_directory() -> Self {
        let body = Body::Directory(Directory { children: Children::NONE, opaque: false, implicit: true });
        Inode { mode: S_IFDIR | 0o755, uid: 0, gid: 0, mtime: 0, mtime_ns: 0, xattrs: Xattrs::NONE, body }
    }

    /// What an entry describes. `xattrs`: its attributes, by [`kept_xattrs`].
    pub(super) fn of(entry: &'a Entry, xattrs: &'a [u8]) -> Result<Self, String> {
        let (file_type, body) = match &entry.kind {
            Kind::Directory => {
                (S_IFDIR, Body::Directory(Directory { children: Children::NONE, opaque: false, implicit: false }))
            }
            Kind::File | Kind::HardLink => {
                let sparse = entry.sparse.as_deref().map(SparseMap::Given);
                (S_IFREG, Body::File { size: entry.size, offset: entry.offset, sparse })
            }
            Kind::Symlink if entry.link.is_empty() => return Err("a symbolic link to nothing".to_owned()),
            Kind::Symlink if entry.link.len() > 4095 || entry.link.contains(&0) => {
                return Err(
                    "the target of a symbolic link is longer than 4095 bytes, or contains a NUL byte".to_owned()
                );
            }
            Kind::Symlink => (S_IFLNK, Body::Symlink(&entry.link)),
            Kind::Char { major, minor } => (S_IFCHR, Body::Device(device(*major, *minor)?)),
            Kind::Block { major, minor } => (S_IFBLK, Body::Device(device(*major, *minor)?)),
            Kind::Fifo => (S_IFIFO, Body::Fifo),
        };
        let permissions = if file_type == S_IFLNK { 0o777 } else { entry.mode as u16 & 0o7777 };
        Ok(Inode {
            mode: file_type | permissions,
            uid: entry.uid,
            gid: entry.gid,
            mtime: entry.mtime,
            mtime_ns: entry.mtime_ns,
            xattrs: Xattrs::of(xattrs),
            body,
        })
    }

    /// How a tree keeps it.
    pub(super) fn tag(&self) -> Tag {
        match self.body {
            Body::Directory(_) => Tag::Directory,
            Body::File { sparse: None, .. } => Tag::File,
            Body::File { .. } => Tag::Sparse,
            Body::Symlink(_) => Tag::Symlink,
            Body::Device(_) if self.mode & S_IFBLK == S_IFBLK => Tag::Block,
            Body::Device(_) => Tag::Char,
            Body::Fifo => Tag::Fifo,
            Body::Whiteout => Tag::Whiteout,
            Body::Below(_) => Tag::Below,
        }
    }
}

/// Device numbers of 12 and 20 bits, as Linux has them (include/linux/kdev_t.h, new_encode_dev).
fn device(major: u32, minor: u32) -> Result<u32, String> {
    if major >= 1 << 12 || minor >= 1 << 20 {
        return Err(format!("device number {major}:{minor} is beyond what Linux has"));
    }
    Ok((minor & 0xff) | (major << 8) | ((minor & !0xff) << 12))
}

/// The attributes of an entry that are kept.
pub(super) fn kept_xattrs(entry: &Entry) -> Vec<u8> {
    Xattrs::bytes(entry.xattrs.iter().filter(|xattr| is_kept(xattr)))
}

/// Which attributes of a layer are kept: not overlayfs's own, which a layer could use to see or redirect what is not its own, not
/// SELinux labels, which are the host's to give, and not what Linux would not take either.
fn is_kept((name, value): &Xattr) -> bool {
    let ours = [&b"trusted.overlay."[..], b"user.overlay."].iter().any(|prefix| name.starts_with(prefix));
    let fits = name.len() <= 255 && value.len() <= 65535 && !name.contains(&0);
    !ours && fits && *name != b"security.selinux"
}
