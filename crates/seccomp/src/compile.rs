//! From a profile to a program: for each `AUDIT_ARCH` a search tree over ranges of system call numbers.

use crate::arch::{ARM_PRIVATE, Arch, Named, X32_BIT, numbers};
use crate::bpf::{Jump, MAX_INSTRUCTIONS, Program, Target, push_range};
use crate::conditions;
use crate::error::SeccompError;
use crate::rules::{ENOSYS, Rules, hides_newer_calls, parse};
use crate::verdicts::{Verdict, Verdicts};
use carboy_oci::runtime::Seccomp;
use libc::sock_filter;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

/// What is to be handed to seccomp(2).
#[derive(Debug, Clone)]
pub struct Filter {
    /// The program.
    pub program: Vec<sock_filter>,
    /// `SECCOMP_FILTER_FLAG_*`; includes `NEW_LISTENER` exactly if [`Filter::notifies`].
    pub flags: u32,
    /// Whether some rule's action is `SCMP_ACT_NOTIFY`, so that there will be a listener to hand over.
    pub notifies: bool,
}

/// How many of the native system calls a profile lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Always allowed.
    pub allowed: usize,
    /// Allowed or not depending on arguments.
    pub conditional: usize,
    /// Never allowed.
    pub refused: usize,
}

/// Compiles a profile for the kernel of this build's architecture. See [`compile_for`].
pub fn compile(profile: &Seccomp) -> Result<Filter, SeccompError> {
    compile_for(profile, Arch::native())
}

/// Compiles a profile for kernels of one architecture.
///
/// Where the runtime-spec is silent this follows libseccomp and runc: the native architecture is always covered; calls from
/// architectures not listed kill the thread; those listed that the kernel cannot execute ([`foreign`]) need no rules, whatever their byte
/// order (libseccomp refuses those of the other one, and runc the container); names unknown to an architecture are ignored; a rule without comparisons overrides
/// those with, whatever their order, and of several the first counts; rules that repeat the default are dropped; numbers
/// above the largest that the profile names get ENOSYS, so that programs fall back to older calls. Among rules with comparisons the
/// first in the profile that holds counts. Rules with comparisons do not reach socketcall(2) and ipc(2), whose arguments lie
/// behind a pointer.
///
/// # Errors
/// A field with an unknown or impossible value, or a program too long for the kernel.
pub fn compile_for(profile: &Seccomp, native: Arch) -> Result<Filter, SeccompError> {
    let rules = parse(profile)?;
    let notifies = rules.rules.iter().any(|rule| rule.action == libc::SECCOMP_RET_USER_NOTIF);
    let flags = flags(profile)? | if notifies { libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as u32 } else { 0 };
    let archs = architectures(profile, native)?;

    let mut writer = Writer {
        program: Program::with_capacity(512),
        rules: &rules,
        verdicts: Verdicts::new(&rules),
        ranges: Vec::with_capacity(256),
    };
    let mut entry = Target::Return(libc::SECCOMP_RET_KILL_THREAD);
    // From the last to the first, so that the native architecture is tested first.
    for arch in archs.iter().rev().filter(|arch| **arch != Arch::X32) {
        let with_x32 = *arch == Arch::X86_64 && archs.contains(&Arch::X32);
        let tree = writer.tree(*arch, with_x32);
        entry = writer.program.branch(Jump::Equal, arch.audit(), tree, entry);
    }
    let entry = writer.program.load(ARCHITECTURE, entry);
    let program = writer.program.finish(entry);
    if program.len() > MAX_INSTRUCTIONS {
        return Err(SeccompError::TooLong(program.len()));
    }
    Ok(Filter { program, flags, notifies })
}

/// Counts what a profile says of the native architecture's system calls.
///
/// # Errors
/// As [`compile`].
pub fn summary(profile: &Seccomp) -> Result<Summary, SeccompError> {
    let native = Arch::native();
    let rules = parse(profile)?;
    let verdicts: Vec<_> = Verdicts::new(&rules).of(native).collect();
    let mut summary = Summary { allowed: 0, conditional: 0, refused: 0 };
    let lets_through = |action| matches!(action, libc::SECCOMP_RET_ALLOW | libc::SECCOMP_RET_LOG);
    for (_, number) in numbers(native) {
        let verdict = verdicts.binary_search_by_key(&number, |(n, _)| *n).map(|found| &verdicts[found].1);
        match verdict {
            Ok(Verdict::Conditional(_)) => summary.conditional += 1,
            Ok(Verdict::Always(action)) if lets_through(*action) => summary.allowed += 1,
            Err(_) if lets_through(rules.default_action) => summary.allowed += 1,
            _ => summary.refused += 1,
        }
    }
    Ok(summary)
}

