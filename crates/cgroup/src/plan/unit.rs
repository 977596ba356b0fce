//! Resources as properties of a systemd unit: what systemd has a word for (as runc). The files are written all the same.

use super::convert::{cpu_weight, swap_max};
use super::{PlanOptions, set};
use crate::dbus::Value;
use crate::detect::Mode;
use crate::devices::{DeviceKind, DevicePolicy};
use crate::error::CgroupError;
use crate::stats::DEFAULT_PERIOD_US;
use crate::systemd::Property;
use carboy_oci::runtime::{CpuResources, MemoryResources, Resources};

/// systemd counts quotas in percent of a CPU: of this many µs in a second.
const PERCENT_US: u64 = 10_000;

/// The properties. Pure, but for the names of device drivers (/proc/devices), if a rule has a major number only.
pub(super) fn properties(
    resources: &Resources,
    mode: Mode,
    options: PlanOptions,
) -> Result<Vec<Property>, CgroupError> {
    let is_v2 = mode == Mode::V2;
    let mut list = Vec::new();
    if !options.without_devices {
        devices(&DevicePolicy::from_rules(&resources.devices)?, &mut list);
    }
    if let Some(memory) = &resources.memory {
        self::memory(memory, is_v2, &mut list)?;
    }
    if let Some(cpu) = &resources.cpu {
        self::cpu(cpu, is_v2, &mut list)?;
    }
    if let Some(weight) = set(resources.block_io.as_ref().and_then(|io| io.weight)).filter(|_| !is_v2) {
        list.push(Property::new("BlockIOWeight", Value::U64(weight.into())));
    }
    if let Some(limit) = super::pids_limit(resources) {
        list.push(Property::new("TasksMax", unlimited(limit)));
    }
    for (file, value) in &resources.unified {
        unified(file, value.trim(), &mut list)?;
    }
    Ok(list)
}

/// Negative is unlimited.
fn unlimited(value: i64) -> Value {
    Value::U64(u64::try_from(value).unwrap_or(u64::MAX))
}

fn memory(memory: &MemoryResources, is_v2: bool, list: &mut Vec<Property>) -> Result<(), CgroupError> {
    if let Some(limit) = set(memory.limit) {
        list.push(Property::new(if is_v2 { "MemoryMax" } else { "MemoryLimit" }, unlimited(limit)));
    }
    if !is_v2 {
        return Ok(());
    }
    if let Some(reservation) = set(memory.reservation) {
        list.push(Property::new("MemoryLow", unlimited(reservation)));
    }
    let field = "linux.resources.memory.swap";
    let swap = swap_max(memory.swap, memory.limit).map_err(|reason| CgroupError::invalid(field, reason))?;
    if let Some(swap) = swap {
        list.push(Property::new("MemorySwapMax", Value::U64(swap.parse().unwrap_or(u64::MAX))));
    }
    Ok(())
}

fn cpu(cpu: &CpuResources, is_v2: bool, list: &mut Vec<Property>) -> Result<(), CgroupError> {
    if cpu.idle == Some(1) && is_v2 {
        // The weight 0 is systemd's word for idle.
        list.push(Property::new("CPUWeight", Value::U64(0)).since(252));
    } else if let Some(shares) = set(cpu.shares) {
        list.push(match is_v2 {
            true => Property::new("CPUWeight", Value::U64(cpu_weight(shares))),
            false => Property::new("CPUShares", Value::U64(shares)),
        });
    }
    quota(set(cpu.quota), set(cpu.period), list);
    for (property, set, name) in [("AllowedCPUs", &cpu.cpus, "cpus"), ("AllowedMemoryNodes", &cpu.mems, "mems")] {
        if let Some(text) = set.as_ref().filter(|text| !text.is_empty()) {
            list.push(bits(property, text, &format!("linux.resources.cpu.{name}"))?);
        }
    }
    Ok(())
}

/// A quota that is no whole percentage is rounded up: what is written into the file afterwards may not be more.
fn quota(quota: Option<i64>, period: Option<u64>, list: &mut Vec<Property>) {
    if let Some(period) = period {
        list.push(Property::new("CPUQuotaPeriodUSec", Value::U64(period)).since(242));
    }
    if quota.is_some() || period.is_some() {
        let limited = quota.and_then(|quota| u64::try_from(quota).ok());
        let per_second = limited.map(|quota| {
            let exact = u128::from(quota) * 1_000_000 / u128::from(period.unwrap_or(DEFAULT_PERIOD_US));
            u64::try_from(exact).map_or(u64::MAX, |us| us.div_ceil(PERCENT_US).saturating_mul(PERCENT_US))
        });
        list.push(Property::new("CPUQuotaPerSecUSec", Value::U64(per_second.unwrap_or(u64::MAX))));
    }
}

