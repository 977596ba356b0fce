//! A small assembler for classic BPF, written backwards: a jump only goes forward, so whatever it leads to is already there
//! and its distance is known.
//!
//! Knows nothing of system calls; a program is built from targets (a return value, or code already written), comparisons of the
//! accumulator and trees of comparisons.

use libc::sock_filter;

/// `BPF_MAXINSNS` of `linux/bpf_common.h`.
pub const MAX_INSTRUCTIONS: usize = 4096;

/// Conditional jumps reach 255 instructions. A few are kept back, because what is written for one branch moves the other away.
const REACH: u32 = 250;

const LD_W_ABS: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const ALU_AND_K: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const RET_K: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
const JA: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;

/// Which comparison of the accumulator with a constant.
#[derive(Clone, Copy)]
pub(crate) enum Jump {
    Equal,
    Greater,
    GreaterOrEqual,
}

/// Where control goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// Ends with this value.
    Return(u32),
    /// Goes on at this instruction, counted from the end of the program.
    At(u32),
}

/// A program from its end to its beginning.
#[derive(Default)]
pub(crate) struct Program {
    backwards: Vec<sock_filter>,
    /// The latest `RET` of each value. Few values exist, so a list is the quickest map.
    returns: Vec<(u32, u32)>,
}

impl Program {
    pub(crate) fn with_capacity(instructions: usize) -> Self {
        Program { backwards: Vec::with_capacity(instructions), returns: Vec::with_capacity(8) }
    }

    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> u32 {
        self.backwards.push(sock_filter { code, jt, jf, k });
        self.len() - 1
    }

    fn len(&self) -> u32 {
        self.backwards.len() as u32
    }

    /// Instructions between the next one to be written and `label`.
    fn distance(&self, label: u32) -> u32 {
        self.len() - 1 - label
    }

    /// An instruction within the reach of a conditional jump that leads to the target.
    fn near(&mut self, target: Target) -> u32 {
        match target {
            Target::At(label) if self.distance(label) <= REACH => label,
            Target::At(label) => {
                let distance = self.distance(label);
                self.push(JA, 0, 0, distance)
            }
            Target::Return(value) => {
                let known = self.returns.iter().position(|(v, _)| *v == value);
                match known {
                    Some(index) if self.distance(self.returns[index].1) <= REACH => self.returns[index].1,
                    Some(index) => {
                        let label = self.push(RET_K, 0, 0, value);
                        self.returns[index].1 = label;
                        label
                    }
                    None => {
                        let label = self.push(RET_K, 0, 0, value);
                        self.returns.push((value, label));
                        label
                    }
                }
            }
        }
    }

    /// Compares the accumulator with `k`.
    pub(crate) fn branch(&mut self, jump: Jump, k: u32, yes: Target, no: Target) -> Target {
        if yes == no {
            return yes;
        }
        let no = self.near(no);
        let yes = self.near(yes);
        let code = libc::BPF_JMP
            | libc::BPF_K
            | match jump {
                Jump::Equal => libc::BPF_JEQ,
                Jump::Greater => libc::BPF_JGT,
                Jump::GreaterOrEqual => libc::BPF_JGE,
            };
        let (jt, jf) = (self.distance(yes) as u8, self.distance(no) as u8);
        Target::At(self.push(code as u16, jt, jf, k))
    }

    /// Makes what is written next fall through to the target.
    fn fall_into(&mut self, target: Target) {
        match target {
            Target::At(label) if label + 1 == self.len() => {}
            Target::At(label) => {
                let distance = self.distance(label);
                self.push(JA, 0, 0, distance);
            }
            Target::Return(value) => {
                self.push(RET_K, 0, 0, value);
            }
        }
    }

    /// Loads the word at `offset` of `struct seccomp_data`, then goes on at `target`, unless that ends anyway.
    pub(crate) fn load(&mut self, offset: u32, target: Target) -> Target {
        if let Target::Return(_) = target {
            return target;
        }
        self.fall_into(target);
        Target::At(self.push(LD_W_ABS, 0, 0, offset))
    }

    /// Masks the accumulator, then goes on at `target`.
    pub(crate) fn and(&mut self, mask: u32, target: Target) -> Target {
        if mask == u32::MAX || matches!(target, Target::Return(_)) {
            return target;
        }
        self.fall_into(target);
        Target::At(self.push(ALU_AND_K, 0, 0, mask))
    }

    /// A balanced search for the accumulator among ranges. Each range reaches to the next one's start, the last to the largest
    /// number; starts ascend. Without ranges the result is `otherwise`.
    pub(crate) fn tree(&mut self, ranges: &[(u32, Target)], otherwise: Target) -> Target {
        match *ranges {
            [] => otherwise,
            [(_, only)] => only,
            // One number that differs from its surroundings: one comparison instead of two.
            [(_, before), (start, single), (next, after)] if before == after && next == start + 1 => {
                self.branch(Jump::Equal, start, single, before)
            }
            _ => {
                let middle = ranges.len() / 2;
                let high = self.tree(&ranges[middle..], otherwise);
                let low = self.tree(&ranges[..middle], otherwise);
                self.branch(Jump::GreaterOrEqual, ranges[middle].0, high, low)
            }
        }
    }

    /// The whole program, which begins at `entry`.
    pub(crate) fn finish(mut self, entry: Target) -> Vec<sock_filter> {
        self.fall_into(entry);
        self.backwards.reverse();
        self.backwards
    }
}

/// Adds a range unless it continues the one before.
pub(crate) fn push_range(ranges: &mut Vec<(u32, Target)>, start: u32, target: Target) {
    match ranges.last_mut() {
        Some((_, last)) if *last == target => {}
        Some((last_start, last)) if *last_start == start => *last = target,
        _ => ranges.push((start, target)),
    }
}
