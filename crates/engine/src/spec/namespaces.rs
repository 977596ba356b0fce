//! Which namespaces a container gets.

use super::Host;
use crate::request::{Network, RunRequest};
use carboy_oci::runtime::Namespace;

/// Whether the container has a UTS namespace of its own.
pub(super) fn has_uts(request: &RunRequest) -> bool {
    !shared(request, "uts")
}

fn shared(request: &RunRequest, kind: &str) -> bool {
    request.host_namespaces.iter().any(|k| k == kind)
}

/// Mount always; pid, ipc and uts unless shared; network unless it is the host's; cgroup on v2 only, as Docker's default has it.
///
/// No user namespace: rootless, the monitor has made one around the runtime.
pub(super) fn namespaces(request: &RunRequest, host: Host) -> Vec<Namespace> {
    let new = |kind: &str| Namespace { kind: kind.into(), path: None };
    let mut list = vec![new("mount")];
    for kind in ["uts", "ipc", "pid"] {
        if !shared(request, kind) {
            list.push(new(kind));
        }
    }
    if request.network == Network::None {
        list.push(new("network"));
    }
    if host.cgroup2 && !request.privileged && !shared(request, "cgroup") {
        list.push(new("cgroup"));
    }
    list
}
