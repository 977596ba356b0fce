//! What must be known of the host to make a plan.

use crate::plan::Host;
use carboy_oci::runtime::{Linux, Process};
use rustix::io::Errno;
use std::path::Path;

/// Asks only what the configuration makes relevant.
pub fn facts(process: Option<&Process>, linux: Option<&Linux>) -> Host {
    let apparmor = process.and_then(|p| p.apparmor_profile.as_ref()).is_some_and(|profile| !profile.is_empty());
    let labels = [process.and_then(|p| p.selinux_label.as_ref()), linux.and_then(|l| l.mount_label.as_ref())];
    let labels: Vec<&String> = labels.into_iter().flatten().filter(|label| !label.is_empty()).collect();
    let selinux = !labels.is_empty() && Path::new("/sys/fs/selinux/enforce").exists();
    let unknown = labels.into_iter().filter(|label| selinux && is_unknown(label));
    let network = linux.and_then(|l| l.namespaces.iter().find(|n| n.kind == "network"));
    // Only where parameters are to be set does it matter whose they are.
    let joined = network.filter(|_| linux.is_some_and(|l| !l.sysctl.is_empty())).and_then(|n| n.path.as_deref());
    let capabilities = process.filter(|p| p.capabilities.is_some()).and_then(|_| carboy_sys::process::capget().ok());
    let (euid, egid) = carboy_sys::process::ids_at_start();
    Host {
        capabilities: capabilities.map(|sets| sets.permitted),
        euid,
        egid,
        apparmor: apparmor && Path::new("/sys/kernel/security/apparmor").exists(),
        network_is_own: joined.is_some_and(is_own_network),
        selinux,
        unknown_labels: unknown.cloned().collect(),
    }
}

/// Whether SELinux's policy has no such label. Whoever may not ask will hear it when the label is given.
fn is_unknown(label: &str) -> bool {
    std::fs::write("/sys/fs/selinux/context", label)
        .is_err_and(|e| e.raw_os_error() == Some(Errno::INVAL.raw_os_error()))
}

/// Whether a file is this process's network namespace.
fn is_own_network(path: &str) -> bool {
    let id = |path: &str| rustix::fs::stat(path).ok().map(|stat| (stat.st_dev, stat.st_ino));
    id(path).is_some_and(|there| Some(there) == id("/proc/self/ns/net"))
}
