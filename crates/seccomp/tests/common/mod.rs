//! What a profile means, said twice: an interpreter for the program, and the rules read naively.

use carboy_oci::runtime::{Seccomp, SeccompArg, SeccompRule};
use carboy_seccomp::{Arch, SockFilter};
use std::collections::HashMap;

/// What a filter sees of a system call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) number: u32,
    pub(crate) audit: u32,
    pub(crate) args: [u64; 6],
}

/// Runs a program as the kernel would (net/core/filter.c), and checks what its verifier checks on the way. Also returns the
/// number of instructions that ran.
pub(crate) fn run(program: &[SockFilter], call: &Call) -> (u32, usize) {
    let mut data = [0u8; 64];
    data[..4].copy_from_slice(&call.number.to_ne_bytes());
    data[4..8].copy_from_slice(&call.audit.to_ne_bytes());
    for (index, arg) in call.args.iter().enumerate() {
        data[16 + 8 * index..][..8].copy_from_slice(&arg.to_ne_bytes());
    }
    let (mut accumulator, mut at, mut steps) = (0u32, 0usize, 0usize);
    loop {
        let SockFilter { code, jt, jf, k } = program[at];
        steps += 1;
        at += 1;
        let conditional = |holds: bool| usize::from(if holds { jt } else { jf });
        match code {
            0x20 => {
                assert_eq!(k % 4, 0);
                accumulator = u32::from_ne_bytes(data[k as usize..][..4].try_into().unwrap());
            }
            0x54 => accumulator &= k,
            0x05 => at += k as usize,
            0x15 => at += conditional(accumulator == k),
            0x25 => at += conditional(accumulator > k),
            0x35 => at += conditional(accumulator >= k),
            0x06 => return (k, steps),
            other => panic!("instruction {other:#x} at {}", at - 1),
        }
    }
}

/// The return value of an action.
pub(crate) fn value(action: &str, errno: Option<u32>) -> u32 {
    match action {
        "SCMP_ACT_ALLOW" => 0x7fff_0000,
        "SCMP_ACT_LOG" => 0x7ffc_0000,
        "SCMP_ACT_TRACE" => 0x7ff0_0000 | errno.unwrap_or(1),
        "SCMP_ACT_NOTIFY" => 0x7fc0_0000,
        "SCMP_ACT_ERRNO" => 0x0005_0000 | errno.unwrap_or(1),
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => 0,
        "SCMP_ACT_KILL_PROCESS" => 0x8000_0000,
        other => panic!("{other}"),
    }
}

fn holds(arg: &SeccompArg, call: &Call, narrow: bool) -> bool {
    let cut = |v: u64| if narrow { v & 0xffff_ffff } else { v };
    let (a, v, two) = (cut(call.args[arg.index as usize]), cut(arg.value), cut(arg.value_two));
    match arg.op.as_str() {
        "SCMP_CMP_NE" => a != v,
        "SCMP_CMP_LT" => a < v,
        "SCMP_CMP_LE" => a <= v,
        "SCMP_CMP_EQ" => a == v,
        "SCMP_CMP_GE" => a >= v,
        "SCMP_CMP_GT" => a > v,
        "SCMP_CMP_MASKED_EQ" => a & v == two & v,
        other => panic!("{other}"),
    }
}

/// A profile read naively for one listed architecture.
pub(crate) struct Meaning<'a> {
    rules: HashMap<u32, Vec<(&'a SeccompRule, u32)>>,
    narrow: bool,
    default: u32,
    newest: Option<u32>,
}

impl<'a> Meaning<'a> {
    pub(crate) fn new(profile: &'a Seccomp, arch: Arch) -> Self {
        let default = value(&profile.default_action, profile.default_errno_ret);
        let mut rules: HashMap<u32, Vec<_>> = HashMap::new();
        let mut newest = None;
        for rule in &profile.syscalls {
            let action = value(&rule.action, rule.errno_ret);
            for number in rule.names.iter().filter_map(|name| arch.number(name)) {
                newest = newest.max(Some(number));
                if action != default {
                    rules.entry(number).or_default().push((rule, action));
                }
            }
        }
        let lenient =
            [0x7fff_0000, 0x7ffc_0000, 0x7ff0_0000].contains(&(default & 0xffff_0000)) || default == 0x0005_0026;
        let narrow = matches!(arch, Arch::X86 | Arch::X32 | Arch::Arm);
        Meaning { rules, narrow, default, newest: newest.filter(|_| !lenient) }
    }

    /// The filter's answer.
    pub(crate) fn of(&self, call: &Call) -> u32 {
        let rules = self.rules.get(&call.number).map(Vec::as_slice).unwrap_or_default();
        let always = rules.iter().find(|(rule, _)| rule.args.is_empty());
        let first = || rules.iter().find(|(rule, _)| rule.args.iter().all(|arg| holds(arg, call, self.narrow)));
        match always.or_else(first) {
            Some((_, action)) => *action,
            None if self.newest.is_some_and(|newest| call.number > newest) => 0x0005_0026,
            None => self.default,
        }
    }
}
