//! What a container may do.

use super::pair;
use crate::failure::{Failure, usage};
use carboy_engine::{DeviceRequest, SeccompRequest};
use clap::Args;
use std::collections::BTreeMap;
use std::path::Path;

/// What a container may do.
#[derive(Debug, Clone, Args)]
pub(crate) struct SecurityArgs {
    /// Full access to the host's devices and kernel
    #[arg(long)]
    pub(super) privileged: bool,
    /// Add a capability, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    pub(super) cap_add: Vec<String>,
    /// Drop a capability, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    pub(super) cap_drop: Vec<String>,
    /// seccomp=FILE, seccomp=unconfined or no-new-privileges
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,
    /// Give a device of the host
    #[arg(long, value_name = "DEVICE[:PATH[:rwm]]")]
    device: Vec<String>,
    /// Set a kernel parameter of the container's namespaces
    #[arg(long, value_name = "NAME=VALUE")]
    sysctl: Vec<String>,
}

impl SecurityArgs {
    /// The seccomp profile, and whether no new privileges may be gained.
    pub(super) fn options(&self) -> Result<(SeccompRequest, bool), Failure> {
        let (mut seccomp, mut no_new_privileges) = (SeccompRequest::Default, false);
        for option in &self.security_opt {
            let (name, value) = option.split_once(['=', ':']).unwrap_or((option, ""));
            match (name, value) {
                ("no-new-privileges", "" | "true") => no_new_privileges = true,
                ("no-new-privileges", "false") => no_new_privileges = false,
                ("seccomp", "unconfined") => seccomp = SeccompRequest::Unconfined,
                ("seccomp", "builtin" | "default") => seccomp = SeccompRequest::Default,
                ("seccomp", path) if !path.is_empty() => {
                    let text = std::fs::read_to_string(path)
                        .map_err(|e| usage(format!("opening seccomp profile ({path}) failed: {e}")))?;
                    seccomp = SeccompRequest::Profile(text);
                }
                ("apparmor", "unconfined") if !Path::new("/sys/module/apparmor/parameters/enabled").exists() => {}
                ("label", "disable") if !Path::new("/sys/fs/selinux/enforce").exists() => {}
                _ => return Err(usage(format!("invalid or unsupported --security-opt: {option:?}"))),
            }
        }
        Ok((seccomp, no_new_privileges))
    }

    pub(super) fn devices(&self) -> Result<Vec<DeviceRequest>, Failure> {
        self.device.iter().map(|d| device(d)).collect()
    }

    pub(super) fn sysctls(&self) -> Result<BTreeMap<String, String>, Failure> {
        self.sysctl.iter().map(|s| pair("sysctl", s)).collect()
    }
}

fn device(text: &str) -> Result<DeviceRequest, Failure> {
    let parts: Vec<&str> = text.split(':').collect();
    let is_mode = |s: &str| !s.is_empty() && s.bytes().all(|b| b"rwm".contains(&b));
    let (host, container, permissions) = match parts[..] {
        [host] => (host, host, "rwm"),
        [host, mode] if is_mode(mode) => (host, host, mode),
        [host, container] => (host, container, "rwm"),
        [host, container, mode] if is_mode(mode) => (host, container, mode),
        _ => return Err(usage(format!("bad format for device {text:?}: DEVICE[:PATH[:rwm]]"))),
    };
    if !host.starts_with('/') || !container.starts_with('/') {
        return Err(usage(format!("bad format for device {text:?}: its paths must be absolute")));
    }
    Ok(DeviceRequest { host: host.into(), container: container.to_owned(), permissions: permissions.to_owned() })
}
