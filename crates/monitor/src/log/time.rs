//! RFC 3339 in UTC with nanoseconds, as Go's RFC3339Nano: zeros at the end of the fraction are left out.

/// Appends the time; `at_ns` counts nanoseconds since the epoch.
pub(super) fn push_rfc3339_nano(out: &mut Vec<u8>, at_ns: u64) {
    let (seconds, nanoseconds) = (at_ns / 1_000_000_000, at_ns % 1_000_000_000);
    let (year, month, day) = civil(seconds / 86_400);
    let second = seconds % 86_400;
    let fields =
        [(year, 4, b'-'), (month, 2, b'-'), (day, 2, b'T'), (second / 3600, 2, b':'), (second / 60 % 60, 2, b':')];
    for (value, digits, separator) in fields {
        push_number(out, value, digits);
        out.push(separator);
    }
    push_number(out, second % 60, 2);
    if nanoseconds > 0 {
        out.push(b'.');
        push_number(out, nanoseconds, 9);
        while out.ends_with(b"0") {
            out.pop();
        }
    }
    out.push(b'Z');
}

fn push_number(out: &mut Vec<u8>, value: u64, digits: u32) {
    for place in (0..digits).rev() {
        out.push(b'0' + (value / 10u64.pow(place) % 10) as u8);
    }
}

/// Year, month, day of a day since 1970-01-01, by eras of 400 years that begin on 1 March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_writes_them() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00Z"),
            (1_709_251_199_120_000_000, "2024-02-29T23:59:59.12Z"),
            (1_795_305_600_000_000_001, "2026-11-22T00:00:00.000000001Z"),
            (4_107_542_400_500_000_000, "2100-03-01T00:00:00.5Z"),
        ];
        for (at_ns, want) in cases {
            let mut out = Vec::new();
            push_rfc3339_nano(&mut out, at_ns);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }
}
