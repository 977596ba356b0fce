//! Device rules: what the spec says, as lines for v1 and as a program for the unified hierarchy.

use crate::error::CgroupError;
use carboy_oci::runtime::DeviceRule;
use carboy_sys::bpf::Instruction;

/// Which devices a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// Block devices.
    Block,
    /// Character devices.
    Char,
}

/// Bits of `BPF_DEVCG_ACC_*` (linux/bpf.h).
const MKNOD: u8 = 1;
const READ: u8 = 2;
const WRITE: u8 = 4;
const ALL: u8 = 7;

/// One rule about some devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Whether it allows.
    pub allow: bool,
    /// Of which kind.
    pub kind: DeviceKind,
    /// Major number; any if absent.
    pub major: Option<u32>,
    /// Minor number; any if absent.
    pub minor: Option<u32>,
    access: u8,
}

/// What is to happen to any device: the last rule that matches decides, otherwise the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePolicy {
    /// Whether devices without a rule are allowed.
    pub default_allow: bool,
    /// In order.
    pub rules: Vec<Rule>,
}

/// What every container may do, whatever the spec says (runtime-spec, "Default Devices"; the same list as runc): make any
/// node, use null, zero, full, random, urandom, tty, ptmx and its terminals.
const ALWAYS: [(DeviceKind, Option<u32>, Option<u32>, u8); 9] = [
    (DeviceKind::Char, None, None, MKNOD),
    (DeviceKind::Block, None, None, MKNOD),
    (DeviceKind::Char, Some(1), Some(3), ALL),
    (DeviceKind::Char, Some(1), Some(8), ALL),
    (DeviceKind::Char, Some(1), Some(7), ALL),
    (DeviceKind::Char, Some(5), Some(0), ALL),
    (DeviceKind::Char, Some(1), Some(5), ALL),
    (DeviceKind::Char, Some(1), Some(9), ALL),
    (DeviceKind::Char, Some(136), None, ALL),
];
const PTMX: (DeviceKind, Option<u32>, Option<u32>, u8) = (DeviceKind::Char, Some(5), Some(2), ALL);

impl DevicePolicy {
    /// The policy of `linux.resources.devices`. Without rules only the default devices are allowed, as in runc.
    ///
    /// # Errors
    /// A type or an access that does not exist.
    pub fn from_rules(rules: &[DeviceRule]) -> Result<Self, CgroupError> {
        let mut policy = DevicePolicy { default_allow: false, rules: Vec::with_capacity(rules.len() + 10) };
        for (position, rule) in rules.iter().enumerate() {
            let field = |name: &str| format!("linux.resources.devices[{position}].{name}");
            let access = access(rule.access.as_deref()).ok_or_else(|| {
                CgroupError::invalid(field("access"), format!("{:?} is not made of r, w and m", rule.access))
            })?;
            let kinds: &[DeviceKind] = match rule.kind.as_deref() {
                None | Some("a" | "") => {
                    // Everything before is forgotten. (Numbers and access of such a rule have no effect, as in the kernel.)
                    policy.rules.clear();
                    policy.default_allow = rule.allow;
                    continue;
                }
                Some("c" | "u") => &[DeviceKind::Char],
                Some("b") => &[DeviceKind::Block],
                Some(other) => {
                    return Err(CgroupError::invalid(field("type"), format!("{other:?} is none of a, b and c")));
                }
            };
            let number = |value: Option<i64>, name: &str| match value {
                None => Ok(None),
                Some(negative) if negative < 0 => Ok(None),
                Some(value) => u32::try_from(value)
                    .map(Some)
                    .map_err(|_| CgroupError::invalid(field(name), format!("{value} is no device number"))),
            };
            let (major, minor) = (number(rule.major, "major")?, number(rule.minor, "minor")?);
            policy.rules.extend(kinds.iter().map(|&kind| Rule { allow: rule.allow, kind, major, minor, access }));
        }
        for (kind, major, minor, access) in ALWAYS.into_iter().chain([PTMX]) {
            policy.rules.push(Rule { allow: true, kind, major, minor, access });
        }
        policy.prune();
        Ok(policy)
    }

    /// Drops rules that change nothing: what only repeats the default before any exception, and exact repetitions.
    fn prune(&mut self) {
        let default = self.default_allow;
        let mut kept: Vec<Rule> = Vec::with_capacity(self.rules.len());
        for rule in self.rules.drain(..) {
            let exceptions = kept.iter().any(|other| other.allow != default);
            let repeated = kept.iter().rposition(|other| *other == rule);
            let contradicted = repeated.is_some_and(|at| kept[at..].iter().any(|other| other.allow != rule.allow));
            if (rule.allow == default && !exceptions) || (repeated.is_some() && !contradicted) {
                continue;
            }
            kept.push(rule);
        }
        self.rules = kept;
    }