/// The flags that a profile may hold.
pub const FLAGS: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

fn flags(profile: &Seccomp) -> Result<u32, SeccompError> {
    let mut flags = 0;
    for (position, flag) in profile.flags.iter().enumerate() {
        flags |= match flag.as_str() {
            // Only concerns other threads, of which there are none when a filter is installed before exec; and the kernel refuses it
            // together with a listener.
            "SECCOMP_FILTER_FLAG_TSYNC" => 0,
            "SECCOMP_FILTER_FLAG_LOG" => libc::SECCOMP_FILTER_FLAG_LOG as u32,
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW as u32,
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV as u32,
            other => return Err(SeccompError::unknown(format!("linux.seccomp.flags[{position}]"), other)),
        };
    }
    Ok(flags)
}

/// The architectures to write code for, the native one first.
fn architectures(profile: &Seccomp, native: Arch) -> Result<Vec<Arch>, SeccompError> {
    let mut archs = vec![native];
    for (position, name) in profile.architectures.iter().enumerate() {
        match Arch::named(name) {
            Named::Table(arch) if !arch.runs_on(native) || archs.contains(&arch) => {}
            Named::Table(arch) => archs.push(arch),
            Named::Foreign => {}
            Named::Unknown => {
                return Err(SeccompError::unknown(format!("linux.seccomp.architectures[{position}]"), name));
            }
        }
    }
    Ok(archs)
}

/// The architectures that a profile names and that no kernel of this build's executes: there is nothing to filter of them.
pub fn foreign(profile: &Seccomp) -> Vec<&str> {
    let native = Arch::native();
    let foreign = |name: &&String| match Arch::named(name) {
        Named::Table(arch) => !arch.runs_on(native),
        Named::Foreign => true,
        Named::Unknown => false,
    };
    profile.architectures.iter().filter(foreign).map(String::as_str).collect()
}

/// What is needed to write the search trees, and used for each of them.
struct Writer<'a> {
    program: Program,
    rules: &'a Rules,
    verdicts: Verdicts<'a>,
    ranges: Vec<(u32, Target)>,
}

impl Writer<'_> {
    /// The search tree of one `AUDIT_ARCH`, beginning with the load of the number.
    fn tree(&mut self, arch: Arch, with_x32: bool) -> Target {
        let default = Target::Return(self.rules.default_action);
        self.ranges.clear();
        self.append_ranges(arch, 0);
        if with_x32 {
            self.append_ranges(Arch::X32, X32_BIT);
        } else if arch == Arch::X86_64 {
            push_range(&mut self.ranges, X32_BIT, Target::Return(libc::SECCOMP_RET_KILL_THREAD));
            // -1 is what a tracer writes to skip a call; it has the x32 bit but is no x32 call.
            push_range(&mut self.ranges, u32::MAX, default);
        }
        let tree = self.program.tree(&self.ranges, default);
        self.program.load(NUMBER, tree)
    }

    fn append_ranges(&mut self, arch: Arch, first: u32) {
        let Writer { program, rules, verdicts, ranges } = self;
        let default = Target::Return(rules.default_action);
        push_range(ranges, first, default);
        let mut next = first;
        for (number, verdict) in verdicts.of(arch) {
            if number > next {
                let private = arch == Arch::Arm && number > ARM_PRIVATE && next < ARM_PRIVATE && next > 0;
                push_range(ranges, next, if private { newer(rules) } else { default });
                if private {
                    push_range(ranges, ARM_PRIVATE, default);
                }
            }
            let target = match verdict {
                Verdict::Always(action) => Target::Return(action),
                Verdict::Conditional(list) => conditions::emit(program, &list, arch.is_32_bit(), default),
            };
            push_range(ranges, number, target);
            next = number + 1;
        }
        push_range(ranges, next, if next == first { default } else { newer(rules) });
    }
}

/// What system calls get that are newer than the profile.
fn newer(rules: &Rules) -> Target {
    Target::Return(if hides_newer_calls(rules.default_action) { ENOSYS } else { rules.default_action })
}
