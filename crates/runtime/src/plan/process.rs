//! The spec's process as steps: limits, filter, identity, program. Shared by `create` and `exec`.

use super::{Planner, capabilities};
use crate::error::{Error, Result};
use crate::step::{Action, Filter, Identity, Limit, Program};
use carboy_oci::runtime::{Linux, Process, Rlimit, Seccomp};
use carboy_sys::clone::flag;
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
        let filter = linux.seccomp.as_deref().map(seccomp_filter).transpose()?.flatten();
        let foreign = linux.seccomp.as_deref().map(carboy_seccomp::foreign).unwrap_or_default();
        if !foreign.is_empty() {
            let reason = "this kernel executes no such programs, so there is nothing to filter";
            self.warnings.push(format!("linux.seccomp.architectures: {} ignored: {reason}", foreign.join(", ")));
        }
        // Without no_new_privs only CAP_SYS_ADMIN may install a filter, so it precedes the loss of capabilities; with it, the
        // filter comes last, so that the profile need not permit what happens in between.
        let notifies = filter.as_ref().is_some_and(|filter| filter.listener.is_some());
        let (before, mut after) = if early { (filter, None) } else { (None, filter) };
        if let Some(filter) = before {
            self.init("linux.seccomp", Action::Seccomp(filter));
        }
        self.init("process.cwd", Action::WorkingDirectory { path: process.cwd.clone(), make: self.make_cwd });
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

    fn labels(&mut self, process: &Process) -> Result<()> {
        let set = |label: &Option<String>| label.clone().filter(|label| !label.is_empty());
        if let Some(label) = set(&process.selinux_label) {
            // runc's words.
            let without = "selinux label is specified in config, but selinux is disabled or not supported";
            self.check_label("process.selinuxLabel", &label, without)?;
            self.init("process.selinuxLabel", Action::Selinux(label));
        }
        if let Some(profile) = set(&process.apparmor_profile) {
            if !self.host.apparmor {
                return Err(Error::invalid(
                    "process.apparmorProfile",
                    "apparmor: config provided but apparmor not supported",
                ));
            }
            self.init("process.apparmorProfile", Action::AppArmor(profile));
        }
        Ok(())
    }

    /// Refuses an SELinux label that this kernel does not know, or `without` SELinux any.
    pub(super) fn check_label(&self, field: &str, label: &str, without: &str) -> Result<()> {
        if !self.host.selinux {
            return Err(Error::invalid(field, without));
        }
        if self.host.unknown_labels.iter().any(|unknown| unknown == label) {
            return Err(Error::invalid(field, format!("SELinux's policy does not know {label:?}")));
        }
        Ok(())
    }

    fn identity(&mut self, process: &Process) -> Identity {
        let capabilities =
            process.capabilities.as_ref().map(|sets| {
                let (asked, unknown) = capabilities::masks(sets);
                self.warnings.extend(unknown.into_iter().map(|name| format!("ignoring unknown capability {name}")));
                let (masks, lost) = capabilities::granted(asked, self.grantable);
                self.warnings.extend(
                    capabilities::names(lost).map(|name| format!("ignoring capability {name}: it cannot be granted")),
                );
                self.warnings.extend(capabilities::names(asked.ambient & !masks.ambient).map(|name| {
                    format!("ignoring ambient capability {name}: it is not both permitted and inheritable")
                }));
                masks
            });
        let user = &process.user;
        // Where setgroups(2) is denied nothing can be set, and an empty list needs nothing.
        let groups = (!self.setgroups_denied || !user.additional_gids.is_empty()).then(|| user.additional_gids.clone());
        let root_stays = self.own & flag::NEWUSER == 0 && (user.uid, user.gid) == (0, 0);
        Identity { uid: user.uid, gid: user.gid, root_stays, groups, umask: user.umask, capabilities }
    }

    /// A step of the init process.
    pub fn init(&mut self, from: impl Into<std::borrow::Cow<'static, str>>, action: Action) {
        self.push(Actor::Init, from, action);
    }
}

/// The profile compiled; `None` if it would permit everything.
fn seccomp_filter(profile: &Seccomp) -> Result<Option<Filter>> {
    crate::filter::compile(profile)
}

#[cfg(test)]
mod tests {
    use super::*;

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
