//! A request and an image become an OCI `config.json`, with Docker's defaults.
//!
//! Pure: what has to be looked up (users, volume paths, what the host offers) comes in as [`Inputs`]. One file per topic.

mod capabilities;
mod devices;
mod files;
mod mounts;
mod namespaces;
mod process;
mod resources;
mod security;
#[cfg(test)]
mod tests;
mod user;

pub(crate) use capabilities::effective as effective_capabilities;
pub(crate) use devices::{HostDevice, host_devices};
pub(crate) use files::{hosts_file, resolv_conf};
pub(crate) use process::environment;
pub(crate) use user::{Databases, ResolvedUser, resolve_user};

use crate::error::Result;
use crate::request::RunRequest;
use carboy_oci::image::ContainerConfig;
use carboy_oci::runtime::{Linux, Root, Spec};
use std::path::{Path, PathBuf};

/// Version of the runtime-spec in what we write. Nothing newer is asked for, and crun 1.8 takes no other minor version than 1.0.
const SPEC_VERSION: &str = "1.0.2";

/// What the host offers, found once per engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Host {
    /// Whether /sys/fs/cgroup is the unified hierarchy.
    pub(crate) cgroup2: bool,
    /// Whether swap can be limited.
    pub(crate) swap_limits: bool,
    /// Whether the engine runs for an ordinary user.
    pub(crate) rootless: bool,
    /// Rootless with only the user's own ID mapped.
    pub(crate) single_id: bool,
    /// Whether cgroups can be made: always for root, with a delegated cgroup for an ordinary user.
    pub(crate) cgroups: bool,
}

/// A volume whose path on the host is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BoundVolume {
    pub(crate) source: PathBuf,
    pub(crate) destination: String,
    pub(crate) read_only: bool,
    pub(crate) options: Vec<String>,
}

/// Everything the configuration is made of.
pub(crate) struct Inputs<'a> {
    pub(crate) id: &'a str,
    pub(crate) request: &'a RunRequest,
    pub(crate) image: &'a ContainerConfig,
    pub(crate) hostname: &'a str,
    pub(crate) container_dir: &'a Path,
    pub(crate) rootfs: &'a Path,
    pub(crate) user: &'a ResolvedUser,
    pub(crate) volumes: &'a [BoundVolume],
    pub(crate) devices: &'a [HostDevice],
    pub(crate) host: Host,
}

/// The configuration.
///
/// # Errors
/// [`crate::Error::Invalid`] for what cannot be asked: an unknown capability, no command, a limit out of range.
pub(crate) fn generate(inputs: &Inputs<'_>) -> Result<Spec> {
    let capabilities = capabilities::effective(inputs.request)?;
    let masks = security::masks(inputs.request);
    let propagation = inputs.volumes.iter().flat_map(|v| &v.options).find_map(|o| match o.as_str() {
        "shared" | "rshared" => Some("rshared"),
        "slave" | "rslave" => Some("rslave"),
        _ => None,
    });
    Ok(Spec {
        oci_version: SPEC_VERSION.into(),
        root: Some(Root { path: inputs.rootfs.display().to_string(), readonly: inputs.request.read_only }),
        hostname: namespaces::has_uts(inputs.request).then(|| inputs.hostname.to_owned()),
        domainname: inputs.request.domainname.clone(),
        mounts: mounts::mounts(inputs)?,
        linux: Some(Box::new(Linux {
            namespaces: namespaces::namespaces(inputs.request, inputs.host),
            cgroups_path: resources::cgroup_path(inputs)?,
            resources: resources::resources(inputs)?.map(Box::new),
            devices: devices::spec_devices(inputs),
            sysctl: inputs.request.sysctls.clone(),
            seccomp: security::seccomp(inputs.request, &capabilities)?.map(Box::new),
            masked_paths: masks.masked,
            readonly_paths: masks.read_only,
            rootfs_propagation: propagation.map(str::to_owned),
            ..Linux::default()
        })),
        process: Some(Box::new(process::process(inputs, capabilities)?)),
        ..Spec::default()
    })
}
