//! What a cgroup uses, in the same terms for both versions. A file that the kernel lacks leaves its numbers at zero or absent.

use crate::dir::CgroupDir;

/// What a cgroup uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Processor time.
    pub cpu: CpuStats,
    /// Memory.
    pub memory: MemoryStats,
    /// Tasks.
    pub pids: PidsStats,
    /// Block I/O by device.
    pub io: Vec<IoStats>,
}

/// Processor time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
}

/// Memory, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// In use, page cache included.
    pub usage: u64,
    /// The most there ever was, where the kernel keeps it.
    pub peak: Option<u64>,
    /// The limit; absent if there is none.
    pub limit: Option<u64>,
    /// Swap in use (without memory).
    pub swap: u64,
    /// Page cache that has not been used lately: what `usage` has too much for people who look at it.
    pub inactive_file: u64,
    /// How often the limit was hit.
    pub limit_hits: u64,
    /// `memory.stat` as it is.
    pub detail: Vec<(String, u64)>,
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
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
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

/// Version 1 writes "unlimited" as the largest multiple of the page size.
fn limit(value: Option<u64>) -> Option<u64> {
    value.filter(|limit| *limit < 1 << 62)
}

pub(crate) fn pids(dir: &CgroupDir) -> PidsStats {
    PidsStats { current: number(dir, "pids.current").unwrap_or(0), limit: number(dir, "pids.max") }
}

pub(crate) fn v1_cpuacct(dir: &CgroupDir, cpu: &mut CpuStats) {
    cpu.usage_ns = number(dir, "cpuacct.usage").unwrap_or(0);
    cpu.user_ns = number(dir, "cpuacct.usage_user").unwrap_or(0);
    cpu.system_ns = number(dir, "cpuacct.usage_sys").unwrap_or(0);
}

pub(crate) fn v1_cpu(dir: &CgroupDir, cpu: &mut CpuStats) {
    let text = dir.try_read("cpu.stat").unwrap_or_default();
    let get = |key| keyed(&text, key).unwrap_or(0);
    (cpu.periods, cpu.throttled_periods, cpu.throttled_ns) =
        (get("nr_periods"), get("nr_throttled"), get("throttled_time"));
}

fn detail(text: &str) -> Vec<(String, u64)> {
    text.lines()
        .filter_map(|line| line.split_once(' ').and_then(|(k, v)| Some((k.to_owned(), v.parse().ok()?))))
        .collect()
}

pub(crate) fn v1_memory(dir: &CgroupDir) -> MemoryStats {
    let text = dir.try_read("memory.stat").unwrap_or_default();
    let usage = number(dir, "memory.usage_in_bytes").unwrap_or(0);
    let together = number(dir, "memory.memsw.usage_in_bytes").unwrap_or(usage);
    MemoryStats {
        usage,
        peak: number(dir, "memory.max_usage_in_bytes"),
        limit: limit(number(dir, "memory.limit_in_bytes")),
        swap: together.saturating_sub(usage),
        inactive_file: keyed(&text, "total_inactive_file").unwrap_or(0),
        limit_hits: number(dir, "memory.failcnt").unwrap_or(0),
        detail: detail(&text),
    }
}

pub(crate) fn v2_cpu(dir: &CgroupDir) -> CpuStats {
    let text = dir.try_read("cpu.stat").unwrap_or_default();
    let microseconds = |key| keyed(&text, key).unwrap_or(0) * 1000;
    CpuStats {
        usage_ns: microseconds("usage_usec"),
        user_ns: microseconds("user_usec"),
        system_ns: microseconds("system_usec"),
        periods: keyed(&text, "nr_periods").unwrap_or(0),
        throttled_periods: keyed(&text, "nr_throttled").unwrap_or(0),
        throttled_ns: microseconds("throttled_usec"),
    }
}

