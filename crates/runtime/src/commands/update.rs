//! `update`: changes the limits of a container.

use crate::args::{Arg, Globals, Parser, number, one_id, text};
use crate::container::Container;
use crate::error::{Context, Error, Result};
use carboy_oci::runtime::{BlockIo, CpuResources, MemoryResources, PidsResources, Resources};
use carboy_oci::state::Status;
use std::io::Read;

/// `update`.
pub fn main(globals: &Globals, parser: &mut Parser) -> Result<u8> {
    let (id, resources) = parse(parser)?;
    let container = Container::open(&globals.root, &id)?;
    if matches!(container.status(), Status::Stopped | Status::Creating) {
        return Err(Error::State("container not running".into()));
    }
    container.record.cgroup.update(&resources)?;
    Ok(0)
}

fn parse(parser: &mut Parser) -> Result<(String, Resources)> {
    let (mut id, mut file) = (None, None);
    let (mut memory, mut cpu) = (MemoryResources::default(), CpuResources::default());
    let (mut pids, mut block_io) = (PidsResources::default(), BlockIo::default());
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Value(value) if id.is_none() => id = Some(text(value)?),
            Arg::Long("resources") | Arg::Short('r') => file = Some(text(parser.value()?)?),
            Arg::Long("memory") => memory.limit = Some(bytes(parser)?),
            Arg::Long("memory-reservation") => memory.reservation = Some(bytes(parser)?),
            Arg::Long("memory-swap") => memory.swap = Some(bytes(parser)?),
            Arg::Long("cpu-period") => cpu.period = Some(number(parser.value()?)?),
            Arg::Long("cpu-quota") => cpu.quota = Some(number(parser.value()?)?),
            Arg::Long("cpu-burst") => cpu.burst = Some(number(parser.value()?)?),
            Arg::Long("cpu-share") => cpu.shares = Some(number(parser.value()?)?),
            Arg::Long("cpu-rt-period") => cpu.realtime_period = Some(number(parser.value()?)?),
            Arg::Long("cpu-rt-runtime") => cpu.realtime_runtime = Some(number(parser.value()?)?),
            Arg::Long("cpu-idle") => cpu.idle = Some(number(parser.value()?)?),
            Arg::Long("cpuset-cpus") => cpu.cpus = Some(text(parser.value()?)?),
            Arg::Long("cpuset-mems") => cpu.mems = Some(text(parser.value()?)?),
            Arg::Long("pids-limit") => pids.limit = Some(number(parser.value()?)?),
            Arg::Long("blkio-weight") => block_io.weight = Some(number(parser.value()?)?),
            Arg::Long(name @ ("l3-cache-schema" | "mem-bw-schema" | "kernel-memory" | "kernel-memory-tcp")) => {
                return Err(Error::Usage(format!("--{name} is not supported")));
            }
            other => return Err(other.unexpected().into()),
        }
    }
    // As runc: what a file says replaces the options.
    let resources = match file {
        Some(path) => read(&path)?,
        None => Resources {
            memory: given(memory),
            cpu: given(cpu),
            pids: given(pids),
            block_io: given(block_io),
            ..Resources::default()
        },
    };
    Ok((one_id(id)?, resources))
}

fn given<T: Default + PartialEq>(value: T) -> Option<T> {
    (value != T::default()).then_some(value)
}

fn read(path: &str) -> Result<Resources> {
    let mut content = Vec::new();
    if path == "-" {
        std::io::stdin().read_to_end(&mut content).context(|| "read standard input")?;
    } else {
        content = std::fs::read(path).context(|| format!("read {path}"))?;
    }
    serde_json::from_slice(&content).map_err(|e| Error::Other(format!("parse {path}: {e}")))
}

fn bytes(parser: &mut Parser) -> Result<i64> {
    let word = text(parser.value()?)?;
    parse_bytes(&word).ok_or_else(|| Error::Usage(format!("{word:?} is no number of bytes")))
}

/// A number of bytes, with a suffix k, m, g or t of powers of 1024.
fn parse_bytes(word: &str) -> Option<i64> {
    let lower = word.to_ascii_lowercase();
    let lower = lower.strip_suffix("ib").or(lower.strip_suffix('b')).unwrap_or(&lower);
    let (digits, shift) = match lower.as_bytes().last()? {
        b'k' => (&lower[..lower.len() - 1], 10),
        b'm' => (&lower[..lower.len() - 1], 20),
        b'g' => (&lower[..lower.len() - 1], 30),
        b't' => (&lower[..lower.len() - 1], 40),
        _ => (lower, 0),
    };
    digits.parse::<i64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_resources() {
        let line = "--memory 64M --memory-swap -1 --pids-limit 7 id --cpu-quota=5000";
        let (id, resources) = parse(&mut Parser::from_args(line.split(' '))).unwrap();
        assert_eq!(id, "id");
        assert_eq!(resources.memory.unwrap().limit, Some(64 << 20));
        assert_eq!(resources.cpu.unwrap().quota, Some(5000));
        assert_eq!(resources.pids.unwrap().limit, Some(7));
        assert_eq!(resources.block_io, None);
    }

    #[test]
    fn bytes_have_suffixes() {
        for (word, value) in
            [("12", Some(12)), ("3k", Some(3072)), ("1GiB", Some(1 << 30)), ("-1", Some(-1)), ("x", None), ("", None)]
        {
            assert_eq!(parse_bytes(word), value, "{word}");
        }
    }
}
