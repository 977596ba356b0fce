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

impl Rule {
    pub(crate) fn letters(&self) -> String {
        letters(self.access)
    }

    fn overlaps(&self, other: &Rule) -> bool {
        let meet = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
        self.kind == other.kind
            && meet(self.major, other.major)
            && meet(self.minor, other.minor)
            && self.access & other.access != 0
    }
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
                CgroupError::invalid(
                    field("access"),
                    format!("{:?} is not made of r, w and m", rule.access.as_deref().unwrap_or_default()),
                )
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

    /// Drops rules that change nothing: those that repeat the default or an earlier rule, unless something in between says
    /// the opposite about some of the same devices.
    fn prune(&mut self) {
        let default = self.default_allow;
        let mut kept: Vec<Rule> = Vec::with_capacity(self.rules.len());
        for rule in self.rules.drain(..) {
            let said = kept.iter().rposition(|other| *other == rule);
            let since = &kept[said.unwrap_or(0)..];
            let opposed = since.iter().any(|other| other.allow != rule.allow && other.overlaps(&rule));
            if opposed || (said.is_none() && rule.allow != default) {
                kept.push(rule);
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> DeviceRule {
        let words: Vec<&str> = text.split(' ').collect();
        let (major, minor) = words[2].split_once(':').unwrap();
        let number = |text: &str| text.parse().ok();
        DeviceRule {
            allow: words[0] == "allow",
            kind: Some(words[1].to_owned()),
            major: number(major),
            minor: number(minor),
            access: words.get(3).map(|access| (*access).to_owned()),
        }
    }

    fn policy(rules: &[&str]) -> DevicePolicy {
        DevicePolicy::from_rules(&rules.iter().map(|text| rule(text)).collect::<Vec<_>>()).unwrap()
    }

    /// Runs a program as the kernel would, on the few instructions there are.
    fn run(program: &[Instruction], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        let context = [access << 16 | kind, major, minor];
        let mut registers = [0u64; 11];
        let mut at = 0;
        loop {
            let Instruction { code, registers: pair, off, imm } = program[at];
            let (dst, src) = (usize::from(pair & 15), usize::from(pair >> 4));
            at += 1;
            let jump = match code {
                0x61 => {
                    registers[dst] = context[off as usize / 4].into();
                    false
                }
                0xbf => {
                    registers[dst] = registers[src];
                    false
                }
                0xb7 => {
                    registers[dst] = imm as u64;
                    false
                }
                0x54 => {
                    registers[dst] = u64::from(registers[dst] as u32 & imm as u32);
                    false
                }
                0x74 => {
                    registers[dst] = u64::from(registers[dst] as u32 >> imm);
                    false
                }
                0x55 => registers[dst] != imm as u64,
                0x5d => registers[dst] != registers[src],
                0x15 => registers[dst] == imm as u64,
                0x95 => return registers[0] == 1,
                other => panic!("{other:#x}"),
            };
            if jump {
                at += off as usize;
            }
        }
    }

    const CHAR: u32 = 2;
    const BLOCK: u32 = 1;

    #[test]
    fn the_program_decides_as_the_rules_say() {
        let program = device_program(&policy(&["deny a *:*", "allow c 10:229 rw", "allow b 8:* r", "deny b 8:1 r"]));
        for (kind, access, major, minor, allowed) in [
            (CHAR, READ | WRITE, 10, 229, true),
            (CHAR, READ | WRITE | MKNOD, 10, 229, false),
            (CHAR, MKNOD, 10, 229, true),
            (CHAR, READ, 10, 200, false),
            (CHAR, READ | WRITE, 1, 3, true),
            (CHAR, READ | WRITE, 136, 99, true),
            (CHAR, READ | WRITE, 5, 2, true),
            (CHAR, READ, 5, 1, false),
            (BLOCK, READ, 8, 0, true),
            (BLOCK, WRITE, 8, 0, false),
            (BLOCK, READ, 8, 1, false),
            (BLOCK, READ, 1, 3, false),
            (BLOCK, MKNOD, 1, 3, true),
        ] {
            assert_eq!(run(&program, kind, access.into(), major, minor), allowed, "{kind} {access} {major}:{minor}");
        }
        // Asking for more than what is refused is refused as well.
        let program = device_program(&policy(&["allow a *:*", "deny c 10:200 w"]));
        assert!(!run(&program, CHAR, (READ | WRITE).into(), 10, 200));
        assert!(run(&program, CHAR, READ.into(), 10, 200) && run(&program, CHAR, WRITE.into(), 10, 201));
    }

    #[test]
    fn v1_lines_are_few() {
        let docker =
            policy(&["deny a *:*", "allow c 1:5 rwm", "allow c 1:3 rwm", "allow c 1:3 rwm", "deny c 10:229 rwm"]);
        let lines: Vec<String> =
            docker.v1_lines(false).into_iter().map(|(file, value)| format!("{file} {value}")).collect();
        assert_eq!(lines[0], "devices.deny a");
        assert_eq!(lines.iter().filter(|line| line.ends_with("c 1:3 rwm")).count(), 1);
        assert_eq!(lines.len(), 11, "{lines:?}");
        let everything = policy(&["allow a *:*"]);
        assert!(everything.allows_everything());
        assert!(everything.v1_lines(false).is_empty());
        assert_eq!(everything.v1_lines(true), [("devices.allow", "a".to_owned())]);
        assert!(DevicePolicy::from_rules(&[rule("allow x 1:1 r")]).is_err());
        assert!(DevicePolicy::from_rules(&[rule("allow c 1:1 rx")]).is_err());
    }
}
