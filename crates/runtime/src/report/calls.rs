//! What is called for a process: its birth, its IDs, its limits.

use crate::plan::namespaces::NAMES;
use crate::step::{Appearance, Birth, DeviceNode, IdMaps, Identity, Join, Limit, Place};
use carboy_oci::runtime::IdMapping;

fn flags(bits: u64) -> String {
    let names: Vec<_> = NAMES.iter().filter(|(bit, ..)| bits & bit != 0).map(|(_, _, name)| *name).collect();
    if names.is_empty() { "0".into() } else { names.join("|") }
}

fn place(place: &Place) -> String {
    match place {
        Place::Path(path) => format!("{path:?}"),
        Place::Process(process) => format!("pidfd of {}", process.pid),
    }
}

pub fn join_call(join: &Join) -> String {
    format!("setns({}, {})", place(&join.place), flags(join.flags))
}

pub fn appearance_calls(with: &Appearance) -> Vec<String> {
    let close = format!("close_range({}, ~0) but the socket to the runtime", 3 + with.preserved);
    let keep = with.capabilities.map(|keep| {
        let names: Vec<_> = crate::plan::capabilities::names(keep).collect();
        format!("capset({})", names.join("|"))
    });
    [close].into_iter().chain(keep).chain(["clone3(CLONE_PARENT|CLONE_PIDFD)".to_owned()]).collect()
}

pub fn clone_calls(birth: &Birth) -> Vec<String> {
    let mut calls: Vec<String> =
        birth.pid_namespace.iter().map(|p| format!("setns({}, CLONE_NEWPID)", place(p))).collect();
    calls.extend(birth.through.iter().map(join_call));
    calls.push(format!("clone3({}|CLONE_PIDFD)", flags(birth.create)));
    calls
}

pub fn map_calls(maps: &IdMaps) -> Vec<String> {
    let mut calls = Vec::new();
    if maps.deny_setgroups {
        calls.push("write /proc/<init>/setgroups \"deny\"".into());
    }
    let verb = |file: &str, program: &str| {
        if maps.helpers { format!("run {program}") } else { format!("write /proc/<init>/{file}") }
    };
    calls.push(format!("{} \"{}\"", verb("gid_map", "newgidmap"), ranges(&maps.gid)));
    calls.push(format!("{} \"{}\"", verb("uid_map", "newuidmap"), ranges(&maps.uid)));
    calls
}

pub fn limit_calls(call: &str, limits: &[Limit]) -> Vec<String> {
    let show = |value: Option<u64>| value.map_or("unlimited".to_owned(), |value| value.to_string());
    limits.iter().map(|l| format!("{call}{}, {}, {})", l.name, show(l.soft), show(l.hard))).collect()
}

pub fn device_call(node: &DeviceNode) -> String {
    if node.bind {
        return format!("bind the host's {}", node.path);
    }
    format!("mknodat({:?}, {} {}:{}, {:04o})", node.path, node.kind, node.major, node.minor, node.mode)
}

pub fn identity_calls(identity: &Identity) -> Vec<String> {
    let mut calls = vec![format!("umask({:04o})", identity.umask.unwrap_or(0o022))];
    if let Some(masks) = &identity.capabilities {
        let kept = carboy_oci::capabilities::NAMES.iter().enumerate().filter(|(bit, _)| masks.bounding & 1 << bit != 0);
        let kept: Vec<_> = kept.map(|(_, name)| *name).collect();
        calls.push(format!(
            "prctl(PR_CAPBSET_DROP, all but {})",
            if kept.is_empty() { "none".into() } else { kept.join(",") }
        ));
    }
    if let Some(groups) = &identity.groups {
        calls.push(format!("setgroups({groups:?})"));
    }
    calls.push(format!("setresgid({})", identity.gid));
    calls.push(format!("setresuid({})", identity.uid));
    if let Some(masks) = &identity.capabilities {
        let (e, p, i) = (masks.effective, masks.permitted, masks.inheritable);
        calls.push(format!("capset(effective {e:#x}, permitted {p:#x}, inheritable {i:#x})"));
        if masks.ambient != 0 {
            calls.push(format!("prctl(PR_CAP_AMBIENT, {:#x})", masks.ambient));
        }
    }
    calls
}

pub fn ranges(map: &[IdMapping]) -> String {
    map.iter().map(|m| format!("{} {} {}", m.container_id, m.host_id, m.size)).collect::<Vec<_>>().join(", ")
}

pub fn device_move((name, inside): &(String, String), joined: Option<&str>) -> String {
    format!("RTM_NEWLINK({name:?} → {inside:?} in {}), its addresses, IFF_UP", joined.unwrap_or("/proc/<init>/ns/net"))
}
