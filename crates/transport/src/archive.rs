//! Writing archives: an OCI layout in a tar, and for docker a `manifest.json` that names the same blobs (which is what `docker save`
//! writes since version 25, and what older ones read). One after the other, each blob once, as it is; memory does not grow.

use crate::Error;
use crate::content::{Blob, Destination, Phase, Source, unwrap, verified};
use crate::layout::{LAYOUT, REF_NAME, WHOLE_NAME, blob_name, entry, index};
use carboy_distribution::Manifest as Document;
use carboy_image::{TarHeader, TarWriter};
use carboy_oci::image::{Descriptor, Manifest, media_type};
use carboy_oci::{Digest, Reference};
use carboy_state::file::{FileError, sync_folder};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What kind of archive is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveKind {
    /// An OCI layout.
    Oci,
    /// One that docker and podman load: with `manifest.json`.
    Docker,
}

/// How a whole archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all: the layers are already.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

/// What comes out at the end: the stream, flushed, to be synced if it is a file.
trait Sink: Write + Send {
    fn close(self: Box<Self>) -> io::Result<()>;
}

impl Sink for BufWriter<Box<dyn Write + Send>> {
    fn close(mut self: Box<Self>) -> io::Result<()> {
        self.flush()
    }
}

impl Sink for flate2::write::GzEncoder<BufWriter<Box<dyn Write + Send>>> {
    fn close(self: Box<Self>) -> io::Result<()> {
        self.finish()?.flush()
    }
}

impl Sink for zstd::stream::write::Encoder<'static, BufWriter<Box<dyn Write + Send>>> {
    fn close(self: Box<Self>) -> io::Result<()> {
        self.finish()?.flush()
    }
}

/// An archive that takes images, one after the other.
pub struct ArchiveDestination {
    kind: ArchiveKind,
    /// For messages.
    path: PathBuf,
    /// The file under another name, and the name it gets, unless the archive is a stream.
    file: Option<(File, Temporary)>,
    tar: Mutex<State>,
}

struct State {
    tar: TarWriter<Box<dyn Sink>>,
    written: HashSet<String>,
    entries: Vec<Descriptor>,
    images: Vec<DockerEntry>,
    /// Names of the next image.
    names: Vec<String>,
}

/// An image in `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerEntry {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl ArchiveDestination {
    /// An archive in a file, which is complete when it has its name.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(path: &Path, kind: ArchiveKind, compression: Compression) -> Result<Self, Error> {
        // A pipe or a device is written as it is.
        if std::fs::metadata(path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir()) {
            let file = File::options().write(true).open(path).map_err(FileError::at("open", path))?;
            return Self::stream(Box::new(file), path, kind, compression);
        }
        if path.is_dir() {
            return Err(Error::Unsupported(format!("{} is a folder, not an archive", path.display())));
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
        let file = File::create(&temporary).map_err(FileError::at("create", path))?;
        let temporary = Temporary(temporary);
        let same = file.try_clone().map_err(FileError::at("create", path))?;
        let mut archive = Self::stream(Box::new(same), path, kind, compression)?;
        archive.file = Some((file, temporary));
        Ok(archive)
    }

    /// An archive in a stream. `path` is its name in messages.
    ///
    /// # Errors
    /// If the compressor cannot be made.
    pub fn stream(
        out: Box<dyn Write + Send>,
        path: &Path,
        kind: ArchiveKind,
        compression: Compression,
    ) -> Result<Self, Error> {
        let buffered = BufWriter::with_capacity(256 << 10, out);
        let sink: Box<dyn Sink> = match compression {
            Compression::None => Box::new(buffered),
            Compression::Gzip => Box::new(flate2::write::GzEncoder::new(buffered, flate2::Compression::default())),
            Compression::Zstd => {
                Box::new(zstd::stream::write::Encoder::new(buffered, 0).map_err(FileError::at("compress", path))?)
            }
        };
        let state = State {
            tar: TarWriter::new(sink),
            written: HashSet::new(),
            entries: Vec::new(),
            images: Vec::new(),
            names: Vec::new(),
        };
        Ok(ArchiveDestination { kind, path: path.to_owned(), file: None, tar: Mutex::new(state) })
    }

    /// Names for the image that is copied next.
    pub fn name_next(&self, names: Vec<String>) {
        self.state().names = names;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.tar.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn annotations(&self, name: &str) -> BTreeMap<String, String> {
        let mut annotations = BTreeMap::new();
        let parsed = Reference::parse(name).ok();
        let tag = parsed.as_ref().and_then(Reference::tag);
        match (self.kind, &parsed, tag) {
            // As docker's own archives.
            (ArchiveKind::Docker, Some(whole), Some(tag)) => {
                annotations.insert(WHOLE_NAME.to_owned(), whole.to_string());
                annotations.insert(REF_NAME.to_owned(), tag.to_owned());
            }
            _ => {
                annotations.insert(REF_NAME.to_owned(), name.to_owned());
            }
        }
        annotations
    }
}

