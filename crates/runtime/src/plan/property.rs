//! A property of all plans: they name no path of the host but those that the configuration names itself, and those of the bundle.
//!
//! Configurations are made at random, always the same ones, from words that are meant to lead elsewhere.

use super::*;
use crate::cgroups::{self, Driver, Search};
use crate::step::{Birth, MountSource, MountStep, Place};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Component, Path};

const BUNDLE: &str = "/bundle/of/mine";

const PATHS: &[&str] = &[
    "/",
    "",
    ".",
    "..",
    "../..",
    "/..",
    "/../../etc/shadow",
    "a/../../b",
    "a/../../../../../../b",
    "/proc",
    "/proc/../etc",
    "/proc/self/fd/3",
    "/proc/self/root/etc",
    "//x//y/",
    "/dev",
    "/dev/../..",
    "/sys/fs/cgroup",
    "/sys/fs/cgroup/../../..",
    "rootfs",
    "./rootfs/..",
    "/a\0/b",
    "/very/plain",
    "data",
    "~root",
    "/$HOME",
    "-x",
    " ",
    "/a/./b/.//c",
    "/ü/\u{202e}/x",
    "/..a/...",
    "\\..\\x",
];

/// xorshift: the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn one<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }

    fn some(&mut self, list: &[&str], most: usize) -> Vec<String> {
        (0..self.below(most + 1)).map(|_| self.one(list).to_owned()).collect()
    }

    /// A path that often is a sound one, so that not all configurations are refused.
    fn path(&mut self) -> String {
        match self.below(3) {
            0 => self.one(PATHS).to_owned(),
            1 => format!("/{}", self.some(PATHS, 3).join("/")),
            _ => "/sound/path".to_owned(),
        }
    }
}

fn mount(random: &mut Random) -> Value {
    let kinds = ["bind", "tmpfs", "proc", "sysfs", "devpts", "cgroup", "none", "overlay", ""];
    let options = [
        "bind",
        "rbind",
        "ro",
        "rro",
        "rw",
        "remount",
        "rshared",
        "tmpcopyup",
        "size=1m",
        "idmap",
        "lowerdir=/x",
        "nosuid",
    ];
    json!({
        "destination": random.path(), "type": random.one(&kinds), "source": random.path(), "options": random.some(&options, 3)
    })
}

fn namespaces(random: &mut Random) -> Value {
    let mut list = vec![json!({ "type": "mount" })];
    for kind in ["pid", "network", "ipc", "uts", "cgroup", "user", "time"] {
        match random.below(4) {
            0 => list.push(json!({ "type": kind, "path": random.path() })),
            1 | 2 if kind != "user" => list.push(json!({ "type": kind })),
            _ => {}
        }
    }
    Value::Array(list)
}

fn configuration(random: &mut Random) -> Value {
    let mounts: Vec<Value> = (0..random.below(6)).map(|_| mount(random)).collect();
    let hook = json!([{ "path": random.path() }]);
    let device = json!({ "path": random.path(), "type": "c", "major": 1, "minor": 3 });
    let sysctl = ["net.ipv4.ip_forward", "net/../vm/x", "net.../x", "kernel.sem", "net.ipv4.conf.a/b.x"];
    let mut value = json!({
        "ociVersion": "1.0.2",
        "root": { "path": random.path(), "readonly": random.below(2) == 0 },
        "process": { "args": [random.path()], "cwd": random.path(), "env": [format!("PATH={}", random.path())],
            "terminal": random.below(2) == 0, "user": { "uid": 1, "gid": 1 } },
        "mounts": mounts,
        "linux": { "namespaces": namespaces(random), "maskedPaths": random.some(PATHS, 2), "readonlyPaths": random.some(PATHS, 2),
            "cgroupsPath": random.path(), "devices": if random.below(2) == 0 { json!([device]) } else { json!([]) } }
    });
    if random.below(4) == 0 {
        value["hooks"] = json!({ "createRuntime": hook, "startContainer": hook, "poststop": hook });
    }
    if random.below(4) == 0 {
        value["linux"]["sysctl"] = json!({ random.one(&sysctl): "1" });
    }
    value
}

/// All texts of a value.
fn texts(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => found.extend([text.clone()]),
        Value::Array(list) => list.iter().for_each(|value| texts(value, found)),
        Value::Object(map) => map.values().for_each(|value| texts(value, found)),
        _ => {}
    }
}

/// Neither relative nor with a step up.
fn is_clean(path: &str) -> bool {
    path.starts_with('/')
        && Path::new(path).components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
}

