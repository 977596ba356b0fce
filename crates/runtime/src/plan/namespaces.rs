//! The spec's namespaces: what to create with clone3, what to join, what to unshare later.

use crate::error::{Error, Result};
use crate::step::{Birth, Join, Place};
use carboy_oci::runtime::{Linux, Namespace};
use carboy_sys::clone::flag;

/// Namespaces by how they are come by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// How the init process is born.
    pub birth: Birth,
    /// What it joins itself, in this order.
    pub join: Vec<Join>,
    /// A new cgroup namespace, made once the process is in its cgroup.
    pub cgroup: bool,
    /// A new time namespace, made by the init process, which must write its offsets first.
    pub time: bool,
    /// A new network namespace, made by the init process while the runtime makes cgroups.
    pub network: bool,
    /// A new IPC namespace, made by the init process as root of its user namespace.
    pub ipc: bool,
    /// All kinds that the container does not share with the runtime.
    pub own: u64,
    /// All kinds that are new.
    pub new: u64,
}

/// Bit of a kind.
pub fn flag_of(kind: &str) -> Option<u64> {
    Some(match kind {
        "pid" => flag::NEWPID,
        "network" => flag::NEWNET,
        "mount" => flag::NEWNS,
        "ipc" => flag::NEWIPC,
        "uts" => flag::NEWUTS,
        "user" => flag::NEWUSER,
        "cgroup" => flag::NEWCGROUP,
        "time" => flag::NEWTIME,
        _ => return None,
    })
}

/// Names of the bits, in the order of clone(2)'s manual.
pub const NAMES: &[(u64, &str, &str)] = &[
    (flag::NEWUSER, "user", "CLONE_NEWUSER"),
    (flag::NEWPID, "pid", "CLONE_NEWPID"),
    (flag::NEWNS, "mount", "CLONE_NEWNS"),
    (flag::NEWNET, "network", "CLONE_NEWNET"),
    (flag::NEWUTS, "uts", "CLONE_NEWUTS"),
    (flag::NEWIPC, "ipc", "CLONE_NEWIPC"),
    (flag::NEWCGROUP, "cgroup", "CLONE_NEWCGROUP"),
    (flag::NEWTIME, "time", "CLONE_NEWTIME"),
];

/// Sorts the namespaces of a configuration.
pub fn plan_namespaces(linux: &Linux) -> Result<Namespaces> {
    let mut result = Namespaces::default();
    let mut join = Vec::new();
    for (index, namespace) in linux.namespaces.iter().enumerate() {
        let flag = check(namespace, index, result.own)?;
        result.own |= flag;
        match &namespace.path {
            Some(path) => join.push(Join { flags: flag, place: Place::Path(path.clone()) }),
            None => result.new |= flag,
        }
    }
    if result.own & flag::NEWNS == 0 {
        return Err(Error::invalid(
            "linux.namespaces",
            "a mount namespace is needed: without it the host's would be changed",
        ));
    }
    result.cgroup = result.new & flag::NEWCGROUP != 0;
    result.time = result.new & flag::NEWTIME != 0;
    // A user namespace is to own it, and devices are moved into it from outside: then it is there from the beginning.
    let early = result.own & flag::NEWUSER != 0 || !linux.net_devices.is_empty();
    result.network = result.new & flag::NEWNET != 0 && !early;
    // Whoever makes it owns its mqueue, which must be somebody whom the user namespace knows.
    result.ipc = result.new & flag::NEWIPC != 0 && result.own & flag::NEWUSER != 0;
    let late = [(result.network, flag::NEWNET), (result.ipc, flag::NEWIPC)].into_iter().filter(|(late, _)| *late);
    result.birth.create = late.fold(result.new & !(flag::NEWCGROUP | flag::NEWTIME), |now, (_, flag)| now & !flag);
    // The mount namespace comes last, because the paths of the others belong to the runtime's.
    join.sort_by_key(|j| (j.flags != flag::NEWUSER, j.flags == flag::NEWNS));
    if join.first().is_some_and(|j| j.flags == flag::NEWUSER) {
        result.birth.through = join;
        return Ok(result);
    }
    if let Some(at) = join.iter().position(|j| j.flags == flag::NEWPID) {
        result.birth.pid_namespace = Some(join.remove(at).place);
    }
    result.join = join;
    Ok(result)
}

