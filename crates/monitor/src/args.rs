//! The command line.

use crate::error::Error;
use carboy_wire::monitor::UserNamespace;
use std::ffi::OsString;
use std::path::PathBuf;

/// Shown for `--help` and after a mistake.
pub(crate) const USAGE: &str = "\
carboy-monitor: holds one container's stdio, log, attach socket and exit status. Started by carboy.

  carboy-monitor run --config FILE --status-fd N [--attach-fd M]
  carboy-monitor explain --config FILE [--json]
  carboy-monitor userns --uid-map IN:OUT:COUNT[,…] --gid-map IN:OUT:COUNT[,…] [--setuid-helpers] [--] COMMAND [ARG…]
  carboy-monitor enter PID [--] COMMAND [ARG…]
  carboy-monitor --version
";

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    Run { config: PathBuf, status_fd: i32, attach_fd: Option<i32> },
    Explain { config: PathBuf, json: bool },
    UserNamespace { maps: UserNamespace, command: Vec<OsString> },
    Enter { pid: i32, command: Vec<OsString> },
    Help,
    Version,
}

/// The arguments after the program's name.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, Error> {
    let mut words = Words(args.into_iter().collect::<Vec<_>>().into_iter());
    match words.0.next().as_deref().and_then(|verb| verb.to_str()) {
        Some("run") => run(words),
        Some("explain") => explain(words),
        Some("userns") => user_namespace(words),
        Some("enter") => enter(words),
        Some("--help" | "-h" | "help") => Ok(Command::Help),
        Some("--version" | "version") => Ok(Command::Version),
        Some(other) => Err(invalid(format!("unknown command {other:?}"))),
        None => Err(invalid("a command is missing")),
    }
}

fn run(mut words: Words) -> Result<Command, Error> {
    let (mut config, mut status_fd, mut attach_fd) = (None, None, None);
    while let Some(word) = words.0.next() {
        match option_name(&word)? {
            ("--config", value) => config = Some(PathBuf::from(words.value("--config", value)?)),
            ("--status-fd", value) => status_fd = Some(words.number("--status-fd", value)?),
            ("--attach-fd", value) => attach_fd = Some(words.number("--attach-fd", value)?),
            (other, _) => return Err(invalid(format!("run: unknown argument {other:?}"))),
        }
    }
    let config = config.ok_or_else(|| invalid("run: --config is missing"))?;
    let status_fd = status_fd.ok_or_else(|| invalid("run: --status-fd is missing"))?;
    Ok(Command::Run { config, status_fd, attach_fd })
}

fn explain(mut words: Words) -> Result<Command, Error> {
    let (mut config, mut json) = (None, false);
    while let Some(word) = words.0.next() {
        match option_name(&word)? {
            ("--config", value) => config = Some(PathBuf::from(words.value("--config", value)?)),
            ("--json", None) => json = true,
            (other, _) => return Err(invalid(format!("explain: unknown argument {other:?}"))),
        }
    }
    Ok(Command::Explain { config: config.ok_or_else(|| invalid("explain: --config is missing"))?, json })
}

fn user_namespace(mut words: Words) -> Result<Command, Error> {
    let mut maps = UserNamespace::default();
    let command = loop {
        let Some(word) = words.0.next() else { break Vec::new() };
        if !word.as_encoded_bytes().starts_with(b"-") {
            break std::iter::once(word).chain(words.0).collect();
        }
        match option_name(&word)? {
            ("--uid-map", value) => maps.uid_map = parse_map(&words.value("--uid-map", value)?)?,
            ("--gid-map", value) => maps.gid_map = parse_map(&words.value("--gid-map", value)?)?,
            ("--setuid-helpers", None) => maps.setuid_helpers = true,
            ("--", None) => break words.0.collect(),
            (other, _) => return Err(invalid(format!("userns: unknown argument {other:?}"))),
        }
    };
    if maps.uid_map.is_empty() || maps.gid_map.is_empty() {
        return Err(invalid("userns: --uid-map and --gid-map are needed"));
    }
    Ok(Command::UserNamespace { maps, command: non_empty("userns", command)? })
}

