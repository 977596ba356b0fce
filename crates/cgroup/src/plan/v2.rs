//! The unified hierarchy: the spec's terms converted, and `unified` verbatim at the end.

use super::convert::{cpu_weight, io_weight, swap_max};
use super::{Missing, PlanOptions, Step, What, max_or, set};
use crate::devices::DevicePolicy;
use crate::error::CgroupError;
use crate::stats::DEFAULT_PERIOD_US;
use carboy_oci::runtime::{BlockIo, CpuResources, MemoryResources, Resources, ThrottleDevice};

pub(super) fn plan(resources: &Resources, options: PlanOptions) -> Result<Vec<Step>, CgroupError> {
    let mut steps = Vec::with_capacity(12);
    if let Some(limit) = super::pids_limit(resources) {
        steps.push(Step::write("pids", "pids.max", max_or(limit), "linux.resources.pids.limit"));
    }
    if let Some(memory) = &resources.memory {
        self::memory(memory, options, &mut steps)?;
    }
    if let Some(cpu) = &resources.cpu {
        self::cpu(cpu, &mut steps)?;
    }
    if let Some(io) = &resources.block_io {
        block_io(io, &mut steps)?;
    }
    for (position, limit) in resources.hugepage_limits.iter().enumerate() {
        let from = format!("linux.resources.hugepageLimits[{position}]");
        let size = &limit.page_size;
        steps.push(Step::write("hugetlb", format!("hugetlb.{size}.max"), limit.limit, from.clone()));
        let reserved = Step::write("hugetlb", format!("hugetlb.{size}.rsvd.max"), limit.limit, from);
        steps.push(reserved.or(Missing::Skip));
    }
    super::v1::rdma(resources, &mut steps);
    if let Some(network) = &resources.network
        && (set(network.class_id).is_some() || !network.priorities.is_empty())
    {
        return Err(only_v1("linux.resources.network"));
    }
    if !options.without_devices {
        let policy = DevicePolicy::from_rules(&resources.devices)?;
        // A new cgroup allows everything its ancestors allow.
        if options.update || !policy.allows_everything() {
            let what = What::AttachDevices(policy);
            steps.push(Step { controller: "".into(), what, from: "linux.resources.devices".to_owned() });
        }
    }
    for (name, value) in &resources.unified {
        let controller = name.split('.').next().unwrap_or_default();
        let controller = if controller == "cgroup" { String::new() } else { controller.to_owned() };
        let what = What::Write { file: name.clone().into(), value: value.clone(), missing: Missing::Fail };
        steps.push(Step { controller: controller.into(), what, from: format!("linux.resources.unified[{name:?}]") });
    }
    Ok(steps)
}

fn only_v1(field: &str) -> CgroupError {
    CgroupError::unsupported(field, "only exists in cgroup v1, this machine has v2")
}

/// The swap limit first: until it is there, a new memory limit would push pages out to swap.
fn memory(memory: &MemoryResources, options: PlanOptions, steps: &mut Vec<Step>) -> Result<(), CgroupError> {
    let field = |name: &str| format!("linux.resources.memory.{name}");
    let refused =
        [("disableOOMKiller", memory.disable_oom_killer == Some(true)), ("swappiness", memory.swappiness.is_some())];
    if let Some((name, _)) = refused.into_iter().find(|(_, asked)| *asked) {
        return Err(only_v1(&field(name)));
    }
    let limit = set(memory.limit);
    if let (true, Some(true), Some(limit)) = (options.update, memory.check_before_update, limit.filter(|l| *l > 0)) {
        let what = What::RequireAtMost { file: "memory.current", limit: limit as u64 };
        steps.push(Step { controller: "memory".into(), what, from: field("checkBeforeUpdate") });
    }
    let swap = swap_max(memory.swap, memory.limit).map_err(|reason| CgroupError::invalid(field("swap"), reason))?;
    if let Some(swap) = swap {
        // Without swap in the kernel there is no file, and no swap to be limited.
        let missing = if swap == "max" || swap == "0" { Missing::Skip } else { Missing::Fail };
        steps.push(Step::write("memory", "memory.swap.max", swap, field("swap")).or(missing));
    }
    if let Some(limit) = limit {
        steps.push(Step::write("memory", "memory.max", max_or(limit), field("limit")));
    }
    if let Some(reservation) = set(memory.reservation) {
        steps.push(Step::write("memory", "memory.low", max_or(reservation), field("reservation")));
    }
    Ok(())
}

