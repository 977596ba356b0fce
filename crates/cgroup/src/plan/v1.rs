//! Version 1: one hierarchy for each controller, the spec's own terms.

use super::{Missing, PlanOptions, Step, set};
use crate::devices::DevicePolicy;
use crate::error::CgroupError;
use carboy_oci::runtime::{BlockIo, CpuResources, MemoryResources, NetworkResources, Resources, ThrottleDevice};

pub(super) fn plan(resources: &Resources, options: PlanOptions) -> Result<Vec<Step>, CgroupError> {
    if let Some(name) = resources.unified.keys().next() {
        return Err(CgroupError::unsupported(
            format!("linux.resources.unified[{name:?}]"),
            "there is no unified hierarchy with controllers on this machine (cgroup v1)",
        ));
    }
    let mut steps = Vec::with_capacity(16);
    if let Some(cpu) = &resources.cpu {
        self::cpu(cpu, &mut steps);
    }
    if let Some(memory) = &resources.memory {
        self::memory(memory, options, &mut steps);
    }
    if let Some(limit) = super::pids_limit(resources) {
        steps.push(Step::write("pids", "pids.max", super::max_or(limit), "linux.resources.pids.limit"));
    }
    if let Some(io) = &resources.block_io {
        block_io(io, &mut steps);
    }
    for (position, limit) in resources.hugepage_limits.iter().enumerate() {
        let from = format!("linux.resources.hugepageLimits[{position}]");
        let size = &limit.page_size;
        steps.push(Step::write("hugetlb", format!("hugetlb.{size}.limit_in_bytes"), limit.limit, from.clone()));
        // Linux 5.7: also counts what is reserved, so that a container gets ENOMEM instead of SIGBUS.
        let reserved = Step::write("hugetlb", format!("hugetlb.{size}.rsvd.limit_in_bytes"), limit.limit, from);
        steps.push(reserved.or(Missing::Skip));
    }
    if let Some(network) = &resources.network {
        self::network(network, &mut steps);
    }
    rdma(resources, &mut steps);
    if !options.without_devices {
        let policy = DevicePolicy::from_rules(&resources.devices)?;
        let lines = policy.v1_lines(options.update);
        let from = "linux.resources.devices";
        steps.extend(lines.into_iter().map(|(file, value)| Step::write("devices", file, value, from)));
    }
    Ok(steps)
}

/// The period before the quota, and both before the burst, which may not exceed the quota.
fn cpu(cpu: &CpuResources, steps: &mut Vec<Step>) {
    let mut write = |controller, file, value: Option<String>, field: &str| {
        if let Some(value) = value {
            steps.push(Step::write(controller, file, value, format!("linux.resources.cpu.{field}")));
        }
    };
    let text = |value: Option<u64>| value.map(|value| value.to_string());
    write("cpu", "cpu.idle", cpu.idle.map(|value| value.to_string()), "idle");
    // The kernel refuses shares of an idle group.
    if cpu.idle != Some(1) {
        write("cpu", "cpu.shares", text(set(cpu.shares)), "shares");
    }
    write("cpu", "cpu.cfs_period_us", text(set(cpu.period)), "period");
    write("cpu", "cpu.cfs_quota_us", set(cpu.quota).map(|value| value.max(-1).to_string()), "quota");
    write("cpu", "cpu.cfs_burst_us", text(cpu.burst), "burst");
    write("cpu", "cpu.rt_period_us", text(set(cpu.realtime_period)), "realtimePeriod");
    write("cpu", "cpu.rt_runtime_us", set(cpu.realtime_runtime).map(|value| value.to_string()), "realtimeRuntime");
    write("cpuset", "cpuset.cpus", cpu.cpus.clone().filter(|list| !list.is_empty()), "cpus");
    write("cpuset", "cpuset.mems", cpu.mems.clone().filter(|list| !list.is_empty()), "mems");
}

