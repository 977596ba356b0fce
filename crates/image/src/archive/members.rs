//! The members of an archive, by name.

use super::LoadSource;
use crate::layer::Format;
use crate::tar::{Kind, Reader, components, join};
use crate::{ImageError, LayerError, LayerLimits, StoreSettings};
use carboy_state::file::FileError;
use rustix::fs::{Mode, OFlags};
use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Documents are read into memory; larger ones are not documents.
const DOCUMENT_LIMIT: u64 = 32 << 20;
/// More members than any archive of images has.
const MEMBER_LIMIT: usize = 1 << 17;
/// Bytes that tell how an archive is compressed.
const MAGIC: u64 = 6;
/// Links to links that are followed.
const LINK_LIMIT: usize = 8;

/// The members of an archive or a directory.
pub struct Members {
    /// For messages.
    name: String,
    place: Place,
}

enum Place {
    Tar { file: File, members: HashMap<String, Member> },
    Directory(PathBuf),
}

enum Member {
    /// Content at this byte, with this size.
    Content(u64, u64),
    /// Another member. Old `docker save` wrote links for layers that occur twice.
    Link(String),
}

impl Members {
    /// Opens an archive, or a directory, and finds its members. What cannot be read in any order is first copied to a file without a
    /// name in the folder `spool`, which the kernel removes with the last descriptor.
    ///
    /// # Errors
    /// If it cannot be read or is no tar, or the copy cannot be made.
    pub fn open(source: LoadSource<'_>, spool: &Path) -> Result<Self, ImageError> {
        Members::open_within(source, spool, StoreSettings::default().limits)
    }

    /// The same with a store's own limits.
    pub(crate) fn open_within(source: LoadSource<'_>, spool: &Path, limits: LayerLimits) -> Result<Self, ImageError> {
        let (name, file) = match source {
            LoadSource::Path(path) => {
                let name = path.display().to_string();
                let mut file = File::open(path).map_err(FileError::at("open", path))?;
                let meta = file.metadata().map_err(FileError::at("stat", path))?;
                if meta.is_dir() {
                    return Ok(Members { name, place: Place::Directory(path.to_owned()) });
                }
                if meta.is_file() && format_of(&mut file, path)? == Format::Plain {
                    (name, file)
                } else {
                    let copy = unpacked(spool, &mut file, &name, limits)?;
                    (name, copy)
                }
            }
            LoadSource::Stream(stream) => {
                let name = "from a stream".to_owned();
                let copy = unpacked(spool, stream, &name, limits)?;
                (name, copy)
            }
        };
        let members = scan(&file).map_err(|e| ImageError::invalid(format!("archive {name}"), e))?;
        Ok(Members { name, place: Place::Tar { file, members } })
    }

    /// Whether there is such a member.
    pub fn has(&self, name: &str) -> bool {
        self.open_member(name).is_ok()
    }

    /// Opens a member: its content and its size in bytes.
    ///
    /// # Errors
    /// If there is no such member.
    pub fn open_member(&self, name: &str) -> Result<(Box<dyn Read + Send + '_>, u64), ImageError> {
        let missing = || ImageError::Inconsistent(format!("{} has no member {name:?}", self.name));
        let parts = components(name.as_bytes()).map_err(|_| missing())?;
        match &self.place {
            Place::Directory(folder) => {
                let path = folder.join(join(&parts));
                let file = File::open(&path).map_err(FileError::at("open", &path))?;
                let meta = file.metadata().map_err(FileError::at("stat", &path))?;
                if meta.is_file() { Ok((Box::new(file), meta.len())) } else { Err(missing()) }
            }
            Place::Tar { file, members, .. } => {
                let mut key = join(&parts);
                for _ in 0..LINK_LIMIT {
                    match members.get(&key) {
                        Some(&Member::Content(at, size)) => {
                            return Ok((Box::new(Range { file, at, left: size }), size));
                        }
                        Some(Member::Link(target)) => key.clone_from(target),
                        None => break,
                    }
                }
                Err(missing())
            }
        }
    }

    /// Reads a document, of at most 32 MiB.
    ///
    /// # Errors
    /// If there is no such member, or it cannot be read.
    pub fn document(&self, name: &str) -> Result<Vec<u8>, ImageError> {
        let (reader, size) = self.open_member(name)?;
        if size > DOCUMENT_LIMIT {
            return Err(ImageError::Inconsistent(format!("{name} in {} is larger than 32 MiB", self.name)));
        }
        let mut bytes = Vec::new();
        let read = reader.take(DOCUMENT_LIMIT).read_to_end(&mut bytes);
        read.map_err(|e| ImageError::invalid(format!("{name} in {}", self.name), e))?;
        Ok(bytes)
    }
}

