//! How the process is scheduled and where its memory lies: scheduler, I/O priority, CPUs, memory policy, execution domain.

use super::Planner;
use crate::error::{Error, Result};
use crate::step::{Action, When};
use carboy_oci::runtime::{CpuAffinity, Linux, MemoryPolicy, Personality, Process, Scheduler};
use carboy_sys::priority::SchedAttr;

const POLICIES: &[(&str, u32)] = &[
    ("SCHED_OTHER", 0),
    ("SCHED_FIFO", 1),
    ("SCHED_RR", 2),
    ("SCHED_BATCH", 3),
    ("SCHED_ISO", 4),
    ("SCHED_IDLE", 5),
    ("SCHED_DEADLINE", 6),
];

const SCHEDULER_FLAGS: &[(&str, u64)] = &[
    ("SCHED_FLAG_RESET_ON_FORK", 1),
    ("SCHED_FLAG_RECLAIM", 2),
    ("SCHED_FLAG_DL_OVERRUN", 4),
    ("SCHED_FLAG_KEEP_POLICY", 8),
    ("SCHED_FLAG_KEEP_PARAMS", 16),
    ("SCHED_FLAG_UTIL_CLAMP_MIN", 32),
    ("SCHED_FLAG_UTIL_CLAMP_MAX", 64),
];

const MEMORY_MODES: &[&str] = &[
    "MPOL_DEFAULT",
    "MPOL_PREFERRED",
    "MPOL_BIND",
    "MPOL_INTERLEAVE",
    "MPOL_LOCAL",
    "MPOL_PREFERRED_MANY",
    "MPOL_WEIGHTED_INTERLEAVE",
];

const MEMORY_FLAGS: &[(&str, i32)] =
    &[("MPOL_F_STATIC_NODES", 1 << 15), ("MPOL_F_RELATIVE_NODES", 1 << 14), ("MPOL_F_NUMA_BALANCING", 1 << 13)];

/// Memory policies that are understood.
pub fn memory_modes() -> &'static [&'static str] {
    MEMORY_MODES
}

/// Their flags.
pub fn memory_flags() -> Vec<&'static str> {
    MEMORY_FLAGS.iter().map(|(name, _)| *name).collect()
}

impl Planner<'_> {
    /// CPUs of a process that joins a container: while it moves into the cgroup, and from then on.
    pub fn affinity(&mut self, affinity: Option<&CpuAffinity>, when: When) -> Result<()> {
        let Some(affinity) = affinity else { return Ok(()) };
        let (field, list) = match when {
            When::Initial => ("process.execCPUAffinity.initial", &affinity.initial),
            When::Final => ("process.execCPUAffinity.final", &affinity.r#final),
        };
        let Some(list) = list.as_deref().filter(|list| !list.is_empty()) else { return Ok(()) };
        let cpus = parse_list(list).filter(|cpus| !cpus.is_empty());
        let cpus = cpus.ok_or_else(|| Error::invalid(field, format!("{list:?} is no list of CPUs")))?;
        match when {
            When::Initial => self.runtime(field, Action::Affinity(when, cpus)),
            When::Final => self.init(field, Action::Affinity(when, cpus)),
        }
        Ok(())
    }

    /// Scheduler, I/O priority, execution domain, memory policy.
    pub fn priorities(&mut self, process: &Process, linux: &Linux) -> Result<()> {
        if let Some(value) = &process.scheduler {
            self.init("process.scheduler", Action::Scheduler(scheduler(value)?));
        }
        if let Some(value) = &process.io_priority {
            let class =
                ["IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"].iter().position(|c| *c == value.class);
            let class =
                class.ok_or_else(|| Error::invalid("process.ioPriority.class", format!("{:?}", value.class)))?;
            let level = u32::try_from(value.priority).ok().filter(|level| *level <= 7);
            let level = level.ok_or_else(|| Error::invalid("process.ioPriority.priority", "must be 0 to 7"))?;
            self.init("process.ioPriority", Action::IoPriority(class as u32 + 1, level));
        }
        if let Some(value) = &linux.personality {
            self.init("linux.personality", Action::Personality(personality(value)?));
        }
        if let Some(value) = &linux.memory_policy {
            let (mode, nodes) = memory_policy(value)?;
            self.init("linux.memoryPolicy", Action::MemoryPolicy(mode, nodes));
        }
        Ok(())
    }
}

