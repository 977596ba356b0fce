//! A tree as a tar: owners, modes, times with nanoseconds, links, devices, attributes and holes. Names are sorted, so that the same tree
//! makes the same bytes. Walked by descriptors: no link of the tree is followed, and memory does not grow with its files.

use crate::ImageError;
use crate::tar::{Kind, TarHeader, TarWriter, Xattr};
use carboy_state::file::FileError;
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, SeekFrom, Stat, fstat, lgetxattr, llistxattr, openat, readlinkat, statat,
};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Holes of a file smaller than this together are written out.
const WORTH: u64 = 64 << 10;
/// More parts than this and a file is written out.
const MAX_PARTS: usize = 4096;

/// Writes everything below `root`, and its own metadata as `./`. Sockets, which tar cannot describe, are left out.
///
/// # Errors
/// At the first thing that cannot be read or written.
pub fn write_tree(root: OwnedFd, out: &mut dyn Write) -> Result<(), ImageError> {
    let mut walk = Walk { tar: TarWriter::new(out), links: HashMap::new() };
    let stat = fstat(&root).map_err(|errno| failed("stat", b".", errno))?;
    let xattrs = xattrs(root.as_fd(), b".")?;
    walk.entry(&header(b"./", Kind::Directory, &stat, &xattrs), &mut io::empty())?;
    walk.folder(&root, b"")?;
    walk.tar.finish().map_err(write_error)?;
    Ok(())
}

fn failed(operation: &'static str, path: &[u8], errno: Errno) -> ImageError {
    let path = Path::new("/").join(std::ffi::OsStr::from_bytes(path));
    FileError::at(operation, &path)(errno.into()).into()
}

fn write_error(error: io::Error) -> ImageError {
    FileError::at("write", Path::new("the tar"))(error).into()
}

fn header<'a>(path: &'a [u8], kind: Kind, stat: &Stat, xattrs: &'a [Xattr]) -> TarHeader<'a> {
    TarHeader {
        path,
        kind,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: stat.st_mtime,
        mtime_ns: stat.st_mtime_nsec as u32,
        size: 0,
        link: b"",
        xattrs,
        sparse: None,
    }
}

struct Walk<'w> {
    tar: TarWriter<&'w mut dyn Write>,
    /// Where a file with several names was first met.
    links: HashMap<(u64, u64), Vec<u8>>,
}

impl Walk<'_> {
    fn entry(&mut self, header: &TarHeader<'_>, content: &mut dyn Read) -> Result<(), ImageError> {
        self.tar.entry(header, content).map_err(write_error)
    }

    fn folder(&mut self, folder: &OwnedFd, path: &[u8]) -> Result<(), ImageError> {
        let mut names: Vec<CString> = Vec::new();
        for entry in Dir::read_from(folder).map_err(|errno| failed("read folder", path, errno))? {
            let name = entry.map_err(|errno| failed("read folder", path, errno))?.file_name().to_owned();
            if !matches!(name.to_bytes(), b"." | b"..") {
                names.push(name);
            }
        }
        names.sort();
        for name in names {
            let whole = if path.is_empty() { name.to_bytes().to_vec() } else { [path, b"/", name.to_bytes()].concat() };
            self.object(folder.as_fd(), &name, &whole)?;
        }
        Ok(())
    }

    fn object(&mut self, folder: BorrowedFd<'_>, name: &CString, path: &[u8]) -> Result<(), ImageError> {
        let stat = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            // A running container removed it meanwhile.
            Err(Errno::NOENT) => return Ok(()),
            other => other.map_err(|errno| failed("stat", path, errno))?,
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Socket {
            return Ok(());
        }
        if kind != FileType::Directory && stat.st_nlink > 1 {
            let key = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&key) {
                let first = first.clone();
                let link = TarHeader { link: &first, ..header(path, Kind::HardLink, &stat, &[]) };
                return self.entry(&link, &mut io::empty());
            }
            self.links.insert(key, path.to_vec());
        }
        let xattrs = xattrs(folder, name.to_bytes())?;
        let device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        let (major, minor) = device;
        match kind {
            FileType::Directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let child = openat(folder, name, flags, Mode::empty()).map_err(|e| failed("open", path, e))?;
                self.entry(&header(&[path, b"/"].concat(), Kind::Directory, &stat, &xattrs), &mut io::empty())?;
                self.folder(&child, path)
            }
            FileType::RegularFile => self.file(folder, name, path, &xattrs),
            FileType::Symlink => {
                let target = readlinkat(folder, name, Vec::new()).map_err(|e| failed("read link", path, e))?;
                let link = TarHeader { link: target.to_bytes(), ..header(path, Kind::Symlink, &stat, &xattrs) };
                self.entry(&link, &mut io::empty())
            }
            FileType::CharacterDevice => {
                self.entry(&header(path, Kind::Char { major, minor }, &stat, &xattrs), &mut io::empty())
            }
            FileType::BlockDevice => {
                self.entry(&header(path, Kind::Block { major, minor }, &stat, &xattrs), &mut io::empty())
            }
            _ => self.entry(&header(path, Kind::Fifo, &stat, &xattrs), &mut io::empty()),
        }
    }

    fn file(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &CString,
        path: &[u8],
        xattrs: &[Xattr],
    ) -> Result<(), ImageError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file: File = match openat(folder, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(()),
            other => other.map_err(|errno| failed("open", path, errno))?.into(),
        };
        let stat = fstat(&file).map_err(|errno| failed("stat", path, errno))?;
        let size = stat.st_size as u64;
        let base = header(path, Kind::File, &stat, xattrs);
        let stored = (stat.st_blocks as u64).saturating_mul(512);
        if stored.saturating_add(WORTH) < size
            && let Some(parts) = parts(&file, size)
        {
            let total = parts.iter().map(|(_, length)| length).sum();
            let mut content = Content { file: &file, parts: &parts, at: 0 };
            return self.entry(&TarHeader { size: total, sparse: Some((&parts, size)), ..base }, &mut content);
        }
        let parts = [(0, size)];
        let mut content = Content { file: &file, parts: &parts, at: 0 };
        self.entry(&TarHeader { size, ..base }, &mut content)
    }
}