fn check(namespace: &Namespace, index: usize, seen: u64) -> Result<u64> {
    let field = |name: &str| format!("linux.namespaces[{index}].{name}");
    let flag = flag_of(&namespace.kind)
        .ok_or_else(|| Error::invalid(field("type"), format!("{:?} is no namespace", namespace.kind)))?;
    if seen & flag != 0 {
        return Err(Error::invalid(field("type"), format!("{:?} is listed twice", namespace.kind)));
    }
    if namespace.path.as_ref().is_some_and(|path| !path.starts_with('/')) {
        return Err(Error::invalid(field("path"), "is not absolute"));
    }
    Ok(flag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linux(list: &[(&str, Option<&str>)]) -> Linux {
        let namespaces =
            list.iter().map(|(kind, path)| Namespace { kind: (*kind).into(), path: path.map(Into::into) }).collect();
        Linux { namespaces, ..Linux::default() }
    }

    #[test]
    fn cgroup_and_time_wait_for_the_process() {
        let n = plan_namespaces(&linux(&[("mount", None), ("pid", None), ("cgroup", None), ("time", None)])).unwrap();
        assert_eq!(n.birth.create, flag::NEWNS | flag::NEWPID);
        assert!(n.cgroup && n.time && n.join.is_empty());
    }

    #[test]
    fn the_network_waits_unless_somebody_needs_it() {
        let late = |list: &[(&str, Option<&str>)], change: fn(&mut Linux)| {
            let mut linux = linux(list);
            change(&mut linux);
            let n = plan_namespaces(&linux).unwrap();
            assert_ne!(n.network, n.birth.create & flag::NEWNET != 0);
            n.network
        };
        let plain = [("mount", None), ("network", None)];
        assert!(late(&plain, |_| {}));
        assert!(!late(&plain, |linux| drop(linux.net_devices.insert("eth1".into(), Default::default()))));
        assert!(!late(&[("mount", None), ("network", None), ("user", None)], |_| {}));
    }

    #[test]
    fn ipc_waits_for_root_of_a_user_namespace() {
        for (user, waits) in [(&[("user", None)][..], true), (&[("user", Some("/u"))], true), (&[], false)] {
            let n = plan_namespaces(&linux(&[&[("mount", None), ("ipc", None)], user].concat())).unwrap();
            assert_eq!((n.ipc, n.birth.create & flag::NEWIPC == 0), (waits, waits));
        }
    }

    #[test]
    fn a_joined_user_namespace_comes_first_and_needs_an_intermediate() {
        let n = plan_namespaces(&linux(&[("mount", None), ("network", Some("/n")), ("user", Some("/u"))])).unwrap();
        assert_eq!(n.birth.through.iter().map(|j| j.flags).collect::<Vec<_>>(), [flag::NEWUSER, flag::NEWNET]);
        assert!(n.join.is_empty());
    }

    #[test]
    fn a_joined_pid_namespace_is_entered_by_birth() {
        let n = plan_namespaces(&linux(&[("mount", None), ("pid", Some("/p")), ("ipc", Some("/i"))])).unwrap();
        assert_eq!(n.birth.pid_namespace, Some(Place::Path("/p".into())));
        assert_eq!(n.join.len(), 1);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for (list, word) in [
            (&[("mount", None), ("mount", None)][..], "namespaces[1].type"),
            (&[("mount", None), ("foo", None)], "\"foo\""),
            (&[("mount", None), ("pid", Some("x"))], "namespaces[1].path"),
            (&[("pid", None)], "mount namespace"),
        ] {
            let text = plan_namespaces(&linux(list)).unwrap_err().to_string();
            assert!(text.contains(word), "{text}");
        }
    }
}
