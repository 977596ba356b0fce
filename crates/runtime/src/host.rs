//! What must be known of the host to make a plan.

use crate::plan::Host;
use carboy_oci::runtime::Spec;
use std::path::Path;

/// Asks only what the configuration makes relevant.
pub fn facts(spec: &Spec) -> Host {
    let set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let process = spec.process.as_ref();
    let apparmor = process.is_some_and(|p| set(&p.apparmor_profile));
    let selinux =
        process.is_some_and(|p| set(&p.selinux_label)) || spec.linux.as_ref().is_some_and(|l| set(&l.mount_label));
    Host {
        euid: rustix::process::geteuid().as_raw(),
        egid: rustix::process::getegid().as_raw(),
        apparmor: apparmor && Path::new("/sys/kernel/security/apparmor").exists(),
        selinux: selinux && Path::new("/sys/fs/selinux/enforce").exists(),
    }
}
