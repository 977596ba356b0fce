//! `kill`: sends a signal.

use crate::args::{Arg, Globals, Parser, one_id, switch, text};
use crate::container::Container;
use crate::error::{Context, Error, Result};
use carboy_oci::state::Status;
use carboy_sys::clone::flag;
use rustix::io::Errno;
use std::os::fd::AsFd;

/// `kill`.
pub fn main(globals: &Globals, parser: &mut Parser) -> Result<u8> {
    let (mut id, mut signal, mut all, mut regex) = (None, None, false, false);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Value(value) if id.is_none() => id = Some(text(value)?),
            Arg::Value(value) if signal.is_none() => signal = Some(text(value)?),
            Arg::Long("all") | Arg::Short('a') => all = switch(parser)?,
            Arg::Long("regex") | Arg::Short('r') => regex = switch(parser)?,
            other => return Err(other.unexpected().into()),
        }
    }
    let id = one_id(id)?;
    // Callers ask with a signal of no meaning whether a container exists, so that is said first.
    let one = if regex { None } else { Some(Container::open(&globals.root, &id)?) };
    let number = signal.as_deref().map_or(Some(15), parse);
    let number = number.ok_or_else(|| Error::Usage(format!("unknown signal {:?}", signal.unwrap_or_default())))?;
    match one {
        Some(container) => kill(&container, number, all).map(|()| 0),
        None => super::for_each_match(globals, &id, |id| kill(&Container::open(&globals.root, id)?, number, all)),
    }
}

fn kill(container: &Container, number: i32, all: bool) -> Result<()> {
    // Without a PID namespace of its own a container may have processes without its init.
    let shared_pids = container.record.namespaces & flag::NEWPID == 0;
    if all || (shared_pids && number == 9) {
        return container.record.cgroup.signal_all(number);
    }
    let gone = || Error::State("container not running".into());
    let init = container.record.init.ok_or_else(gone)?;
    let pidfd = init.pidfd().ok_or_else(gone)?;
    match carboy_sys::signal::pidfd_kill(pidfd.as_fd(), number) {
        Err(Errno::SRCH) => return Err(gone()),
        result => result.context(|| format!("signal {number} to {}", init.pid))?,
    }
    if number == 9 && container.status() == Status::Paused {
        // A frozen process of cgroup v1 dies only when it is thawed.
        container.record.cgroup.thaw()?;
    }
    Ok(())
}

const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];

/// A signal by number or by name, with or without `SIG`, in any case; real-time ones as `RTMIN+3` and `RTMAX-1`.
pub fn parse(word: &str) -> Option<i32> {
    if let Ok(number) = word.parse::<i32>() {
        return (0..=64).contains(&number).then_some(number);
    }
    let upper = word.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(at) = NAMES.iter().position(|known| *known == name) {
        return Some(at as i32 + 1);
    }
    // glibc keeps 32 and 33 for itself, so RTMIN is 34.
    let offset = |rest: &str, sign: char| match rest {
        "" => Some(0),
        rest => rest.strip_prefix(sign)?.parse::<i32>().ok(),
    };
    match name {
        "CLD" => Some(17),
        "IOT" => Some(6),
        "POLL" => Some(29),
        _ => {
            let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
                (Some(rest), _) => 34 + offset(rest, '+')?,
                (_, Some(rest)) => 64 - offset(rest, '-')?,
                _ => return None,
            };
            (34..=64).contains(&number).then_some(number)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn signals_by_any_name() {
        for (word, number) in [
            ("TERM", 15),
            ("sigkill", 9),
            ("SIGUSR1", 10),
            ("9", 9),
            ("SYS", 31),
            ("RTMIN", 34),
            ("SIGRTMIN+2", 36),
            ("RTMAX-1", 63),
        ] {
            assert_eq!(parse(word), Some(number), "{word}");
        }
        for word in ["", "FOO", "65", "-1", "RTMIN+40", "RTMIN-1"] {
            assert_eq!(parse(word), None, "{word}");
        }
    }
}
