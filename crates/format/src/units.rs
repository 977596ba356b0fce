//! Sizes, durations and names as Docker words them for people (its library `go-units` and the client's formatter).

use unicode_width::UnicodeWidthChar as _;

use crate::number::general;

/// A duration in words: `Less than a second`, `5 minutes`, `About an hour`, `3 weeks`. A negative one counts as none.
#[must_use]
pub fn human_duration(seconds: i64) -> String {
    let minutes = seconds / 60;
    let hours = (seconds.max(0) + 1800) / 3600;
    match (seconds, minutes, hours) {
        (..1, ..) => "Less than a second".into(),
        (1, ..) => "1 second".into(),
        (..60, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".into(),
        (_, ..60, _) => format!("{minutes} minutes"),
        (.., 1) => "About an hour".into(),
        (.., ..48) => format!("{hours} hours"),
        (.., ..336) => format!("{} days", hours / 24),
        (.., ..1440) => format!("{} weeks", hours / 24 / 7),
        (.., ..17520) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// A duration as Go prints it: `1h2m3.5s`, `1.5ms`, `0s`.
#[must_use]
pub fn go_duration(nanoseconds: i64) -> String {
    let (sign, total) = (if nanoseconds < 0 { "-" } else { "" }, nanoseconds.unsigned_abs());
    let decimal = |value: u64, unit: u64| {
        let digits = unit.ilog10() as usize;
        let text = format!("{}.{:0digits$}", value / unit, value % unit);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match total {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{total}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", decimal(total, 1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", decimal(total, 1_000_000)),
        _ => {
            let (minutes, rest) = (total / 60_000_000_000, total % 60_000_000_000);
            let seconds = format!("{}s", decimal(rest, 1_000_000_000));
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}"),
            }
        }
    }
}

/// RFC 3339 as Go prints a moment: `2026-01-02 03:04:05.6 +0000 UTC`, `2026-01-02 03:04:05 +0200 +0200`. `None` for any other text.
#[must_use]
pub fn go_time(text: &str) -> Option<String> {
    let (date, time) = text.split_once('T')?;
    let (clock, zone) = time.split_at_checked(time.find(['Z', '+', '-'])?)?;
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let fraction = fraction.trim_end_matches('0');
    let fraction = if fraction.is_empty() { String::new() } else { format!(".{fraction}") };
    let zone = if zone == "Z" { "+0000 UTC".to_owned() } else { format!("{0} {0}", zone.replace(':', "")) };
    Some(format!("{date} {whole}{fraction} {zone}"))
}

/// Bytes in powers of 1000 with four significant digits: `1.234kB`.
#[must_use]
pub fn human_size(bytes: u64) -> String {
    scaled(bytes, 1000.0, 4, &["B", "kB", "MB", "GB", "TB", "PB", "EB"])
}

/// Bytes in powers of 1000 with three significant digits, as in the table of images: `7.05MB`.
#[must_use]
pub fn image_size(bytes: u64) -> String {
    scaled(bytes, 1000.0, 3, &["B", "kB", "MB", "GB", "TB", "PB", "EB"])
}

/// Bytes in powers of 1024 with four significant digits, as in statistics: `1.5MiB`.
#[must_use]
pub fn bytes_size(bytes: u64) -> String {
    scaled(bytes, 1024.0, 4, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
}

fn scaled(bytes: u64, base: f64, digits: usize, units: &[&str]) -> String {
    #[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= base && unit + 1 < units.len() {
        size /= base;
        unit += 1;
    }
    let mut text = general(size, Some(digits));
    // Docker shows 999.7 MB as 1e+03MB; that is nobody's intention.
    if text.contains("e+") {
        text = if base == 1000.0 && unit + 1 < units.len() {
            unit += 1;
            "1".into()
        } else {
            format!("{size:.0}")
        };
    }
    text + units.get(unit).copied().unwrap_or_default()
}

/// What `ps` says about a container in its column STATUS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status<'a> {
    /// Made, never started.
    Created,
    /// Running for so many seconds, with the state of its health check if it has one.
    Up {
        /// Seconds since it was started.
        seconds: i64,
        /// `starting`, `healthy`, `unhealthy`.
        health: Option<&'a str>,
    },
    /// Paused; seconds since it was started.
    Paused {
        /// Seconds since it was started.
        seconds: i64,
    },
    /// Waiting for its next start.
    Restarting {
        /// The code it last ended with.
        code: i32,
        /// Seconds since it ended.
        seconds: i64,
    },
    /// Ended.
    Exited {
        /// The code it ended with.
        code: i32,
        /// Seconds since it ended.
        seconds: i64,
    },
    /// Being removed.
    Removing,
    /// Could not be removed.
    Dead,
}

