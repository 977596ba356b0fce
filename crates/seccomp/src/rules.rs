//! A profile's fields checked and turned into numbers: actions into return values, comparisons into operators.

use crate::arch::Lookup;
use crate::error::SeccompError;
use crate::table::SYSCALLS;
use carboy_oci::runtime::{Names, Seccomp, SeccompArg};

/// Largest errno the kernel passes on (`MAX_ERRNO`).
const MAX_ERRNO: u32 = 4095;
const EPERM: u32 = libc::EPERM as u32;

/// The actions that a rule may have.
pub const ACTIONS: [&str; 9] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];

/// The comparisons that a rule may make.
pub const OPERATORS: [&str; 7] =
    ["SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"];

/// One comparison of a 64-bit argument. Inclusive forms are kept apart so that no bound overflows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    NotEqual,
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
    /// `(argument & mask) == value`.
    Masked(u64),
}

/// One comparison of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// 0 to 5.
    pub(crate) index: u32,
    pub(crate) operator: Operator,
    pub(crate) value: u64,
}

impl Comparison {
    /// Whether an argument fits.
    pub(crate) fn holds(&self, argument: u64) -> bool {
        match self.operator {
            Operator::NotEqual => argument != self.value,
            Operator::Less => argument < self.value,
            Operator::LessOrEqual => argument <= self.value,
            Operator::Equal => argument == self.value,
            Operator::GreaterOrEqual => argument >= self.value,
            Operator::Greater => argument > self.value,
            Operator::Masked(mask) => argument & mask == self.value,
        }
    }

    /// As libseccomp compares on architectures with 32-bit arguments: lower halves only.
    pub(crate) fn narrowed(mut self) -> Self {
        self.value &= 0xffff_ffff;
        if let Operator::Masked(mask) = &mut self.operator {
            *mask &= 0xffff_ffff;
        }
        self
    }
}

/// What happens when all comparisons hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The filter's return value.
    pub(crate) action: u32,
    /// All must hold; none means always.
    pub(crate) comparisons: Vec<Comparison>,
}

/// The rules of a profile.
pub(crate) struct Rules {
    pub(crate) default_action: u32,
    /// In the profile's order.
    pub(crate) rules: Vec<Rule>,
    /// System calls (positions in the table) and the positions of the rules they have. Names that no architecture knows are gone.
    pub(crate) named: Vec<(u16, u32)>,
}

impl Rules {
    fn add(&mut self, names: &Names, rule: Rule) {
        let position = self.rules.len() as u32;
        // As libseccomp, a rule without comparisons also covers the way through the multiplexer.
        let multiplexes = rule.comparisons.is_empty();
        let action = rule.action;
        self.rules.push(rule);
        let (mut calls, mut multiplexed) = (Lookup::new(&SYSCALLS), Lookup::new(&MULTIPLEXED));
        for name in names.iter() {
            let Some(call) = calls.find(name) else { continue };
            self.named.push((call as u16, position));
            if multiplexes && let Some(way) = multiplexed.find(name) {
                self.add_multiplexed(way, action);
            }
        }
    }

    fn add_multiplexed(&mut self, way: usize, action: u32) {
        let (multiplexer, value) = MULTIPLEXED[way].1;
        if let Some(call) = Lookup::new(&SYSCALLS).find(multiplexer) {
            self.named.push((call as u16, self.rules.len() as u32));
            let comparison = Comparison { index: 0, operator: Operator::Equal, value };
            self.rules.push(Rule { action, comparisons: vec![comparison] });
        }
    }
}

/// 32-bit x86 reaches the socket and System V IPC calls also through two multiplexers, whose first argument names the call
/// (linux/net.h, linux/ipc.h). Sorted by name.
static MULTIPLEXED: [(&str, (&str, u64)); 32] = [
    ("accept", ("socketcall", 5)),
    ("accept4", ("socketcall", 18)),
    ("bind", ("socketcall", 2)),
    ("connect", ("socketcall", 3)),
    ("getpeername", ("socketcall", 7)),
    ("getsockname", ("socketcall", 6)),
    ("getsockopt", ("socketcall", 15)),
    ("listen", ("socketcall", 4)),
    ("msgctl", ("ipc", 14)),
    ("msgget", ("ipc", 13)),
    ("msgrcv", ("ipc", 12)),
    ("msgsnd", ("ipc", 11)),
    ("recv", ("socketcall", 10)),
    ("recvfrom", ("socketcall", 12)),
    ("recvmmsg", ("socketcall", 19)),
    ("recvmsg", ("socketcall", 17)),
    ("semctl", ("ipc", 3)),
    ("semget", ("ipc", 2)),
    ("semop", ("ipc", 1)),
    ("semtimedop", ("ipc", 4)),
    ("send", ("socketcall", 9)),
    ("sendmmsg", ("socketcall", 20)),
    ("sendmsg", ("socketcall", 16)),
    ("sendto", ("socketcall", 11)),
    ("setsockopt", ("socketcall", 14)),
    ("shmat", ("ipc", 21)),
    ("shmctl", ("ipc", 24)),
    ("shmdt", ("ipc", 22)),
    ("shmget", ("ipc", 23)),
    ("shutdown", ("socketcall", 13)),
    ("socket", ("socketcall", 1)),
    ("socketpair", ("socketcall", 8)),
];

