//! What can go wrong, with the file, and the spec field when there is one.

use std::io;
use std::path::PathBuf;

/// A cgroup operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// A system call on a file or directory.
    #[error("{operation} {}", path.display())]
    Io {
        /// What was tried, such as `mkdir`.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A limit that the kernel refused.
    #[error("{field}: write {value:?} to {}", path.display())]
    Limit {
        /// The spec field it comes from.
        field: String,
        /// What was to be written.
        value: String,
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A limit that this kernel, this mode or this mount cannot do.
    #[error("{field}: {reason}")]
    Unsupported {
        /// The spec field.
        field: String,
        /// Why not.
        reason: String,
    },
    /// A value that makes no sense anywhere.
    #[error("{field}: {reason}")]
    Invalid {
        /// The spec field.
        field: String,
        /// Why not.
        reason: String,
    },
    /// Another container's processes, or anybody's, are in a cgroup that was to be made.
    #[error("the cgroup {} exists and has processes in it", .0.display())]
    InUse(PathBuf),
    /// No cgroup file system was found.
    #[error("no cgroup hierarchy is mounted: neither /sys/fs/cgroup nor /proc/self/mountinfo shows one")]
    NoHierarchy,
    /// systemd could not be asked, or refused.
    #[error("{operation} {unit} by systemd")]
    Systemd {
        /// What it was asked to do.
        operation: &'static str,
        /// With which unit.
        unit: String,
        /// Why not.
        #[source]
        source: crate::dbus::DbusError,
    },
    /// A change that failed midway, and what could not be set back to what it was before.
    #[error("{} could not be set back after a change that failed", fields.join(", "))]
    NotUndone {
        /// The spec fields.
        fields: Vec<String>,
        /// Why the change failed.
        #[source]
        cause: Box<CgroupError>,
    },
    /// Processes did not freeze, thaw or die in time.
    #[error("{}: still not {state} after {waited_ms} ms", path.display())]
    Timeout {
        /// The cgroup.
        path: PathBuf,
        /// What was waited for.
        state: &'static str,
        /// For how long.
        waited_ms: u64,
    },
}

impl CgroupError {
    /// Whether the cgroup is somebody else's: then nothing in it may be touched.
    pub fn is_in_use(&self) -> bool {
        match self {
            CgroupError::InUse(_) => true,
            CgroupError::Systemd { source, .. } => source.name() == Some("org.freedesktop.systemd1.UnitExists"),
            _ => false,
        }
    }

    /// Whether a directory or a file was not there, perhaps because no hierarchy is.
    pub fn is_missing(&self) -> bool {
        matches!(self, CgroupError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    pub(crate) fn io(operation: &'static str, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        CgroupError::Io { operation, path: path.into(), source: source.into() }
    }

    pub(crate) fn unsupported(field: impl Into<String>, reason: impl Into<String>) -> Self {
        CgroupError::Unsupported { field: field.into(), reason: reason.into() }
    }

    pub(crate) fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        CgroupError::Invalid { field: field.into(), reason: reason.into() }
    }
}
