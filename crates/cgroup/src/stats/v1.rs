//! Version 1.

use super::{
    CpuStats, CpusetStats, HugetlbStats, IoStats, MemoryStats, MemoryUse, detail, device, huge_page_sizes, keyed, list,
    number,
};
use crate::dir::CgroupDir;

pub(crate) fn cpuacct(dir: &CgroupDir, cpu: &mut CpuStats) {
    cpu.usage_ns = number(dir, "cpuacct.usage").unwrap_or(0);
    cpu.user_ns = number(dir, "cpuacct.usage_user").unwrap_or(0);
    cpu.system_ns = number(dir, "cpuacct.usage_sys").unwrap_or(0);
    let files = ["cpuacct.usage_percpu", "cpuacct.usage_percpu_sys", "cpuacct.usage_percpu_user"];
    cpu.by_cpu = files.map(|file| {
        let text = dir.try_read(file).unwrap_or_default();
        text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
    });
}

pub(crate) fn cpu(dir: &CgroupDir, cpu: &mut CpuStats) {
    let text = dir.try_read("cpu.stat").unwrap_or_default();
    let get = |key| keyed(&text, key).unwrap_or(0);
    (cpu.periods, cpu.throttled_periods, cpu.throttled_ns) =
        (get("nr_periods"), get("nr_throttled"), get("throttled_time"));
}

pub(crate) fn memory(dir: &CgroupDir) -> MemoryStats {
    let text = dir.try_read("memory.stat").unwrap_or_default();
    let part = |prefix: &str| {
        let get = |file: &str| number(dir, &format!("memory.{prefix}{file}")).unwrap_or(0);
        MemoryUse {
            limit: get("limit_in_bytes"),
            usage: get("usage_in_bytes"),
            peak: get("max_usage_in_bytes"),
            limit_hits: get("failcnt"),
        }
    };
    let memory = part("");
    MemoryStats {
        memory,
        swap: part("memsw."),
        kernel: part("kmem."),
        kernel_tcp: part("kmem.tcp."),
        // "Unlimited" is the largest multiple of the page size.
        limit: Some(memory.limit).filter(|limit| *limit < 1 << 62),
        cache: keyed(&text, "cache").unwrap_or(0),
        detail: detail(&text),
        ..MemoryStats::default()
    }
}

pub(crate) fn cpuset(dir: &CgroupDir) -> CpusetStats {
    let numbers = |file: &str| list(&dir.try_read(file).unwrap_or_default());
    let switches = [
        "cpu_exclusive",
        "mem_hardwall",
        "mem_exclusive",
        "memory_migrate",
        "memory_spread_page",
        "memory_spread_slab",
        "memory_pressure",
        "sched_load_balance",
        "sched_relax_domain_level",
    ];
    let value = |file: &str| dir.try_read(&format!("cpuset.{file}")).ok()?.trim().parse().ok();
    CpusetStats {
        cpus: numbers("cpuset.cpus"),
        mems: numbers("cpuset.mems"),
        switches: switches.map(|file| (file, value(file).unwrap_or(0))).into(),
    }
}

/// What is reserved counts, where the kernel counts it (Linux 5.7).
pub(crate) fn hugetlb(dir: &CgroupDir) -> Vec<(String, HugetlbStats)> {
    let of_size = |size: String| {
        let get = |file: &str| {
            let reserved = number(dir, &format!("hugetlb.{size}.rsvd.{file}"));
            reserved.or_else(|| number(dir, &format!("hugetlb.{size}.{file}")))
        };
        let usage = get("usage_in_bytes")?;
        let stats = HugetlbStats {
            usage,
            peak: get("max_usage_in_bytes").unwrap_or(0),
            limit_hits: get("failcnt").unwrap_or(0),
        };
        Some((size, stats))
    };
    huge_page_sizes().into_iter().filter_map(of_size).collect()
}

/// `8:0 Read 4096` in one file for bytes and one for operations; BFQ's, where that scheduler is used, or the throttler's.
pub(crate) fn blkio(dir: &CgroupDir) -> Vec<IoStats> {
    let read = |names: [&str; 2]| {
        let texts = names.into_iter().filter_map(|name| dir.try_read(name).ok());
        texts.max_by_key(String::len).unwrap_or_default()
    };
    let bytes = read(["blkio.bfq.io_service_bytes_recursive", "blkio.throttle.io_service_bytes_recursive"]);
    let operations = read(["blkio.bfq.io_serviced_recursive", "blkio.throttle.io_serviced_recursive"]);
    parse_blkio(&bytes, &operations)
}

fn parse_blkio(bytes: &str, operations: &str) -> Vec<IoStats> {
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
            let list = if is_bytes { &mut all[at].bytes } else { &mut all[at].operations };
            list.push((kind.to_owned(), value));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_by_device_and_operation() {
        let bytes = "8:16 Read 4096\n8:16 Write 1\n8:16 Total 4097\nTotal 4097\n";
        let found = parse_blkio(bytes, "8:16 Read 2\n8:16 Write 3\n");
        let pairs = |list: &[(&str, u64)]| list.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect::<Vec<_>>();
        assert_eq!((found.len(), found[0].major, found[0].minor), (1, 8, 16));
        assert_eq!(found[0].bytes, pairs(&[("Read", 4096), ("Write", 1), ("Total", 4097)]));
        assert_eq!(found[0].operations, pairs(&[("Read", 2), ("Write", 3)]));
    }
}
