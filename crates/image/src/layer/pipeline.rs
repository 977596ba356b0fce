//! The pipeline of one layer.
//!
//! ```text
//! caller   read src ─▶ digest of the blob, write the blob ─┐
//! inflate                                                  └▶ inflate ─┬─▶
//! hash                                                                 ├▶ digest of the tar
//! unpack                                                               └▶ snapshotter: append and index, or write files
//! ```
//!
//! Four threads with bounded channels of big buffers, so that one layer keeps more than one core busy. Each stage ends when its input
//! ends or its consumers are gone; the caller's thread reads the source to its end even after a later stage has failed, so that a
//! damaged download is reported as what it is, a wrong digest, and not as a strange tar.

use super::buffers::{Buffer, ChannelReader, Pool, channel, is_hole};
use super::inflate::Format;
use super::{LayerIngest, LayerRecord, Progress};
use crate::LayerError;
use crate::dropped::DROPPED;
use crate::parents::publish_open_ends;
use crate::tar::TarSummary;
use carboy_oci::Digest;
use carboy_state::fault;
use carboy_state::file::{Durability, FileError, sync_folder, write_json};
use carboy_store::{Hasher, StoreError};
use rustix::fs::Advice;
use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;

pub(super) fn run(layer: LayerIngest<'_>, src: &mut dyn Read, progress: Progress<'_>) -> Result<(), LayerError> {
    let folder = layer.ingest.folder();
    let (work, blob_path) = (folder.join("work"), folder.join("blob"));
    std::fs::create_dir(&work).map_err(FileError::at("create folder", &work))?;
    fault::point("layer: begun");
    let pool = Pool::default();
    let first = pool.fill(|buffer| src.read(buffer)).map_err(LayerError::Read)?;
    let format = Format::of(first.as_deref().map_or(&[], |buffer| buffer));
    // A plain tar is its own blob: kept once, under two names.
    let kept_tar = layer.images.snapshotter.tar_in(&work).filter(|_| format == Format::Plain);
    let mut source = Source {
        src,
        pool,
        hasher: Hasher::like(&layer.blob.digest),
        size: 0,
        expected: layer.blob.size,
        copy: if kept_tar.is_some() || !layer.keep_blob { None } else { Some(Copy::create(&blob_path)?) },
        progress,
    };
    let outcome = thread::scope(|scope| -> Result<Outcome, LayerError> {
        let (to_inflate, raw) = channel();
        let (to_hash, mut hashed) = channel();
        let (to_unpack, mut tar) = channel();
        let limit = layer.images.limits.of_blob(layer.blob.size);
        let inflate = spawn(scope, "inflate", move || inflate(format, raw, folder, &[to_hash, to_unpack], limit))?;
        let mut hasher = Hasher::like(&layer.diff_id);
        let hash = spawn(scope, "hash", move || {
            while let Some(buffer) = hashed.next_buffer() {
                hasher.update(&buffer);
            }
            hasher.finish()
        })?;
        let (snapshotter, work) = (&layer.images.snapshotter, &work);
        let unpack = spawn(scope, "unpack", move || snapshotter.unpack(&mut tar, work))?;
        let read = source.run(first, to_inflate);
        let inflated = inflate.join().unwrap_or(Err(LayerError::Internal));
        let diff_id = hash.join().map_err(|_| LayerError::Internal);
        let unpacked = unpack.join().unwrap_or(Err(LayerError::Internal));
        // In the order in which causes precede effects.
        read?;
        source.check(&layer.blob.digest)?;
        // An unpacker that stops makes the inflater stop, which then says nothing of its own.
        let tar_size = match (inflated, &unpacked) {
            (Ok(Inflated::Stopped), Ok(_)) => return Err(LayerError::Internal),
            (Ok(Inflated::Stopped), Err(_)) => 0,
            (Ok(Inflated::All(size)), _) => size,
            (Err(e), _) => return Err(e),
        };
        let summary = unpacked?;
        let diff_id = diff_id?;
        if diff_id != layer.diff_id {
            return Err(LayerError::DiffId { expected: layer.diff_id.clone(), actual: diff_id });
        }
        Ok(Outcome { tar_size, summary })
    })?;
    publish(&layer, &work, source.copy, kept_tar, &outcome)
}

struct Outcome {
    tar_size: u64,
    summary: TarSummary,
}

