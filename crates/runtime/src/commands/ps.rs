//! `ps`: the processes of a container, as ps(1) shows them.

use crate::args::{Arg, Globals, Parser, one_id, text};
use crate::container::Container;
use crate::error::{Context, Error, Result};
use std::process::Command;

/// `ps`.
pub fn main(globals: &Globals, parser: &mut Parser) -> Result<u8> {
    let (mut id, mut json, mut rest) = (None, false, Vec::new());
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("format") | Arg::Short('f') if id.is_none() => match text(parser.value()?)?.as_str() {
                "table" => json = false,
                "json" => json = true,
                other => return Err(Error::Usage(format!("invalid format option {other:?}"))),
            },
            Arg::Value(value) if id.is_none() => {
                id = Some(text(value)?);
                // What follows the ID is for ps(1).
                rest = parser.raw_args()?.map(text).collect::<Result<_>>()?;
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let container = Container::open(&globals.root, &one_id(id)?)?;
    let pids = container.record.cgroup.pids()?;
    if json {
        super::output(&format!("{}\n", serde_json::Value::from(pids)))?;
        return Ok(0);
    }
    super::output(&table(&pids, rest)?)?;
    Ok(0)
}

/// The lines of ps(1) whose PID is one of these.
fn table(pids: &[i32], mut args: Vec<String>) -> Result<String> {
    if args.is_empty() {
        args.push("-ef".into());
    }
    let output = Command::new("ps").args(&args).output().context(|| "run ps")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Error::Other(format!("ps {}: {}", args.join(" "), said.trim_end())));
    }
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = said.lines();
    let head = lines.next().unwrap_or_default();
    let column = head.split_whitespace().position(|word| word == "PID");
    let column = column.ok_or_else(|| Error::Other("couldn't find PID field in ps output".into()))?;
    let ours = |line: &&str| {
        line.split_whitespace().nth(column).and_then(|pid| pid.parse().ok()).is_some_and(|pid: i32| pids.contains(&pid))
    };
    let lines = [head].into_iter().chain(lines.filter(ours));
    Ok(lines.fold(String::new(), |text, line| text + line + "\n"))
}
