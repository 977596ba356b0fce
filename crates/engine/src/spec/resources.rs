//! Limits of the container's cgroup.

use super::{Inputs, devices};
use crate::error::{Error, Result};
use crate::request::Limits;
use carboy_oci::runtime::{CpuResources, MemoryResources, PidsResources, Resources};

/// Smallest memory limit that is taken; less cannot even start a static program.
const MIN_MEMORY: i64 = 512 * 1024;

pub(super) fn resources(inputs: &Inputs<'_>) -> Result<Option<Resources>> {
    let limits = &inputs.request.limits;
    if !inputs.host.cgroups {
        if limits.is_empty() {
            return Ok(None);
        }
        return Err(Error::Unavailable(
            "limits need a cgroup that may be written, and none is delegated to this user (with systemd and cgroup v2: \
             `systemd-run --user --scope -p Delegate=yes carboy …`)"
                .into(),
        ));
    }
    Ok(Some(Resources {
        devices: devices::rules(inputs),
        memory: memory(limits, inputs.host.swap_limits)?,
        cpu: cpu(limits)?,
        pids: limits.pids.filter(|n| *n != 0).map(|n| PidsResources { limit: Some(if n < 0 { -1 } else { n }) }),
        ..Resources::default()
    }))
}

/// The container's cgroup, below the hierarchies' own roots. None where none can be made.
pub(super) fn cgroup_path(inputs: &Inputs<'_>) -> Result<Option<String>> {
    let parent = match &inputs.request.cgroup_parent {
        None => "carboy",
        Some(parent) => checked_parent(parent)?,
    };
    if inputs.host.cgroups {
        return Ok(Some(format!("/{parent}/{}", inputs.id)));
    }
    match inputs.request.cgroup_parent {
        None => Ok(None),
        Some(_) => Err(Error::Unavailable("--cgroup-parent needs a cgroup that may be written".into())),
    }
}

fn checked_parent(path: &str) -> Result<&str> {
    let parent = path.trim_matches('/');
    let invalid = |why: &str| Err(Error::Invalid(format!("invalid cgroup parent {path:?}: {why}")));
    if parent.is_empty() || parent.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return invalid("a path below the root of the hierarchy is needed, without . and ..");
    }
    if parent.ends_with(".slice") {
        return invalid("slices are systemd's, and containers' cgroups are made directly (cgroupfs)");
    }
    Ok(parent)
}

fn memory(limits: &Limits, swap_limits: bool) -> Result<Option<MemoryResources>> {
    let Limits { memory, memory_swap, memory_reservation, .. } = *limits;
    if memory.is_none() && memory_swap.is_none() && memory_reservation.is_none() {
        return Ok(None);
    }
    if memory.is_some_and(|m| m < MIN_MEMORY) {
        return Err(Error::Invalid("Minimum memory limit allowed is 512KB".into()));
    }
    let swap = match (memory, memory_swap) {
        (None, Some(_)) => {
            return Err(Error::Invalid("You should always set the Memory limit when using Memoryswap limit".into()));
        }
        (Some(memory), Some(swap)) if swap > 0 && swap < memory => {
            return Err(Error::Invalid(
                "Minimum memoryswap limit should be larger than memory limit, see usage".into(),
            ));
        }
        (_, Some(_)) if !swap_limits => {
            return Err(Error::Unavailable("this kernel does not account swap, so --memory-swap cannot be set".into()));
        }
        (_, Some(swap)) if swap != 0 => Some(swap),
        // Docker's default: as much swap as memory.
        (Some(memory), _) if swap_limits => Some(memory.saturating_mul(2)),
        _ => None,
    };
    if let (Some(memory), Some(reservation)) = (memory, memory_reservation)
        && memory < reservation
    {
        return Err(Error::Invalid(
            "Minimum memory limit can not be less than memory reservation limit, see usage".into(),
        ));
    }
    Ok(Some(MemoryResources { limit: memory, swap, reservation: memory_reservation, ..MemoryResources::default() }))
}

fn cpu(limits: &Limits) -> Result<Option<CpuResources>> {
    let mut cpu = CpuResources {
        shares: limits.cpu_shares.filter(|n| *n != 0),
        quota: limits.cpu_quota.filter(|n| *n != 0),
        period: limits.cpu_period.filter(|n| *n != 0),
        cpus: limits.cpuset_cpus.clone(),
        mems: limits.cpuset_mems.clone(),
        ..CpuResources::default()
    };
    if let Some(nano) = limits.nano_cpus.filter(|n| *n != 0) {
        if cpu.quota.is_some() || cpu.period.is_some() {
            return Err(Error::Invalid(
                "Conflicting options: CPU period or quota cannot be set together with --cpus".into(),
            ));
        }
        if nano < 10_000_000 {
            return Err(Error::Invalid("Range of CPUs is from 0.01 upwards".into()));
        }
        // A period of 100 ms, as Docker takes it.
        cpu.period = Some(100_000);
        cpu.quota = Some(nano / 10_000);
    }
    if cpu.quota.is_some_and(|quota| quota > 0 && quota < 1000) {
        return Err(Error::Invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)".into()));
    }
    if cpu.period.is_some_and(|period| !(1000..=1_000_000).contains(&period)) {
        return Err(Error::Invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)".into(),
        ));
    }
    Ok((cpu != CpuResources::default()).then_some(cpu))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_become_quota_and_period() {
        let limits = Limits { nano_cpus: Some(1_500_000_000), ..Limits::default() };
        let cpu = cpu(&limits).unwrap().unwrap();
        assert_eq!((cpu.quota, cpu.period), (Some(150_000), Some(100_000)));
    }

    #[test]
    fn swap_follows_memory_where_it_is_accounted() {
        let limits = Limits { memory: Some(64 << 20), ..Limits::default() };
        assert_eq!(memory(&limits, true).unwrap().unwrap().swap, Some(128 << 20));
        assert_eq!(memory(&limits, false).unwrap().unwrap().swap, None);
    }

    #[test]
    fn senseless_limits_are_refused() {
        for limits in [
            Limits { memory: Some(1), ..Limits::default() },
            Limits { memory_swap: Some(1 << 30), ..Limits::default() },
            Limits { memory: Some(1 << 30), memory_swap: Some(1 << 20), ..Limits::default() },
            Limits { memory: Some(1 << 20), memory_reservation: Some(1 << 30), ..Limits::default() },
        ] {
            assert!(memory(&limits, true).is_err(), "{limits:?}");
        }
        assert!(cpu(&Limits { nano_cpus: Some(1), ..Limits::default() }).is_err());
        assert!(cpu(&Limits { cpu_quota: Some(10), ..Limits::default() }).is_err());
    }
}