/// Where a file has content; `None` if it is in too many pieces, or the file system does not say.
fn parts(file: &File, size: u64) -> Option<Vec<(u64, u64)>> {
    let mut parts = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(start) => start.min(size),
            Err(Errno::NXIO) => break,
            Err(_) => return None,
        };
        let end = rustix::fs::seek(file, SeekFrom::Hole(start)).ok()?.min(size);
        if end > start {
            parts.push((start, end - start));
        }
        at = end.max(start + 1);
        if parts.len() > MAX_PARTS {
            return None;
        }
    }
    // As GNU tar: the last part says how long the file is, and be it empty.
    parts.push((size, 0));
    Some(parts)
}

/// The parts of a file one after the other. What a running container cut off meanwhile is read as zeros, as tar does.
struct Content<'a> {
    file: &'a File,
    parts: &'a [(u64, u64)],
    /// How much of the first part was read.
    at: u64,
}

impl Read for Content<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        while let Some(((offset, length), rest)) = self.parts.split_first() {
            if self.at == *length {
                (self.parts, self.at) = (rest, 0);
                continue;
            }
            let left = usize::try_from(length - self.at).unwrap_or(usize::MAX).min(target.len());
            let mut count = self.file.read_at(&mut target[..left], offset + self.at)?;
            if count == 0 {
                target[..left].fill(0);
                count = left;
            }
            self.at += count as u64;
            return Ok(count);
        }
        Ok(0)
    }
}

/// The attributes that belong to a file and not to this machine's file system or its policies.
fn xattrs(folder: BorrowedFd<'_>, name: &[u8]) -> Result<Vec<Xattr>, ImageError> {
    // The folder by its descriptor; the last name is not followed.
    let path = [format!("/proc/self/fd/{}/", folder.as_raw_fd()).as_bytes(), name].concat();
    let path = std::ffi::OsStr::from_bytes(&path);
    let mut list = vec![0; 1024];
    let length = loop {
        match llistxattr(path, &mut list[..]) {
            Ok(length) => break length,
            Err(Errno::RANGE) if list.len() < 1 << 17 => list.resize(list.len() * 4, 0),
            Err(Errno::OPNOTSUPP | Errno::NOENT | Errno::ACCESS | Errno::PERM) => return Ok(Vec::new()),
            Err(errno) => return Err(failed("list attributes of", name, errno)),
        }
    };
    let mut found = Vec::new();
    for attribute in list[..length].split(|byte| *byte == 0).filter(|attribute| !attribute.is_empty()) {
        let is_user = attribute.starts_with(b"user.") && !attribute.starts_with(b"user.overlay.");
        if !is_user && attribute != b"security.capability" {
            continue;
        }
        let mut value = vec![0; 1 << 16];
        match lgetxattr(path, attribute, &mut value[..]) {
            Ok(length) => {
                value.truncate(length);
                found.push((attribute.to_vec(), value));
            }
            Err(Errno::NODATA | Errno::NOENT) => {}
            Err(errno) => return Err(failed("read attributes of", name, errno)),
        }
    }
    found.sort();
    Ok(found)
}
