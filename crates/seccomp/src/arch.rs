//! Architectures: their names in a profile, their `AUDIT_ARCH_*` value, and which kernel can run which.

use crate::table::{NONE, SYSCALLS};
use std::cmp::Ordering;

/// An ABI whose system calls the kernel may see. The order is that of the columns in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86.
    X86,
    /// 32-bit pointers in 64-bit mode; numbers carry bit 30.
    X32,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM, EABI.
    Arm,
}

/// `__X32_SYSCALL_BIT` of `asm/unistd.h`.
pub(crate) const X32_BIT: u32 = 0x4000_0000;
/// `__ARM_NR_BASE`: numbers from here on are ARM's private calls, apart from the ordinary ones.
pub(crate) const ARM_PRIVATE: u32 = 0x000f_0000;

/// Names that runtime-spec 1.3 defines and for which there is no table here. Harmless in a list of architectures, as long as
/// it is not what the kernel runs.
const WITHOUT_TABLE: [&str; 16] = [
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
];

/// What an architecture's name in a profile stands for.
pub(crate) enum Named {
    Table(Arch),
    /// Defined by the spec, but no kernel for which this crate was built runs it.
    Foreign,
    Unknown,
}

/// The names of architectures that a profile may list, in alphabetical order.
pub fn architecture_names() -> Vec<&'static str> {
    let mut names: Vec<&str> = ALL.map(Arch::name).into_iter().chain(WITHOUT_TABLE).collect();
    names.sort_unstable();
    names
}

const ALL: [Arch; 5] = [Arch::X86_64, Arch::X86, Arch::X32, Arch::Aarch64, Arch::Arm];

impl Arch {
    /// The architecture of this build.
    pub const fn native() -> Self {
        #[cfg(target_arch = "x86_64")]
        return Arch::X86_64;
        #[cfg(target_arch = "x86")]
        return Arch::X86;
        #[cfg(target_arch = "aarch64")]
        return Arch::Aarch64;
        #[cfg(target_arch = "arm")]
        return Arch::Arm;
    }

    /// The name in a profile, such as `SCMP_ARCH_X86_64`.
    pub const fn name(self) -> &'static str {
        match self {
            Arch::X86_64 => "SCMP_ARCH_X86_64",
            Arch::X86 => "SCMP_ARCH_X86",
            Arch::X32 => "SCMP_ARCH_X32",
            Arch::Aarch64 => "SCMP_ARCH_AARCH64",
            Arch::Arm => "SCMP_ARCH_ARM",
        }
    }

    pub(crate) fn named(name: &str) -> Named {
        match ALL.into_iter().find(|arch| arch.name() == name) {
            Some(arch) => Named::Table(arch),
            None if name == "SCMP_ARCH_NATIVE" => Named::Table(Arch::native()),
            None if WITHOUT_TABLE.contains(&name) => Named::Foreign,
            None => Named::Unknown,
        }
    }

    /// `AUDIT_ARCH_*` of `linux/audit.h`, the second word of `struct seccomp_data`.
    pub const fn audit(self) -> u32 {
        match self {
            Arch::X86_64 | Arch::X32 => 0xc000_003e,
            Arch::X86 => 0x4000_0003,
            Arch::Aarch64 => 0xc000_00b7,
            Arch::Arm => 0x4000_0028,
        }
    }

    /// Whether a kernel of `native` can execute this ABI. What it cannot execute needs no rules.
    pub(crate) const fn runs_on(self, native: Arch) -> bool {
        match native {
            Arch::X86_64 | Arch::X32 => matches!(self, Arch::X86_64 | Arch::X86 | Arch::X32),
            Arch::Aarch64 => matches!(self, Arch::Aarch64 | Arch::Arm),
            Arch::X86 => matches!(self, Arch::X86),
            Arch::Arm => matches!(self, Arch::Arm),
        }
    }

    /// Whether arguments are 32 bits wide. libseccomp then compares the lower half only.
    pub(crate) const fn is_32_bit(self) -> bool {
        matches!(self, Arch::X86 | Arch::X32 | Arch::Arm)
    }

    /// The number of a system call, with the x32 bit where it belongs; `None` if this ABI has no such call.
    pub fn number(self, name: &str) -> Option<u32> {
        let number = SYSCALLS[position(name)?].1[self as usize];
        (number != NONE).then_some(number | self.bit())
    }

    /// What the numbers in the table are to be combined with.
    pub(crate) const fn bit(self) -> u32 {
        if matches!(self, Arch::X32) { X32_BIT } else { 0 }
    }
}

/// The position in the table of the call with this name.
fn position(name: &str) -> Option<usize> {
    Lookup::new(&SYSCALLS).find(name)
}

/// Looks names up in a table that is sorted by name; quickest if they come in its order, as in most profiles.
pub(crate) struct Lookup<T: 'static> {
    table: &'static [(&'static str, T)],
    next: usize,
}

impl<T> Lookup<T> {
    /// How many rows are looked at before the whole table is searched.
    const NEAR: usize = 8;

    pub(crate) fn new(table: &'static [(&'static str, T)]) -> Self {
        Lookup { table, next: 0 }
    }

    /// The position of the row with this name.
    pub(crate) fn find(&mut self, name: &str) -> Option<usize> {
        let beyond = self.table.len().min(self.next + Self::NEAR);
        for at in self.next..beyond {
            match self.table[at].0.cmp(name) {
                Ordering::Less => {}
                Ordering::Equal => {
                    self.next = at + 1;
                    return Some(at);
                }
                // Between two rows.
                Ordering::Greater if at > self.next => {
                    self.next = at;
                    return None;
                }
                Ordering::Greater => break,
            }
        }
        let found = self.table.binary_search_by(|(row, _)| (*row).cmp(name));
        self.next = found.map_or_else(|at| at, |at| at + 1);
        found.ok()
    }
}

/// Every number that the architecture has, in the order of the names.
pub(crate) fn numbers(arch: Arch) -> impl Iterator<Item = (&'static str, u32)> {
    SYSCALLS
        .iter()
        .map(move |(name, row)| (*name, row[arch as usize]))
        .filter(|(_, number)| *number != NONE)
        .map(move |(name, number)| (name, number | arch.bit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_knows_the_running_kernel() {
        assert!(SYSCALLS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let lookup = |name| position(name).map(|at| SYSCALLS[at].1);
        let native = |name| lookup(name).unwrap()[Arch::native() as usize];
        assert_eq!(native("openat") as libc::c_long, libc::SYS_openat);
        assert_eq!(native("clone3") as libc::c_long, libc::SYS_clone3);
        assert_eq!(lookup("read").unwrap(), [0, 3, 0, 63, 3]);
        assert!(lookup("no_such_call").is_none());
    }

    #[test]
    fn names_are_found_in_any_order() {
        let mut lookup = Lookup::new(&SYSCALLS);
        let found = |lookup: &mut Lookup<_>, at: usize| assert_eq!(lookup.find(SYSCALLS[at].0), Some(at));
        (0..SYSCALLS.len()).for_each(|at| found(&mut lookup, at));
        (0..SYSCALLS.len()).rev().for_each(|at| found(&mut lookup, at));
        for step in [2, 7, 8, 9, 50, 200] {
            for at in (0..3 * SYSCALLS.len()).step_by(step) {
                found(&mut lookup, at % SYSCALLS.len());
                // What is in no table is not found, and does not hide what follows.
                assert_eq!(lookup.find(&format!("{}_", SYSCALLS[at % SYSCALLS.len()].0)), None);
                assert_eq!(lookup.find(["", "zzz"][at % 2]), None);
            }
        }
    }
}
