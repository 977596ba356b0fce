//! `config.json` of a bundle (runtime-spec 1.3, Linux).
//!
//! Enumerations stay strings where the spec lets an unknown value through or wants it refused with the field's name; the
//! runtime checks them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version that we write and report.
pub const VERSION: &str = "1.3.0";

macro_rules! data {
    ($(#[$meta:meta])* $name:ident { $($(#[$fmeta:meta])* $field:ident : $type:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name { $(
            $(#[$fmeta])*
            #[serde(
                skip_serializing_if = "crate::runtime::is_default",
                deserialize_with = "crate::runtime::null_is_default"
            )]
            pub $field: $type
        ),* }
    };
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Callers written in Go write `null` for an empty list or map.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

data! {
    /// The whole configuration.
    Spec {
        /// Version of the runtime-spec (`ociVersion`).
        oci_version: String,
        /// The process.
        process: Option<Process>,
        /// The root file system.
        root: Option<Root>,
        /// Host name, in a new UTS namespace.
        hostname: Option<String>,
        /// NIS domain name, in a new UTS namespace.
        domainname: Option<String>,
        /// Mounts, in order.
        mounts: Vec<Mount>,
        /// Hooks.
        hooks: Option<Hooks>,
        /// Annotations.
        annotations: BTreeMap<String, String>,
        /// Linux-specific configuration.
        linux: Option<Linux>,
    }
}

data! {
    /// The process to run.
    Process {
        /// Whether the process gets a terminal.
        terminal: bool,
        /// Size of the terminal in characters.
        console_size: Option<ConsoleSize>,
        /// Credentials.
        user: User,
        /// Arguments, the program first.
        args: Vec<String>,
        /// `NAME=value`.
        env: Vec<String>,
        /// Working directory, absolute.
        cwd: String,
        /// Capabilities; absent leaves them alone.
        capabilities: Option<Capabilities>,
        /// Resource limits.
        rlimits: Vec<Rlimit>,
        /// `PR_SET_NO_NEW_PRIVS`.
        no_new_privileges: bool,
        /// AppArmor profile.
        apparmor_profile: Option<String>,
        /// `/proc/self/oom_score_adj`.
        oom_score_adj: Option<i32>,
        /// SELinux label.
        selinux_label: Option<String>,
        /// Scheduler attributes.
        scheduler: Option<Scheduler>,
        /// I/O priority.
        #[serde(rename = "ioPriority")]
        io_priority: Option<IoPriority>,
        /// CPU affinity of `exec`.
        #[serde(rename = "execCPUAffinity")]
        exec_cpu_affinity: Option<CpuAffinity>,
    }
}

data! {
    /// Terminal size in characters.
    ConsoleSize {
        /// Rows.
        height: u16,
        /// Columns.
        width: u16,
    }
}

/// Credentials of the process. `uid` and `gid` are always written, as other runtimes require them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct User {
    /// User ID in the container.
    pub uid: u32,
    /// Group ID in the container.
    pub gid: u32,
    /// File mode creation mask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    /// Supplementary groups.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub additional_gids: Vec<u32>,
    /// User name (Windows only; kept).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
}

data! {
    /// The five capability sets, names as `CAP_CHOWN`.
    Capabilities {
        /// Bounding set.
        bounding: Vec<String>,
        /// Effective set.
        effective: Vec<String>,
        /// Inheritable set.
        inheritable: Vec<String>,
        /// Permitted set.
        permitted: Vec<String>,
        /// Ambient set.
        ambient: Vec<String>,
    }
}

/// One resource limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rlimit {
    /// `RLIMIT_NOFILE` and so on.
    #[serde(rename = "type")]
    pub kind: String,
    /// Soft limit.
    pub soft: u64,
    /// Hard limit.
    pub hard: u64,
}

data! {
    /// `sched_setattr(2)`.
    Scheduler {
        /// `SCHED_OTHER` and so on.
        policy: String,
        /// Nice value.
        nice: i32,
        /// Real-time priority.
        priority: i32,
        /// `SCHED_FLAG_…`.
        flags: Vec<String>,
        /// Deadline runtime in ns.
        runtime: u64,
        /// Deadline in ns.
        deadline: u64,
        /// Deadline period in ns.
        period: u64,
    }
}

