//! `events`: what a container uses, once or again and again, and what the kernel kills in it, as lines of JSON.

mod json;

use crate::args::{Arg, Globals, Parser, one_id, switch, text};
use crate::container::Container;
use crate::error::{Context, Error, Result};
use carboy_oci::state::Status;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde_json::{Value, json};
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
        return Err(Error::State(format!("container with id {} is not running", container.record.id)));
    }
    if once {
        stats(&container)?
    } else {
        follow(&container, interval)?
    }
    Ok(0)
}

/// Until the container's first process ends. As runc, the first numbers come after the first interval.
fn follow(container: &Container, interval: Duration) -> Result<()> {
    let Some(init) = container.record.init.and_then(|init| init.pidfd()) else { return Ok(()) };
    let watch = container.record.cgroup.watch_oom()?;
    let mut next = Instant::now() + interval;
    loop {
        let mut fds = vec![PollFd::new(&init, PollFlags::IN)];
        fds.extend(watch.iter().map(|watch| PollFd::from_borrowed_fd(watch.fd(), PollFlags::IN)));
        let rest = next.saturating_duration_since(Instant::now());
        let rest = Timespec { tv_sec: rest.as_secs() as i64, tv_nsec: rest.subsec_nanos().into() };
        match poll(&mut fds, Some(&rest)) {
            Err(Errno::INTR) => continue,
            result => result.context(|| "poll")?,
        };
        let ended = !fds[0].revents().is_empty();
        if watch.as_ref().is_some_and(|watch| watch.look()) {
            line(container, "oom", None)?;
        }
        if ended {
            return Ok(());
        }
        if Instant::now() >= next {
            stats(container)?;
            next = Instant::now() + interval;
        }
    }
}

fn stats(container: &Container) -> Result<()> {
    line(container, "stats", Some(json::encode(&container.record.cgroup.stats()?)))
}

/// As Go writes durations: `500ms`, `1m30s`, `1.5h`.
fn duration(word: &str) -> Result<Duration> {
    let units = [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let bad = || Error::Usage(format!("invalid value {word:?} for flag -interval: a duration such as 5s is needed"));
    let mut seconds = 0.0;
    let mut rest = word;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let (number, after) = rest.split_at(digits);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let factor = units.iter().find(|(unit, _)| *unit == &after[..end]).ok_or_else(bad)?.1;
        seconds += number.parse::<f64>().map_err(|_| bad())? * factor;
        rest = &after[end..];
    }
    if seconds <= 0.0 {
        return Err(Error::Usage("duration interval must be greater than 0".into()));
    }
    Ok(Duration::from_secs_f64(seconds.min(1e9)))
}

fn line(container: &Container, kind: &str, data: Option<Value>) -> Result<()> {
    let mut event = json!({ "type": kind, "id": container.record.id });
    if let (Some(data), Some(event)) = (data, event.as_object_mut()) {
        event.insert("data".into(), data);
    }
    super::output(&format!("{event}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_go_s() {
        assert_eq!(duration("5s").unwrap(), Duration::from_secs(5));
        assert_eq!(duration("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(duration("1m30s").unwrap(), Duration::from_secs(90));
        assert_eq!(duration("1.5h").unwrap(), Duration::from_secs(5400));
        for bad in ["5", "s", "-1s", "0s", "1x", ""] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