impl State {
    /// Writes a small member.
    fn member(&mut self, name: &str, bytes: &[u8], path: &Path) -> Result<(), Error> {
        if !self.written.insert(name.to_owned()) {
            return Ok(());
        }
        let header = TarHeader::file(name, bytes.len() as u64);
        Ok(self.tar.entry(&header, &mut &*bytes).map_err(FileError::at("write", path))?)
    }

    /// Writes the folders above a member, once.
    fn folders(&mut self, digest: &Digest, path: &Path) -> Result<(), Error> {
        for folder in ["blobs/".to_owned(), format!("blobs/{}/", digest.algorithm())] {
            if self.written.insert(folder.clone()) {
                self.tar.empty(&TarHeader::directory(&folder)).map_err(FileError::at("write", path))?;
            }
        }
        Ok(())
    }

    /// Adds an image to `manifest.json`; names of one that is there already are added to it.
    fn add_docker_image(&mut self, parsed: &Manifest, names: &[String]) {
        let config = blob_name(&parsed.config.digest);
        let familiar = |name: &String| Reference::parse(name).map_or_else(|_| name.clone(), |name| name.familiar());
        let tags: Vec<String> = names.iter().map(familiar).collect();
        if let Some(known) = self.images.iter_mut().find(|image| image.config == config) {
            known.repo_tags.get_or_insert_default().extend(tags);
            return;
        }
        let layers = parsed.layers.iter().map(|layer| blob_name(&layer.digest)).collect();
        self.images.push(DockerEntry { config, repo_tags: (!tags.is_empty()).then_some(tags), layers });
    }
}

impl Destination for ArchiveDestination {
    fn accepts(&self, kind: &str) -> bool {
        match self.kind {
            ArchiveKind::Docker => matches!(kind, media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST),
            ArchiveKind::Oci => matches!(kind, media_type::OCI_MANIFEST | media_type::OCI_INDEX),
        }
    }

    fn parallel(&self) -> usize {
        1
    }

    fn put_blob(&self, blob: Blob<'_>, source: &dyn Source, progress: &dyn Fn(u64)) -> Result<Phase, Error> {
        let (descriptor, name) = (blob.descriptor, blob_name(&blob.descriptor.digest));
        let mut state = self.state();
        state.folders(&descriptor.digest, &self.path)?;
        if !state.written.insert(name.clone()) {
            progress(descriptor.size);
            return Ok(Phase::Exists);
        }
        let mut failed = None;
        let mut reader =
            Noted { reader: verified(source.blob(descriptor)?, descriptor, progress), failed: &mut failed };
        let result = state.tar.entry(&TarHeader::file(&name, descriptor.size), &mut reader);
        match (failed, result) {
            (Some(error), _) => Err(unwrap(&descriptor.digest)(error)),
            (None, Err(e)) => Err(FileError::at("write", &self.path)(e).into()),
            (None, Ok(())) => Ok(Phase::Done),
        }
    }

    fn put_manifest(&self, document: &Document, parsed: Option<&Manifest>, is_root: bool) -> Result<(), Error> {
        let mut state = self.state();
        state.folders(&document.digest, &self.path)?;
        state.member(&blob_name(&document.digest), &document.bytes, &self.path)?;
        if !is_root {
            return Ok(());
        }
        let names = std::mem::take(&mut state.names);
        if names.is_empty() && !state.entries.iter().any(|known| known.digest == document.digest) {
            state.entries.push(entry(document, BTreeMap::new()));
        }
        for name in &names {
            state.entries.push(entry(document, self.annotations(name)));
        }
        if let Some(parsed) = parsed {
            state.add_docker_image(parsed, &names);
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        let ArchiveDestination { kind, path, file, tar } = *self;
        let mut state = tar.into_inner().unwrap_or_else(PoisonError::into_inner);
        let entries = std::mem::take(&mut state.entries);
        state.member("index.json", &index(entries)?, &path)?;
        if kind == ArchiveKind::Docker {
            let images = serde_json::to_vec(&state.images).map_err(Error::json("manifest.json"))?;
            state.member("manifest.json", &images, &path)?;
        }
        state.member("oci-layout", LAYOUT.as_bytes(), &path)?;
        let closed = state.tar.finish().and_then(Sink::close);
        closed.map_err(FileError::at("write", &path))?;
        if let Some((file, temporary)) = file {
            file.sync_all().map_err(FileError::at("sync", &path))?;
            std::fs::rename(&temporary.0, &path).map_err(FileError::at("rename to", &path))?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            sync_folder(folder)?;
        }
        Ok(())
    }
}

/// A file that is removed unless it was renamed.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Keeps a reader's error apart from the writer's.
struct Noted<'a, R> {
    reader: R,
    failed: &'a mut Option<io::Error>,
}

impl<R: io::Read> io::Read for Noted<'_, R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        self.reader.read(target).map_err(|e| {
            let kind = e.kind();
            *self.failed = Some(e);
            kind.into()
        })
    }
}