impl std::fmt::Display for Status<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Status::Created => f.write_str("Created"),
            Status::Up { seconds, health: None } => write!(f, "Up {}", human_duration(seconds)),
            Status::Up { seconds, health: Some("starting") } => {
                write!(f, "Up {} (health: starting)", human_duration(seconds))
            }
            Status::Up { seconds, health: Some(health) } => write!(f, "Up {} ({health})", human_duration(seconds)),
            Status::Paused { seconds } => write!(f, "Up {} (Paused)", human_duration(seconds)),
            Status::Restarting { code, seconds } => write!(f, "Restarting ({code}) {} ago", human_duration(seconds)),
            Status::Exited { code, seconds } => write!(f, "Exited ({code}) {} ago", human_duration(seconds)),
            Status::Removing => f.write_str("Removal In Progress"),
            Status::Dead => f.write_str("Dead"),
        }
    }
}

/// `text` cut to `columns` of a terminal, the last of which is then `…`.
#[must_use]
pub fn ellipsis(text: &str, columns: usize) -> String {
    if crate::table::width(text) <= columns {
        return text.to_owned();
    }
    let mut used = 1;
    let mut out = String::new();
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > columns {
            break;
        }
        out.push(c);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// The column COMMAND: quoted, cut to 20 columns unless `whole`.
#[must_use]
pub fn command(command: &str, whole: bool) -> String {
    if whole { crate::quote::quote(command) } else { crate::quote::quote(&ellipsis(command, 20)) }
}

/// An ID without its algorithm, cut to 12 characters.
#[must_use]
pub fn short_id(id: &str) -> &str {
    let id = id.split_once(':').map_or(id, |(_, hex)| hex);
    &id[..id.floor_char_boundary(12)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gos_own_words() {
        for (ns, want) in [
            (0, "0s"),
            (999, "999ns"),
            (1_500, "1.5µs"),
            (100_000_000, "100ms"),
            (5_000_000_000, "5s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (-3_661_500_000_000, "-1h1m1.5s"),
        ] {
            assert_eq!(go_duration(ns), want);
        }
        for (text, want) in [
            ("2026-11-22T09:06:19.525468720Z", Some("2026-11-22 09:06:19.52546872 +0000 UTC")),
            ("0001-01-01T00:00:00Z", Some("0001-01-01 00:00:00 +0000 UTC")),
            ("2026-11-22T09:06:19+02:00", Some("2026-11-22 09:06:19 +0200 +0200")),
            ("yesterday", None),
            ("2026-11-22T", None),
        ] {
            assert_eq!(go_time(text).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn durations() {
        const HOUR: i64 = 3600;
        const DAY: i64 = 24 * HOUR;
        let cases = [
            (-5, "Less than a second"),
            (0, "Less than a second"),
            (1, "1 second"),
            (45, "45 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (35 * 60 + 39, "35 minutes"),
            (HOUR, "About an hour"),
            (HOUR + 29 * 60, "About an hour"),
            (HOUR + 31 * 60, "2 hours"),
            (47 * HOUR, "47 hours"),
            (48 * HOUR, "2 days"),
            (13 * DAY, "13 days"),
            (14 * DAY, "2 weeks"),
            (59 * DAY, "8 weeks"),
            (60 * DAY, "2 months"),
            (2 * 365 * DAY - HOUR, "24 months"),
            (2 * 365 * DAY, "2 years"),
        ];
        for (seconds, want) in cases {
            assert_eq!(human_duration(seconds), want, "{seconds}");
        }
    }

    #[test]
    fn sizes() {
        let cases = [
            (0, "0B", "0B"),
            (999, "999B", "999B"),
            (1000, "1kB", "1000B"),
            (1024, "1.02kB", "1KiB"),
            (7_050_123, "7.05MB", "6.724MiB"),
            (117_000_000, "117MB", "111.6MiB"),
            (999_700_000, "1GB", "953.4MiB"),
            (3_420_000_000_000, "3.42TB", "3.11TiB"),
            (u64::MAX, "18.4EB", "16EiB"),
        ];
        for (bytes, image, binary) in cases {
            assert_eq!((image_size(bytes).as_str(), bytes_size(bytes).as_str()), (image, binary), "{bytes}");
        }
        assert_eq!(human_size(1_234_567), "1.235MB");
        assert_eq!(bytes_size(1_048_570), "1024KiB");
    }

    #[test]
    fn columns() {
        assert_eq!(Status::Up { seconds: 300, health: None }.to_string(), "Up 5 minutes");
        assert_eq!(Status::Exited { code: 0, seconds: 3 }.to_string(), "Exited (0) 3 seconds ago");
        assert_eq!(Status::Up { seconds: 0, health: Some("healthy") }.to_string(), "Up Less than a second (healthy)");
        assert_eq!(command("sh -c 'sleep 1; echo done'", false), "\"sh -c 'sleep 1; ech…\"");
        assert_eq!(command("sh", false), "\"sh\"");
        assert_eq!(ellipsis("日本語日本語", 5), "日本…");
        assert_eq!((ellipsis("abc", 0), ellipsis("abc", 1)), (String::new(), "…".to_owned()));
        assert_eq!(short_id("sha256:0123456789abcdef"), "0123456789ab");
    }
}
