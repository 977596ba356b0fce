//! Sizes, durations and ages as people write and read them.

use std::time::Duration;

/// Parses `64m`, `1.5g`, `1024`, `2GiB`: binary units, as Docker's.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let bad = || format!("invalid size: '{text}'");
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, unit) = lower.split_at(digits);
    let shift = match unit.trim() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(bad()),
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(1 << shift).filter(|n| *n <= i64::MAX as u64).ok_or_else(bad);
    }
    let value: f64 = number.parse().map_err(|_| bad())?;
    let bytes = value * (1u64 << shift) as f64;
    if bytes.is_finite() && (0.0..9e18).contains(&bytes) { Ok(bytes as u64) } else { Err(bad()) }
}

/// A size where -1 means unlimited.
pub(crate) fn parse_size_or_unlimited(text: &str) -> Result<i64, String> {
    if text == "-1" {
        return Ok(-1);
    }
    parse_size(text).map(|n| n as i64)
}

/// Parses `1.5` CPUs into billionths.
pub(crate) fn parse_cpus(text: &str) -> Result<i64, String> {
    let bad = || format!("invalid number of CPUs: '{text}'");
    let value: f64 = text.parse().map_err(|_| bad())?;
    if value.is_finite() && (0.0..1e6).contains(&value) { Ok((value * 1e9).round() as i64) } else { Err(bad()) }
}

/// How long ago a moment was.
pub(crate) fn age_of(at_ns: u64) -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let age = since.saturating_sub(Duration::from_nanos(at_ns)).as_secs();
    carboy_format::units::human_duration(i64::try_from(age).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [("0", 0), ("1024", 1024), ("64m", 64 << 20), ("1.5G", 3 << 29), ("2KiB", 2048), ("7b", 7)]
        {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
        for bad in ["", "m", "1x", "-1", "1..2m", "99999999999999999999", "9999999t"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_size_or_unlimited("-1"), Ok(-1));
    }

    #[test]
    fn cpus() {
        assert_eq!(parse_cpus("1.5"), Ok(1_500_000_000));
        assert!(parse_cpus("x").is_err() && parse_cpus("-1").is_err() && parse_cpus("inf").is_err());
    }
}
