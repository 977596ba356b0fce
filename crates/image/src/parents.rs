//! Directories that a layer puts things into but does not describe.
//!
//! A tar may hold `tmp/x` without `tmp/`. Unpacked over the layers below, the directory keeps what it was there; in a layer of its own
//! it would come out as 0755 of root's, and hide the mode and owner from below. For a layer over given layers (a chain ID,
//! image-spec) a folder is kept that holds these directories alone, with the metadata from below, and it is stacked right over the layer:
//!
//! ```text
//! layers/<hex>/implicit              names of such directories, each ended by a NUL; absent if there is none
//! layers/<hex>/parents-<chain>/      the directories, for the layer in that chain; absent if nothing would differ
//! ```

use crate::remove::chain_ids;
use crate::{ImageError, Images};
use carboy_oci::Digest;
use carboy_state::file::{Durability, FileError, sync_folder, write_atomic};
use carboy_store::Store;
use rustix::fs::{Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags, openat2};
use rustix::io::Errno;
use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const IMPLICIT: &str = "implicit";
/// What a directory that nothing describes gets: mode, owner, group.
const DEFAULT: (u32, u32, u32) = (0o755, 0, 0);
const OPAQUE: [&str; 2] = ["trusted.overlay.opaque", "user.overlay.opaque"];

/// The folder to be stacked over this layer in this chain, if there is one.
pub(crate) fn parents_over(store: &Store, diff_id: &Digest, chain: &Digest) -> Option<PathBuf> {
    let path = store.layer_dir(diff_id).join(format!("parents-{}", chain.hex()));
    rustix::fs::access(&path, rustix::fs::Access::EXISTS).is_ok().then_some(path)
}

/// Records the directories that a layer does not describe.
pub(crate) fn write_implicit(layer_dir: &Path, paths: &[Vec<u8>]) -> Result<(), FileError> {
    if paths.is_empty() {
        return Ok(());
    }
    let mut bytes = paths.join(&0);
    bytes.push(0);
    write_atomic(&layer_dir.join(IMPLICIT), &bytes, 0o644, Durability::Machine)
}

