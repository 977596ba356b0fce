//! The runtime's answer to `state` (runtime-spec, "State").

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A container's life (runtime-spec "Lifecycle"; `paused` is runc's addition).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// `create` has not finished.
    Creating,
    /// Created; the program has not been started.
    Created,
    /// The program runs.
    Running,
    /// The program has ended.
    Stopped,
    /// Frozen.
    Paused,
}

impl Status {
    /// The lower-case word of the spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Stopped => "stopped",
            Status::Paused => "paused",
        }
    }
}

/// What `state` prints and hooks read on standard input, with runc's additional fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Version of the runtime-spec.
    pub oci_version: String,
    /// Container ID.
    pub id: String,
    /// Where the container is in its life.
    pub status: Status,
    /// The init process as the host sees it; 0 or absent once stopped.
    #[serde(default)]
    pub pid: i32,
    /// Absolute path of the bundle.
    pub bundle: String,
    /// Absolute path of the root file system (runc's addition; hooks do not get it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rootfs: Option<String>,
    /// Creation time, RFC 3339 (runc's addition).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Annotations of the configuration.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// User that created the container (runc's addition).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}
