//! Files written whole: temp file, fsync, rename, fsync of the folder.

use crate::fault;
use rustix::fs::{Mode, OFlags};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// What failed, on which file.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {}: {source}", path.display())]
pub struct FileError {
    /// `read`, `write`, `parse` and so on.
    pub operation: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The cause.
    #[source]
    pub source: io::Error,
}

impl FileError {
    /// Names the operation and the path of an error, for `map_err`.
    pub fn at(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError + use<> {
        let path = path.to_owned();
        move |source| FileError { operation, path, source }
    }

    /// Whether the file does not exist.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// How much a write must survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A crash of the machine: file and folder are synced.
    Machine,
    /// A crash of the process: whole or absent, but a power cut may take it. For what a reboot voids anyway.
    Process,
}

static SERIAL: AtomicU32 = AtomicU32::new(0);

/// Replaces `path` by `content`, mode 0600 plus the read bits of `mode`.
pub fn write_atomic(path: &Path, content: &[u8], mode: u32, durability: Durability) -> Result<(), FileError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let temp = folder.join(format!(".{name}.{}.{serial}.tmp", std::process::id()));
    let result = write_and_rename(path, &temp, content, mode, durability);
    if result.is_err() {
        let _ = std::fs::remove_file(&temp);
    }
    result?;
    fault::point("record: named, not synced");
    if durability == Durability::Machine { sync_folder(folder) } else { Ok(()) }
}

fn write_and_rename(
    path: &Path,
    temp: &Path,
    content: &[u8],
    mode: u32,
    durability: Durability,
) -> Result<(), FileError> {
    let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let fd = rustix::fs::open(temp, flags, Mode::from_raw_mode(mode)).map_err(|e| FileError {
        operation: "create",
        path: temp.to_owned(),
        source: e.into(),
    })?;
    let mut file = File::from(fd);
    fault::point("record: temp file made");
    file.write_all(content).map_err(FileError::at("write", temp))?;
    if durability == Durability::Machine {
        file.sync_all().map_err(FileError::at("sync", temp))?;
    }
    fault::point("record: written, not named");
    std::fs::rename(temp, path).map_err(FileError::at("rename to", path))
}

/// Syncs a folder, so that names made or removed in it last.
pub fn sync_folder(folder: &Path) -> Result<(), FileError> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(FileError::at("sync", folder))
}

/// Writes a value as JSON.
pub fn write_json<T: Serialize>(path: &Path, value: &T, durability: Durability) -> Result<(), FileError> {
    let mut text = serde_json::to_vec(value).map_err(|e| FileError::at("encode", path)(e.into()))?;
    text.push(b'\n');
    write_atomic(path, &text, 0o644, durability)
}

/// Reads a whole file that is small, as records are: one read, without asking for the size before and for more afterwards.
///
/// # Errors
/// As open(2) and read(2).
pub fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut bytes = Vec::with_capacity(8192);
    loop {
        let room = bytes.capacity() - bytes.len();
        match rustix::io::read(&file, rustix::buffer::spare_capacity(&mut bytes)) {
            // Less than there is room for: a regular file has ended.
            Ok(length) if length < room => return Ok(bytes),
            Ok(_) => bytes.reserve(1 << 16),
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Reads a value from JSON.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, FileError> {
    let text = read_small(path).map_err(FileError::at("read", path))?;
    serde_json::from_slice(&text).map_err(|e| FileError::at("parse", path)(e.into()))
}

/// Reads a value from JSON; `None` if there is no file.
pub fn read_json_if_exists<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, FileError> {
    match read_json(path) {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.json");
        write_json(&path, &vec![1, 2], Durability::Machine).unwrap();
        assert_eq!(read_json::<Vec<i32>>(&path).unwrap(), [1, 2]);
        assert!(write_json(&dir.path().join("no/x.json"), &1, Durability::Machine).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(read_json_if_exists::<i32>(&dir.path().join("none")).unwrap().is_none());
    }

    #[test]
    fn files_of_any_size_are_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        for size in [0, 1, 8191, 8192, 8193, 300_000] {
            let content: Vec<u8> = (0..size).map(|i| i as u8).collect();
            std::fs::write(&path, &content).unwrap();
            assert!(read_small(&path).unwrap() == content, "{size}");
        }
        assert_eq!(read_small(dir.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
    }
}