fn read_implicit(layer_dir: &Path) -> Result<Vec<Vec<u8>>, FileError> {
    let path = layer_dir.join(IMPLICIT);
    match std::fs::read(&path) {
        Ok(bytes) => Ok(bytes.split(|&byte| byte == 0).filter(|path| !path.is_empty()).map(<[u8]>::to_vec).collect()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(FileError::at("read", &path)(e)),
    }
}

impl Images {
    /// Makes the folders of parents for an image's layers, base first, which are all here.
    pub(crate) fn adopt_parents(&self, diff_ids: &[Digest]) -> Result<(), ImageError> {
        let chains = chain_ids(diff_ids);
        for at in 1..diff_ids.len() {
            let implicit = read_implicit(&self.store.layer_dir(&diff_ids[at]))?;
            if implicit.is_empty() || parents_over(&self.store, &diff_ids[at], &chains[at]).is_some() {
                continue;
            }
            let ingest = self.store.ingest(&chains[at])?;
            if parents_over(&self.store, &diff_ids[at], &chains[at]).is_some() {
                continue;
            }
            let mut below = Vec::new();
            for (diff_id, chain) in diff_ids[..at].iter().zip(&chains).rev() {
                if let Some(path) = parents_over(&self.store, diff_id, chain) {
                    below.push(open_folder(&path)?);
                }
                below.push(self.snapshotter.open_root(&self.store, diff_id)?);
            }
            let own = vec![self.snapshotter.open_root(&self.store, &diff_ids[at])?];
            let directories = choose(&implicit, &mut Stack::new(below), &mut Stack::new(own))?;
            if !directories.is_empty() {
                let made = ingest.folder().join("parents");
                make(&made, &directories)?;
                let folder = self.store.layer_dir(&diff_ids[at]);
                let target = folder.join(format!("parents-{}", chains[at].hex()));
                std::fs::rename(&made, &target).map_err(FileError::at("rename to", &target))?;
                sync_folder(&folder)?;
            }
        }
        Ok(())
    }
}

/// What is taken over of a directory.
struct Metadata {
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: Timespec,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The directories that have to be made, with those above them: those whose metadata below are not what they would get anyway.
fn choose(implicit: &[Vec<u8>], below: &mut Stack, own: &mut Stack) -> Result<BTreeMap<Vec<u8>, Metadata>, ImageError> {
    let described = |path: &[u8], directory: &OwnedFd| {
        let shown = Path::new(OsStr::from_bytes(path));
        metadata(directory).map_err(|errno| FileError::at("stat in layers", shown)(errno.into()))
    };
    let mut chosen = BTreeMap::new();
    for path in implicit {
        if let Some(found) = below.find(path)?.filter(|found| !is_default(found)) {
            chosen.insert(path.clone(), described(path, &found)?);
        }
    }
    let known: HashSet<&[u8]> = implicit.iter().map(Vec::as_slice).collect();
    let paths: Vec<Vec<u8>> = chosen.keys().cloned().collect();
    for above in paths.iter().flat_map(|path| prefixes(path)) {
        if chosen.contains_key(above) {
            continue;
        }
        // One that the layer describes itself stays as the layer has it.
        let found = if known.contains(above) { below.find(above)? } else { None };
        let found = found.map_or_else(|| own.find(above), |found| Ok(Some(found)))?;
        if let Some(found) = found {
            chosen.insert(above.to_vec(), described(above, &found)?);
        }
    }
    Ok(chosen)
}

/// Layers to look directories up in, topmost first.
struct Stack(Vec<Layer>);

struct Layer {
    root: OwnedFd,
    /// Paths that were found not to be there; nothing below them is either.
    absent: HashSet<Vec<u8>>,
    /// Directories that were found, and not to hide what is below.
    open: HashSet<Vec<u8>>,
}

/// What one layer says of a path.
enum Found {
    Directory(OwnedFd),
    /// Nothing: what is below counts.
    Absent,
    /// Something that hides what is below.
    Hidden,
}

impl Stack {
    fn new(roots: Vec<OwnedFd>) -> Self {
        Stack(roots.into_iter().map(|root| Layer { root, absent: HashSet::new(), open: HashSet::new() }).collect())
    }

    /// Looks a directory up as overlayfs would.
    fn find(&mut self, path: &[u8]) -> Result<Option<OwnedFd>, ImageError> {
        let failed =
            |errno: Errno| FileError::at("look up in layers", Path::new(OsStr::from_bytes(path)))(errno.into());
        for layer in &mut self.0 {
            match layer.find(path).map_err(failed)? {
                Found::Directory(directory) => return Ok(Some(directory)),
                Found::Hidden => return Ok(None),
                Found::Absent => {}
            }
        }
        Ok(None)
    }
}

impl Layer {
    fn find(&mut self, path: &[u8]) -> Result<Found, Errno> {
        if prefixes(path).any(|prefix| self.absent.contains(prefix)) {
            return Ok(Found::Absent);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        match openat2(&self.root, path, flags, Mode::empty(), resolve) {
            Ok(directory) => Ok(Found::Directory(directory)),
            // A whiteout, a link, or something else.
            Err(Errno::NOTDIR | Errno::LOOP) => Ok(Found::Hidden),
            Err(Errno::NOENT) => self.find_missing(path),
            Err(e) => Err(e),
        }
    }

    /// Of a path that is not there: which part is missing, and whether its directory is opaque.
    fn find_missing(&mut self, path: &[u8]) -> Result<Found, Errno> {
        let above = path.iter().rposition(|&byte| byte == b'/').map(|end| &path[..end]);
        if above.is_some_and(|above| self.open.contains(above)) {
            self.absent.insert(path.to_vec());
            return Ok(Found::Absent);
        }
        let mut directory = None;
        for prefix in prefixes(path) {
            let name = prefix.rsplit(|&byte| byte == b'/').next().unwrap_or(prefix);
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let above = directory.as_ref().unwrap_or(&self.root);
            match rustix::fs::openat(above, name, flags, Mode::empty()) {
                Ok(found) if is_opaque(&found) => return Ok(Found::Hidden),
                Ok(found) => {
                    self.open.insert(prefix.to_vec());
                    directory = Some(found);
                }
                Err(Errno::NOENT) => {
                    self.absent.insert(prefix.to_vec());
                    return Ok(Found::Absent);
                }
                Err(Errno::NOTDIR | Errno::LOOP) => return Ok(Found::Hidden),
                Err(e) => return Err(e),
            }
        }
        Ok(Found::Absent)
    }
}

/// `a`, `a/b`, `a/b/c` of `a/b/c`.
fn prefixes(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end);
    ends.chain([path.len()]).map(|end| &path[..end])
}

fn is_opaque(directory: &OwnedFd) -> bool {
    let mut value = [0; 4];
    OPAQUE.iter().any(|name| rustix::fs::fgetxattr(directory, *name, &mut value[..]) == Ok(1))
}

/// Whether a directory is as it would come out anyway.
fn is_default(directory: &OwnedFd) -> bool {
    rustix::fs::fstat(directory).is_ok_and(|stat| (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid) == DEFAULT)
}

fn metadata(directory: &OwnedFd) -> Result<Metadata, Errno> {
    let stat = rustix::fs::fstat(directory)?;
    let mut names = vec![0; 64 << 10];
    let size = rustix::fs::flistxattr(directory, &mut names[..]).unwrap_or(0);
    let mut xattrs = Vec::new();
    for name in names[..size].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 64 << 10];
        if !OPAQUE.iter().any(|opaque| opaque.as_bytes() == name)
            && let Ok(size) = rustix::fs::fgetxattr(directory, name, &mut value[..])
        {
            value.truncate(size);
            xattrs.push((name.to_vec(), value));
        }
    }
    Ok(Metadata {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ },
        xattrs,
    })
}

