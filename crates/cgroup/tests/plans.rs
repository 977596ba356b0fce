//! Plans for both versions, as they are shown.
#![allow(clippy::unwrap_used, reason = "a test")]

use carboy_cgroup::{Hierarchies, Hierarchy, PlanOptions, ignored, plan};
use carboy_oci::runtime::Resources;

fn v1(controllers: &[&str]) -> Hierarchies {
    let hierarchy = |name: &&str| Hierarchy {
        controllers: name.split(',').map(str::to_owned).collect(),
        mount: format!("/sys/fs/cgroup/{name}").into(),
    };
    Hierarchies { v1: controllers.iter().map(hierarchy).collect(), unified: None }
}

fn v2() -> Hierarchies {
    Hierarchies { v1: Vec::new(), unified: Some("/sys/fs/cgroup".into()) }
}

const ALL: [&str; 9] =
    ["cpu,cpuacct", "cpuset", "memory", "pids", "blkio", "hugetlb", "net_cls,net_prio", "rdma", "devices"];

fn lines(json: &str, hierarchies: &Hierarchies, update: bool) -> Result<Vec<String>, String> {
    let resources: Resources = serde_json::from_str(json).unwrap();
    let options = PlanOptions { without_devices: true, update, systemd: false };
    let steps = plan(&resources, hierarchies, options).map_err(|e| e.to_string())?;
    let field = |from: &str| from.trim_start_matches("linux.resources.").to_owned();
    Ok(steps.iter().map(|step| format!("{step} <- {}", field(&step.from))).collect())
}

const EVERYTHING: &str = r#"{
    "memory": {"limit": 1000000, "swap": 3000000, "reservation": 500000},
    "cpu": {"shares": 1024, "quota": 50000, "period": 100000, "burst": 1000, "cpus": "0-1", "mems": "0"},
    "pids": {"limit": -1},
    "blockIO": {"weight": 500, "weightDevice": [{"major": 8, "minor": 0, "weight": 100}],
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1048576}],
        "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 100}]},
    "hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}],
    "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}}
}"#;

#[test]
fn everything_on_v1() {
    assert_eq!(
        lines(EVERYTHING, &v1(&ALL), false).unwrap(),
        [
            "write cpu.shares \"1024\" <- cpu.shares",
            "write cpu.cfs_period_us \"100000\" <- cpu.period",
            "write cpu.cfs_quota_us \"50000\" <- cpu.quota",
            "write cpu.cfs_burst_us \"1000\" <- cpu.burst",
            "write cpuset.cpus \"0-1\" <- cpu.cpus",
            "write cpuset.mems \"0\" <- cpu.mems",
            "write memory.limit_in_bytes \"1000000\" <- memory.limit",
            "write memory.memsw.limit_in_bytes \"3000000\" <- memory.swap",
            "write memory.soft_limit_in_bytes \"500000\" <- memory.reservation",
            "write pids.max \"max\" <- pids.limit",
            "write blkio.bfq.weight \"500\" <- blockIO.weight",
            "write blkio.bfq.weight_device \"8:0 100\" <- blockIO.weightDevice[0]",
            "write blkio.throttle.read_bps_device \"8:0 1048576\" <- blockIO.throttleReadBpsDevice[0]",
            "write blkio.throttle.write_iops_device \"8:0 100\" <- blockIO.throttleWriteIOPSDevice[0]",
            "write hugetlb.2MB.limit_in_bytes \"4194304\" <- hugepageLimits[0]",
            "write hugetlb.2MB.rsvd.limit_in_bytes \"4194304\" <- hugepageLimits[0]",
            "write rdma.max \"mlx5_1 hca_handle=3 hca_object=10000\" <- rdma[\"mlx5_1\"]",
        ]
    );
}

#[test]
fn everything_on_v2() {
    assert_eq!(
        lines(EVERYTHING, &v2(), false).unwrap(),
        [
            "write pids.max \"max\" <- pids.limit",
            "write memory.swap.max \"2000000\" <- memory.swap",
            "write memory.max \"1000000\" <- memory.limit",
            "write memory.low \"500000\" <- memory.reservation",
            "write cpu.weight \"100\" <- cpu.shares",
            "write cpu.max \"50000 100000\" <- cpu.quota",
            "write cpu.max.burst \"1000\" <- cpu.burst",
            "write cpuset.cpus \"0-1\" <- cpu.cpus",
            "write cpuset.mems \"0\" <- cpu.mems",
            "write io.bfq.weight \"500\" <- blockIO.weight",
            "write io.bfq.weight \"8:0 100\" <- blockIO.weightDevice[0]",
            "write io.max \"8:0 rbps=1048576\" <- blockIO.throttleReadBpsDevice[0]",
            "write io.max \"8:0 wiops=100\" <- blockIO.throttleWriteIOPSDevice[0]",
            "write hugetlb.2MB.max \"4194304\" <- hugepageLimits[0]",
            "write hugetlb.2MB.rsvd.max \"4194304\" <- hugepageLimits[0]",
            "write rdma.max \"mlx5_1 hca_handle=3 hca_object=10000\" <- rdma[\"mlx5_1\"]",
        ]
    );
}