pub(crate) fn v2_memory(dir: &CgroupDir) -> MemoryStats {
    let text = dir.try_read("memory.stat").unwrap_or_default();
    let events = dir.try_read("memory.events").unwrap_or_default();
    MemoryStats {
        usage: number(dir, "memory.current").unwrap_or(0),
        peak: number(dir, "memory.peak"),
        limit: number(dir, "memory.max"),
        swap: number(dir, "memory.swap.current").unwrap_or(0),
        inactive_file: keyed(&text, "inactive_file").unwrap_or(0),
        limit_hits: keyed(&events, "max").unwrap_or(0),
        detail: detail(&text),
    }
}

fn device(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0` (cgroup-v2.rst).
pub(crate) fn v2_io(dir: &CgroupDir) -> Vec<IoStats> {
    parse_v2_io(&dir.try_read("io.stat").unwrap_or_default())
}

fn parse_v2_io(text: &str) -> Vec<IoStats> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (major, minor) = device(words.next()?)?;
            let mut stats = IoStats { major, minor, ..IoStats::default() };
            for (key, value) in words.filter_map(|word| word.split_once('=')) {
                let value = value.parse().unwrap_or(0);
                match key {
                    "rbytes" => stats.read_bytes = value,
                    "wbytes" => stats.written_bytes = value,
                    "rios" => stats.reads = value,
                    "wios" => stats.writes = value,
                    _ => {}
                }
            }
            Some(stats)
        })
        .collect()
}

/// `8:0 Read 4096` in one file for bytes and one for operations; BFQ's, where that scheduler is used, or the throttler's.
pub(crate) fn v1_blkio(dir: &CgroupDir) -> Vec<IoStats> {
    let read = |names: [&str; 2]| {
        let texts = names.into_iter().filter_map(|name| dir.try_read(name).ok());
        texts.max_by_key(String::len).unwrap_or_default()
    };
    let bytes = read(["blkio.bfq.io_service_bytes_recursive", "blkio.throttle.io_service_bytes_recursive"]);
    let operations = read(["blkio.bfq.io_serviced_recursive", "blkio.throttle.io_serviced_recursive"]);
    parse_v1_blkio(&bytes, &operations)
}

fn parse_v1_blkio(bytes: &str, operations: &str) -> Vec<IoStats> {
    let mut all: Vec<IoStats> = Vec::new();
    for (text, is_bytes) in [(bytes, true), (operations, false)] {
        for line in text.lines() {
            let mut words = line.split(' ');
            let (Some((major, minor)), Some(kind), Some(value)) =
                (words.next().and_then(device), words.next(), words.next().and_then(|word| word.parse().ok()))
            else {
                continue;
            };
            let at = all.iter().position(|io| (io.major, io.minor) == (major, minor)).unwrap_or_else(|| {
                all.push(IoStats { major, minor, ..IoStats::default() });
                all.len() - 1
            });
            match (kind, is_bytes) {
                ("Read", true) => all[at].read_bytes = value,
                ("Write", true) => all[at].written_bytes = value,
                ("Read", false) => all[at].reads = value,
                ("Write", false) => all[at].writes = value,
                _ => {}
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_io_statistics() {
        let expected = vec![IoStats { major: 8, minor: 16, read_bytes: 4096, written_bytes: 1, reads: 2, writes: 3 }];
        assert_eq!(parse_v2_io("8:16 rbytes=4096 wbytes=1 rios=2 wios=3 dbytes=0 dios=0\n"), expected);
        let bytes = "8:16 Read 4096\n8:16 Write 1\n8:16 Total 4097\nTotal 4097\n";
        assert_eq!(parse_v1_blkio(bytes, "8:16 Read 2\n8:16 Write 3\n"), expected);
    }

    #[test]
    fn quotas() {
        assert_eq!(cpu_max("max 100000\n"), (-1, 100_000));
        assert_eq!(cpu_max("5000 20000\n"), (5000, 20_000));
    }

    #[test]
    fn keys_are_whole_words() {
        let text = "oom 1\noom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(keyed(text, "oom_kill"), Some(3));
        assert_eq!(keyed(text, "kill"), None);
    }
}