/// Makes the directories in a new folder: from above, then their metadata from below, because a child's making changes a parent's times.
fn make(folder: &Path, directories: &BTreeMap<Vec<u8>, Metadata>) -> Result<(), ImageError> {
    let path_of = |path: &[u8]| folder.join(OsStr::from_bytes(path));
    std::fs::create_dir(folder).map_err(FileError::at("create folder", folder))?;
    for path in directories.keys() {
        let path = path_of(path);
        std::fs::create_dir(&path).map_err(FileError::at("create folder", &path))?;
    }
    for (path, metadata) in directories.iter().rev() {
        let path = path_of(path);
        let directory = open_folder(&path)?;
        apply(&directory, metadata).map_err(|errno| FileError::at("describe", &path)(errno.into()))?;
        File::from(directory).sync_all().map_err(FileError::at("sync", &path))?;
    }
    Ok(())
}

fn apply(directory: &OwnedFd, metadata: &Metadata) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid));
    match rustix::fs::fchown(directory, Some(uid), Some(gid)) {
        // An ID that is not mapped, as the layers themselves have it.
        Err(Errno::PERM | Errno::INVAL) if !rustix::process::geteuid().is_root() || metadata.uid == 65534 => {}
        other => other?,
    }
    rustix::fs::fchmod(directory, Mode::from_raw_mode(metadata.mode))?;
    for (name, value) in &metadata.xattrs {
        match rustix::fs::fsetxattr(directory, &name[..], value, XattrFlags::empty()) {
            Err(Errno::PERM | Errno::NOTSUP) => {}
            other => other?,
        }
    }
    let times = Timestamps { last_access: metadata.mtime, last_modification: metadata.mtime };
    rustix::fs::futimens(directory, &times)
}

fn open_folder(path: &Path) -> Result<OwnedFd, FileError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(rustix::fs::CWD.as_fd(), path, flags, Mode::empty());
    opened.map_err(|errno| FileError::at("open", path)(errno.into()))
}