/// Whether runc would answer ENOSYS for system calls newer than the profile: not if the default lets calls through, nor if it is
/// ENOSYS already (libcontainer/seccomp/patchbpf).
pub(crate) fn hides_newer_calls(default_action: u32) -> bool {
    !matches!(
        default_action & libc::SECCOMP_RET_ACTION_FULL,
        libc::SECCOMP_RET_ALLOW | libc::SECCOMP_RET_LOG | libc::SECCOMP_RET_TRACE
    ) && default_action != ENOSYS
}

/// `SECCOMP_RET_ERRNO` with ENOSYS.
pub(crate) const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

/// Checks every field that concerns rules.
pub(crate) fn parse(profile: &Seccomp) -> Result<Rules, SeccompError> {
    let default_action = action(&profile.default_action, profile.default_errno_ret, || {
        ("linux.seccomp.defaultAction".to_owned(), "linux.seccomp.defaultErrnoRet".to_owned())
    })?;
    if default_action == libc::SECCOMP_RET_USER_NOTIF {
        return Err(SeccompError::invalid(
            "linux.seccomp.defaultAction",
            "SCMP_ACT_NOTIFY cannot be the default: the listener could never be handed over",
        ));
    }
    let mut rules = Rules {
        default_action,
        rules: Vec::with_capacity(profile.syscalls.len() + 32),
        named: Vec::with_capacity(512),
    };
    for (position, entry) in profile.syscalls.iter().enumerate() {
        let field = |name: &str| format!("linux.seccomp.syscalls[{position}].{name}");
        let action = action(&entry.action, entry.errno_ret, || (field("action"), field("errnoRet")))?;
        if entry.names.is_empty() || entry.names.iter().any(str::is_empty) {
            return Err(SeccompError::invalid(field("names"), "a system call's name is missing"));
        }
        if action == libc::SECCOMP_RET_USER_NOTIF && entry.names.iter().any(|name| name == "write") {
            return Err(SeccompError::invalid(
                field("action"),
                "SCMP_ACT_NOTIFY cannot be used for write: handing over the listener needs it",
            ));
        }
        let comparisons = entry
            .args
            .iter()
            .enumerate()
            .map(|(number, arg)| comparison(arg, || format!("{}[{number}]", field("args"))))
            .collect::<Result<Vec<_>, _>>()?;
        // As runc: a rule that only repeats the default does not exist, and so hides no later rule.
        if action == default_action {
            continue;
        }
        // As runc: comparisons of one argument are alternatives, each a rule of its own.
        let repeated = (0..6).any(|index| comparisons.iter().filter(|c| c.index == index).count() > 1);
        if repeated {
            for comparison in comparisons {
                rules.add(&entry.names, Rule { action, comparisons: vec![comparison] });
            }
        } else {
            rules.add(&entry.names, Rule { action, comparisons });
        }
    }
    Ok(rules)
}

/// An action and its errno as the filter's return value. `fields` names the two fields.
fn action(name: &str, errno: Option<u32>, fields: impl Fn() -> (String, String)) -> Result<u32, SeccompError> {
    let (base, takes_errno) = match name {
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => (libc::SECCOMP_RET_KILL_THREAD, false),
        "SCMP_ACT_KILL_PROCESS" => (libc::SECCOMP_RET_KILL_PROCESS, false),
        "SCMP_ACT_TRAP" => (libc::SECCOMP_RET_TRAP, false),
        "SCMP_ACT_ERRNO" => (libc::SECCOMP_RET_ERRNO, true),
        "SCMP_ACT_TRACE" => (libc::SECCOMP_RET_TRACE, true),
        "SCMP_ACT_ALLOW" => (libc::SECCOMP_RET_ALLOW, false),
        "SCMP_ACT_LOG" => (libc::SECCOMP_RET_LOG, false),
        "SCMP_ACT_NOTIFY" => (libc::SECCOMP_RET_USER_NOTIF, false),
        _ => return Err(SeccompError::unknown(fields().0, name)),
    };
    match errno {
        None if takes_errno => Ok(base | EPERM),
        None => Ok(base),
        // runtime-spec: "When the action doesn't support an errno, the runtime MUST print and error and fail."
        Some(_) if !takes_errno => Err(SeccompError::invalid(fields().1, format!("{name} takes no errno"))),
        Some(errno) if errno > MAX_ERRNO => {
            Err(SeccompError::invalid(fields().1, format!("{errno} is above the largest errno, {MAX_ERRNO}")))
        }
        Some(errno) => Ok(base | errno),
    }
}

fn comparison(arg: &SeccompArg, field: impl Fn() -> String) -> Result<Comparison, SeccompError> {
    if arg.index > 5 {
        return Err(SeccompError::invalid(
            format!("{}.index", field()),
            format!("{} is above 5, the last argument of a system call", arg.index),
        ));
    }
    let mut value = arg.value;
    let operator = match arg.op.as_str() {
        "SCMP_CMP_NE" => Operator::NotEqual,
        "SCMP_CMP_LT" => Operator::Less,
        "SCMP_CMP_LE" => Operator::LessOrEqual,
        "SCMP_CMP_EQ" => Operator::Equal,
        "SCMP_CMP_GE" => Operator::GreaterOrEqual,
        "SCMP_CMP_GT" => Operator::Greater,
        // seccomp_rule_add(3): "Matches when the masked argument value is equal to the masked datum value".
        "SCMP_CMP_MASKED_EQ" => {
            value = arg.value_two & arg.value;
            Operator::Masked(arg.value)
        }
        other => return Err(SeccompError::unknown(format!("{}.op", field()), other)),
    };
    Ok(Comparison { index: arg.index, operator, value })
}
