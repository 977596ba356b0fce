//! `list`: all containers of this root.

use crate::args::{Arg, Globals, Parser, switch, text};
use crate::container::Container;
use crate::error::{Context, Error, Result};
use carboy_oci::state::State;
use std::fmt::Write;

/// `list`.
pub fn main(globals: &Globals, parser: &mut Parser) -> Result<u8> {
    let (mut json, mut quiet) = (false, false);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("quiet") | Arg::Short('q') => quiet = switch(parser)?,
            Arg::Long("format") | Arg::Short('f') => match text(parser.value()?)?.as_str() {
                "table" => json = false,
                "json" => json = true,
                other => return Err(Error::Usage(format!("invalid format option {other:?}"))),
            },
            other => return Err(other.unexpected().into()),
        }
    }
    let names = names(globals)?;
    if quiet {
        super::output(&names.iter().fold(String::new(), |text, name| text + name + "\n"))?;
        return Ok(0);
    }
    let states = names.iter().filter_map(|name| state(globals, name)).collect::<Vec<_>>();
    if json {
        super::output(&format!("{}\n", encode(&states)?))?
    } else {
        super::output(&table(&states))?
    }
    Ok(0)
}

/// The IDs of all containers, in order.
pub(super) fn names(globals: &Globals) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(&globals.root) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.context(|| format!("list {}", globals.root.display()))?,
    };
    let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.retain(|name| crate::container::check_id(name).is_ok() && !name.starts_with('.'));
    names.sort();
    Ok(names)
}

/// One that is being deleted meanwhile is not there; one whose record cannot be read is told of, and does not hide the others.
fn state(globals: &Globals, name: &str) -> Option<(State, u32)> {
    match Container::open(&globals.root, name) {
        Ok(container) => Some((container.state(), container.record.owner)),
        Err(Error::NotFound) => None,
        Err(e) => {
            globals.log.write("warning", &e.to_string());
            None
        }
    }
}

fn encode(states: &[(State, u32)]) -> Result<String> {
    if states.is_empty() {
        // What Go makes of a list that was never filled.
        return Ok("null".into());
    }
    let states: Vec<State> = states.iter().map(|(s, uid)| State { owner: Some(owner(*uid)), ..s.clone() }).collect();
    serde_json::to_string(&states).map_err(|e| Error::Other(format!("encode: {e}")))
}

/// The user's name by /etc/passwd, or its number.
fn owner(uid: u32) -> String {
    if uid == 0 {
        return "root".into();
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("#{uid}"))
}

fn table(states: &[(State, u32)]) -> String {
    let rows = states.iter().map(|(s, uid)| {
        let created = s.created.clone().unwrap_or_default();
        [s.id.clone(), s.pid.to_string(), s.status.as_str().to_owned(), s.bundle.clone(), created, owner(*uid)]
    });
    let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let rows: Vec<[String; 6]> = [head].into_iter().chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0).max(9) + 3;
    let widths: [usize; 5] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(text, "{cell:width$}");
        }
        let _ = writeln!(text, "{}", row[5]);
    }
    text
}
