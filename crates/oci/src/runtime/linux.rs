//! What only Linux has: namespaces, devices, and more.

use super::{IdMapping, Resources, Seccomp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

data! {
    /// Linux-specific configuration.
    Linux {
        /// User ID maps.
        uid_mappings: Vec<IdMapping>,
        /// Group ID maps.
        gid_mappings: Vec<IdMapping>,
        /// Kernel parameters of the container's namespaces.
        sysctl: BTreeMap<String, String>,
        /// Resource limits.
        resources: Option<Box<Resources>>,
        /// Path of the cgroup, or `slice:prefix:name` for systemd.
        cgroups_path: Option<String>,
        /// Namespaces to create or join.
        namespaces: Vec<Namespace>,
        /// Devices to make.
        devices: Vec<Device>,
        /// Network devices to move in, by host name.
        net_devices: BTreeMap<String, NetDevice>,
        /// System call filter.
        seccomp: Option<Box<Seccomp>>,
        /// `private`, `slave`, `shared`, `unbindable` and their `r…` forms.
        rootfs_propagation: Option<String>,
        /// Paths made unreadable.
        masked_paths: Vec<String>,
        /// Paths made read-only.
        readonly_paths: Vec<String>,
        /// SELinux label of mounts.
        mount_label: Option<String>,
        /// Intel Resource Director Technology.
        intel_rdt: Option<Box<IntelRdt>>,
        /// Execution domain.
        personality: Option<Personality>,
        /// Offsets of the time namespace, by clock.
        time_offsets: BTreeMap<String, TimeOffset>,
        /// NUMA memory policy.
        memory_policy: Option<MemoryPolicy>,
    }
}

/// A namespace to create, or to join when a path is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// `pid`, `network`, `mount`, `ipc`, `uts`, `user`, `cgroup` or `time`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Absolute path of the namespace to join.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

data! {
    /// A device to make.
    Device {
        /// `c`, `b`, `u` or `p`.
        #[serde(rename = "type")]
        kind: String,
        /// Path in the container.
        path: String,
        /// Major number.
        major: i64,
        /// Minor number.
        minor: i64,
        /// Permission bits.
        file_mode: Option<u32>,
        /// Owner.
        uid: Option<u32>,
        /// Group.
        gid: Option<u32>,
    }
}

data! {
    /// A network device moved into the container.
    NetDevice {
        /// Its name there.
        name: Option<String>,
    }
}

data! {
    /// Intel Resource Director Technology.
    IntelRdt {
        /// Class of service.
        #[serde(rename = "closID")]
        clos_id: Option<String>,
        /// Lines for `schemata`.
        schemata: Vec<String>,
        /// L3 cache schema.
        l3_cache_schema: Option<String>,
        /// Memory bandwidth schema.
        mem_bw_schema: Option<String>,
        /// Whether monitoring is on.
        enable_monitoring: bool,
    }
}

data! {
    /// Execution domain.
    Personality {
        /// `LINUX` or `LINUX32`.
        domain: String,
        /// Flags (none are defined).
        flags: Vec<String>,
    }
}

data! {
    /// Offset of one clock.
    TimeOffset {
        /// Seconds.
        secs: i64,
        /// Nanoseconds.
        nanosecs: u32,
    }
}

data! {
    /// NUMA memory policy (runtime-spec 1.3).
    MemoryPolicy {
        /// `MPOL_…`.
        mode: String,
        /// Nodes, as `0-3`.
        nodes: String,
        /// `MPOL_F_…`.
        flags: Vec<String>,
    }
}