    /// Whether nothing is refused.
    pub fn allows_everything(&self) -> bool {
        self.default_allow && self.rules.iter().all(|rule| rule.allow)
    }

    pub(crate) fn default_word(&self) -> &'static str {
        if self.default_allow { "allow" } else { "deny" }
    }

    /// Lines for `devices.allow` and `devices.deny`. A new cgroup has its parent's list, usually everything.
    pub(crate) fn v1_lines(&self, update: bool) -> Vec<(&'static str, String)> {
        let mut lines = Vec::with_capacity(self.rules.len() + 1);
        match (self.default_allow, update) {
            (false, _) => lines.push(("devices.deny", "a".to_owned())),
            (true, true) => lines.push(("devices.allow", "a".to_owned())),
            (true, false) => {}
        }
        lines.extend(self.rules.iter().map(|rule| {
            let file = if rule.allow { "devices.allow" } else { "devices.deny" };
            let kind = if rule.kind == DeviceKind::Char { 'c' } else { 'b' };
            let number = |n: Option<u32>| n.map_or("*".to_owned(), |n| n.to_string());
            (file, format!("{kind} {}:{} {}", number(rule.major), number(rule.minor), letters(rule.access)))
        }));
        lines
    }
}

fn access(text: Option<&str>) -> Option<u8> {
    let text = text.unwrap_or_default();
    if text.is_empty() {
        return Some(ALL);
    }
    text.chars().try_fold(0, |access, letter| match letter {
        'r' => Some(access | READ),
        'w' => Some(access | WRITE),
        'm' => Some(access | MKNOD),
        _ => None,
    })
}

fn letters(access: u8) -> String {
    [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')].into_iter().filter(|(bit, _)| access & bit != 0).map(|(_, c)| c).collect()
}

/// The program for `BPF_PROG_TYPE_CGROUP_DEVICE`: rules from the last to the first, the first that matches decides.
///
/// An allowing rule must cover all the access asked for; a refusing one refuses if it covers any of it.
pub fn device_program(policy: &DevicePolicy) -> Vec<Instruction> {
    // Registers: r1 context, then scratch; r2 type, r3 access, r4 major, r5 minor.
    const LDX_W: u8 = 0x61;
    const MOV_REG: u8 = 0xbf;
    const MOV_IMM: u8 = 0xb7;
    const AND_IMM: u8 = 0x54;
    const RSH_IMM: u8 = 0x74;
    const JNE_IMM: u8 = 0x55;
    const JNE_REG: u8 = 0x5d;
    const JEQ_IMM: u8 = 0x15;
    const EXIT: u8 = 0x95;
    let op = |code, dst: u8, src: u8, off: i16, imm: i32| Instruction { code, registers: src << 4 | dst, off, imm };
    let mut program = vec![
        op(LDX_W, 2, 1, 0, 0),
        op(MOV_REG, 3, 2, 0, 0),
        op(AND_IMM, 2, 0, 0, 0xffff),
        op(RSH_IMM, 3, 0, 0, 16),
        op(LDX_W, 4, 1, 4, 0),
        op(LDX_W, 5, 1, 8, 0),
    ];
    for rule in policy.rules.iter().rev() {
        let kind = match rule.kind {
            DeviceKind::Block => 1,
            DeviceKind::Char => 2,
        };
        // Each test skips to the end of this rule's block; the distance is filled in below.
        let mut block = vec![op(JNE_IMM, 2, 0, 0, kind)];
        if rule.access != ALL {
            block.push(op(MOV_REG, 1, 3, 0, 0));
            block.push(op(AND_IMM, 1, 0, 0, rule.access.into()));
            block.push(if rule.allow { op(JNE_REG, 1, 3, 0, 0) } else { op(JEQ_IMM, 1, 0, 0, 0) });
        }
        for (register, number) in [(4, rule.major), (5, rule.minor)] {
            if let Some(number) = number {
                block.push(op(JNE_IMM, register, 0, 0, number as i32));
            }
        }
        block.push(op(MOV_IMM, 0, 0, 0, rule.allow.into()));
        block.push(op(EXIT, 0, 0, 0, 0));
        let length = block.len();
        for (at, instruction) in block.iter_mut().enumerate() {
            if matches!(instruction.code, JNE_IMM | JNE_REG | JEQ_IMM) {
                instruction.off = (length - at - 1) as i16;
            }
        }
        program.extend(block);
    }
    program.push(op(MOV_IMM, 0, 0, 0, policy.default_allow.into()));
    program.push(op(EXIT, 0, 0, 0, 0));
    program
}