fn format_of(file: &mut File, path: &Path) -> Result<Format, ImageError> {
    let mut magic = Vec::new();
    file.take(MAGIC).read_to_end(&mut magic).map_err(FileError::at("read", path))?;
    file.seek(SeekFrom::Start(0)).map_err(FileError::at("seek in", path))?;
    Ok(Format::of_archive(&magic))
}

/// A file without a name in a folder.
fn nameless(folder: &Path) -> Result<File, FileError> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => return Ok(file.into()),
        // Not every file system can do that (open(2), O_TMPFILE).
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR | rustix::io::Errno::INVAL) => {}
        Err(e) => return Err(FileError::at("create a file in", folder)(e.into())),
    }
    let path = folder.join(format!(".archive-{}", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path);
    let file = file.map_err(FileError::at("create", &path))?;
    std::fs::remove_file(&path).map_err(FileError::at("remove", &path))?;
    Ok(file)
}

/// Copies a stream, uncompressed, which may not grow more by that than a layer may. Zeros take no space.
pub(crate) fn unpacked(
    folder: &Path,
    stream: &mut dyn Read,
    name: &str,
    limits: LayerLimits,
) -> Result<File, ImageError> {
    let path = folder.join("(archive)");
    let mut file = nameless(folder)?;
    let unreadable = |e| ImageError::invalid(format!("archive {name}"), e);
    let mut magic = Vec::new();
    stream.take(MAGIC).read_to_end(&mut magic).map_err(unreadable)?;
    let format = Format::of_archive(&magic);
    let packed = Cell::new(0);
    let counted = Counted { inner: io::Cursor::new(magic).chain(stream), count: &packed };
    let mut input = BufReader::with_capacity(256 << 10, counted);
    let mut reader = format.reader(&mut input, folder).map_err(unreadable)?;
    let mut buffer = vec![0; 256 << 10];
    let (limits, mut size) = (LayerLimits { size: u64::MAX, ..limits }, 0);
    loop {
        // Apart, so that a full disk is not taken for a bad archive.
        let count = reader.read(&mut buffer).map_err(unreadable)?;
        if count == 0 {
            break;
        }
        size += count as u64;
        if format != Format::Plain && size > limits.of_blob(packed.get()).0 {
            let why = "it inflates to more than any archive of images does (layer-growth-limit in store.conf)";
            return Err(unreadable(io::Error::other(why)));
        }
        let written = match buffer[..count].iter().all(|byte| *byte == 0) {
            true => file.seek_relative(count as i64),
            false => file.write_all(&buffer[..count]),
        };
        written.map_err(FileError::at("write", &path))?;
    }
    file.set_len(size).map_err(FileError::at("write", &path))?;
    Ok(file)
}

/// Counts what is read through it.
struct Counted<'a, R> {
    inner: R,
    count: &'a Cell<u64>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(target)?;
        self.count.set(self.count.get() + count as u64);
        Ok(count)
    }
}

fn scan(file: &File) -> Result<HashMap<String, Member>, LayerError> {
    let size = file.metadata().map_err(LayerError::Read)?.len();
    let mut input = BufReader::with_capacity(256 << 10, Range { file, at: 0, left: size });
    let mut reader = Reader::new(&mut input);
    let mut members = HashMap::new();
    while let Some(entry) = reader.next_entry()? {
        let Ok(name) = components(&entry.path) else { continue };
        let member = match entry.kind {
            Kind::File if entry.sparse.is_none() => Member::Content(entry.offset, entry.size),
            Kind::HardLink => Member::Link(join(&components(&entry.link).unwrap_or_default())),
            Kind::Symlink => {
                let folder = name.split_last().map(|(_, folder)| folder.join(&b'/')).unwrap_or_default();
                Member::Link(join(&components(&[&folder[..], b"/", &entry.link].concat()).unwrap_or_default()))
            }
            _ => continue,
        };
        members.insert(join(&name), member);
        if members.len() > MEMBER_LIMIT {
            return Err(LayerError::Limit { what: "members", limit: MEMBER_LIMIT as u64 });
        }
    }
    Ok(members)
}

/// A part of a file; several may be read at once.
struct Range<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for Range<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let count = target.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.file.read_at(&mut target[..count], self.at)?;
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
