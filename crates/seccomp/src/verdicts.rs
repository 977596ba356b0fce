//! What a profile says of each system call number of one architecture.

use crate::arch::Arch;
use crate::rules::{Rule, Rules};
use crate::table::{NONE, SYSCALLS};

/// What a system call gets.
pub(crate) enum Verdict<'a> {
    Always(u32),
    /// Rules with comparisons, in order; the default if none holds.
    Conditional(Vec<&'a Rule>),
}

/// The numbers that have rules, and which, in one list that serves all architectures, one after the other.
pub(crate) struct Verdicts<'a> {
    rules: &'a Rules,
    /// A number and a rule's position in one integer: sorting groups by number and keeps the profile's order.
    keys: Vec<u64>,
}

impl<'a> Verdicts<'a> {
    pub(crate) fn new(rules: &'a Rules) -> Self {
        Verdicts { rules, keys: Vec::with_capacity(rules.named.len()) }
    }

    /// Numbers and their verdicts, ascending, without what gets the default.
    pub(crate) fn of(&mut self, arch: Arch) -> impl Iterator<Item = (u32, Verdict<'a>)> {
        self.keys.clear();
        for (call, rule) in &self.rules.named {
            let number = SYSCALLS[usize::from(*call)].1[arch as usize];
            if number != NONE {
                self.keys.push(u64::from(number | arch.bit()) << 32 | u64::from(*rule));
            }
        }
        self.keys.sort_unstable();
        let rules = self.rules;
        self.keys.chunk_by(|a, b| a >> 32 == b >> 32).map(|group| {
            let rule = |key: &u64| &rules.rules[*key as u32 as usize];
            let verdict = match group.iter().map(rule).find(|rule| rule.comparisons.is_empty()) {
                Some(unconditional) => Verdict::Always(unconditional.action),
                None => Verdict::Conditional(group.iter().map(rule).collect()),
            };
            ((group[0] >> 32) as u32, verdict)
        })
    }
}
