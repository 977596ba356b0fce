//! Comparisons of arguments as code. Alternatives for one argument become a search tree over its values: Docker's list of
//! allowed socket families is some twenty rules and five comparisons deep.

use crate::bpf::{Jump, Program, Target, push_range};
use crate::rules::{Comparison, Operator, Rule};

/// Bytes before the arguments in `struct seccomp_data`: number, architecture, instruction pointer.
const ARGUMENTS: u32 = 16;

/// Code that tries the rules in order, the first that holds deciding, and `otherwise` if none does. `narrow`: arguments have
/// 32 bits.
pub(crate) fn emit(program: &mut Program, rules: &[&Rule], narrow: bool, otherwise: Target) -> Target {
    let mut next = otherwise;
    let mut end = rules.len();
    // Backwards, as everything here: the last rule's failure is the default, its beginning the failure of the one before.
    while end > 0 {
        let start = run_start(&rules[..end]);
        next = match rules[start..end] {
            [one] => all_of(program, one, narrow, next),
            ref alternatives => any_of(program, alternatives, narrow, next),
        };
        end = start;
    }
    next
}

/// Where the trailing run of rules begins that compare one and the same argument without masks.
fn run_start(rules: &[&Rule]) -> usize {
    let plain = |rule: &Rule| match rule.comparisons[..] {
        [Comparison { operator: Operator::Masked(_), .. }] => None,
        [one] => Some(one.index),
        _ => None,
    };
    let last = rules.len() - 1;
    let Some(index) = plain(rules[last]) else { return last };
    (0..last).rev().take_while(|&i| plain(rules[i]) == Some(index)).last().unwrap_or(last)
}

fn all_of(program: &mut Program, rule: &Rule, narrow: bool, otherwise: Target) -> Target {
    let held = Target::Return(rule.action);
    rule.comparisons.iter().rev().fold(held, |held, comparison| {
        if narrow {
            narrow_test(program, &comparison.narrowed(), held, otherwise)
        } else {
            wide_test(program, comparison, held, otherwise)
        }
    })
}

/// Offset of one half of an argument.
fn half(index: u32, high: bool) -> u32 {
    ARGUMENTS + 8 * index + if high == cfg!(target_endian = "little") { 4 } else { 0 }
}

fn narrow_test(program: &mut Program, test: &Comparison, yes: Target, no: Target) -> Target {
    let compared = low_test(program, test, yes, no);
    program.load(half(test.index, false), compared)
}

/// Compares the lower half, which is already loaded.
fn low_test(program: &mut Program, test: &Comparison, yes: Target, no: Target) -> Target {
    let low = test.value as u32;
    match test.operator {
        Operator::Equal => program.branch(Jump::Equal, low, yes, no),
        Operator::NotEqual => program.branch(Jump::Equal, low, no, yes),
        Operator::GreaterOrEqual => program.branch(Jump::GreaterOrEqual, low, yes, no),
        Operator::Less => program.branch(Jump::GreaterOrEqual, low, no, yes),
        Operator::Greater => program.branch(Jump::Greater, low, yes, no),
        Operator::LessOrEqual => program.branch(Jump::Greater, low, no, yes),
        Operator::Masked(mask) if mask as u32 == 0 => yes,
        Operator::Masked(mask) => {
            let equal = program.branch(Jump::Equal, low, yes, no);
            program.and(mask as u32, equal)
        }
    }
}

/// Compares both halves: the upper one decides unless it is equal.
fn wide_test(program: &mut Program, test: &Comparison, yes: Target, no: Target) -> Target {
    let high = (test.value >> 32) as u32;
    let lower = narrow_test(program, test, yes, no);
    let compared = match test.operator {
        Operator::Equal => program.branch(Jump::Equal, high, lower, no),
        Operator::NotEqual => program.branch(Jump::Equal, high, lower, yes),
        Operator::Masked(mask) if mask >> 32 == 0 => return lower,
        Operator::Masked(mask) => {
            let equal = program.branch(Jump::Equal, high, lower, no);
            program.and((mask >> 32) as u32, equal)
        }
        Operator::GreaterOrEqual | Operator::Greater => {
            let same = program.branch(Jump::Equal, high, lower, no);
            program.branch(Jump::Greater, high, yes, same)
        }
        Operator::LessOrEqual | Operator::Less => {
            let same = program.branch(Jump::Equal, high, lower, yes);
            program.branch(Jump::Greater, high, no, same)
        }
    };
    program.load(half(test.index, true), compared)
}

/// Alternatives for one argument, as ranges of its values.
fn any_of(program: &mut Program, rules: &[&Rule], narrow: bool, otherwise: Target) -> Target {
    let tests: Vec<(Comparison, u32)> = rules
        .iter()
        .map(|rule| (if narrow { rule.comparisons[0].narrowed() } else { rule.comparisons[0] }, rule.action))
        .collect();
    let index = tests[0].0.index;
    let verdict = |argument: u64| {
        let first = tests.iter().find(|(test, _)| test.holds(argument));
        first.map_or(otherwise, |(_, action)| Target::Return(*action))
    };
    // The verdict can only change at a bound or just after it.
    let mut points: Vec<u64> = std::iter::once(0)
        .chain(tests.iter().flat_map(|(test, _)| [test.value, test.value.saturating_add(1)]))
        .filter(|point| !narrow || *point <= u64::from(u32::MAX))
        .collect();
    points.sort_unstable();
    points.dedup();
    let mut upper: Vec<(u32, Target)> = Vec::new();
    for chunk in points.chunk_by(|a, b| a >> 32 == b >> 32) {
        let high = (chunk[0] >> 32) as u32;
        let first = u64::from(high) << 32;
        let mut lower = vec![(0, verdict(first))];
        for point in chunk {
            push_range(&mut lower, *point as u32, verdict(*point));
        }
        let tree = program.tree(&lower, otherwise);
        let tree = program.load(half(index, false), tree);
        push_range(&mut upper, high, tree);
        // Above this half the verdict is that of its largest value, until the next bound.
        if let Some(next) = high.checked_add(1) {
            push_range(&mut upper, next, verdict(first | 0xffff_ffff));
        }
    }
    if narrow {
        return upper[0].1;
    }
    let tree = program.tree(&upper, otherwise);
    program.load(half(index, true), tree)
}