/// `0-2,5` as bits, the first byte holding the lowest.
fn bits(property: &'static str, text: &str, field: &str) -> Result<Property, CgroupError> {
    let bad = || CgroupError::invalid(field, format!("{text:?} is no list such as 0-3,5"));
    let mut mask: Vec<u8> = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<usize>().ok().filter(|n| *n < 65_536);
        let (first, last) = (number(first).ok_or_else(bad)?, number(last).ok_or_else(bad)?);
        if first > last {
            return Err(bad());
        }
        mask.resize(mask.len().max(last / 8 + 1), 0);
        (first..=last).for_each(|bit| mask[bit / 8] |= 1 << (bit % 8));
    }
    if mask.is_empty() {
        return Err(bad());
    }
    let bytes = mask.into_iter().map(Value::Byte).collect();
    Ok(Property::new(property, Value::Array("y".into(), bytes)).since(244))
}

/// Files of `unified` that systemd has a word for.
fn unified(file: &str, value: &str, list: &mut Vec<Property>) -> Result<(), CgroupError> {
    let field = format!("linux.resources.unified[{file:?}]");
    let bad = || CgroupError::invalid(field.clone(), format!("{value:?} is no value for it"));
    let number = |text: &str| if text == "max" { Some(u64::MAX) } else { text.parse().ok() };
    let simple = match file {
        "memory.min" => "MemoryMin",
        "memory.low" => "MemoryLow",
        "memory.high" => "MemoryHigh",
        "memory.max" => "MemoryMax",
        "memory.swap.max" => "MemorySwapMax",
        "pids.max" => "TasksMax",
        "cpu.weight" => "CPUWeight",
        "cpuset.cpus" => return bits("AllowedCPUs", value, &field).map(|property| list.push(property)),
        "cpuset.mems" => return bits("AllowedMemoryNodes", value, &field).map(|property| list.push(property)),
        "cpu.idle" if value == "1" => {
            list.push(Property::new("CPUWeight", Value::U64(0)).since(252));
            return Ok(());
        }
        "cpu.max" => {
            let mut words = value.split_whitespace();
            let most = words.next().and_then(number).ok_or_else(bad)?;
            let period = words.next().map(|word| word.parse::<u64>().map_err(|_| bad())).transpose()?;
            let limit = i64::try_from(most).unwrap_or(-1);
            quota(Some(limit), Some(period.unwrap_or(DEFAULT_PERIOD_US)), list);
            return Ok(());
        }
        _ => return Ok(()),
    };
    list.push(Property::new(simple, Value::U64(number(value).ok_or_else(bad)?)));
    Ok(())
}

/// systemd only knows what is allowed: exceptions from what is allowed are left to the rules that are written afterwards.
fn devices(policy: &DevicePolicy, list: &mut Vec<Property>) {
    let strict = !policy.default_allow;
    let word = if strict { "strict" } else { "auto" };
    list.push(Property::new("DevicePolicy", Value::Str(word.into())));
    let mut drivers = None;
    let allowed = policy.rules.iter().filter(|rule| rule.allow && strict).filter_map(|rule| {
        let kind = if rule.kind == DeviceKind::Char { "char" } else { "block" };
        let node = match (rule.major, rule.minor) {
            (None, None) => format!("{kind}-*"),
            (Some(major), Some(minor)) => format!("/dev/{kind}/{major}:{minor}"),
            (Some(major), None) => {
                let text = drivers.get_or_insert_with(|| std::fs::read_to_string("/proc/devices").unwrap_or_default());
                format!("{kind}-{}", driver(text, rule.kind, major)?)
            }
            // There is no word for a minor number of any driver.
            (None, Some(_)) => return None,
        };
        Some(Value::Struct(vec![Value::Str(node), Value::Str(rule.letters())]))
    });
    let allowed = allowed.collect();
    list.push(Property::new("DeviceAllow", Value::Array("(ss)".into(), allowed)));
}

