//! What a cgroup uses, in the same terms for both versions. A file that the kernel lacks leaves its numbers at zero or absent.

pub(crate) mod v1;
pub(crate) mod v2;

use crate::dir::CgroupDir;

/// What a cgroup uses.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Processor time.
    pub cpu: CpuStats,
    /// Memory.
    pub memory: MemoryStats,
    /// Tasks.
    pub pids: PidsStats,
    /// Block I/O by device.
    pub io: Vec<IoStats>,
    /// How long tasks have waited for block I/O.
    pub io_pressure: Option<Pressure>,
    /// Huge pages by size, such as `2MB`.
    pub hugetlb: Vec<(String, HugetlbStats)>,
    /// Processors and memory nodes (version 1).
    pub cpuset: CpusetStats,
}

/// How long tasks have waited for a resource (psi.rst).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pressure {
    /// At least one task waited.
    pub some: Stall,
    /// All waited.
    pub full: Stall,
}

/// A share of time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stall {
    /// Percent of the last 10 seconds.
    pub avg10: f64,
    /// Of the last minute.
    pub avg60: f64,
    /// Of the last five minutes.
    pub avg300: f64,
    /// In all, in microseconds.
    pub total: u64,
}

/// Huge pages of one size, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HugetlbStats {
    /// In use.
    pub usage: u64,
    /// The most there ever was (version 1).
    pub peak: u64,
    /// How often the limit was hit.
    pub limit_hits: u64,
}

/// Processors and memory nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CpusetStats {
    /// Which processors.
    pub cpus: Vec<u16>,
    /// Which memory nodes.
    pub mems: Vec<u16>,
    /// The files of the rest, with their numbers.
    pub switches: Vec<(&'static str, i64)>,
}

/// Processor time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CpuStats {
    /// Total, in nanoseconds.
    pub usage_ns: u64,
    /// In user mode, in nanoseconds.
    pub user_ns: u64,
    /// In the kernel, in nanoseconds.
    pub system_ns: u64,
    /// Enforcement periods that have passed.
    pub periods: u64,
    /// Of them, those in which the quota was used up.
    pub throttled_periods: u64,
    /// Time spent waiting for the next period, in nanoseconds.
    pub throttled_ns: u64,
    /// By processor, in nanoseconds: total, kernel, user (version 1).
    pub by_cpu: [Vec<u64>; 3],
    /// How long tasks have waited for a processor.
    pub pressure: Option<Pressure>,
}

/// One kind of memory, in bytes, in the terms of version 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// The limit; what the kernel says if there is none.
    pub limit: u64,
    /// In use.
    pub usage: u64,
    /// The most there ever was, where the kernel keeps it.
    pub peak: u64,
    /// How often the limit was hit.
    pub limit_hits: u64,
}

/// Memory, in bytes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MemoryStats {
    /// Memory, page cache included.
    pub memory: MemoryUse,
    /// Memory and swap together.
    pub swap: MemoryUse,
    /// The kernel's part (version 1).
    pub kernel: MemoryUse,
    /// TCP buffers (version 1).
    pub kernel_tcp: MemoryUse,
    /// The limit of memory; absent if there is none.
    pub limit: Option<u64>,
    /// Page cache.
    pub cache: u64,
    /// `memory.stat` as it is.
    pub detail: Vec<(String, u64)>,
    /// How long tasks have waited for memory.
    pub pressure: Option<Pressure>,
    /// `memory.events`: how often what happened (version 2).
    pub events: Vec<(String, u64)>,
}

/// Tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PidsStats {
    /// Now.
    pub current: u64,
    /// The limit; absent if there is none.
    pub limit: Option<u64>,
}

/// Block I/O of one device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IoStats {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Bytes by operation: `Read`, `Write`, and on version 1 more.
    pub bytes: Vec<(String, u64)>,
    /// Operations, likewise.
    pub operations: Vec<(String, u64)>,
}

/// The number behind a key, in lines of `key number`.
pub(crate) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// The kernel's default, in µs.
pub(crate) const DEFAULT_PERIOD_US: u64 = 100_000;

