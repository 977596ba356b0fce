//! One tar into one blob.

use super::{Layer, Packed};
use crate::LayerError;
use crate::layer::Format;
use carboy_state::file::FileError;
use carboy_store::Hasher;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// How a layer's blob is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Plain,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

impl Compression {
    /// As a media type says.
    pub fn of(media_type: &str) -> Self {
        match media_type {
            kind if kind.ends_with("gzip") => Compression::Gzip,
            kind if kind.ends_with("zstd") => Compression::Zstd,
            _ => Compression::Plain,
        }
    }
}

/// Where a layer's tar comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// It is kept.
    Tar(PathBuf),
    /// The blob that it came in.
    Blob(PathBuf),
}

impl Source {
    /// Opens it. What inflating it has to remember may become a nameless file in `folder`.
    fn open(&self, folder: &Path) -> Result<Box<dyn Read>, LayerError> {
        let (Source::Tar(path) | Source::Blob(path)) = self;
        let file = File::open(path).map_err(FileError::at("open", path))?;
        if matches!(self, Source::Tar(_)) {
            return Ok(Box::new(file));
        }
        let mut input = BufReader::with_capacity(256 << 10, file);
        let format = Format::of(input.fill_buf().map_err(FileError::at("read", path))?);
        let inflated = format.reader(input, folder);
        inflated.map_err(|source| LayerError::Inflate { format: format.name(), source })
    }
}

/// Writes the blob of a layer to the new file `blob`, synced.
///
/// # Errors
/// [`LayerError::DiffId`] if the tar is not what it was; the disk's errors.
pub(super) fn pack(layer: &Layer, blob: &Path) -> Result<Packed, LayerError> {
    // The file may have been padded to a whole block.
    if let (Compression::Plain, Source::Tar(tar)) = (layer.compression, &layer.source)
        && std::fs::metadata(tar).map_err(FileError::at("stat", tar))?.len() == layer.tar_size
    {
        // Whoever reads the blob checks it.
        std::fs::hard_link(tar, blob).map_err(FileError::at("link", blob))?;
        return Ok(Packed { digest: layer.diff_id.clone(), size: layer.tar_size });
    }
    let file = File::create_new(blob).map_err(FileError::at("create", blob))?;
    let source = layer.source.open(blob.parent().unwrap_or(blob))?.take(layer.tar_size);
    let mut source = Hashed { inner: source, hasher: Hasher::like(&layer.diff_id), count: 0 };
    let sink = Hashed { inner: BufWriter::with_capacity(256 << 10, file), hasher: Hasher::sha256(), count: 0 };
    let sink = compress(&mut source, sink, layer.compression).map_err(FileError::at("compress into", blob))?;
    let actual = source.hasher.finish();
    if actual != layer.diff_id {
        return Err(LayerError::DiffId { expected: layer.diff_id.clone(), actual });
    }
    let file = sink.inner.into_inner().map_err(|e| FileError::at("write", blob)(e.into_error()))?;
    file.sync_data().map_err(FileError::at("sync", blob))?;
    Ok(Packed { digest: sink.hasher.finish(), size: sink.count })
}

fn compress<W: Write>(source: &mut impl Read, sink: W, compression: Compression) -> io::Result<W> {
    match compression {
        Compression::Plain => {
            let mut sink = sink;
            copy(source, &mut sink)?;
            Ok(sink)
        }
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(sink, flate2::Compression::default());
            copy(source, &mut encoder)?;
            encoder.finish()
        }
        Compression::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(sink, 0)?;
            copy(source, &mut encoder)?;
            encoder.finish()
        }
    }
}

/// With a larger buffer than [`io::copy`] has.
fn copy(source: &mut impl Read, target: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => target.write_all(&buffer[..count])?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Hashes and counts what passes through it.
struct Hashed<T> {
    inner: T,
    hasher: Hasher,
    count: u64,
}

impl<T: Read> Read for Hashed<T> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(target)?;
        self.hasher.update(&target[..count]);
        self.count += count as u64;
        Ok(count)
    }
}

impl<T: Write> Write for Hashed<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.count += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
