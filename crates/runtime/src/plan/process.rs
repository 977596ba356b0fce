//! The spec's process as steps: limits, priorities, filter, identity, program. Shared by `create` and `exec`.

use super::{Planner, capabilities};
use crate::error::{Error, Result};
use crate::step::{Action, Filter, Identity, Limit, Program};
use carboy_oci::runtime::{Linux, MemoryPolicy, Personality, Process, Rlimit, Scheduler, Seccomp};
use carboy_sys::priority::SchedAttr;
use carboy_wire::plan::Actor;
use rustix::process::Resource;

const LIMITS: &[(&str, &str, Resource)] = &[
    ("RLIMIT_CPU", "cpu", Resource::Cpu),
    ("RLIMIT_FSIZE", "fsize", Resource::Fsize),
    ("RLIMIT_DATA", "data", Resource::Data),
    ("RLIMIT_STACK", "stack", Resource::Stack),
    ("RLIMIT_CORE", "core", Resource::Core),
    ("RLIMIT_RSS", "rss", Resource::Rss),
    ("RLIMIT_NPROC", "nproc", Resource::Nproc),
    ("RLIMIT_NOFILE", "nofile", Resource::Nofile),
    ("RLIMIT_MEMLOCK", "memlock", Resource::Memlock),
    ("RLIMIT_AS", "as", Resource::As),
    ("RLIMIT_LOCKS", "locks", Resource::Locks),
    ("RLIMIT_SIGPENDING", "sigpending", Resource::Sigpending),
    ("RLIMIT_MSGQUEUE", "msgqueue", Resource::Msgqueue),
    ("RLIMIT_NICE", "nice", Resource::Nice),
    ("RLIMIT_RTPRIO", "rtprio", Resource::Rtprio),
    ("RLIMIT_RTTIME", "rttime", Resource::Rttime),
];

/// Where programs are looked for if the environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// `RLIM_INFINITY` is all ones, both in the kernel and in configurations.
fn limit(value: u64) -> Option<u64> {
    (value != u64::MAX).then_some(value)
}

/// The resource limits of a process.
pub fn limits(list: &[Rlimit]) -> Result<Vec<Limit>> {
    let mut result: Vec<Limit> = Vec::with_capacity(list.len());
    for (index, entry) in list.iter().enumerate() {
        let field = |name: &str| format!("process.rlimits[{index}].{name}");
        let (_, name, resource) = LIMITS
            .iter()
            .find(|(known, ..)| *known == entry.kind)
            .ok_or_else(|| Error::invalid(field("type"), format!("{:?} is no limit", entry.kind)))?;
        if result.iter().any(|seen| seen.name == *name) {
            return Err(Error::invalid(field("type"), format!("{:?} is listed twice", entry.kind)));
        }
        if entry.soft > entry.hard {
            return Err(Error::invalid(field("soft"), "exceeds the hard limit"));
        }
        result.push(Limit { name, resource: *resource, soft: limit(entry.soft), hard: limit(entry.hard) });
    }
    Ok(result)
}

/// Checks what must hold of any process.
pub fn check(process: &Process) -> Result<()> {
    if process.args.is_empty() {
        return Err(Error::invalid("process.args", "is empty"));
    }
    if !process.cwd.starts_with('/') {
        return Err(Error::invalid("process.cwd", format!("{:?} is not absolute", process.cwd)));
    }
    let user = &process.user;
    for (field, ids) in [("uid", &[user.uid][..]), ("gid", &[user.gid]), ("additionalGids", &user.additional_gids)] {
        // To the kernel it means "leave it as it is", which is the runtime's own.
        if ids.contains(&u32::MAX) {
            return Err(Error::invalid(format!("process.user.{field}"), format!("{} is no ID", u32::MAX)));
        }
    }
    let strings = process.args.iter().chain(&process.env);
    if strings.chain([&process.cwd]).any(|text| text.contains('\0')) {
        return Err(Error::invalid("process", "a string holds a NUL"));
    }
    Ok(())
}

