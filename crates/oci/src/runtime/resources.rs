//! Limits of a container's cgroup.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

data! {
    /// Cgroup limits.
    Resources {
        /// Device access, in order.
        devices: Vec<DeviceRule>,
        /// Memory.
        memory: Option<MemoryResources>,
        /// CPU.
        cpu: Option<CpuResources>,
        /// Number of tasks.
        pids: Option<PidsResources>,
        /// Block I/O.
        #[serde(rename = "blockIO")]
        block_io: Option<BlockIo>,
        /// Huge pages.
        hugepage_limits: Vec<HugepageLimit>,
        /// net_cls and net_prio.
        network: Option<NetworkResources>,
        /// RDMA by device.
        rdma: BTreeMap<String, Rdma>,
        /// cgroup v2 files, verbatim.
        unified: BTreeMap<String, String>,
    }
}

/// A device access rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRule {
    /// Allow or deny.
    pub allow: bool,
    /// `a`, `c` or `b`; all if absent.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Major number; all if absent or negative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub major: Option<i64>,
    /// Minor number; all if absent or negative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minor: Option<i64>,
    /// Some of `r`, `w`, `m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<String>,
}

data! {
    /// Memory limits in bytes; -1 is unlimited.
    MemoryResources {
        /// Hard limit.
        limit: Option<i64>,
        /// Soft limit.
        reservation: Option<i64>,
        /// Memory and swap together.
        swap: Option<i64>,
        /// Kernel memory (v1, obsolete).
        kernel: Option<i64>,
        /// Kernel TCP memory (v1).
        #[serde(rename = "kernelTCP")]
        kernel_tcp: Option<i64>,
        /// 0 to 100.
        swappiness: Option<u64>,
        /// Whether the OOM killer is off (v1).
        #[serde(rename = "disableOOMKiller")]
        disable_oom_killer: Option<bool>,
        /// Hierarchical accounting (v1).
        use_hierarchy: Option<bool>,
        /// Whether an update below the usage is refused.
        check_before_update: Option<bool>,
    }
}

data! {
    /// CPU limits.
    CpuResources {
        /// Relative weight, 2 to 262144.
        shares: Option<u64>,
        /// Microseconds in each period; -1 is unlimited.
        quota: Option<i64>,
        /// Microseconds that may be accumulated.
        burst: Option<u64>,
        /// Microseconds.
        period: Option<u64>,
        /// Microseconds of real-time in each period.
        realtime_runtime: Option<i64>,
        /// Microseconds.
        realtime_period: Option<u64>,
        /// CPUs, as `0-3,5`.
        cpus: Option<String>,
        /// Memory nodes.
        mems: Option<String>,
        /// 1 for SCHED_IDLE.
        idle: Option<i64>,
    }
}

data! {
    /// Number of tasks.
    PidsResources {
        /// -1 is unlimited.
        limit: Option<i64>,
    }
}

data! {
    /// Block I/O limits.
    BlockIo {
        /// 10 to 1000.
        weight: Option<u16>,
        /// Weight of leaves (CFQ).
        leaf_weight: Option<u16>,
        /// Weight by device.
        weight_device: Vec<WeightDevice>,
        /// Bytes a second, reading.
        throttle_read_bps_device: Vec<ThrottleDevice>,
        /// Bytes a second, writing.
        throttle_write_bps_device: Vec<ThrottleDevice>,
        /// Operations a second, reading.
        #[serde(rename = "throttleReadIOPSDevice")]
        throttle_read_iops_device: Vec<ThrottleDevice>,
        /// Operations a second, writing.
        #[serde(rename = "throttleWriteIOPSDevice")]
        throttle_write_iops_device: Vec<ThrottleDevice>,
    }
}

data! {
    /// I/O weight of one device.
    WeightDevice {
        /// Major number.
        major: i64,
        /// Minor number.
        minor: i64,
        /// 10 to 1000.
        weight: Option<u16>,
        /// Weight of leaves (CFQ).
        leaf_weight: Option<u16>,
    }
}

data! {
    /// I/O rate of one device.
    ThrottleDevice {
        /// Major number.
        major: i64,
        /// Minor number.
        minor: i64,
        /// Bytes or operations a second.
        rate: u64,
    }
}

data! {
    /// A huge page limit.
    HugepageLimit {
        /// Such as `2MB`.
        page_size: String,
        /// Bytes.
        limit: u64,
    }
}

data! {
    /// net_cls and net_prio.
    NetworkResources {
        /// Class of the packets.
        #[serde(rename = "classID")]
        class_id: Option<u32>,
        /// Priority by interface.
        priorities: Vec<InterfacePriority>,
    }
}

data! {
    /// Priority of one interface.
    InterfacePriority {
        /// Interface name.
        name: String,
        /// Priority.
        priority: u32,
    }
}

data! {
    /// RDMA limits of one device.
    Rdma {
        /// Handles.
        hca_handles: Option<u32>,
        /// Objects.
        hca_objects: Option<u32>,
    }
}
