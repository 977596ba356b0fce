//! What a layer leaves to the layers below it: directories that it puts things into but does not describe, and files of lower layers
//! that it gives another name by a hard link.
//!
//! A tar may hold `tmp/x` without `tmp/`. Unpacked over the layers below, the directory keeps what it was there; in a layer of its own
//! it would come out as 0755 of root's, and hide the mode and owner from below. A hard link to a file of a lower layer would be linked
//! to it by an unpacker; a layer of its own has nothing to link to. So for a layer over given layers (a chain ID, image-spec) a folder is
//! kept that holds these directories, with the metadata from below, and copies of these files, and it is stacked right over the layer:
//!
//! ```text
//! layers/<hex>/implicit              names of such directories, each ended by a NUL; absent if there is none
//! layers/<hex>/links                 targets and names of such links in turn, each ended by a NUL; absent if there is none
//! layers/<hex>/parents-<chain>/      directories and copies, for the layer in that chain; absent if nothing would differ
//! layers/<hex>/fits-<chain>          empty: it was found that nothing would
//! ```
//!
//! In the layer itself such a link is a whiteout, which the copy over it hides.

mod links;
mod make;
mod stack;

use crate::remove::chain_ids;
use crate::tree::Tree;
use crate::{ImageError, Images};
use carboy_oci::Digest;
use carboy_state::fault;
use carboy_state::file::{Durability, FileError, sync_folder, write_atomic};
use carboy_store::Store;
use make::{Metadata, OPAQUE, make, metadata, open_folder};
use rustix::fs::access;
use stack::{Stack, prefixes};
use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const IMPLICIT: &str = "implicit";
const LINKS: &str = "links";
/// What a directory that nothing describes gets: mode, owner, group.
const DEFAULT: (u32, u32, u32) = (0o755, 0, 0);

/// The folder to be stacked over this layer in this chain, if there is one.
pub(crate) fn parents_over(store: &Store, diff_id: &Digest, chain: &Digest) -> Option<PathBuf> {
    let path = store.layer_dir(diff_id).join(format!("parents-{}", chain.hex()));
    access(&path, rustix::fs::Access::EXISTS).is_ok().then_some(path)
}

/// Writes what a layer leaves to those below it into a folder, where it waits for its place.
pub(crate) fn write_open_ends(tree: &Tree, work: &Path) -> Result<(), FileError> {
    let [mut implicit, mut links] = [IMPLICIT, LINKS].map(|name| Words { path: work.join(name), file: None });
    tree.implicit_directories(|path| implicit.add(path))?;
    tree.links_below(|target, name| links.add(target).and_then(|()| links.add(name)))?;
    implicit.finish()?;
    links.finish()
}

/// Gives it its place.
pub(crate) fn publish_open_ends(work: &Path, layer_dir: &Path) -> Result<(), FileError> {
    for name in [IMPLICIT, LINKS] {
        let target = layer_dir.join(name);
        match std::fs::rename(work.join(name), &target) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            renamed => {
                renamed.map_err(FileError::at("rename to", &target))?;
                sync_folder(layer_dir)?;
            }
        }
    }
    Ok(())
}

/// A file of words, each ended by a NUL, made with the first.
struct Words {
    path: PathBuf,
    file: Option<BufWriter<File>>,
}

impl Words {
    fn add(&mut self, word: &[u8]) -> Result<(), FileError> {
        let failed = FileError::at("write", &self.path);
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = File::create_new(&self.path).map_err(FileError::at("create", &self.path))?;
                self.file.insert(BufWriter::new(file))
            }
        };
        file.write_all(word).and_then(|()| file.write_all(b"\0")).map_err(failed)
    }

    fn finish(self) -> Result<(), FileError> {
        let Some(file) = self.file else { return Ok(()) };
        let file = file.into_inner().map_err(io::IntoInnerError::into_error);
        file.and_then(|file| file.sync_all()).map_err(FileError::at("write", &self.path))
    }
}

/// Does something with each word of such a file; there may be a million, of which none is kept.
fn each_word(path: &Path, mut act: impl FnMut(&[u8]) -> Result<(), ImageError>) -> Result<(), ImageError> {
    let mut file = BufReader::new(File::open(path).map_err(FileError::at("open", path))?);
    let mut word = Vec::new();
    while file.read_until(0, &mut word).map_err(FileError::at("read", path))? > 0 {
        act(word.strip_suffix(b"\0").unwrap_or(&word))?;
        word.clear();
    }
    Ok(())
}

/// A file's content; nothing if there is none.
fn read_if_any(path: &Path) -> Result<Vec<u8>, FileError> {
    match std::fs::read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(FileError::at("read", path)),
    }
}

impl Images {
    /// Makes the folders of parents for an image's layers, base first, which are all here.
    ///
    /// # Errors
    /// If a layer links to a file that no layer below it has, or the disk refuses.
    pub(crate) fn adopt_parents(&self, diff_ids: &[Digest]) -> Result<(), ImageError> {
        // What is below the lowest layer that is seen is nothing to the others.
        let lowest = self.lowest_seen(diff_ids)?;
        let chains = chain_ids(diff_ids).split_off(lowest);
        let diff_ids = &diff_ids[lowest..];
        for at in 0..diff_ids.len() {
            let folder = self.store.layer_dir(&diff_ids[at]);
            let links = read_if_any(&folder.join(LINKS))?;
            // Directories that nothing describes are as they should be in the lowest layer.
            let implicit = Some(folder.join(IMPLICIT)).filter(|path| at > 0 && path.exists());
            if (implicit.is_none() && links.is_empty()) || self.is_adopted(&diff_ids[at], &chains[at]) {
                continue;
            }
            // The chain of the lowest layer is its diff ID, whose claim somebody may hold who waits for this one.
            let ingest =
                self.store.ingest(&carboy_store::Hasher::digest_of(format!("parents {}", chains[at]).as_bytes()))?;
            if !self.is_adopted(&diff_ids[at], &chains[at]) {
                self.adopt(&diff_ids[..=at], &chains, (implicit.as_deref(), &links), ingest.folder())?;
            }
        }
        Ok(())
    }

