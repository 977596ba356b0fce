//! `features`: what this runtime can do (runtime-spec, "Features Structure").

use crate::args::Parser;
use crate::error::Result;
use crate::plan::capabilities;
use serde_json::{Value, json};

/// `features`.
pub fn main(parser: &mut Parser) -> Result<u8> {
    if let Some(arg) = parser.next()? {
        return Err(arg.unexpected().into());
    }
    let names: Vec<String> = capabilities::NAMES.iter().map(|name| format!("CAP_{name}")).collect();
    let options = crate::plan::mount_options();
    let features: Value = json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": carboy_oci::runtime::VERSION,
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": options,
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            "capabilities": names,
            "cgroup": { "v1": true, "v2": true, "systemd": true, "systemdUser": true, "rdma": true },
            "seccomp": {
                "enabled": true,
                "actions": [
                    "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD",
                    "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP"
                ],
                "operators": [
                    "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ",
                    "SCMP_CMP_NE"
                ]
            },
            "apparmor": { "enabled": true },
            "selinux": { "enabled": true },
            "intelRdt": { "enabled": false },
            "mountExtensions": { "idmap": { "enabled": true } }
        }
    });
    super::output_json(&features)?;
    Ok(0)
}
