//! Advisory locks (flock(2)) that end with their holder.

use crate::file::FileError;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// A held lock; dropping it releases it.
#[derive(Debug)]
pub struct Lock(OwnedFd);

/// Shared or exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Many holders.
    Shared,
    /// One holder.
    Exclusive,
}

impl Lock {
    /// Waits for the lock on the file `path`, creating it with mode 0600.
    pub fn wait(path: &Path, mode: LockMode) -> Result<Lock, FileError> {
        let fd = open(path)?;
        let operation = match mode {
            LockMode::Shared => FlockOperation::LockShared,
            LockMode::Exclusive => FlockOperation::LockExclusive,
        };
        loop {
            match flock(&fd, operation) {
                Ok(()) => return Ok(Lock(fd)),
                Err(Errno::INTR) => {}
                Err(e) => return Err(FileError::at("lock", path)(e.into())),
            }
        }
    }

    /// Waits for the lock on a folder itself, which exists.
    pub fn wait_folder(path: &Path) -> Result<Lock, FileError> {
        let fd = open_folder(path)?;
        loop {
            match flock(&fd, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(Lock(fd)),
                Err(Errno::INTR) => {}
                Err(e) => return Err(FileError::at("lock", path)(e.into())),
            }
        }
    }

    /// Takes the lock on a folder itself, which exists, if nobody has it.
    pub fn attempt_folder(path: &Path) -> Result<Option<Lock>, FileError> {
        Self::attempt_on(open_folder(path)?, path, LockMode::Exclusive)
    }

    /// Takes the lock if nobody holds it in a way that excludes `mode`; otherwise `None`.
    pub fn attempt(path: &Path, mode: LockMode) -> Result<Option<Lock>, FileError> {
        Self::attempt_on(open(path)?, path, mode)
    }

    fn attempt_on(fd: OwnedFd, path: &Path, mode: LockMode) -> Result<Option<Lock>, FileError> {
        let operation = match mode {
            LockMode::Shared => FlockOperation::NonBlockingLockShared,
            LockMode::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        match flock(&fd, operation) {
            Ok(()) => Ok(Some(Lock(fd))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(FileError::at("lock", path)(e.into())),
        }
    }
}

impl From<Lock> for OwnedFd {
    /// The descriptor that holds the lock, for a process that is to hold it in turn.
    fn from(lock: Lock) -> OwnedFd {
        lock.0
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn open_folder(path: &Path) -> Result<OwnedFd, FileError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|e| FileError::at("open", path)(e.into()))
}

fn open(path: &Path) -> Result<OwnedFd, FileError> {
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(|e| FileError::at("open", path)(e.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exclusive_lock_excludes_and_ends_with_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = Lock::wait(&path, LockMode::Exclusive).unwrap();
        assert!(Lock::attempt(&path, LockMode::Shared).unwrap().is_none());
        drop(held);
        let _one = Lock::attempt(&path, LockMode::Shared).unwrap().unwrap();
        let _two = Lock::attempt(&path, LockMode::Shared).unwrap().unwrap();
        assert!(Lock::attempt(&path, LockMode::Exclusive).unwrap().is_none());
    }
}