data! {
    /// `ioprio_set(2)`.
    IoPriority {
        /// `IOPRIO_CLASS_RT`, `IOPRIO_CLASS_BE` or `IOPRIO_CLASS_IDLE`.
        class: String,
        /// 0 to 7.
        priority: i32,
    }
}

data! {
    /// CPU affinity of an exec'd process.
    CpuAffinity {
        /// Before the move to the cgroup.
        initial: Option<String>,
        /// After it.
        #[serde(rename = "final")]
        r#final: Option<String>,
    }
}

/// The root file system.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Root {
    /// Absolute, or relative to the bundle.
    pub path: String,
    /// Whether it is read-only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub readonly: bool,
}

data! {
    /// One mount.
    Mount {
        /// Path in the container.
        destination: String,
        /// File system type.
        #[serde(rename = "type")]
        kind: Option<String>,
        /// Device, name or path on the host.
        source: Option<String>,
        /// Options as in fstab.
        options: Vec<String>,
        /// User ID map of an idmapped mount.
        uid_mappings: Vec<IdMapping>,
        /// Group ID map of an idmapped mount.
        gid_mappings: Vec<IdMapping>,
    }
}

/// One range of a user or group ID map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdMapping {
    /// First ID in the container.
    #[serde(rename = "containerID")]
    pub container_id: u32,
    /// First ID on the host.
    #[serde(rename = "hostID")]
    pub host_id: u32,
    /// Number of IDs.
    pub size: u32,
}

data! {
    /// Hooks by the moment at which they run.
    Hooks {
        /// After creation, before pivot_root, in the runtime's namespaces (deprecated).
        prestart: Vec<Hook>,
        /// During create, in the runtime's namespaces.
        create_runtime: Vec<Hook>,
        /// During create, in the container's namespaces.
        create_container: Vec<Hook>,
        /// Before the program, in the container's namespaces.
        start_container: Vec<Hook>,
        /// After the program has started, in the runtime's namespaces.
        poststart: Vec<Hook>,
        /// After deletion, in the runtime's namespaces.
        poststop: Vec<Hook>,
    }
}

data! {
    /// One hook.
    Hook {
        /// Absolute path of the program.
        path: String,
        /// Arguments, including the zeroth.
        args: Vec<String>,
        /// Environment.
        env: Vec<String>,
        /// Seconds after which it is killed.
        timeout: Option<i64>,
    }
}

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
        resources: Option<Resources>,
        /// Path of the cgroup, or `slice:prefix:name` for systemd.
        cgroups_path: Option<String>,
        /// Namespaces to create or join.
        namespaces: Vec<Namespace>,
        /// Devices to make.
        devices: Vec<Device>,
        /// Network devices to move in, by host name.
        net_devices: BTreeMap<String, NetDevice>,
        /// System call filter.
        seccomp: Option<Seccomp>,
        /// `private`, `slave`, `shared`, `unbindable` and their `r…` forms.
        rootfs_propagation: Option<String>,
        /// Paths made unreadable.
        masked_paths: Vec<String>,
        /// Paths made read-only.
        readonly_paths: Vec<String>,
        /// SELinux label of mounts.
        mount_label: Option<String>,
        /// Intel Resource Director Technology.
        intel_rdt: Option<IntelRdt>,
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

data! {
    /// System call filter.
    Seccomp {
        /// `SCMP_ACT_…` for what no rule names.
        default_action: String,
        /// errno of the default action.
        default_errno_ret: Option<u32>,
        /// `SCMP_ARCH_…`.
        architectures: Vec<String>,
        /// `SECCOMP_FILTER_FLAG_…`.
        flags: Vec<String>,
        /// Socket to which the notify descriptor is sent.
        listener_path: Option<String>,
        /// Passed on to the listener.
        listener_metadata: Option<String>,
        /// Rules.
        syscalls: Vec<SeccompRule>,
    }
}

data! {
    /// One filter rule.
    SeccompRule {
        /// System call names.
        names: Vec<String>,
        /// `SCMP_ACT_…`.
        action: String,
        /// errno of the action.
        errno_ret: Option<u32>,
        /// Argument comparisons, all of which must hold.
        args: Vec<SeccompArg>,
    }
}

data! {
    /// One argument comparison.
    SeccompArg {
        /// 0 to 5.
        index: u32,
        /// Operand.
        value: u64,
        /// Second operand of a masked comparison.
        value_two: u64,
        /// `SCMP_CMP_…`.
        op: String,
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
