//! `features`: what this runtime can do (runtime-spec, "Features Structure").

use crate::args::Parser;
use crate::error::Result;
use crate::plan::{memory_flags, memory_modes};
use carboy_oci::capabilities;
use serde_json::{Value, json};

/// `features`.
pub fn main(parser: &mut Parser) -> Result<u8> {
    if let Some(arg) = parser.next()? {
        return Err(arg.unexpected().into());
    }
    let features: Value = json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": carboy_oci::runtime::VERSION,
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": crate::plan::mount_options(),
        // What these say is carried out: callers that let others write annotations may want to know.
        "potentiallyUnsafeConfigAnnotations": ["org.criu.config", "org.systemd.property."],
        "linux": linux(),
    });
    super::output_json(&features)?;
    Ok(0)
}

fn linux() -> Value {
    json!({
        "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
        "capabilities": capabilities::NAMES.iter().map(|name| format!("CAP_{name}")).collect::<Vec<_>>(),
        "cgroup": { "v1": true, "v2": true, "systemd": true, "systemdUser": true, "rdma": true },
        "seccomp": {
            "enabled": true,
            "actions": carboy_seccomp::ACTIONS,
            "operators": carboy_seccomp::OPERATORS,
            "archs": carboy_seccomp::architecture_names(),
            "knownFlags": carboy_seccomp::FLAGS,
            "supportedFlags": carboy_seccomp::FLAGS,
        },
        "apparmor": { "enabled": true },
        "selinux": { "enabled": true },
        "intelRdt": { "enabled": false },
        "memoryPolicy": { "modes": memory_modes(), "flags": memory_flags() },
        "mountExtensions": { "idmap": { "enabled": true } },
        "netDevices": { "enabled": true }
    })
}
