//! `update`: changes the limits of a container.

use crate::args::{Arg, Globals, Parser, number, one_id, text};
use crate::container::Container;
use crate::error::{Context, Error, Result};
use carboy_oci::runtime::{BlockIo, CpuResources, MemoryResources, PidsResources, Resources};
use carboy_oci::state::Status;
use std::io::Read;

/// `update`.
pub fn main(globals: &Globals, parser: &mut Parser) -> Result<u8> {
    let (id, resources, ignored) = parse(parser)?;
    for option in ignored {
        globals.log.write("warning", &format!("{option} is ignored: kernels have no such limit of their own any more"));
    }
    let container = Container::open(&globals.root, &id)?;
    if matches!(container.status(), Status::Stopped | Status::Creating) {
        return Err(Error::State("container not running".into()));
    }
    for warning in carboy_cgroup::ignored(&resources) {
        globals.log.write("warning", &warning);
    }
    if !resources.devices.is_empty() {
        // As runc: callers send the whole of what they know, also rules that others have changed since.
        globals.log.write("warning", "linux.resources.devices is ignored: update does not change rules for devices");
    }
    container.record.cgroup.update(&resources)?;
    Ok(0)
}

/// The ID, the limits, and options that are ignored.
fn parse(parser: &mut Parser) -> Result<(String, Resources, Vec<String>)> {
    let (mut id, mut file, mut ignored) = (None, None, Vec::new());
    let (mut memory, mut cpu) = (MemoryResources::default(), CpuResources::default());
    let (mut pids, mut block_io) = (PidsResources::default(), BlockIo::default());
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Value(value) if id.is_none() => id = Some(text(value)?),
            Arg::Long("resources") | Arg::Short('r') => file = given_text(parser)?,
            Arg::Long("memory") => memory.limit = bytes(parser)?,
            Arg::Long("memory-reservation") => memory.reservation = bytes(parser)?,
            Arg::Long("memory-swap") => memory.swap = bytes(parser)?,
            Arg::Long("cpu-period") => cpu.period = given_number(parser)?,
            Arg::Long("cpu-quota") => cpu.quota = given_number(parser)?,
            Arg::Long("cpu-burst") => cpu.burst = given_number(parser)?,
            Arg::Long("cpu-share") => cpu.shares = given_number(parser)?,
            Arg::Long("cpu-rt-period") => cpu.realtime_period = given_number(parser)?,
            Arg::Long("cpu-rt-runtime") => cpu.realtime_runtime = given_number(parser)?,
            Arg::Long("cpu-idle") => cpu.idle = given_number(parser)?,
            Arg::Long("cpuset-cpus") => cpu.cpus = given_text(parser)?,
            Arg::Long("cpuset-mems") => cpu.mems = given_text(parser)?,
            Arg::Long("pids-limit") => pids.limit = Some(number(parser.value()?)?),
            Arg::Long("blkio-weight") => block_io.weight = Some(number(parser.value()?)?),
            Arg::Long(name @ ("kernel-memory" | "kernel-memory-tcp")) => {
                let option = format!("--{name}");
                ignored.extend(given_text(parser)?.map(|_| option));
            }
            Arg::Long(name @ ("l3-cache-schema" | "mem-bw-schema")) => {
                let option = format!("--{name}: Intel RDT is not supported");
                if given_text(parser)?.is_some() {
                    return Err(Error::Usage(option));
                }
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
    Ok((one_id(id)?, resources, ignored))
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
    Ok(crate::config::parse_part(&content, std::path::Path::new(path))?.0)
}

/// As runc: an option with an empty value is not given.
fn given_text(parser: &mut Parser) -> Result<Option<String>> {
    Ok(Some(text(parser.value()?)?).filter(|word| !word.is_empty()))
}

fn given_number<T: std::str::FromStr>(parser: &mut Parser) -> Result<Option<T>> {
    let bad = |word: String| Error::Usage(format!("{word:?} is no number, or too large"));
    given_text(parser)?.map(|word| word.parse().map_err(|_| bad(word))).transpose()
}

fn bytes(parser: &mut Parser) -> Result<Option<i64>> {
    let bad = |word: &str| Error::Usage(format!("{word:?} is no number of bytes"));
    given_text(parser)?.map(|word| parse_bytes(&word).ok_or_else(|| bad(&word))).transpose()
}

/// A number of bytes, possibly with a fraction and a suffix k, m, g, t or p of powers of 1024; -1 is unlimited (Docker's sizes).
fn parse_bytes(word: &str) -> Option<i64> {
    if word == "-1" {
        return Some(-1);
    }
    let lower = word.to_ascii_lowercase();
    let lower = lower.strip_suffix("ib").or(lower.strip_suffix('b')).unwrap_or(&lower);
    let shift = match lower.as_bytes().last()? {
        b'k' => 10,
        b'm' => 20,
        b'g' => 30,
        b't' => 40,
        b'p' => 50,
        _ => 0,
    };
    let digits = if shift > 0 { lower[..lower.len() - 1].trim_end_matches(' ') } else { lower };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    match digits.parse::<i64>() {
        Ok(whole) => whole.checked_mul(1 << shift),
        Err(_) => {
            let bytes = digits.parse::<f64>().ok()? * (1u64 << shift) as f64;
            (bytes < i64::MAX as f64).then_some(bytes as i64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_resources() {
        let line = "--memory 64M --memory-swap -1 --pids-limit 7 id --cpu-quota=5000 --kernel-memory=1 --cpu-share=";
        let (id, resources, ignored) = parse(&mut Parser::from_args(line.split(' '))).unwrap();
        assert_eq!(id, "id");
        assert_eq!(resources.memory.unwrap().limit, Some(64 << 20));
        assert_eq!(ignored, ["--kernel-memory"]);
        let cpu = resources.cpu.unwrap();
        assert_eq!((cpu.quota, cpu.shares), (Some(5000), None));
        assert_eq!(resources.pids.unwrap().limit, Some(7));
        assert_eq!(resources.block_io, None);
    }

    #[test]
    fn bytes_have_suffixes() {
        for (word, value) in [
            ("12", Some(12)),
            ("3k", Some(3072)),
            ("1GiB", Some(1 << 30)),
            ("-1", Some(-1)),
            ("1.5 g", Some(3 << 29)),
            ("x", None),
            ("", None),
            ("-2m", None),
            ("9p9", None),
            ("99999p", None),
        ] {
            assert_eq!(parse_bytes(word), value, "{word}");
        }
    }
}