/// `max 100000` or `50000 100000`.
pub(crate) fn cpu_max(text: &str) -> (i64, u64) {
    let mut words = text.split_whitespace();
    let quota = words.next().and_then(|word| word.parse().ok()).unwrap_or(-1);
    (quota, words.next().and_then(|word| word.parse().ok()).unwrap_or(DEFAULT_PERIOD_US))
}

fn number(dir: &CgroupDir, file: &str) -> Option<u64> {
    dir.try_read(file).ok()?.trim().parse().ok()
}

pub(crate) fn pids(dir: &CgroupDir) -> PidsStats {
    PidsStats { current: number(dir, "pids.current").unwrap_or(0), limit: number(dir, "pids.max") }
}

/// Lines of `key number`.
fn detail(text: &str) -> Vec<(String, u64)> {
    text.lines()
        .filter_map(|line| line.split_once(' ').and_then(|(k, v)| Some((k.to_owned(), v.trim().parse().ok()?))))
        .collect()
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and likewise `full`.
fn pressure(dir: &CgroupDir, file: &str) -> Option<Pressure> {
    parse_pressure(&dir.try_read(file).ok()?)
}

fn parse_pressure(text: &str) -> Option<Pressure> {
    let stall = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let mut stall = Stall::default();
        for (key, value) in line.split_whitespace().filter_map(|word| word.split_once('=')) {
            match key {
                "avg10" => stall.avg10 = value.parse().ok()?,
                "avg60" => stall.avg60 = value.parse().ok()?,
                "avg300" => stall.avg300 = value.parse().ok()?,
                "total" => stall.total = value.parse().ok()?,
                _ => {}
            }
        }
        Some(stall)
    };
    // Older kernels have no `full` for processors.
    Some(Pressure { some: stall("some ")?, full: stall("full ").unwrap_or_default() })
}

/// Names of the sizes of huge pages, as the cgroup's files have them: `2MB` for /sys/kernel/mm/hugepages/hugepages-2048kB.
fn huge_page_sizes() -> Vec<String> {
    let folders = std::fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten();
    let sizes = folders.filter_map(|folder| size_name(folder.file_name().to_str()?));
    sizes.collect()
}

fn size_name(folder: &str) -> Option<String> {
    let kib: u64 = folder.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
    Some(match kib {
        kib if kib % (1 << 20) == 0 => format!("{}GB", kib >> 20),
        kib if kib % (1 << 10) == 0 => format!("{}MB", kib >> 10),
        kib => format!("{kib}KB"),
    })
}

/// `0-2,5` as numbers.
fn list(text: &str) -> Vec<u16> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

fn device(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_whole_words() {
        let text = "oom 1\noom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(keyed(text, "oom_kill"), Some(3));
        assert_eq!(keyed(text, "kill"), None);
    }

    #[test]
    fn quotas_lists_and_sizes() {
        assert_eq!(cpu_max("max 100000\n"), (-1, 100_000));
        assert_eq!(cpu_max("5000 20000\n"), (5000, 20_000));
        assert_eq!(list("0-2,5\n"), [0, 1, 2, 5]);
        assert!(list("\n").is_empty());
        let names = ["hugepages-2048kB", "hugepages-1048576kB", "hugepages-64kB"].map(|name| size_name(name).unwrap());
        assert_eq!(names, ["2MB", "1GB", "64KB"]);
    }

    #[test]
    fn pressure_of_both_kinds_of_kernels() {
        let text = "some avg10=1.50 avg60=0.20 avg300=0.00 total=77\nfull avg10=0.10 avg60=0.00 avg300=0.00 total=5\n";
        let found = parse_pressure(text).unwrap();
        assert_eq!((found.some.avg10, found.some.total, found.full.avg10, found.full.total), (1.5, 77, 0.1, 5));
        let old = parse_pressure("some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n").unwrap();
        assert_eq!((old.some.total, old.full), (1, Stall::default()));
        assert_eq!(parse_pressure(""), None);
    }
}
