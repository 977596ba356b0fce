//! Statistics in runc's form: the same names, the same order, and what it leaves out when it is zero.

use carboy_cgroup::{IoStats, MemoryUse, Pressure, Stall, Stats};
use serde_json::{Map, Value, json};

/// An object in the making.
#[derive(Default)]
struct Object(Map<String, Value>);

impl Object {
    fn with(mut self, name: &str, value: impl Into<Value>) -> Object {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Left out if it is zero or empty.
    fn some(self, name: &str, value: impl Into<Value>) -> Object {
        let value = value.into();
        let empty = match &value {
            Value::Number(number) => number.as_u64() == Some(0),
            Value::Array(list) => list.is_empty(),
            other => other.is_null(),
        };
        if empty { self } else { self.with(name, value) }
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Value {
        Value::Object(object.0)
    }
}

/// The numbers of one line.
pub(super) fn encode(stats: &Stats) -> Value {
    let hugetlb = stats.hugetlb.iter().map(|(size, page)| {
        let entry = Object::default().some("usage", page.usage).some("max", page.peak).with("failcnt", page.limit_hits);
        (size.clone(), Value::from(entry))
    });
    Object::default()
        .with("cpu", cpu(stats))
        .with("cpuset", cpuset(stats))
        .with("memory", memory(stats))
        .with(
            "pids",
            Object::default().some("current", stats.pids.current).some("limit", stats.pids.limit.unwrap_or(0)),
        )
        .with("blkio", blkio(stats))
        .with("hugetlb", hugetlb.collect::<Map<String, Value>>())
        .with("intel_rdt", json!({}))
        .with("network_interfaces", Value::Null)
        .into()
}

fn cpu(stats: &Stats) -> Object {
    let cpu = &stats.cpu;
    let [total, kernel, user] = cpu.by_cpu.clone();
    let usage = Object::default()
        .some("total", cpu.usage_ns)
        .some("percpu", total)
        .some("percpu_kernel", kernel)
        .some("percpu_user", user)
        .with("kernel", cpu.system_ns)
        .with("user", cpu.user_ns);
    let throttling = Object::default()
        .some("periods", cpu.periods)
        .some("throttledPeriods", cpu.throttled_periods)
        .some("throttledTime", cpu.throttled_ns);
    Object::default().with("usage", usage).with("throttling", throttling).some("psi", pressure(cpu.pressure))
}

fn cpuset(stats: &Stats) -> Object {
    let switch = |name: &str| {
        let found = stats.cpuset.switches.iter().find(|(file, _)| *file == name);
        found.map_or(0, |(_, value)| *value)
    };
    let mut object = Object::default()
        .some("cpus", stats.cpuset.cpus.clone())
        .with("cpu_exclusive", switch("cpu_exclusive"))
        .some("mems", stats.cpuset.mems.clone());
    for name in [
        "mem_hardwall",
        "mem_exclusive",
        "memory_migrate",
        "memory_spread_page",
        "memory_spread_slab",
        "memory_pressure",
        "sched_load_balance",
        "sched_relax_domain_level",
    ] {
        object = object.with(name, switch(name));
    }
    object
}

fn memory(stats: &Stats) -> Object {
    let memory = &stats.memory;
    let part = |part: MemoryUse| {
        Object::default()
            .with("limit", part.limit)
            .some("usage", part.usage)
            .some("max", part.peak)
            .with("failcnt", part.limit_hits)
    };
    let mut raw: Vec<_> = memory.detail.clone();
    raw.sort();
    let raw: Map<String, Value> = raw.into_iter().map(|(key, value)| (key, value.into())).collect();
    let events =
        memory.events.iter().filter(|(name, _)| ["low", "high", "max", "oom", "oom_kill"].contains(&name.as_str()));
    let events = events.fold(Object::default(), |object, (name, count)| object.some(name, *count));
    Object::default()
        .some("cache", memory.cache)
        .with("usage", part(memory.memory))
        .with("swap", part(memory.swap))
        .with("kernel", part(memory.kernel))
        .with("kernelTCP", part(memory.kernel_tcp))
        .with("raw", raw)
        .some("psi", pressure(memory.pressure))
        .with("event_count", events)
}

fn blkio(stats: &Stats) -> Object {
    let entries = |values: fn(&IoStats) -> &Vec<(String, u64)>| -> Vec<Value> {
        let of_device = |io: &IoStats| -> Vec<Value> {
            let entry = |(op, value): &(String, u64)| {
                let device = Object::default().some("major", io.major).some("minor", io.minor);
                device.with("op", op.clone()).some("value", *value).into()
            };
            values(io).iter().map(entry).collect()
        };
        stats.io.iter().flat_map(of_device).collect()
    };
    Object::default()
        .some("ioServiceBytesRecursive", entries(|io| &io.bytes))
        .some("ioServicedRecursive", entries(|io| &io.operations))
        .some("psi", pressure(stats.io_pressure))
}

fn pressure(pressure: Option<Pressure>) -> Value {
    let stall = |stall: Stall| json!({ "avg10": stall.avg10, "avg60": stall.avg60, "avg300": stall.avg300, "total": stall.total });
    pressure.map_or(Value::Null, |found| json!({ "some": stall(found.some), "full": stall(found.full) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use carboy_cgroup::{HugetlbStats, PidsStats};

    #[test]
    fn what_is_zero_is_left_out_where_runc_leaves_it_out() {
        let text = encode(&Stats::default()).to_string();
        let expected = concat!(
            r#"{"cpu":{"usage":{"kernel":0,"user":0},"throttling":{}},"cpuset":{"cpu_exclusive":0,"mem_hardwall":0,"#,
            r#""mem_exclusive":0,"memory_migrate":0,"memory_spread_page":0,"memory_spread_slab":0,"memory_pressure":0,"#,
            r#""sched_load_balance":0,"sched_relax_domain_level":0},"memory":{"usage":{"limit":0,"failcnt":0},"#,
            r#""swap":{"limit":0,"failcnt":0},"kernel":{"limit":0,"failcnt":0},"kernelTCP":{"limit":0,"failcnt":0},"#,
            r#""raw":{},"event_count":{}},"pids":{},"blkio":{},"hugetlb":{},"intel_rdt":{},"network_interfaces":null}"#
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn numbers_are_where_callers_look() {
        let io =
            IoStats { major: 8, minor: 0, bytes: vec![("Read".into(), 4096)], operations: vec![("Read".into(), 1)] };
        let huge = HugetlbStats { usage: 1, peak: 2, limit_hits: 3 };
        let stats = Stats {
            pids: PidsStats { current: 3, limit: Some(9) },
            io: vec![io],
            hugetlb: vec![("2MB".into(), huge)],
            io_pressure: Some(Pressure::default()),
            ..Stats::default()
        };
        let value = encode(&stats);
        assert_eq!(value["pids"], json!({ "current": 3, "limit": 9 }));
        assert_eq!(value["blkio"]["ioServiceBytesRecursive"], json!([{ "major": 8, "op": "Read", "value": 4096 }]));
        assert_eq!(value["blkio"]["psi"]["full"]["avg10"], 0.0);
        assert_eq!(value["hugetlb"]["2MB"], json!({ "usage": 1, "max": 2, "failcnt": 3 }));
    }
}