fn enter(mut words: Words) -> Result<Command, Error> {
    let pid = words.number("enter", None)?;
    let mut command: Vec<OsString> = words.0.collect();
    if command.first().is_some_and(|first| first == "--") {
        command.remove(0);
    }
    Ok(Command::Enter { pid, command: non_empty("enter", command)? })
}

fn non_empty(verb: &str, command: Vec<OsString>) -> Result<Vec<OsString>, Error> {
    if command.is_empty() { Err(invalid(format!("{verb}: the command to run is missing"))) } else { Ok(command) }
}

/// `IN:OUT:COUNT[,…]`.
fn parse_map(text: &OsString) -> Result<Vec<(u32, u32, u32)>, Error> {
    let wrong = || invalid(format!("{text:?} is not a map; it looks like 0:1000:1,1:100000:65536"));
    let range = |part: &str| {
        let mut numbers = part.split(':').map(str::parse::<u32>);
        match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(inside)), Some(Ok(outside)), Some(Ok(count)), None) if count > 0 => Some((inside, outside, count)),
            _ => None,
        }
    };
    text.to_str().ok_or_else(wrong)?.split(',').map(|part| range(part).ok_or_else(wrong)).collect()
}

struct Words(std::vec::IntoIter<OsString>);

impl Words {
    fn value(&mut self, name: &str, inline: Option<&str>) -> Result<OsString, Error> {
        let value = inline.map(OsString::from).or_else(|| self.0.next());
        value.ok_or_else(|| invalid(format!("{name} needs a value")))
    }

    fn number(&mut self, name: &str, inline: Option<&str>) -> Result<i32, Error> {
        let value = self.value(name, inline)?;
        let number = value.to_str().and_then(|text| text.parse::<i32>().ok()).filter(|n| *n >= 0);
        number.ok_or_else(|| invalid(format!("{name}: {value:?} is not a number")))
    }
}

fn option_name(word: &OsString) -> Result<(&str, Option<&str>), Error> {
    let text = word.to_str().ok_or_else(|| invalid(format!("unknown argument {word:?}")))?;
    Ok(match text.split_once('=') {
        Some((name, value)) if name.starts_with("--") => (name, Some(value)),
        _ => (text, None),
    })
}

fn invalid(message: impl Into<String>) -> Error {
    Error::Invalid(message.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Command, Error> {
        parse(text.split_whitespace().map(OsString::from))
    }

    #[test]
    fn run_takes_both_forms_of_values() {
        let want = Command::Run { config: "/c".into(), status_fd: 3, attach_fd: Some(4) };
        assert_eq!(words("run --config /c --status-fd=3 --attach-fd 4").unwrap(), want);
        for wrong in [
            "run",
            "run --config",
            "run --config /c",
            "run --config /c --status-fd x",
            "run --config /c --status-fd 3 y",
        ] {
            assert!(words(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn maps_and_commands_are_kept_apart() {
        let Command::UserNamespace { maps, command } =
            words("userns --uid-map 0:1000:1,1:100000:65536 --gid-map 0:100:1 --setuid-helpers -- ls -- -l").unwrap()
        else {
            panic!()
        };
        assert_eq!(maps.uid_map, [(0, 1000, 1), (1, 100_000, 65_536)]);
        assert!(maps.setuid_helpers);
        assert_eq!(command, ["ls", "--", "-l"]);
        for wrong in
            ["userns -- ls", "userns --uid-map 0:1 --gid-map 0:1:1 ls", "userns --uid-map 0:0:1 --gid-map 0:0:1"]
        {
            assert!(words(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn enter_needs_a_pid_and_a_command() {
        assert_eq!(
            words("enter 7 -- ls -l").unwrap(),
            Command::Enter { pid: 7, command: vec!["ls".into(), "-l".into()] }
        );
        assert_eq!(words("enter 7 ls").unwrap(), Command::Enter { pid: 7, command: vec!["ls".into()] });
        assert!(words("enter ls").is_err() && words("enter 7").is_err());
    }
}