/// `limit` may never exceed `memsw.limit`: raising both starts with the latter, lowering both with the former. What a new cgroup has is
/// unlimited, so there it is lowered; for an update the order that fails is tried second (see the execution).
fn memory(memory: &MemoryResources, options: PlanOptions, steps: &mut Vec<Step>) {
    let mut write = |file, value: Option<String>, field: &str, missing: Missing| {
        if let Some(value) = value {
            steps.push(Step::write("memory", file, value, format!("linux.resources.memory.{field}")).or(missing));
        }
    };
    let text = |value: Option<i64>| value.map(|value| value.to_string());
    let limit = set(memory.limit);
    let mut swap = set(memory.swap);
    let mut swap_missing = Missing::Fail;
    // Unlimited memory would otherwise still be limited by memory and swap together. Kernels without swap accounting lack the file.
    if limit == Some(-1) && swap.is_none() && options.update {
        (swap, swap_missing) = (Some(-1), Missing::Skip);
    }
    if swap == Some(-1) {
        swap_missing = Missing::Skip;
    }
    if swap == Some(-1) && options.update {
        write("memory.memsw.limit_in_bytes", text(swap), "swap", swap_missing);
        write("memory.limit_in_bytes", text(limit), "limit", Missing::Fail);
    } else {
        write("memory.limit_in_bytes", text(limit), "limit", Missing::Fail);
        write("memory.memsw.limit_in_bytes", text(swap), "swap", swap_missing);
    }
    write("memory.soft_limit_in_bytes", text(set(memory.reservation)), "reservation", Missing::Fail);
    let switch = |on: bool| Some(u8::from(on).to_string());
    write(
        "memory.oom_control",
        memory.disable_oom_killer.filter(|on| *on).and_then(switch),
        "disableOOMKiller",
        Missing::Fail,
    );
    write("memory.use_hierarchy", memory.use_hierarchy.and_then(switch), "useHierarchy", Missing::Fail);
    write("memory.swappiness", memory.swappiness.map(|value| value.to_string()), "swappiness", Missing::Fail);
}

fn block_io(io: &BlockIo, steps: &mut Vec<Step>) {
    let field = |name: &str| format!("linux.resources.blockIO.{name}");
    // CFQ's files until Linux 5.0, BFQ's since.
    if let Some(weight) = set(io.weight) {
        let write = Step::write("blkio", "blkio.bfq.weight", weight, field("weight"));
        steps.push(write.or(Missing::Instead("blkio.weight", weight.to_string())));
    }
    if let Some(weight) = set(io.leaf_weight) {
        steps.push(Step::write("blkio", "blkio.leaf_weight", weight, field("leafWeight")));
    }
    for (position, device) in io.weight_device.iter().enumerate() {
        let from = field(&format!("weightDevice[{position}]"));
        let line = |weight: u16| format!("{}:{} {weight}", device.major, device.minor);
        if let Some(weight) = device.weight {
            let write = Step::write("blkio", "blkio.bfq.weight_device", line(weight), from.clone());
            steps.push(write.or(Missing::Instead("blkio.weight_device", line(weight))));
        }
        if let Some(weight) = device.leaf_weight {
            steps.push(Step::write("blkio", "blkio.leaf_weight_device", line(weight), from));
        }
    }
    let mut throttle = |devices: &[ThrottleDevice], file: &'static str, name: &str| {
        for (position, device) in devices.iter().enumerate() {
            let line = format!("{}:{} {}", device.major, device.minor, device.rate);
            steps.push(Step::write("blkio", file, line, field(&format!("{name}[{position}]"))));
        }
    };
    throttle(&io.throttle_read_bps_device, "blkio.throttle.read_bps_device", "throttleReadBpsDevice");
    throttle(&io.throttle_write_bps_device, "blkio.throttle.write_bps_device", "throttleWriteBpsDevice");
    throttle(&io.throttle_read_iops_device, "blkio.throttle.read_iops_device", "throttleReadIOPSDevice");
    throttle(&io.throttle_write_iops_device, "blkio.throttle.write_iops_device", "throttleWriteIOPSDevice");
}

fn network(network: &NetworkResources, steps: &mut Vec<Step>) {
    if let Some(class) = set(network.class_id) {
        steps.push(Step::write("net_cls", "net_cls.classid", class, "linux.resources.network.classID"));
    }
    for (position, entry) in network.priorities.iter().enumerate() {
        let line = format!("{} {}", entry.name, entry.priority);
        steps.push(Step::write(
            "net_prio",
            "net_prio.ifpriomap",
            line,
            format!("linux.resources.network.priorities[{position}]"),
        ));
    }
}

/// The same file in both versions.
pub(super) fn rdma(resources: &Resources, steps: &mut Vec<Step>) {
    for (device, limits) in &resources.rdma {
        let mut line = device.clone();
        for (key, value) in [("hca_handle", limits.hca_handles), ("hca_object", limits.hca_objects)] {
            if let Some(value) = value {
                line.push_str(&format!(" {key}={value}"));
            }
        }
        steps.push(Step::write("rdma", "rdma.max", line, format!("linux.resources.rdma[{device:?}]")));
    }
}
