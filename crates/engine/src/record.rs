//! The engine's record of a container, `<root>/containers/<id>/container.json`, and where its files are.
//!
//! ```text
//! <root>/containers/<id>/       lock             held while the container changes hands: create, start, remove, reconcile
//!                               config.json      the bundle
//!                               container.json   written last at creation: a folder without it is a creation that was cut short
//!                               monitor.json  started.json  exit.json  container.log
//!                               hosts  hostname  resolv.conf   upper/  work/
//! <root>/names/<name>           symbolic link to ../containers/<id>: made in one step, exclusively, content included
//! <runroot>/containers/<id>/    what the monitor keeps there (carboy_wire::monitor::file)
//! ```
//!
//! The name is claimed after the folder exists and before `container.json` is written; it is given up before the folder goes. So a
//! link whose folder has no `container.json` and whose `lock` is free belongs to nobody.

use crate::request::RunRequest;
use carboy_oci::Digest;
use carboy_wire::monitor::{Exit, RuntimeCommand, Started, UserNamespace};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Version of the record's form.
pub(crate) const VERSION: u32 = 1;

/// What the engine knows of a container from its creation on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Version of the form.
    pub version: u32,
    /// ID: 64 hexadecimal digits.
    pub id: String,
    /// Name.
    pub name: String,
    /// Nanoseconds since the epoch.
    pub created_ns: u64,
    /// The image, unless `--rootfs`.
    pub image: Option<ImageUse>,
    /// What was asked for.
    pub request: RunRequest,
    /// What of it and of the image came out.
    pub resolved: Resolved,
    /// The runtime that runs it.
    pub runtime: RuntimeCommand,
    /// Rootless: the maps of its user namespace.
    pub user_namespace: Option<UserNamespace>,
}

/// The image that a container is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageUse {
    /// As it was asked for.
    pub name: String,
    /// The image's ID: digest of its configuration.
    pub id: Digest,
    /// Digest of its manifest.
    pub manifest: Option<Digest>,
}

/// What a request and an image came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Resolved {
    /// Program and arguments.
    pub args: Vec<String>,
    /// How many of [`Resolved::args`] are the entrypoint.
    pub entrypoint_len: usize,
    /// Environment.
    pub env: Vec<String>,
    /// Working directory.
    pub cwd: String,
    /// User as text, the request's or the image's.
    pub user: String,
    /// Host name.
    pub hostname: String,
    /// Labels, the image's and the request's.
    pub labels: std::collections::BTreeMap<String, String>,
    /// Signal that asks the program to end.
    pub stop_signal: i32,
    /// Mounts beyond the defaults.
    pub mounts: Vec<MountPoint>,
    /// Capabilities.
    pub capabilities: Vec<String>,
}

/// A volume or bind mount of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPoint {
    /// Name, for volumes.
    pub volume: Option<String>,
    /// Whether the volume is removed with the container.
    pub anonymous: bool,
    /// Path on the host.
    pub source: PathBuf,
    /// Path in the container.
    pub destination: String,
    /// Whether it is read-only.
    pub read_only: bool,
    /// Further options.
    pub options: Vec<String>,
}

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Made, never started; or being started.
    Created,
    /// The program runs.
    Running,
    /// The program has ended, or could not be started.
    Exited,
}

impl Status {
    /// Docker's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Created => "created",
            Status::Running => "running",
            Status::Exited => "exited",
        }
    }
}

/// A container at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// The engine's record.
    pub record: Record,
    /// Where it is in its life.
    pub status: Status,
    /// Its last start.
    pub started: Option<Started>,
    /// Its last end.
    pub exit: Option<Exit>,
    /// `<root>/containers/<id>`.
    pub dir: PathBuf,
    /// `<runroot>/containers/<id>`.
    pub run_dir: PathBuf,
}

impl Container {
    /// The log file, if output is recorded.
    pub fn log_path(&self) -> Option<PathBuf> {
        match self.record.request.log {
            crate::request::LogRequest::None => None,
            crate::request::LogRequest::JsonFile { .. } => Some(self.dir.join(LOG)),
        }
    }
}

pub(crate) const RECORD: &str = "container.json";
pub(crate) const CONFIG: &str = "config.json";
pub(crate) const MONITOR: &str = "monitor.json";
pub(crate) const LOCK: &str = "lock";
pub(crate) const LOG: &str = "container.log";

/// The folders of one engine.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    pub(crate) root: PathBuf,
    pub(crate) runroot: PathBuf,
}

impl Folders {
    pub(crate) fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }
    pub(crate) fn container(&self, id: &str) -> PathBuf {
        self.containers().join(id)
    }
    pub(crate) fn run(&self, id: &str) -> PathBuf {
        self.runroot.join("containers").join(id)
    }
    pub(crate) fn names(&self) -> PathBuf {
        self.root.join("names")
    }
    pub(crate) fn name(&self, name: &str) -> PathBuf {
        self.names().join(name)
    }
    pub(crate) fn link_target(id: &str) -> PathBuf {
        Path::new("../containers").join(id)
    }
    pub(crate) fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }
    pub(crate) fn volume(&self, name: &str) -> PathBuf {
        self.volumes().join(name)
    }
    pub(crate) fn runtime_state(&self) -> PathBuf {
        self.runroot.join("runtime")
    }
}
