//! Whole configurations, and what makes them differ.

use super::*;
use crate::request::{Limits, Network};
use crate::volumes::{TmpfsRequest, VolumeRequest};

const HOST: Host = Host { cgroup2: false, swap_limits: true, rootless: false, single_id: false, cgroups: true };

fn spec_on(host: Host, request: &RunRequest) -> Result<Spec> {
    let image = ContainerConfig { cmd: Some(vec!["sh".into()]), ..ContainerConfig::default() };
    let user = resolve_user(request.user.as_deref().unwrap_or(""), &[], &Databases::default())?;
    let volumes: Vec<BoundVolume> = request
        .volumes
        .iter()
        .map(|v| BoundVolume {
            source: "/src".into(),
            destination: v.destination.clone(),
            read_only: v.read_only,
            options: v.options.clone(),
        })
        .collect();
    generate(&Inputs {
        id: "0123456789ab",
        request,
        image: &image,
        hostname: "box",
        container_dir: Path::new("/c"),
        rootfs: Path::new("/run/c/rootfs"),
        user: &user,
        volumes: &volumes,
        devices: &[],
        host,
    })
}

fn spec(request: &RunRequest) -> Spec {
    spec_on(HOST, request).unwrap()
}

fn destinations(spec: &Spec) -> Vec<&str> {
    spec.mounts.iter().map(|m| m.destination.as_str()).collect()
}

#[test]
fn a_cgroup_parent_is_a_plain_path() {
    let path = |parent: &str| {
        let request = RunRequest { cgroup_parent: Some(parent.into()), ..RunRequest::default() };
        spec_on(HOST, &request).map(|spec| spec.linux.unwrap().cgroups_path.unwrap())
    };
    assert_eq!(path("/batch/night/").unwrap(), "/batch/night/0123456789ab");
    assert_eq!(path("batch").unwrap(), "/batch/0123456789ab");
    for wrong in ["/", "", "..", "/batch/../..", "a//b", "machine.slice"] {
        assert!(path(wrong).unwrap_err().to_string().contains("cgroup parent"), "{wrong}");
    }
}

#[test]
fn the_default_is_dockers() {
    let spec = spec(&RunRequest::default());
    let text = serde_json::to_value(&spec).unwrap();
    assert_eq!(text["process"]["args"], serde_json::json!(["sh"]));
    assert_eq!(text["process"]["cwd"], "/");
    assert_eq!(text["process"]["user"], serde_json::json!({"uid": 0, "gid": 0, "additionalGids": [0]}));
    assert_eq!(
        text["process"]["env"],
        serde_json::json!([
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOSTNAME=box",
            "HOME=/root"
        ])
    );
    assert_eq!(text["process"]["capabilities"]["bounding"].as_array().unwrap().len(), 14);
    assert!(text["process"]["capabilities"].get("ambient").is_none());
    assert_eq!(text["linux"]["cgroupsPath"], "/carboy/0123456789ab");
    let kinds: Vec<&str> = spec.linux.as_ref().unwrap().namespaces.iter().map(|n| n.kind.as_str()).collect();
    assert_eq!(kinds, ["mount", "uts", "ipc", "pid", "network"]);
    assert_eq!(
        destinations(&spec),
        [
            "/proc",
            "/dev",
            "/dev/pts",
            "/sys",
            "/sys/fs/cgroup",
            "/dev/mqueue",
            "/dev/shm",
            "/etc/resolv.conf",
            "/etc/hostname",
            "/etc/hosts"
        ]
    );
    let linux = spec.linux.unwrap();
    assert_eq!((linux.masked_paths.len(), linux.readonly_paths.len()), (12, 5));
    assert_eq!(linux.seccomp.unwrap().default_action, "SCMP_ACT_ERRNO");
    assert!(!linux.resources.unwrap().devices[0].allow);
}

#[test]
fn privileged_lifts_the_fences() {
    let spec = spec(&RunRequest { privileged: true, ..RunRequest::default() });
    let linux = spec.linux.unwrap();
    assert!(linux.seccomp.is_none() && linux.masked_paths.is_empty() && linux.readonly_paths.is_empty());
    assert!(linux.resources.unwrap().devices[0].allow);
    let sys = spec.mounts.iter().find(|m| m.destination == "/sys").unwrap();
    assert!(sys.options.contains(&"rw".to_owned()));
}

#[test]
fn mounts_are_sorted_by_depth_and_replace_defaults() {
    let volume = |text: &str| VolumeRequest::parse(text).unwrap();
    let request = RunRequest {
        volumes: vec![volume("/x:/data/sub:ro"), volume("/y:/data"), volume("/h:/etc/hosts"), volume("/z:/q:rshared")],
        tmpfs: vec![TmpfsRequest::parse("/run:exec,size=1m").unwrap()],
        ..RunRequest::default()
    };
    let spec = spec(&request);
    let order = destinations(&spec);
    assert_eq!(order[order.len() - 5..], ["/run", "/data", "/q", "/data/sub", "/etc/hosts"]);
    assert_eq!(order.iter().filter(|d| **d == "/etc/hosts").count(), 1);
    let find = |destination: &str| spec.mounts.iter().find(|m| m.destination == destination).unwrap();
    assert_eq!(find("/data/sub").options, ["rbind", "rprivate", "ro"]);
    assert_eq!(find("/q").options, ["rbind", "rshared"]);
    assert_eq!(find("/run").options, ["nosuid", "nodev", "exec", "size=1m"]);
    assert_eq!(spec.linux.unwrap().rootfs_propagation.as_deref(), Some("rshared"));
    let twice = RunRequest { volumes: vec![volume("/x:/a"), volume("/y:/a/")], ..RunRequest::default() };
    assert_eq!(spec_on(HOST, &twice).unwrap_err().to_string(), "Duplicate mount point: /a");
}

#[test]
fn rootless_avoids_what_a_user_namespace_forbids() {
    let host = Host { rootless: true, single_id: true, cgroups: false, ..HOST };
    let request = RunRequest { network: Network::Host, ..RunRequest::default() };
    let spec = spec_on(host, &request).unwrap();
    let find = |destination: &str| spec.mounts.iter().find(|m| m.destination == destination);
    assert_eq!(find("/sys").unwrap().kind.as_deref(), Some("bind"));
    assert!(find("/sys/fs/cgroup").is_none());
    assert!(!find("/dev/pts").unwrap().options.contains(&"gid=5".to_owned()));
    let linux = spec.linux.unwrap();
    assert!(linux.cgroups_path.is_none() && linux.resources.is_none());
    let limits = Limits { memory: Some(64 << 20), ..Limits::default() };
    let error = spec_on(host, &RunRequest { limits, ..RunRequest::default() }).unwrap_err();
    assert!(error.to_string().starts_with("limits need a cgroup"), "{error}");
}

#[test]
fn cgroup_namespace_only_on_v2() {
    let host = Host { cgroup2: true, ..HOST };
    let spec = spec_on(host, &RunRequest::default()).unwrap();
    assert!(spec.linux.unwrap().namespaces.iter().any(|n| n.kind == "cgroup"));
}

#[test]
fn mistakes_are_named() {
    for (request, message) in [
        (RunRequest { workdir: Some("rel".into()), ..RunRequest::default() }, "the working directory 'rel' is invalid"),
        (RunRequest { cap_drop: vec!["x".into()], ..RunRequest::default() }, "invalid CapDrop: unknown capability"),
        (RunRequest { user: Some("nobody".into()), ..RunRequest::default() }, "unable to find user nobody"),
    ] {
        let error = spec_on(HOST, &request).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
}
