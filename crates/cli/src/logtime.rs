//! Moments on the command line: RFC 3339, seconds since the epoch, or a duration back from now.

use jiff::Timestamp;

/// A moment as RFC 3339 in UTC with nanoseconds, comparable as text with the log's times.
pub(crate) fn parse_moment(text: &str) -> Result<String, String> {
    let bad =
        || format!("invalid time {text:?}: expected RFC 3339, seconds since the epoch, or a duration such as 10m");
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(format_moment(timestamp));
    }
    if let Ok(seconds) = text.parse::<f64>() {
        let ns = (seconds * 1e9) as i128;
        return Timestamp::from_nanosecond(ns).map(format_moment).map_err(|_| bad());
    }
    let seconds = parse_duration(text).ok_or_else(bad)?;
    let then = Timestamp::now().as_nanosecond() - (seconds * 1e9) as i128;
    Timestamp::from_nanosecond(then).map(format_moment).map_err(|_| bad())
}

/// `1h30m`, `90s`, `2d`: seconds.
fn parse_duration(text: &str) -> Option<f64> {
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit = &rest[digits..];
        let end = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        total += number
            * match &unit[..end] {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86400.0,
                _ => return None,
            };
        rest = &unit[end..];
    }
    (!text.is_empty()).then_some(total)
}

/// RFC 3339 in UTC with nine digits of a second.
pub(crate) fn format_moment(timestamp: Timestamp) -> String {
    format!("{timestamp:.9}")
}

/// The same for nanoseconds since the epoch.
pub(crate) fn format_ns(at_ns: u64) -> String {
    Timestamp::from_nanosecond(at_ns.into()).map(format_moment).unwrap_or_default()
}

/// A moment as Docker's listings write it in `{{.CreatedAt}}`, in UTC: `2026-01-02 03:04:05 +0000 UTC`.
pub(crate) fn listing_time(at_ns: u64) -> String {
    let text = format_ns(at_ns);
    let (date, time) = text.split_once('T').unwrap_or((&text, ""));
    format!("{date} {} +0000 UTC", time.get(..8).unwrap_or(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        assert_eq!(parse_moment("2026-01-02T03:04:05Z").unwrap(), "2026-01-02T03:04:05.000000000Z");
        assert_eq!(parse_moment("1").unwrap(), "1970-01-01T00:00:01.000000000Z");
        assert_eq!(listing_time(1_000_000_001), "1970-01-01 00:00:01 +0000 UTC");
        assert_eq!(parse_duration("1h30m"), Some(5400.0));
        assert!(parse_moment("10m").unwrap() < format_moment(Timestamp::now()));
        for bad in ["", "x", "5y", "m"] {
            assert!(parse_moment(bad).is_err(), "{bad}");
        }
    }
}
