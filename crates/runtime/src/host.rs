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
    let network = spec.linux.as_ref().and_then(|l| l.namespaces.iter().find(|n| n.kind == "network"));
    // Only where parameters are to be set does it matter whose they are.
    let joined =
        network.filter(|_| spec.linux.as_ref().is_some_and(|l| !l.sysctl.is_empty())).and_then(|n| n.path.as_deref());
    let capabilities = process.filter(|p| p.capabilities.is_some()).and_then(|_| carboy_sys::process::capget().ok());
    let (euid, egid) = carboy_sys::process::ids_at_start();
    Host {
        capabilities: capabilities.map(|sets| sets.permitted),
        euid,
        egid,
        apparmor: apparmor && Path::new("/sys/kernel/security/apparmor").exists(),
        network_is_own: joined.is_some_and(is_own_network),
        selinux: selinux && Path::new("/sys/fs/selinux/enforce").exists(),
    }
}

/// Whether a file is this process's network namespace.
fn is_own_network(path: &str) -> bool {
    let id = |path: &str| rustix::fs::stat(path).ok().map(|stat| (stat.st_dev, stat.st_ino));
    id(path).is_some_and(|there| Some(there) == id("/proc/self/ns/net"))
}
