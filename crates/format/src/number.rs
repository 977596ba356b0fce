//! Go's number syntax: constants in templates, and floats as `strconv.FormatFloat` writes them.

use crate::ast::Number;
use crate::quote::{quote, unquote};

/// The value of a number or character constant.
pub(crate) fn constant(text: &str) -> Result<Number, String> {
    if text.starts_with('\'') {
        let body = unquote(text).ok_or("invalid syntax")?;
        let mut chars = body.chars();
        return match (chars.next(), chars.next()) {
            (Some(c), None) => Ok(Number::Int(i64::from(c as u32))),
            (None, _) => Err("invalid syntax".into()),
            _ => Err(format!("malformed character constant: {text}")),
        };
    }
    let illegal = || format!("illegal number syntax: {}", quote(text));
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if let Some(value) = integer(digits) {
        let value = value.ok_or_else(|| format!("integer overflow: {}", quote(text)))?;
        return match (negative, i64::try_from(value)) {
            (false, Ok(value)) => Ok(Number::Int(value)),
            (true, Ok(value)) => Ok(Number::Int(-value)),
            (true, Err(_)) if value == 1 << 63 => Ok(Number::Int(i64::MIN)),
            (false, Err(_)) => Ok(Number::Uint(value)),
            (true, Err(_)) => Err(format!("integer overflow: {}", quote(text))),
        };
    }
    if digits.contains('_') || digits.contains(['x', 'X', 'i']) {
        // Underscores between a base prefix's digits only, no hexadecimal floats, no complex numbers.
        return Err(illegal());
    }
    if digits.parse::<f64>().is_ok() && !digits.contains(['.', 'e', 'E']) {
        return Err(format!("integer overflow: {}", quote(text)));
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Number::Float(value)),
        _ => Err(illegal()),
    }
}

/// An unsigned integer in any of Go's bases: `None` when `digits` is none, `Some(None)` when it is too large.
fn integer(digits: &str) -> Option<Option<u64>> {
    let lower = digits.to_ascii_lowercase();
    let (radix, body) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        _ if lower.len() > 1 && lower.starts_with('0') => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    let misplaced = body.ends_with('_') || body.contains("__") || (radix == 10 && body.starts_with('_'));
    let body = body.replace('_', "");
    if body.is_empty() || misplaced || !body.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    Some(u64::from_str_radix(&body, radix).ok())
}

/// `value` as Go's `%v` writes a float64: the shortest digits that read back, an exponent from 1e6 and below 1e-4.
pub(crate) fn float(value: f64) -> String {
    general(value, None)
}

/// Go's `%g`: shortest when `precision` is `None`; an exponent when it is below -4 or at least the precision (6 for the
/// shortest).
pub(crate) fn general(value: f64, precision: Option<usize>) -> String {
    if !value.is_finite() {
        return special(value);
    }
    let digits = match precision {
        Some(p) => format!("{:.*e}", p.max(1) - 1, value),
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = digits.split_once('e').unwrap_or((&digits, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mantissa = if precision.is_some() && mantissa.contains('.') {
        mantissa.trim_end_matches('0').trim_end_matches('.')
    } else {
        mantissa
    };
    let limit = precision.map_or(6, |p| i32::try_from(p.max(1)).unwrap_or(i32::MAX));
    if exponent < -4 || exponent >= limit {
        return format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs());
    }
    let decimals = mantissa.split_once('.').map_or(0, |(_, d)| d.len());
    let decimals = i32::try_from(decimals).unwrap_or(i32::MAX).saturating_sub(exponent).max(0);
    match precision {
        None => format!("{value}"),
        Some(_) => format!("{:.*}", usize::try_from(decimals).unwrap_or(0), value),
    }
}

/// Go's `%e`: at least two digits of exponent.
pub(crate) fn scientific(value: f64, precision: usize) -> String {
    if !value.is_finite() {
        return special(value);
    }
    let text = format!("{value:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs())
}

fn special(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value > 0.0 {
        "+Inf".into()
    } else {
        "-Inf".into()
    }
}