/// Syncs everything, then gives it its names: the blob, the record, and last what makes the layer present.
fn publish(
    layer: &LayerIngest<'_>,
    work: &Path,
    copy: Option<Copy>,
    kept_tar: Option<PathBuf>,
    outcome: &Outcome,
) -> Result<(), LayerError> {
    let (store, snapshotter) = (&layer.images.store, &layer.images.snapshotter);
    let blob = layer.ingest.folder().join("blob");
    thread::scope(|scope| -> Result<(), LayerError> {
        // At the same time, because each waits for the disk.
        let synced = copy.map(|copy| spawn(scope, "sync", move || copy.sync().map(|()| copy.uncache()))).transpose()?;
        snapshotter.sync(work)?;
        synced.map_or(Ok(()), |thread| thread.join().unwrap_or(Err(LayerError::Internal)))
    })?;
    let folder = store.layer_dir(&layer.diff_id);
    // The same layer from another blob, compressed otherwise: what is there may be mounted, and stays.
    let present = snapshotter.has(&folder);
    match kept_tar.filter(|_| layer.keep_blob).map(|tar| snapshotter.tar_in(&folder).filter(|_| present).unwrap_or(tar))
    {
        Some(tar) if outcome.tar_size.is_multiple_of(512) => {
            std::fs::hard_link(&tar, &blob).map_err(FileError::at("link", &blob))?;
        }
        Some(tar) => copy_start(&tar, &blob, outcome.tar_size).map_err(FileError::at("copy to", &blob))?,
        None => {}
    }
    fault::point("layer: synced, not named");
    if layer.keep_blob {
        store.publish_blob(&blob, &layer.blob.digest)?;
        store.sync_blobs(layer.blob.digest.algorithm())?;
        fault::point("layer: its blob is named");
    }
    if present {
        // The blob is here again, if it was dropped before.
        let _ = layer.keep_blob.then(|| std::fs::remove_file(folder.join(DROPPED)));
        return Ok(());
    }
    match std::fs::create_dir(&folder) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            return Err(FileError::at("create folder", &folder)(e).into());
        }
        _ => {}
    }
    let record = LayerRecord {
        diff_id: layer.diff_id.clone(),
        blob: layer.blob.digest.clone(),
        tar_size: outcome.tar_size,
        size: outcome.summary.size,
        entries: outcome.summary.entries,
        root: outcome.summary.root,
        opaque: outcome.summary.opaque,
        unowned: outcome.summary.unowned,
        skipped_devices: outcome.summary.skipped_devices,
    };
    write_json(&folder.join(LayerRecord::FILE), &record, Durability::Machine)?;
    publish_open_ends(work, &folder)?;
    if !layer.keep_blob {
        layer.images.mark_blob_dropped(&layer.diff_id)?;
    }
    fault::point("layer: recorded, not present");
    snapshotter.publish(work, &folder)?;
    fault::point("layer: present, not synced");
    sync_folder(&folder)?;
    Ok(sync_folder(&store.root().join("layers"))?)
}

/// A tar that was padded is not the blob any more; the blob is its first `length` bytes.
fn copy_start(tar: &Path, blob: &Path, length: u64) -> io::Result<()> {
    let mut target = File::options().write(true).create_new(true).open(blob)?;
    io::copy(&mut File::open(tar)?.take(length), &mut target)?;
    target.sync_data()
}

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    name: &str,
    body: impl FnOnce() -> T + Send + 'scope,
) -> Result<thread::ScopedJoinHandle<'scope, T>, LayerError> {
    thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, body).map_err(LayerError::Thread)
}

/// The first stage, in the caller's thread, because `src` is the caller's.
struct Source<'a> {
    src: &'a mut dyn Read,
    pool: Pool,
    hasher: Hasher,
    size: u64,
    expected: u64,
    copy: Option<Copy>,
    progress: Progress<'a>,
}

