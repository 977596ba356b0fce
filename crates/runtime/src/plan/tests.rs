//! Plans of whole configurations.

use super::*;
use serde_json::json;

fn spec(change: impl FnOnce(&mut serde_json::Value)) -> Spec {
    let mut value = json!({
        "ociVersion": "1.0.2",
        "process": { "args": ["sh"], "cwd": "/", "env": ["PATH=/x"], "user": { "uid": 1, "gid": 2 }, "noNewPrivileges": true },
        "root": { "path": "rootfs" },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["ro"] },
            { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"] },
            { "destination": "/data", "type": "bind", "source": "data", "options": ["rbind", "rro", "rslave"] }
        ],
        "linux": { "namespaces": [{ "type": "mount" }, { "type": "pid" }, { "type": "cgroup" }, { "type": "network" }] }
    });
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

fn planned(spec: &Spec, host: &Host) -> Result<Plan> {
    let request = Request { id: "id".into(), bundle: "/bundle".into(), ..Request::default() };
    plan(spec, &request, host, Placement::default(), &View::default())
}

fn names(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(Step::name).collect()
}

#[test]
fn a_usual_container() {
    let plan = planned(&spec(|_| {}), &Host::default()).unwrap();
    let wanted = [
        "make cgroup",
        "create init",
        "session",
        "network namespace",
        "session keyring",
        "loopback",
        "isolate mounts",
        "root file system",
        "mount /proc",
        "mount /dev",
        "join cgroup",
        "cgroup namespace",
        "mount /sys/fs/cgroup",
        "mount /data",
        "device nodes",
        "links in /dev",
        "pivot root",
        "mount /dev",
        "close descriptors",
        "no new privileges",
        "working directory",
        "identity",
        "find sh",
        "tell init: proceed",
        "execute program",
    ];
    assert_eq!(names(&plan), wanted);
}

#[test]
fn privileges_are_dropped_in_an_order_that_works() {
    let filter =
        json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["reboot"], "action": "SCMP_ACT_KILL" }] });
    for (no_new_privileges, before_identity) in [(false, true), (true, false)] {
        let spec = spec(|value| {
            value["linux"]["seccomp"] = filter.clone();
            value["process"]["noNewPrivileges"] = json!(no_new_privileges);
        });
        let names = names(&planned(&spec, &Host::default()).unwrap());
        let at = |name: &str| names.iter().position(|n| n == name).unwrap();
        assert_eq!(at("system call filter") < at("identity"), before_identity);
        assert!(at("system call filter") < at("execute program"));
        if no_new_privileges {
            assert!(at("no new privileges") < at("system call filter"));
        }
    }
}

#[test]
fn paths_of_the_bundle_are_the_bundle_s() {
    let plan = planned(&spec(|_| {}), &Host::default()).unwrap();
    let text = plan.steps.iter().flat_map(|step| step.report().calls).collect::<Vec<_>>().join("\n");
    assert!(text.contains("open_tree(\"/bundle/data\"") && text.contains("open_tree(\"/bundle/rootfs\""), "{text}");
}