fn cpu(cpu: &CpuResources, steps: &mut Vec<Step>) -> Result<(), CgroupError> {
    let field = |name: &str| format!("linux.resources.cpu.{name}");
    if set(cpu.realtime_period).is_some() {
        return Err(only_v1(&field("realtimePeriod")));
    }
    if set(cpu.realtime_runtime).is_some() {
        return Err(only_v1(&field("realtimeRuntime")));
    }
    if let Some(idle) = cpu.idle {
        steps.push(Step::write("cpu", "cpu.idle", idle, field("idle")));
    }
    if let Some(shares) = set(cpu.shares).filter(|_| cpu.idle != Some(1)) {
        steps.push(Step::write("cpu", "cpu.weight", cpu_weight(shares), field("shares")));
    }
    let (quota, period) = (set(cpu.quota), set(cpu.period));
    if quota.is_some() || period.is_some() {
        let value = format!("{} {}", max_or(quota.unwrap_or(-1)), period.unwrap_or(DEFAULT_PERIOD_US));
        steps.push(Step::write("cpu", "cpu.max", value, field(if quota.is_some() { "quota" } else { "period" })));
    }
    if let Some(burst) = cpu.burst {
        steps.push(Step::write("cpu", "cpu.max.burst", burst, field("burst")));
    }
    for (file, list, name) in [("cpuset.cpus", &cpu.cpus, "cpus"), ("cpuset.mems", &cpu.mems, "mems")] {
        if let Some(list) = list.as_ref().filter(|list| !list.is_empty()) {
            steps.push(Step::write("cpuset", file, list, field(name)));
        }
    }
    Ok(())
}

fn block_io(io: &BlockIo, steps: &mut Vec<Step>) -> Result<(), CgroupError> {
    let field = |name: &str| format!("linux.resources.blockIO.{name}");
    if set(io.leaf_weight).is_some() || io.weight_device.iter().any(|device| device.leaf_weight.is_some()) {
        return Err(only_v1(&field("leafWeight")));
    }
    if let Some(weight) = set(io.weight) {
        let write = Step::write("io", "io.bfq.weight", weight, field("weight"));
        steps.push(write.or(Missing::Instead("io.weight", io_weight(weight).to_string())));
    }
    for (position, device) in io.weight_device.iter().enumerate() {
        if let Some(weight) = device.weight {
            let line = |weight: u64| format!("{}:{} {weight}", device.major, device.minor);
            let from = field(&format!("weightDevice[{position}]"));
            let write = Step::write("io", "io.bfq.weight", line(weight.into()), from);
            steps.push(write.or(Missing::Instead("io.weight", line(io_weight(weight)))));
        }
    }
    let mut throttle = |devices: &[ThrottleDevice], key: &str, name: &str| {
        for (position, device) in devices.iter().enumerate() {
            let rate = if device.rate == 0 { "max".to_owned() } else { device.rate.to_string() };
            let line = format!("{}:{} {key}={rate}", device.major, device.minor);
            steps.push(Step::write("io", "io.max", line, field(&format!("{name}[{position}]"))));
        }
    };
    throttle(&io.throttle_read_bps_device, "rbps", "throttleReadBpsDevice");
    throttle(&io.throttle_write_bps_device, "wbps", "throttleWriteBpsDevice");
    throttle(&io.throttle_read_iops_device, "riops", "throttleReadIOPSDevice");
    throttle(&io.throttle_write_iops_device, "wiops", "throttleWriteIOPSDevice");
    Ok(())
}
