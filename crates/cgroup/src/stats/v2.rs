//! The unified hierarchy.

use super::{
    CpuStats, HugetlbStats, IoStats, MemoryStats, MemoryUse, Stats, detail, device, huge_page_sizes, keyed, number,
    pids, pressure,
};
use crate::dir::CgroupDir;

pub(crate) fn all(dir: &CgroupDir) -> Stats {
    Stats {
        cpu: cpu(dir),
        memory: memory(dir),
        pids: pids(dir),
        io: parse_io(&dir.try_read("io.stat").unwrap_or_default()),
        io_pressure: pressure(dir, "io.pressure"),
        hugetlb: hugetlb(dir),
        ..Stats::default()
    }
}

fn cpu(dir: &CgroupDir) -> CpuStats {
    let text = dir.try_read("cpu.stat").unwrap_or_default();
    let microseconds = |key| keyed(&text, key).unwrap_or(0) * 1000;
    CpuStats {
        usage_ns: microseconds("usage_usec"),
        user_ns: microseconds("user_usec"),
        system_ns: microseconds("system_usec"),
        periods: keyed(&text, "nr_periods").unwrap_or(0),
        throttled_periods: keyed(&text, "nr_throttled").unwrap_or(0),
        throttled_ns: microseconds("throttled_usec"),
        pressure: pressure(dir, "cpu.pressure"),
        ..CpuStats::default()
    }
}

fn memory(dir: &CgroupDir) -> MemoryStats {
    let text = dir.try_read("memory.stat").unwrap_or_default();
    let events = dir.try_read("memory.events").unwrap_or_default();
    let limit = number(dir, "memory.max");
    let memory = MemoryUse {
        limit: limit.unwrap_or(u64::MAX),
        usage: number(dir, "memory.current").unwrap_or(0),
        peak: number(dir, "memory.peak").unwrap_or(0),
        limit_hits: 0,
    };
    // Version 1 counts memory and swap together, and so do those who read this.
    let swap = MemoryUse {
        limit: number(dir, "memory.swap.max").map_or(u64::MAX, |swap| swap.saturating_add(memory.limit)),
        usage: memory.usage + number(dir, "memory.swap.current").unwrap_or(0),
        ..MemoryUse::default()
    };
    MemoryStats {
        memory,
        swap,
        limit,
        cache: keyed(&text, "file").unwrap_or(0),
        detail: detail(&text),
        pressure: pressure(dir, "memory.pressure"),
        events: detail(&events),
        ..MemoryStats::default()
    }
}

fn hugetlb(dir: &CgroupDir) -> Vec<(String, HugetlbStats)> {
    let of_size = |size: String| {
        let reserved = number(dir, &format!("hugetlb.{size}.rsvd.current"));
        let usage = reserved.or_else(|| number(dir, &format!("hugetlb.{size}.current")))?;
        let events = dir.try_read(&format!("hugetlb.{size}.events")).unwrap_or_default();
        let stats = HugetlbStats { usage, peak: 0, limit_hits: keyed(&events, "max").unwrap_or(0) };
        Some((size, stats))
    };
    huge_page_sizes().into_iter().filter_map(of_size).collect()
}

/// `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0` (cgroup-v2.rst).
fn parse_io(text: &str) -> Vec<IoStats> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (major, minor) = device(words.next()?)?;
            let mut stats = IoStats { major, minor, ..IoStats::default() };
            for (key, value) in words.filter_map(|word| word.split_once('=')) {
                let value = value.parse().unwrap_or(0);
                match key {
                    "rbytes" => stats.bytes.push(("Read".into(), value)),
                    "wbytes" => stats.bytes.push(("Write".into(), value)),
                    "rios" => stats.operations.push(("Read".into(), value)),
                    "wios" => stats.operations.push(("Write".into(), value)),
                    _ => {}
                }
            }
            Some(stats)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_by_device_in_the_words_of_version_1() {
        let found = parse_io("8:16 rbytes=4096 wbytes=1 rios=2 wios=3 dbytes=0 dios=0\n");
        assert_eq!((found[0].major, found[0].minor), (8, 16));
        assert_eq!(found[0].bytes, [("Read".to_owned(), 4096), ("Write".to_owned(), 1)]);
        assert_eq!(found[0].operations, [("Read".to_owned(), 2), ("Write".to_owned(), 3)]);
    }
}