#[test]
fn a_user_namespace_maps_by_who_makes_it() {
    let with = |uid: u32, first: u32, size: u32| {
        let spec = spec(|value| {
            value["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
            let map = json!([{ "containerID": 0, "hostID": first, "size": size }]);
            value["linux"]["uidMappings"] = map.clone();
            value["linux"]["gidMappings"] = map;
        });
        let plan = planned(&spec, &Host { euid: uid, egid: uid, ..Host::default() }).unwrap();
        let maps = plan.steps.iter().find_map(|step| match &step.action {
            Action::IdMaps(maps) => Some((maps.helpers, maps.deny_setgroups)),
            _ => None,
        });
        let names = names(&plan);
        let at = |name: &str| names.iter().position(|n| n == name).unwrap();
        assert!(at("map IDs") < at("become root") && at("become root") < at("mount /proc"));
        assert!(plan.steps.iter().all(|s| !matches!(&s.action, Action::Devices(d) if d.iter().any(|n| !n.bind))));
        maps.unwrap()
    };
    assert_eq!(with(0, 100_000, 65_536), (false, false));
    assert_eq!(with(1000, 1000, 1), (false, true));
    assert_eq!(with(1000, 100_000, 65_536), (true, false));
}

#[test]
fn sysctls_need_their_namespace() {
    let sysctl = |name: &str| planned(&spec(|value| value["linux"]["sysctl"] = json!({ name: "1" })), &Host::default());
    let path =
        sysctl("net.ipv4.conf.eth0/1.forwarding").unwrap().steps.into_iter().find_map(|step| match step.action {
            Action::Sysctl(path, _) => Some(path),
            _ => None,
        });
    assert_eq!(path.unwrap(), "net/ipv4/conf/eth0.1/forwarding");
    for bad in ["kernel.shmmax", "kernel.hostname", "vm.swappiness", "net..x", "net/../vm", "user.max_user_namespaces"]
    {
        assert!(sysctl(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_size_without_a_terminal_is_ignored() {
    let with = |terminal: bool| {
        let spec = spec(|value| {
            value["process"]["consoleSize"] = json!({ "height": 7, "width": 9 });
            value["process"]["terminal"] = json!(terminal);
        });
        let plan = planned(&spec, &Host::default()).unwrap();
        plan.steps.into_iter().find_map(|step| match step.action {
            Action::Console(size) => Some(size),
            _ => None,
        })
    };
    assert_eq!((with(true), with(false)), (Some(Some((7, 9))), None));
}

#[test]
fn a_label_reaches_the_mounts() {
    let spec = spec(|value| {
        value["linux"]["mountLabel"] = json!("u:r:t:s0:c1,c2");
        value["linux"]["maskedPaths"] = json!(["/proc/acpi"]);
        value["mounts"].as_array_mut().unwrap().extend([
            json!({ "destination": "/q", "type": "mqueue", "source": "mqueue" }),
            json!({ "destination": "/own", "type": "tmpfs", "options": ["rootcontext=x"] }),
        ]);
    });
    assert!(planned(&spec, &Host::default()).unwrap_err().to_string().contains("linux.mountLabel"));
    let plan = planned(&spec, &Host { selinux: true, ..Host::default() }).unwrap();
    let of = |path: &str| {
        let mounts = plan.steps.iter().filter_map(|step| match &step.action {
            Action::Mount(mount) if mount.destination == path => Some(mount),
            _ => None,
        });
        let mount = mounts.into_iter().next().unwrap();
        (mount.data.iter().any(|(key, _)| key == "context"), mount.label.is_some())
    };
    for (path, labelled) in [
        ("/dev", (true, false)),
        ("/q", (false, true)),
        ("/own", (false, false)),
        ("/proc", (false, false)),
        ("/data", (false, false)),
        ("/sys/fs/cgroup", (false, true)),
    ] {
        assert_eq!(of(path), labelled, "{path}");
    }
    let masks = |action: &Action| matches!(action, Action::Mask(_, Some(label)) if label == "u:r:t:s0:c1,c2");
    assert!(plan.steps.iter().any(|step| masks(&step.action)));
}

#[test]
fn only_root_of_the_runtime_s_own_user_namespace_stays_root() {
    let stays = |namespace: serde_json::Value, uid: u32, gid: u32| {
        let spec = spec(|value| {
            value["linux"]["namespaces"].as_array_mut().unwrap().push(namespace.clone());
            if namespace == json!({ "type": "user" }) {
                value["linux"]["uidMappings"] = json!([{ "containerID": 0, "hostID": 1, "size": 9 }]);
                value["linux"]["gidMappings"] = value["linux"]["uidMappings"].clone();
            }
            value["process"]["user"] = json!({ "uid": uid, "gid": gid });
        });
        let plan = planned(&spec, &Host::default()).unwrap();
        let identity = plan.steps.into_iter().find_map(|step| match step.action {
            Action::Identity(identity) => Some(identity),
            _ => None,
        });
        identity.unwrap().root_stays
    };
    let ipc = json!({ "type": "ipc" });
    assert!(stays(ipc.clone(), 0, 0));
    assert!(!stays(ipc.clone(), 0, 1) && !stays(ipc, 1, 0));
    assert!(!stays(json!({ "type": "user" }), 0, 0), "it may have no root, or another");
    assert!(!stays(json!({ "type": "user", "path": "/u" }), 0, 0));
}
