//! What a front end asks for: a container, as plain data. Recorded as it is in `container.json`.

use crate::volumes::{TmpfsRequest, VolumeRequest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Everything `run` and `create` can ask of the engine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunRequest {
    /// Image name or ID; absent with [`RunRequest::rootfs`].
    pub image: Option<String>,
    /// A directory to use as the root file system instead of an image.
    pub rootfs: Option<PathBuf>,
    /// Platform of the image, `os/arch[/variant]`; only checked against the image found.
    pub platform: Option<String>,
    /// Name; made up when absent.
    pub name: Option<String>,
    /// Replaces the image's entrypoint (and drops its command); an empty list clears it.
    pub entrypoint: Option<Vec<String>>,
    /// Arguments; replace the image's command.
    pub command: Vec<String>,
    /// `NAME=value`, over the image's; a bare `NAME` removes the variable.
    pub env: Vec<String>,
    /// Labels, over the image's.
    pub labels: BTreeMap<String, String>,
    /// Working directory.
    pub workdir: Option<String>,
    /// `user[:group]`, names or numbers.
    pub user: Option<String>,
    /// Supplementary groups, names or numbers.
    pub group_add: Vec<String>,
    /// Host name; the short ID when absent.
    pub hostname: Option<String>,
    /// NIS domain name.
    pub domainname: Option<String>,
    /// Whether the program gets a terminal.
    pub terminal: bool,
    /// Whether standard input stays open.
    pub stdin_open: bool,
    /// Whether standard input closes with the first client that sent to it.
    pub stdin_once: bool,
    /// Whether the container is removed when its program ends.
    pub remove: bool,
    /// Network.
    pub network: Network,
    /// Namespaces shared with the host: some of `pid`, `ipc`, `uts`, `cgroup`.
    pub host_namespaces: Vec<String>,
    /// Bind mounts and volumes.
    pub volumes: Vec<VolumeRequest>,
    /// tmpfs mounts.
    pub tmpfs: Vec<TmpfsRequest>,
    /// Whether the root file system is read-only.
    pub read_only: bool,
    /// Full access to the host's devices and kernel.
    pub privileged: bool,
    /// Capabilities to add, with or without `CAP_`; `ALL`.
    pub cap_add: Vec<String>,
    /// Capabilities to drop, likewise.
    pub cap_drop: Vec<String>,
    /// System call filter.
    pub seccomp: SeccompRequest,
    /// `PR_SET_NO_NEW_PRIVS`.
    pub no_new_privileges: bool,
    /// Limits.
    pub limits: Limits,
    /// Cgroup that the container's is made below; `/carboy` when absent.
    pub cgroup_parent: Option<String>,
    /// Devices of the host.
    pub devices: Vec<DeviceRequest>,
    /// Resource limits of the process.
    pub ulimits: Vec<Ulimit>,
    /// Kernel parameters of the container's namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Bytes of /dev/shm.
    pub shm_size: Option<u64>,
    /// Signal that asks the program to end; the image's or SIGTERM when absent.
    pub stop_signal: Option<String>,
    /// Seconds between that signal and SIGKILL.
    pub stop_timeout: Option<u32>,
    /// Lines for /etc/hosts: name, address.
    pub add_hosts: Vec<(String, String)>,
    /// Name servers instead of the host's.
    pub dns: Vec<String>,
    /// Where output is recorded.
    pub log: LogRequest,
    /// Adjustment of the OOM killer's choice, -1000 to 1000.
    pub oom_score_adj: Option<i32>,
}

/// The container's network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// A network namespace with nothing but a loopback interface.
    #[default]
    None,
    /// The host's network namespace.
    Host,
}

impl Network {
    /// The word of the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Network::None => "none",
            Network::Host => "host",
        }
    }
}

/// Which system call filter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeccompRequest {
    /// Docker's default profile, resolved with the capabilities.
    #[default]
    Default,
    /// None.
    Unconfined,
    /// A profile in Docker's format, as JSON.
    Profile(String),
}

/// Limits of the container's cgroup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes.
    pub memory: Option<i64>,
    /// Bytes of memory and swap together; -1 for no limit.
    pub memory_swap: Option<i64>,
    /// Bytes, soft.
    pub memory_reservation: Option<i64>,
    /// Billionths of a CPU.
    pub nano_cpus: Option<i64>,
    /// Relative weight.
    pub cpu_shares: Option<u64>,
    /// Microseconds.
    pub cpu_period: Option<u64>,
    /// Microseconds in each period.
    pub cpu_quota: Option<i64>,
    /// CPUs, as `0-3,5`.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes.
    pub cpuset_mems: Option<String>,
    /// Number of tasks; -1 for no limit.
    pub pids: Option<i64>,
}

impl Limits {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Limits::default()
    }
}

/// A device of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRequest {
    /// Path on the host.
    pub host: PathBuf,
    /// Path in the container.
    pub container: String,
    /// Some of `rwm`.
    pub permissions: String,
}

/// A resource limit of the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// Such as `nofile`.
    pub name: String,
    /// Soft limit.
    pub soft: u64,
    /// Hard limit.
    pub hard: u64,
}

/// Where output is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "driver")]
pub enum LogRequest {
    /// Nowhere.
    None,
    /// Docker's json-file.
    JsonFile {
        /// Bytes after which the file is rotated.
        max_size: Option<u64>,
        /// Files kept.
        max_files: u32,
    },
}

impl Default for LogRequest {
    fn default() -> Self {
        LogRequest::JsonFile { max_size: None, max_files: 1 }
    }
}
