//! `events`: what a container uses, once or again and again, as lines of JSON.

use crate::args::{Arg, Globals, Parser, one_id, switch, text};
use crate::container::Container;
use crate::error::{Error, Result};
use carboy_cgroup::{IoStats, Stats};
use carboy_oci::state::Status;
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

/// `events`.
pub fn main(globals: &Globals, parser: &mut Parser) -> Result<u8> {
    let (mut id, mut once, mut interval) = (None, false, Duration::from_secs(5));
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Value(value) if id.is_none() => id = Some(text(value)?),
            Arg::Long("stats") => once = switch(parser)?,
            Arg::Long("interval") => interval = duration(&text(parser.value()?)?)?,
            other => return Err(other.unexpected().into()),
        }
    }
    let container = Container::open(&globals.root, &one_id(id)?)?;
    if matches!(container.status(), Status::Stopped | Status::Creating) {
        return Err(Error::State(format!("container {} is not running", container.record.id)));
    }
    let mut kills = container.record.cgroup.oom_kills()?;
    loop {
        let data = encode(&container.record.cgroup.stats()?);
        line(&container, "stats", Some(data))?;
        if once {
            return Ok(0);
        }
        let next = Instant::now() + interval;
        // What the kernel kills for want of memory is reported within a tenth of a second.
        while Instant::now() < next {
            std::thread::sleep(Duration::from_millis(100).min(next.saturating_duration_since(Instant::now())));
            if container.status() == Status::Stopped {
                return Ok(0);
            }
            let now = container.record.cgroup.oom_kills().unwrap_or(kills);
            if now > kills {
                line(&container, "oom", None)?;
            }
            kills = now;
        }
    }
}

/// As Go writes durations, with one unit: `500ms`, `5s`, `1m`.
fn duration(word: &str) -> Result<Duration> {
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let parsed = units.iter().find_map(|(unit, factor)| Some(word.strip_suffix(unit)?.parse::<f64>().ok()? * factor));
    let seconds = parsed.filter(|seconds| *seconds > 0.0 && *seconds < 1e9);
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| Error::Usage(format!("--interval={word}: a duration such as 5s")))
}

fn line(container: &Container, kind: &str, data: Option<Value>) -> Result<()> {
    let mut event = json!({ "type": kind, "id": container.record.id });
    if let (Some(data), Some(event)) = (data, event.as_object_mut()) {
        event.insert("data".into(), data);
    }
    super::output(&format!("{event}\n"))
}

/// One number of a device.
type NumberOf = fn(&IoStats) -> u64;

/// runc's form.
fn encode(stats: &Stats) -> Value {
    let (cpu, memory) = (&stats.cpu, &stats.memory);
    let raw: Map<String, Value> = memory.detail.iter().map(|(key, value)| (key.clone(), (*value).into())).collect();
    let by_device = |values: &[(&str, NumberOf)]| -> Vec<Value> {
        let entries = stats.io.iter().flat_map(|io| {
            values
                .iter()
                .map(move |(op, value)| json!({ "major": io.major, "minor": io.minor, "op": op, "value": value(io) }))
        });
        entries.collect()
    };
    json!({
        "cpu": {
            "usage": { "total": cpu.usage_ns, "kernel": cpu.system_ns, "user": cpu.user_ns },
            "throttling": {
                "periods": cpu.periods, "throttledPeriods": cpu.throttled_periods, "throttledTime": cpu.throttled_ns
            }
        },
        "memory": {
            "cache": memory.inactive_file,
            "usage": {
                "limit": memory.limit.unwrap_or(u64::MAX), "usage": memory.usage, "max": memory.peak.unwrap_or(0),
                "failcnt": memory.limit_hits
            },
            "swap": { "usage": memory.swap, "limit": 0, "failcnt": 0 },
            "raw": raw
        },
        "pids": { "current": stats.pids.current, "limit": stats.pids.limit.unwrap_or(0) },
        "blkio": {
            "ioServiceBytesRecursive": by_device(&[("Read", |io| io.read_bytes), ("Write", |io| io.written_bytes)]),
            "ioServicedRecursive": by_device(&[("Read", |io| io.reads), ("Write", |io| io.writes)])
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_go_s() {
        assert_eq!(duration("5s").unwrap(), Duration::from_secs(5));
        assert_eq!(duration("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(duration("1m").unwrap(), Duration::from_secs(60));
        for bad in ["5", "s", "-1s", "0s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