/// The name of a major number: /proc/devices has two lists, of lines such as `136 pts`.
fn driver(text: &str, kind: DeviceKind, major: u32) -> Option<&str> {
    let title = if kind == DeviceKind::Char { "Character devices:" } else { "Block devices:" };
    let lines = text.lines().skip_while(|line| *line != title).skip(1).take_while(|line| !line.is_empty());
    lines.filter_map(|line| line.trim().split_once(' ')).find(|(number, _)| number.parse() == Ok(major)).map(|(_, n)| n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(json: &str, mode: Mode) -> Result<Vec<String>, String> {
        let resources: Resources = serde_json::from_str(json).unwrap();
        let options = PlanOptions { without_devices: true, ..PlanOptions::default() };
        let list = properties(&resources, mode, options).map_err(|e| e.to_string())?;
        Ok(list.iter().map(Property::to_string).collect())
    }

    const LIMITS: &str = r#"{"memory": {"limit": 1000, "swap": 3000, "reservation": 500},
        "cpu": {"shares": 1024, "quota": 33333, "period": 100000, "cpus": "0-1,9", "mems": "0"},
        "pids": {"limit": -1}, "blockIO": {"weight": 500}}"#;

    #[test]
    fn limits_in_systemd_s_words() {
        let common = [
            "CPUQuotaPeriodUSec=100000",
            "CPUQuotaPerSecUSec=340000",
            "AllowedCPUs=[0x03, 0x02]",
            "AllowedMemoryNodes=[0x01]",
        ];
        let v2 = ["MemoryMax=1000", "MemoryLow=500", "MemorySwapMax=2000", "CPUWeight=100"];
        assert_eq!(shown(LIMITS, Mode::V2).unwrap(), [&v2[..], &common, &["TasksMax=infinity"]].concat());
        let v1 = ["MemoryLimit=1000", "CPUShares=1024"];
        assert_eq!(
            shown(LIMITS, Mode::Hybrid).unwrap(),
            [&v1[..], &common, &["BlockIOWeight=500", "TasksMax=infinity"]].concat()
        );
        let lifted = r#"{"memory": {"limit": -1}, "cpu": {"quota": -1, "idle": 1, "shares": 5}}"#;
        let expected = ["MemoryMax=infinity", "MemorySwapMax=infinity", "CPUWeight=0", "CPUQuotaPerSecUSec=infinity"];
        assert_eq!(shown(lifted, Mode::V2).unwrap(), expected);
    }

    #[test]
    fn files_of_unified_too() {
        let json = r#"{"unified": {"memory.high": "max", "memory.min": "4096", "cpu.max": "5000 10000", "pids.max": "7",
            "cpuset.cpus": "1", "io.max": "8:0 rbps=1", "cpu.idle": "1"}}"#;
        assert_eq!(
            shown(json, Mode::V2).unwrap(),
            [
                "CPUWeight=0",
                "CPUQuotaPeriodUSec=10000",
                "CPUQuotaPerSecUSec=500000",
                "AllowedCPUs=[0x02]",
                "MemoryHigh=infinity",
                "MemoryMin=4096",
                "TasksMax=7",
            ]
        );
        for (json, field) in [
            (r#"{"unified": {"memory.high": "much"}}"#, "linux.resources.unified[\"memory.high\"]: "),
            (r#"{"unified": {"cpu.max": "1 x"}}"#, "linux.resources.unified[\"cpu.max\"]: "),
            (r#"{"cpu": {"cpus": "3-1"}}"#, "linux.resources.cpu.cpus: "),
        ] {
            let error = shown(json, Mode::V2).unwrap_err();
            assert!(error.starts_with(field), "{error}");
        }
    }

    #[test]
    fn devices_by_name() {
        let policy = |json: &str| {
            let resources: Resources = serde_json::from_str(json).unwrap();
            let mut list = Vec::new();
            devices(&DevicePolicy::from_rules(&resources.devices).unwrap(), &mut list);
            list.iter().map(Property::to_string).collect::<Vec<_>>()
        };
        let strict = policy(
            r#"{"devices": [{"allow": false}, {"allow": true, "type": "b", "major": 8, "minor": 1, "access": "r"}]}"#,
        );
        assert_eq!(strict[0], "DevicePolicy=\"strict\"");
        for part in [
            "(\"/dev/block/8:1\", \"r\")",
            "(\"/dev/char/1:3\", \"rwm\")",
            "(\"char-*\", \"m\")",
            "(\"block-*\", \"m\")",
            "(\"char-pts\", \"rwm\")",
        ] {
            assert!(strict[1].contains(part), "{part}: {}", strict[1]);
        }
        let open = policy(r#"{"devices": [{"allow": true}]}"#);
        assert_eq!(open, ["DevicePolicy=\"auto\"", "DeviceAllow=[]"]);
        let text = "Character devices:\n  1 mem\n136 pts\n\nBlock devices:\n  1 ramdisk\n  8 sd\n";
        assert_eq!(driver(text, DeviceKind::Char, 1), Some("mem"));
        assert_eq!(driver(text, DeviceKind::Block, 1), Some("ramdisk"));
        assert_eq!(driver(text, DeviceKind::Char, 8), None);
    }
}