fn scheduler(value: &Scheduler) -> Result<SchedAttr> {
    let policy = POLICIES.iter().find(|(name, _)| *name == value.policy);
    let (_, policy) =
        policy.ok_or_else(|| Error::invalid("process.scheduler.policy", format!("{:?} is none", value.policy)))?;
    let mut flags = 0;
    for flag in &value.flags {
        let known = SCHEDULER_FLAGS.iter().find(|(name, _)| name == flag);
        flags |= known.ok_or_else(|| Error::invalid("process.scheduler.flags", format!("{flag:?} is none")))?.1;
    }
    let priority =
        u32::try_from(value.priority).map_err(|_| Error::invalid("process.scheduler.priority", "is negative"))?;
    contradictions(value)?;
    let SchedAttr { size, .. } = SchedAttr::default();
    let (runtime, deadline, period) = (value.runtime, value.deadline, value.period);
    Ok(SchedAttr { size, policy: *policy, flags, nice: value.nice, priority, runtime, deadline, period })
}

fn personality(value: &Personality) -> Result<u64> {
    if !value.flags.is_empty() {
        return Err(Error::invalid("linux.personality.flags", "no flags are defined"));
    }
    match value.domain.as_str() {
        "LINUX" => Ok(0),
        "LINUX32" => Ok(8),
        other => Err(Error::invalid("linux.personality.domain", format!("{other:?} is none"))),
    }
}

fn memory_policy(value: &MemoryPolicy) -> Result<(i32, Vec<u64>)> {
    let mode = MEMORY_MODES.iter().position(|mode| *mode == value.mode);
    let mut mode =
        mode.ok_or_else(|| Error::invalid("linux.memoryPolicy.mode", format!("{:?} is none", value.mode)))? as i32;
    for flag in &value.flags {
        let known = MEMORY_FLAGS.iter().find(|(name, _)| name == flag);
        mode |= known.ok_or_else(|| Error::invalid("linux.memoryPolicy.flags", format!("{flag:?} is none")))?.1;
    }
    let nodes = parse_list(&value.nodes)
        .ok_or_else(|| Error::invalid("linux.memoryPolicy.nodes", format!("{:?} is no list", value.nodes)))?;
    Ok((mode, nodes))
}

/// A list such as `0-3,7` as a bit mask; numbers up to 1023.
fn parse_list(text: &str) -> Option<Vec<u64>> {
    let mut mask = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last > 1023 {
            return None;
        }
        mask.resize(mask.len().max(last / 64 + 1), 0u64);
        (first..=last).for_each(|bit| mask[bit / 64] |= 1 << (bit % 64));
    }
    Some(mask)
}

/// What sched_setattr(2) would refuse without saying why, and what it would ignore.
fn contradictions(value: &Scheduler) -> Result<()> {
    let real_time = matches!(value.policy.as_str(), "SCHED_FIFO" | "SCHED_RR");
    if !(-20..=19).contains(&value.nice) {
        return Err(Error::invalid("process.scheduler.nice", "must be -20 to 19"));
    }
    if value.priority != 0 && !real_time {
        return Err(Error::invalid("process.scheduler.priority", "can only be specified for SCHED_FIFO and SCHED_RR"));
    }
    if value.policy != "SCHED_DEADLINE" && (value.runtime, value.deadline, value.period) != (0, 0, 0) {
        let reason = "runtime, deadline and period can only be specified for SCHED_DEADLINE";
        return Err(Error::invalid("process.scheduler", reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_become_masks() {
        assert_eq!(parse_list("0-3,65"), Some(vec![0b1111, 0b10]));
        assert_eq!(parse_list(""), Some(vec![]));
        assert_eq!(parse_list("3-1"), None);
        assert_eq!(parse_list("x"), None);
    }

    #[test]
    fn contradicting_schedulers_are_refused() {
        let value = |policy: &str, nice, priority, runtime| Scheduler {
            policy: policy.into(),
            nice,
            priority,
            runtime,
            ..Scheduler::default()
        };
        assert!(scheduler(&value("SCHED_BATCH", 5, 0, 0)).is_ok());
        assert!(scheduler(&value("SCHED_FIFO", 0, 10, 0)).is_ok());
        for (bad, word) in [
            (value("SCHED_FOO", 0, 0, 0), "policy"),
            (value("SCHED_OTHER", 20, 0, 0), "nice"),
            (value("SCHED_OTHER", 0, 1, 0), "priority"),
            (value("SCHED_FIFO", 0, 1, 5), "deadline"),
        ] {
            assert!(scheduler(&bad).unwrap_err().to_string().contains(word));
        }
    }
}