    fn is_adopted(&self, diff_id: &Digest, chain: &Digest) -> bool {
        let fits = self.store.layer_dir(diff_id).join(format!("fits-{}", chain.hex()));
        parents_over(&self.store, diff_id, chain).is_some() || access(&fits, rustix::fs::Access::EXISTS).is_ok()
    }

    /// Makes the folder for the last of these layers.
    fn adopt(
        &self,
        diff_ids: &[Digest],
        chains: &[Digest],
        (implicit, links): (Option<&Path>, &[u8]),
        work: &Path,
    ) -> Result<(), ImageError> {
        let Some((diff_id, lower)) = diff_ids.split_last() else { return Ok(()) };
        let chain = &chains[lower.len()];
        let mut below = Vec::new();
        for (diff_id, chain) in lower.iter().zip(chains).rev() {
            if let Some(path) = parents_over(&self.store, diff_id, chain) {
                below.push(open_folder(&path)?);
            }
            below.push(self.snapshotter.open_root(&self.store, diff_id)?);
        }
        let mut below = Stack::new(below);
        let mut own = Stack::new(vec![self.snapshotter.open_root(&self.store, diff_id)?]);
        let linked = links::find(links, &mut below, self.room_of(lower)?).map_err(|e| e.of_layer(diff_id))?;
        let names = linked.iter().flat_map(|linked| linked.names.iter().copied());
        let directories = choose(implicit, names, &mut below, &mut own)?;
        let folder = self.store.layer_dir(diff_id);
        if directories.is_empty() && linked.is_empty() {
            let fits = folder.join(format!("fits-{}", chain.hex()));
            return Ok(write_atomic(&fits, b"", 0o644, Durability::Process)?);
        }
        let made = work.join("parents");
        make(&made, &directories, &linked)?;
        fault::point("parents: made, not named");
        let target = folder.join(format!("parents-{}", chain.hex()));
        std::fs::rename(&made, &target).map_err(FileError::at("rename to", &target))?;
        fault::point("parents: named, not synced");
        Ok(sync_folder(&folder)?)
    }

    /// Bytes that files of these layers may have when they are copied: holes are not given.
    fn room_of(&self, diff_ids: &[Digest]) -> Result<u64, ImageError> {
        let mut room = 0u64;
        for diff_id in diff_ids {
            let record = crate::layer::LayerRecord::read(&self.store.layer_dir(diff_id))?;
            room = room.saturating_add(record.map_or(0, |record| record.tar_size));
        }
        Ok(room)
    }
}

/// The directories that have to be made: those whose metadata below are not what they would get anyway, and all above them and above
/// the files of these names.
fn choose<'n>(
    implicit: Option<&Path>,
    names: impl Iterator<Item = &'n [u8]>,
    below: &mut Stack,
    own: &mut Stack,
) -> Result<BTreeMap<Vec<u8>, Metadata>, ImageError> {
    let described = |path: &[u8], directory: &OwnedFd| {
        let shown = Path::new(OsStr::from_bytes(path));
        metadata(directory).map_err(|errno| FileError::at("stat in layers", shown)(errno.into()))
    };
    let mut chosen = BTreeMap::new();
    if let Some(implicit) = implicit {
        each_word(implicit, |path| {
            if let Some(found) = below.find(path)?.filter(|found| !is_default(found)) {
                chosen.insert(path.to_vec(), described(path, &found)?);
            }
            Ok(())
        })?;
    }
    let above_names = names.filter_map(|name| Some(name[..name.iter().rposition(|&byte| byte == b'/')?].to_vec()));
    let paths: Vec<Vec<u8>> = chosen.keys().cloned().chain(above_names).collect();
    let above: HashSet<&[u8]> = paths.iter().flat_map(|path| prefixes(path)).collect();
    let mut known = HashSet::new();
    if let Some(implicit) = implicit.filter(|_| !above.is_empty()) {
        each_word(implicit, |path| {
            known.extend(above.get(path).copied());
            Ok(())
        })?;
    }
    for above in above {
        if chosen.contains_key(above) {
            continue;
        }
        // One that the layer describes itself stays as the layer has it; one that it does not have is above a link's target.
        let mut found = if known.contains(above) { below.find(above)? } else { None };
        if found.is_none() {
            found = own.find(above)?;
        }
        if found.is_none() {
            found = below.find(above)?;
        }
        if let Some(found) = found {
            chosen.insert(above.to_vec(), described(above, &found)?);
        }
    }
    Ok(chosen)
}

/// Whether a directory is as it would come out anyway.
fn is_default(directory: &OwnedFd) -> bool {
    let has_xattrs = || {
        let mut names = [0; 256];
        match rustix::fs::flistxattr(directory, &mut names[..]) {
            Ok(size) => {
                let mut names = names[..size].split(|&byte| byte == 0).filter(|name| !name.is_empty());
                names.any(|name| !OPAQUE.iter().any(|opaque| opaque.as_bytes() == name))
            }
            Err(e) => e == rustix::io::Errno::RANGE,
        }
    };
    let stat = rustix::fs::fstat(directory);
    stat.is_ok_and(|stat| (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid) == DEFAULT) && !has_xattrs()
}
