//! `config.json` of a bundle (runtime-spec 1.3, Linux).
//!
//! Enumerations stay strings where the spec lets an unknown value through or wants it refused with the field's name; the
//! runtime checks them.

macro_rules! data {
    ($(#[$meta:meta])* $name:ident { $($(#[$fmeta:meta])* $field:ident : $type:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
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

mod linux;
mod names;
mod process;
mod resources;
mod seccomp;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use linux::{Device, IntelRdt, Linux, MemoryPolicy, Namespace, NetDevice, Personality, TimeOffset};
pub use names::Names;
pub use process::{Capabilities, ConsoleSize, CpuAffinity, IoPriority, Process, Rlimit, Scheduler, User};
pub use resources::{
    BlockIo, CpuResources, DeviceRule, HugepageLimit, InterfacePriority, MemoryResources, NetworkResources,
    PidsResources, Rdma, Resources, ThrottleDevice, WeightDevice,
};
pub use seccomp::{Seccomp, SeccompArg, SeccompRule};

/// The version that we write and report.
pub const VERSION: &str = "1.3.0";

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
        process: Option<Box<Process>>,
        /// The root file system.
        root: Option<Root>,
        /// Host name, in a new UTS namespace.
        hostname: Option<String>,
        /// NIS domain name, in a new UTS namespace.
        domainname: Option<String>,
        /// Mounts, in order.
        mounts: Vec<Mount>,
        /// Hooks.
        hooks: Option<Box<Hooks>>,
        /// Annotations.
        annotations: BTreeMap<String, String>,
        /// Linux-specific configuration.
        linux: Option<Box<Linux>>,
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
