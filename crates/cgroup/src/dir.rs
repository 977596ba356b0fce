//! One cgroup directory: made and used through a descriptor, so that a path is looked up once.

use crate::error::CgroupError;
use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, mkdirat, openat, unlinkat};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// An open cgroup directory.
#[derive(Debug)]
pub(crate) struct CgroupDir {
    pub(crate) path: PathBuf,
    /// Absent for one of which a file or two will be used: they are opened by their paths.
    fd: Option<OwnedFd>,
    /// The file written last: device rules are a dozen writes into one.
    last: Mutex<Option<(String, OwnedFd)>>,
}

impl CgroupDir {
    pub(crate) fn open(path: &Path) -> Result<Self, CgroupError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(CWD, path, flags, Mode::empty()).map_err(|e| CgroupError::io("open", path, e))?;
        Ok(CgroupDir { path: path.to_owned(), fd: Some(fd), last: Mutex::new(None) })
    }

    /// One that is known to exist, as it has just been made.
    pub(crate) fn made(path: &Path) -> Self {
        CgroupDir { path: path.to_owned(), fd: None, last: Mutex::new(None) }
    }

    /// Makes the directory, and its parents where they are missing. True if it is new.
    pub(crate) fn make(path: &Path) -> Result<bool, CgroupError> {
        Self::make_below(Path::new("/"), path)
    }

    /// The same, but what is to be below `mount` only: that itself is not made.
    pub(crate) fn make_below(mount: &Path, path: &Path) -> Result<bool, CgroupError> {
        match mkdirat(CWD, path, Mode::from_raw_mode(0o755)) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(Errno::NOENT) => match path.parent().filter(|parent| parent.starts_with(mount) && *parent != mount) {
                Some(parent) => {
                    Self::make_below(mount, parent)?;
                    // Someone else may have made or removed it in between: only a second ENOENT is an error.
                    match mkdirat(CWD, path, Mode::from_raw_mode(0o755)) {
                        Ok(()) => Ok(true),
                        Err(Errno::EXIST) => Ok(false),
                        Err(e) => Err(CgroupError::io("mkdir", path, e)),
                    }
                }
                None => Err(CgroupError::io("mkdir", path, Errno::NOENT)),
            },
            Err(e) => Err(CgroupError::io("mkdir", path, e)),
        }
    }

    /// Its handle; `EBADF` without one.
    pub(crate) fn fd(&self) -> Result<BorrowedFd<'_>, Errno> {
        self.fd.as_ref().map(AsFd::as_fd).ok_or(Errno::BADF)
    }

    fn open_file(&self, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        match &self.fd {
            Some(fd) => openat(fd, name, flags | OFlags::CLOEXEC, Mode::empty()),
            None => openat(CWD, self.path.join(name), flags | OFlags::CLOEXEC, Mode::empty()),
        }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A file opened for writing.
    pub(crate) fn writer(&self, name: &str) -> Result<OwnedFd, Errno> {
        self.open_file(name, OFlags::WRONLY)
    }

    /// A file opened for reading.
    pub(crate) fn reader(&self, name: &str) -> Result<OwnedFd, Errno> {
        self.open_file(name, OFlags::RDONLY)
    }

    /// Writes a whole value at once, as cgroup files require.
    pub(crate) fn try_write(&self, name: &str, value: &str) -> Result<(), Errno> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match last.take() {
            Some((open, file)) if open == name => file,
            _ => self.writer(name)?,
        };
        let result = write_once(&file, value);
        *last = Some((name.to_owned(), file));
        result
    }

    pub(crate) fn write(&self, name: &str, value: &str) -> Result<(), CgroupError> {
        self.try_write(name, value).map_err(|e| CgroupError::io("write", self.file(name), e))
    }

    pub(crate) fn try_read(&self, name: &str) -> Result<String, Errno> {
        match &self.fd {
            Some(fd) => read_whole(fd, name),
            None => read_whole(CWD, self.path.join(name)),
        }
    }

    pub(crate) fn read(&self, name: &str) -> Result<String, CgroupError> {
        self.try_read(name).map_err(|e| CgroupError::io("read", self.file(name), e))
    }

    /// The PIDs in this cgroup, without those below it.
    pub(crate) fn procs(&self) -> Result<Vec<i32>, CgroupError> {
        let text = match self.try_read("cgroup.procs") {
            // A threaded cgroup of the unified hierarchy only lists threads.
            Err(Errno::OPNOTSUPP) => self.read("cgroup.threads")?,
            Err(Errno::NODEV) => String::new(),
            other => other.map_err(|e| CgroupError::io("read", self.file("cgroup.procs"), e))?,
        };
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// The PIDs in this cgroup and all below it.
    pub(crate) fn procs_below(&self) -> Result<Vec<i32>, CgroupError> {
        let mut pids = self.procs()?;
        for name in children(&self.path).map_err(|e| CgroupError::io("list", &self.path, e))? {
            // A cgroup that vanishes while it is looked at has no processes.
            if let Ok(child) = CgroupDir::open(&self.path.join(name)) {
                pids.extend(child.procs_below()?);
            }
        }
        Ok(pids)
    }
}

/// A file of the kernel's, whose size is not known beforehand.
pub(crate) fn read_whole(dir: impl AsFd, name: impl rustix::path::Arg) -> Result<String, Errno> {
    let file = openat(dir, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut bytes = Vec::with_capacity(1024);
    loop {
        let room = bytes.capacity() - bytes.len();
        let length = rustix::io::read(&file, rustix::buffer::spare_capacity(&mut bytes))?;
        // The kernel has a page for what it says at a time (seq_file): if it says less than there is room for, in less than a page, it is
        // all that it has to say.
        if length == 0 || length < room.min(1024) {
            break;
        }
        bytes.reserve(4096);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Values of more than one write(2) do not exist in cgroup files.
pub(crate) fn write_once(file: impl AsFd, value: &str) -> Result<(), Errno> {
    loop {
        match rustix::io::write(&file, value.as_bytes()) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
}

/// Names of the cgroups directly below.
fn children(path: &Path) -> Result<Vec<PathBuf>, Errno> {
    let fd = openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::new(fd)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if entry.file_type() == FileType::Directory && name != b"." && name != b".." {
            names.push(PathBuf::from(String::from_utf8_lossy(name).into_owned()));
        }
    }
    Ok(names)
}

/// Removes a cgroup and those that were made below it. A cgroup whose last process is just ending is busy for a moment, so
/// rmdir(2) is tried again for up to about two seconds. One that does not exist is removed already.
pub(crate) fn remove(path: &Path) -> Result<(), CgroupError> {
    let mut wait = Duration::from_micros(100);
    for _ in 0..15 {
        match unlinkat(CWD, path, rustix::fs::AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::BUSY | Errno::NOTEMPTY) => {
                for name in children(path).unwrap_or_default() {
                    remove(&path.join(name))?;
                }
            }
            Err(Errno::INTR) => continue,
            Err(e) => return Err(CgroupError::io("rmdir", path, e)),
        }
        std::thread::sleep(wait);
        wait = (wait * 2).min(Duration::from_millis(300));
    }
    unlinkat(CWD, path, rustix::fs::AtFlags::REMOVEDIR).or_else(|e| match e {
        Errno::NOENT => Ok(()),
        e => Err(CgroupError::io("rmdir", path, e)),
    })
}