impl Source<'_> {
    fn run(&mut self, first: Option<Arc<Buffer>>, next: SyncSender<Arc<Buffer>>) -> Result<(), LayerError> {
        let mut next = Some(next);
        let mut buffer = first;
        while let Some(bytes) = buffer {
            self.size += bytes.len() as u64;
            // No more than announced is ever read, whatever the other side sends.
            if self.size > self.expected {
                return Ok(());
            }
            if next.as_ref().is_some_and(|next| next.send(bytes.clone()).is_err()) {
                next = None;
            }
            self.hasher.update(&bytes);
            if let Some(copy) = &mut self.copy {
                copy.write(&bytes)?;
            }
            (self.progress)(self.size);
            drop(bytes);
            buffer = self.pool.fill(|buffer| self.src.read(buffer)).map_err(LayerError::Read)?;
        }
        Ok(())
    }

    fn check(&mut self, digest: &Digest) -> Result<(), LayerError> {
        if self.size != self.expected {
            let (digest, expected, actual) = (digest.clone(), self.expected, self.size);
            return Err(StoreError::Size { digest, expected, actual }.into());
        }
        let actual = self.hasher.clone().finish();
        if actual != *digest {
            return Err(StoreError::Digest { expected: digest.clone(), actual }.into());
        }
        Ok(())
    }
}

enum Inflated {
    /// To the end: so many bytes.
    All(u64),
    /// A later stage has ended.
    Stopped,
}

fn inflate(
    format: Format,
    mut raw: ChannelReader,
    folder: &Path,
    next: &[SyncSender<Arc<Buffer>>],
    (limit, what): (u64, &'static str),
) -> Result<Inflated, LayerError> {
    let mut size = 0;
    let mut pass_on = |buffer: Arc<Buffer>| -> Result<bool, LayerError> {
        size += buffer.len() as u64;
        if size > limit {
            return Err(LayerError::Limit { what, limit });
        }
        Ok(next.iter().all(|next| next.send(buffer.clone()).is_ok()))
    };
    if format == Format::Plain {
        while let Some(buffer) = raw.next_buffer() {
            if !pass_on(buffer)? {
                return Ok(Inflated::Stopped);
            }
        }
        return Ok(Inflated::All(size));
    }
    let failed = |source| LayerError::Inflate { format: format.name(), source };
    let pool = Pool::default();
    let mut reader = format.reader(raw, folder).map_err(failed)?;
    while let Some(buffer) = pool.fill(|target| reader.read(target)).map_err(failed)? {
        if !pass_on(buffer)? {
            return Ok(Inflated::Stopped);
        }
    }
    Ok(Inflated::All(size))
}

/// A file written from front to back, whose pages go to the disk while the rest is still coming: the sync at the end is then short.
pub(crate) struct Copy {
    path: PathBuf,
    file: File,
    written: u64,
    begun: u64,
}

/// How many bytes are handed to the disk at a time.
const WRITEBACK: u64 = 8 << 20;

impl Copy {
    pub(crate) fn create(path: &Path) -> Result<Self, LayerError> {
        let file = File::options().read(true).write(true).create_new(true).open(path);
        Ok(Copy { path: path.to_owned(), file: file.map_err(FileError::at("create", path))?, written: 0, begun: 0 })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), LayerError> {
        if is_hole(bytes) {
            let end = self.written + bytes.len() as u64;
            self.file.set_len(end).map_err(FileError::at("extend", &self.path))?;
        } else {
            self.file.write_all_at(bytes, self.written).map_err(FileError::at("write", &self.path))?;
        }
        self.written += bytes.len() as u64;
        if self.written - self.begun >= WRITEBACK {
            // Starts writing dirty pages back without waiting for them, and keeps them cached (mm/fadvise.c: dirty pages are not dropped).
            let length = NonZeroU64::new(self.written - self.begun);
            let _ = rustix::fs::fadvise(&self.file, self.begun, length, Advice::DontNeed);
            self.begun = self.written;
        }
        Ok(())
    }

    /// Fills the last block of 512 bytes. A tar need not end with a whole one, but the kernel reads no part of a block (EIO).
    pub(crate) fn pad(&mut self) -> Result<(), LayerError> {
        let whole = self.written.next_multiple_of(512);
        if whole != self.written {
            self.file.set_len(whole).map_err(FileError::at("extend", &self.path))?;
        }
        Ok(())
    }

    pub(crate) fn sync(&self) -> Result<(), LayerError> {
        Ok(self.file.sync_data().map_err(FileError::at("sync", &self.path))?)
    }

    /// Takes what was written out of the page cache: nobody will read it soon.
    pub(crate) fn uncache(&self) {
        let _ = rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed);
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}