impl Planner<'_> {
    /// What the process becomes, in the order that privileges require.
    pub fn process(&mut self, process: &Process, linux: &Linux, preserved: u32, outer_limits: bool) -> Result<()> {
        let limits = limits(&process.rlimits)?;
        if !limits.is_empty() && !outer_limits {
            self.init("process.rlimits", Action::Limits(limits));
        }
        self.priorities(process, linux)?;
        self.labels(process)?;
        // Before anything is looked up by a path that the container could shape: a name such as /proc/self/fd/7/../bin/sh would lead
        // out through a descriptor that is closed by execve only (CVE-2024-21626).
        self.init("", Action::Descriptors(preserved));
        let early = !process.no_new_privileges;
        if process.no_new_privileges {
            self.init("process.noNewPrivileges", Action::NoNewPrivileges);
        }
        let filter = linux.seccomp.as_ref().map(seccomp_filter).transpose()?.flatten();
        // Without no_new_privs only CAP_SYS_ADMIN may install a filter, so it precedes the loss of capabilities; with it, the
        // filter comes last, so that the profile need not permit what happens in between.
        let notifies = filter.as_ref().is_some_and(|filter| filter.listener.is_some());
        let (before, mut after) = if early { (filter, None) } else { (None, filter) };
        if let Some(filter) = before {
            self.init("linux.seccomp", Action::Seccomp(filter));
        }
        self.init("process.cwd", Action::WorkingDirectory(process.cwd.clone()));
        let identity = self.identity(process);
        self.init("process.user", Action::Identity(identity));
        let path = process.env.iter().rev().find_map(|entry| entry.strip_prefix("PATH="));
        self.init("process.args", Action::Find(process.args[0].clone(), path.unwrap_or(DEFAULT_PATH).to_owned()));
        if notifies && let Some(filter) = after.take() {
            // The listener gets its descriptor from the runtime, which does not wait for `start`.
            self.init("linux.seccomp", Action::Seccomp(filter));
        }
        self.late_filter = after;
        self.program = Program { args: process.args.clone(), env: process.env.clone() };
        Ok(())
    }

    /// The last steps: filter, program.
    pub fn execute(&mut self) {
        if let Some(filter) = self.late_filter.take() {
            self.init("linux.seccomp", Action::Seccomp(filter));
        }
        let program = std::mem::take(&mut self.program);
        self.init("process.args", Action::Execute(program));
    }

    fn priorities(&mut self, process: &Process, linux: &Linux) -> Result<()> {
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

    fn labels(&mut self, process: &Process) -> Result<()> {
        let set = |label: &Option<String>| label.clone().filter(|label| !label.is_empty());
        if let Some(label) = set(&process.selinux_label) {
            if !self.host.selinux {
                return Err(Error::invalid("process.selinuxLabel", "is given, but this kernel has no SELinux"));
            }
            self.init("process.selinuxLabel", Action::Selinux(label));
        }
        if let Some(profile) = set(&process.apparmor_profile) {
            if !self.host.apparmor {
                return Err(Error::invalid("process.apparmorProfile", "is given, but this kernel has no AppArmor"));
            }
            self.init("process.apparmorProfile", Action::AppArmor(profile));
        }
        Ok(())
    }

    fn identity(&mut self, process: &Process) -> Identity {
        let capabilities = process.capabilities.as_ref().map(|sets| {
            let (masks, unknown) = capabilities::masks(sets);
            self.warnings.extend(unknown.into_iter().map(|name| format!("ignoring unknown capability {name}")));
            masks
        });
        let user = &process.user;
        // Where setgroups(2) is denied nothing can be set, and an empty list needs nothing.
        let groups = (!self.setgroups_denied || !user.additional_gids.is_empty()).then(|| user.additional_gids.clone());
        Identity { uid: user.uid, gid: user.gid, groups, umask: user.umask, capabilities }
    }

    /// A step of the init process.
    pub fn init(&mut self, from: impl Into<std::borrow::Cow<'static, str>>, action: Action) {
        self.push(Actor::Init, from, action);
    }
}

fn scheduler(value: &Scheduler) -> Result<SchedAttr> {
    const POLICIES: &[(&str, u32)] = &[
        ("SCHED_OTHER", 0),
        ("SCHED_FIFO", 1),
        ("SCHED_RR", 2),
        ("SCHED_BATCH", 3),
        ("SCHED_ISO", 4),
        ("SCHED_IDLE", 5),
        ("SCHED_DEADLINE", 6),
    ];
    const FLAGS: &[(&str, u64)] = &[
        ("SCHED_FLAG_RESET_ON_FORK", 1),
        ("SCHED_FLAG_RECLAIM", 2),
        ("SCHED_FLAG_DL_OVERRUN", 4),
        ("SCHED_FLAG_KEEP_POLICY", 8),
        ("SCHED_FLAG_KEEP_PARAMS", 16),
        ("SCHED_FLAG_UTIL_CLAMP_MIN", 32),
        ("SCHED_FLAG_UTIL_CLAMP_MAX", 64),
    ];
    let policy = POLICIES.iter().find(|(name, _)| *name == value.policy);
    let (_, policy) =
        policy.ok_or_else(|| Error::invalid("process.scheduler.policy", format!("{:?} is none", value.policy)))?;
    let mut flags = 0;
    for flag in &value.flags {
        let known = FLAGS.iter().find(|(name, _)| name == flag);
        flags |= known.ok_or_else(|| Error::invalid("process.scheduler.flags", format!("{flag:?} is none")))?.1;
    }
    let priority =
        u32::try_from(value.priority).map_err(|_| Error::invalid("process.scheduler.priority", "is negative"))?;
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
    const MODES: &[&str] = &[
        "MPOL_DEFAULT",
        "MPOL_PREFERRED",
        "MPOL_BIND",
        "MPOL_INTERLEAVE",
        "MPOL_LOCAL",
        "MPOL_PREFERRED_MANY",
        "MPOL_WEIGHTED_INTERLEAVE",
    ];
    const FLAGS: &[(&str, i32)] =
        &[("MPOL_F_STATIC_NODES", 1 << 15), ("MPOL_F_RELATIVE_NODES", 1 << 14), ("MPOL_F_NUMA_BALANCING", 1 << 13)];
    let mode = MODES.iter().position(|mode| *mode == value.mode);
    let mut mode =
        mode.ok_or_else(|| Error::invalid("linux.memoryPolicy.mode", format!("{:?} is none", value.mode)))? as i32;
    for flag in &value.flags {
        let known = FLAGS.iter().find(|(name, _)| name == flag);
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

/// The profile compiled; `None` if it would permit everything.
fn seccomp_filter(profile: &Seccomp) -> Result<Option<Filter>> {
    crate::filter::compile(profile)
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
    fn limits_are_checked() {
        let entry = |kind: &str, soft, hard| Rlimit { kind: kind.into(), soft, hard };
        let ok = limits(&[entry("RLIMIT_NOFILE", 10, u64::MAX)]).unwrap();
        assert_eq!((ok[0].soft, ok[0].hard), (Some(10), None));
        for bad in [
            vec![entry("RLIMIT_FOO", 1, 1)],
            vec![entry("RLIMIT_AS", 2, 1)],
            vec![entry("RLIMIT_AS", 1, 1), entry("RLIMIT_AS", 1, 1)],
        ] {
            assert!(limits(&bad).is_err());
        }
    }
}