#[test]
fn unlimited_and_unset() {
    let nothing = r#"{"memory": {"limit": 0}, "cpu": {"shares": 0, "quota": 0}, "pids": {}}"#;
    assert!(lines(nothing, &v1(&ALL), false).unwrap().is_empty() && lines(nothing, &v2(), false).unwrap().is_empty());
    // No process at all makes no sense; systemd has no word for it either.
    assert_eq!(lines(r#"{"pids": {"limit": 0}}"#, &v2(), false).unwrap(), ["write pids.max \"1\" <- pids.limit"]);
    let kernel = r#"{"memory": {"kernel": 5, "kernelTCP": 5}}"#;
    assert!(lines(kernel, &v1(&ALL), false).unwrap().is_empty() && lines(kernel, &v2(), false).unwrap().is_empty());
    assert_eq!(ignored(&serde_json::from_str(kernel).unwrap()).len(), 2);
    let lifted = r#"{"memory": {"limit": -1}, "cpu": {"quota": -1}}"#;
    assert_eq!(
        lines(lifted, &v2(), true).unwrap(),
        [
            "write memory.swap.max \"max\" <- memory.swap",
            "write memory.max \"max\" <- memory.limit",
            "write cpu.max \"max 100000\" <- cpu.quota",
        ]
    );
    assert_eq!(
        lines(lifted, &v1(&ALL), true).unwrap(),
        [
            "write cpu.cfs_quota_us \"-1\" <- cpu.quota",
            "write memory.memsw.limit_in_bytes \"-1\" <- memory.swap",
            "write memory.limit_in_bytes \"-1\" <- memory.limit",
        ]
    );
}

#[test]
fn what_cannot_be_done_is_refused_with_its_field() {
    let few = v1(&["cpu", "devices"]);
    for (json, hierarchies, expected) in [
        (
            r#"{"memory": {"limit": 5}}"#,
            &few,
            "linux.resources.memory.limit: no cgroup hierarchy with the controller \"memory\"",
        ),
        (r#"{"unified": {"memory.high": "1"}}"#, &few, "linux.resources.unified[\"memory.high\"]: there is no unified"),
        (r#"{"memory": {"swappiness": 101}}"#, &v2(), "linux.resources.memory.swappiness: 101 is not between"),
        (r#"{"memory": {"swappiness": 10}}"#, &v2(), "linux.resources.memory.swappiness: only exists in cgroup v1"),
        (r#"{"memory": {"disableOOMKiller": true}}"#, &v2(), "linux.resources.memory.disableOOMKiller: only exists"),
        (r#"{"memory": {"limit": 10, "swap": 5}}"#, &few, "linux.resources.memory.swap: 5 (memory and swap together)"),
        (r#"{"memory": {"swap": 5}}"#, &v2(), "linux.resources.memory.swap: a limit of memory and swap together needs"),
        (r#"{"blockIO": {"weight": 5}}"#, &v2(), "linux.resources.blockIO.weight: 5 is not between"),
        (
            r#"{"blockIO": {"weightDevice": [{"major": 8, "minor": 0}]}}"#,
            &v2(),
            "linux.resources.blockIO.weightDevice[0]: neither weight nor leafWeight",
        ),
        (r#"{"rdma": {"mlx5_1": {}}}"#, &v2(), "linux.resources.rdma[\"mlx5_1\"]: neither hcaHandles nor hcaObjects"),
        (r#"{"hugepageLimits": [{"pageSize": "2XB"}]}"#, &v2(), "linux.resources.hugepageLimits[0].pageSize: \"2XB\""),
        (r#"{"unified": {"../x": "1"}}"#, &v2(), "linux.resources.unified: \"../x\" is not the name"),
        (r#"{"network": {"classID": 1}}"#, &v2(), "linux.resources.network: only exists"),
        (r#"{"cpu": {"realtimeRuntime": 1}}"#, &v2(), "linux.resources.cpu.realtimeRuntime: only exists"),
    ] {
        let error = lines(json, hierarchies, false).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn devices_are_always_governed() {
    let steps = plan(&Resources::default(), &v1(&["devices"]), PlanOptions::default()).unwrap();
    assert_eq!(steps[0].to_string(), "write devices.deny \"a\"");
    assert_eq!(steps.len(), 11);
    assert!(plan(&Resources::default(), &v1(&["cpu"]), PlanOptions::default()).unwrap().is_empty());
    let steps = plan(&Resources::default(), &v2(), PlanOptions::default()).unwrap();
    assert_eq!(steps[0].to_string(), "bpf(BPF_PROG_ATTACH, BPF_CGROUP_DEVICE), 10 rules, default deny");
}
