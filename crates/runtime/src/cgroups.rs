//! The container's cgroup.

use crate::error::{Context, Result};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, OwnedFd};

/// What is made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Placement {}

/// What is mounted in the container.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct View {}

/// What is on record.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {}

/// Whether this process is no administrator of the host.
pub fn rootless() -> bool {
    !rustix::process::geteuid().is_root()
}

/// Moves this process into a cgroup.
pub fn join(files: Vec<OwnedFd>) -> Result<()> {
    for file in &files {
        rustix::io::write(file.as_fd(), b"0").context(|| "write 0 to cgroup.procs")?;
    }
    Ok(())
}

impl Placement {
    /// Makes the cgroup; returns the files by which to join it.
    pub fn create(&self) -> Result<Vec<OwnedFd>> {
        Ok(Vec::new())
    }

    /// As it is shown.
    pub fn calls(&self) -> Vec<String> {
        Vec::new()
    }
}

impl View {
    /// As it is shown.
    pub fn calls(&self, _attributes: &str) -> Vec<String> {
        Vec::new()
    }
}

impl Record {
    /// Whether it is frozen.
    pub fn is_frozen(&self) -> bool {
        false
    }
}