fn path_of(place: &Place) -> Option<&str> {
    match place {
        Place::Path(path) => Some(path),
        Place::Process(_) => None,
    }
}

/// Paths of the host in a step.
fn of_host(action: &Action) -> Vec<&str> {
    match action {
        Action::Root { path, .. } => vec![path],
        Action::Mount(MountStep { source: MountSource::Bind { path, .. }, .. }) => vec![path],
        Action::Hooks(_, hooks) => hooks.iter().map(|hook| hook.path.as_str()).collect(),
        Action::Join(list) => list.iter().filter_map(|join| path_of(&join.place)).collect(),
        Action::Clone(Birth { pid_namespace, through, .. }) => {
            pid_namespace.iter().chain(through.iter().map(|join| &join.place)).filter_map(path_of).collect()
        }
        _ => Vec::new(),
    }
}

/// Paths of the container in a step, all of them from its root.
fn of_container(action: &Action) -> Vec<&str> {
    match action {
        Action::Mount(mount) => vec![&mount.destination],
        Action::Mask(paths, _) | Action::Readonly(paths) => paths.iter().map(String::as_str).collect(),
        Action::Devices(nodes) => nodes.iter().map(|node| node.path.as_str()).collect(),
        Action::Links(links) => links.iter().map(|(_, path)| *path).collect(),
        _ => Vec::new(),
    }
}

fn holds(plan: &Plan, value: &Value) {
    let mut named = BTreeSet::new();
    texts(value, &mut named);
    for step in &plan.steps {
        for path in of_host(&step.action) {
            let own = path.strip_prefix(BUNDLE).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            // Relative ones are the bundle's, and a caller may write `..` as well as the absolute path that it amounts to.
            let given = named.contains(path) || own && named.contains(path[BUNDLE.len()..].trim_start_matches('/'));
            assert!(path.starts_with('/') && given, "{} names {path:?}: {value}", step.name());
        }
        for path in of_container(&step.action) {
            assert!(is_clean(path), "{}: {path:?}: {value}", step.name());
        }
        match &step.action {
            Action::Sysctl(path, _) => assert!(is_clean(&format!("/{path}")), "{path}"),
            Action::WorkingDirectory { path, .. } => assert!(path.starts_with('/')),
            Action::Devices(nodes) => {
                // The host's node of the same name is bound where none can be made: one that is named.
                let default = |path: &str| {
                    ["null", "zero", "full", "random", "urandom", "tty"]
                        .map(|n| format!("/dev/{n}"))
                        .contains(&path.to_owned())
                };
                let asked = |path: &str| named.iter().any(|name| name.starts_with('/') && clean(name) == path);
                assert!(nodes.iter().all(|node| default(&node.path) || asked(&node.path)), "{nodes:?}");
            }
            _ => {}
        }
    }
}

#[test]
fn plans_name_no_path_that_the_configuration_does_not() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let (mut planned, rounds) = (0, 20_000);
    for _ in 0..rounds {
        let value = configuration(&mut random);
        let Ok(spec) = serde_json::from_value::<Spec>(value.clone()) else { continue };
        let request = Request { id: "id".into(), bundle: BUNDLE.into(), ..Request::default() };
        if let Ok(plan) = plan(&spec, &request, &Host::default(), Placement::default(), &View::default()) {
            planned += 1;
            holds(&plan, &value);
        }
    }
    assert!(planned > rounds / 100, "{planned} of {rounds} only");
}

#[test]
fn cgroups_stay_below_their_mounts() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut planned = 0;
    for _ in 0..2000 {
        let spec: Spec = serde_json::from_value(configuration(&mut random)).unwrap();
        let Ok((placement, view, _)) = cgroups::plan(&spec, "id", Driver::Cgroupfs, Search::Thorough) else {
            continue;
        };
        planned += 1;
        let named = placement.calls().into_iter().filter(|call| call.starts_with("mkdir"));
        assert!(
            named.clone().all(|call| call.contains("/sys/fs/cgroup/")
                && !call.split(['/', '"']).any(|part| part == "..")
                && !call.contains("\0")),
            "{:?}",
            named.collect::<Vec<_>>()
        );
        let own = view.v1.iter().map(|(_, _, own)| own).chain(&view.v2);
        assert!(
            own.clone().all(|path| is_clean(&path.to_string_lossy()) && path.starts_with("/sys/fs/cgroup")),
            "{:?}",
            own.collect::<Vec<_>>()
        );
    }
    // A machine without cgroups has none to leave.
    assert!(planned > 20 || !Path::new("/proc/self/cgroup").exists(), "{planned}");
}
