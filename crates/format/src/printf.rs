//! Go's `fmt.Sprintf` for decoded JSON: verbs, flags, widths, and the `%!d(string=hi)` of a verb that does not fit.

use serde_json::Value as Json;

use crate::exec::MAX_VALUE;
use crate::number::{general, scientific};
use crate::print::{plain, write_plain};
use crate::quote::{quote, quote_ascii, quote_char};
use crate::value::type_name;

/// Go's limit on widths and precisions.
const MAX_WIDTH: i64 = 1_000_000;

#[derive(Debug, Clone, Default)]
struct Flags {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Formats `args` by `format`. Mistakes in the format are shown in the text, as in Go.
///
/// # Errors
/// Only when the text grows beyond what a template may write.
pub(crate) fn sprintf(format: &str, args: &[&Json]) -> Result<String, String> {
    let mut state = State { args, next: 0, reordered: false, bad_index: false, out: String::new() };
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        state.out.push_str(&rest[..at]);
        rest = state.directive(&rest[at + 1..]);
        if state.out.len() > MAX_VALUE {
            return Err(format!("output exceeds {MAX_VALUE} bytes"));
        }
    }
    state.out.push_str(rest);
    if !state.reordered && state.next < args.len() {
        let extra: Vec<String> = args[state.next..].iter().map(|a| typed(a)).collect();
        state.out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    Ok(state.out)
}

/// `type=value`, or `<nil>`.
fn typed(arg: &Json) -> String {
    if arg.is_null() { "<nil>".into() } else { format!("{}={}", type_name(arg), plain(arg)) }
}

struct State<'a> {
    args: &'a [&'a Json],
    next: usize,
    /// An explicit index was used: then unused arguments are not an error.
    reordered: bool,
    bad_index: bool,
    out: String,
}

impl<'a> State<'a> {
    /// One directive, of which `%` was read; returns the text behind it.
    fn directive<'f>(&mut self, mut rest: &'f str) -> &'f str {
        let mut flags = Flags::default();
        self.bad_index = false;
        while let Some(c) = rest.chars().next() {
            match c {
                '#' => flags.sharp = true,
                '0' => flags.zero = true,
                '+' => flags.plus = true,
                '-' => flags.minus = true,
                ' ' => flags.space = true,
                _ => break,
            }
            rest = &rest[1..];
        }
        rest = self.index(rest);
        let (width, after) = self.count(rest, "%!(BADWIDTH)");
        rest = after;
        if let Some(width) = width {
            flags.minus |= width < 0;
            flags.width = usize::try_from(width.unsigned_abs()).ok();
        }
        if let Some(after) = rest.strip_prefix('.') {
            let after = self.index(after);
            let (precision, after) = self.count(after, "%!(BADPREC)");
            flags.precision = Some(usize::try_from(precision.unwrap_or(0)).unwrap_or(0));
            rest = after;
        }
        rest = self.index(rest);
        let Some(verb) = rest.chars().next() else {
            self.out.push_str("%!(NOVERB)");
            return rest;
        };
        rest = &rest[verb.len_utf8()..];
        match self.args.get(self.next) {
            _ if verb == '%' => self.out.push('%'),
            _ if self.bad_index => self.out.push_str(&format!("%!{verb}(BADINDEX)")),
            None => self.out.push_str(&format!("%!{verb}(MISSING)")),
            Some(arg) => {
                self.next += 1;
                flags.zero &= !flags.minus;
                // `%+v` asks for field names, which decoded JSON has anyway, and not for signs.
                flags.plus &= verb != 'v';
                show(&mut self.out, arg, verb, &flags, true);
            }
        }
        rest
    }

    /// An explicit argument index, `[3]`.
    fn index<'f>(&mut self, rest: &'f str) -> &'f str {
        let Some(body) = rest.strip_prefix('[') else { return rest };
        self.reordered = true;
        let Some(end) = body.find(']') else {
            self.bad_index = true;
            return body;
        };
        match body[..end].parse::<usize>() {
            Ok(n) if n >= 1 && n <= self.args.len() => self.next = n - 1,
            _ => self.bad_index = true,
        }
        &body[end + 1..]
    }

    /// A width or precision: digits, or `*` for the next argument.
    fn count<'f>(&mut self, rest: &'f str, bad: &str) -> (Option<i64>, &'f str) {
        if let Some(after) = rest.strip_prefix('*') {
            let value = self
                .args
                .get(self.next)
                .and_then(|a| a.as_i64())
                .filter(|n| n.unsigned_abs() <= MAX_WIDTH.unsigned_abs());
            if self.next < self.args.len() {
                self.next += 1;
            }
            if value.is_none() {
                self.out.push_str(bad);
            }
            return (value, self.index(after));
        }
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if end == 0 {
            return (None, rest);
        }
        // Beyond its limit Go takes the digits for no width at all.
        (rest[..end].parse().ok().filter(|n| *n <= MAX_WIDTH), &rest[end..])
    }
}

/// Writes one value under `verb`; lists and maps apply the verb to each element. `top` is false inside those.
fn show(out: &mut String, arg: &Json, verb: char, flags: &Flags, top: bool) {
    match (verb, arg) {
        ('T', _) => string(out, type_name(arg), 's', flags),
        ('v', Json::Null) if !top || !flags.sharp => pad(out, "<nil>", flags),
        ('v', _) if flags.sharp => syntax(out, arg, top),
        (_, Json::Null) => out.push_str(&format!("%!{verb}(<nil>)")),
        (_, Json::Array(items)) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { " " } else { "" });
                show(out, item, verb, flags, false);
            }
            out.push(']');
        }
        (_, Json::Object(members)) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_unstable_by(|a, b| a.0.cmp(b.0));
            out.push_str("map[");
            for (i, (key, item)) in sorted.into_iter().enumerate() {
                out.push_str(if i > 0 { " " } else { "" });
                show(out, &Json::String(key.clone()), verb, flags, false);
                out.push(':');
                show(out, item, verb, flags, false);
            }
            out.push(']');
        }
        (_, Json::Bool(b)) if matches!(verb, 't' | 'v') => pad(out, if *b { "true" } else { "false" }, flags),
        (_, Json::String(s)) if "vsqxX".contains(verb) => string(out, s, verb, flags),
        (_, Json::Number(n)) if n.is_f64() => {
            if !float(out, n.as_f64().unwrap_or_default(), verb, flags) {
                bad(out, arg, verb, flags);
            }
        }
        (_, Json::Number(n)) => {
            let value = n.as_i64().map_or_else(|| i128::from(n.as_u64().unwrap_or_default()), i128::from);
            if !integer(out, value, verb, flags) {
                bad(out, arg, verb, flags);
            }
        }
        _ => bad(out, arg, verb, flags),
    }
}

/// A verb that does not fit: the value in place, by its own verb, under the same flags.
fn bad(out: &mut String, arg: &Json, verb: char, flags: &Flags) {
    out.push_str(&format!("%!{verb}({}=", type_name(arg)));
    show(out, arg, 'v', &Flags { sharp: false, ..flags.clone() }, false);
    out.push(')');
}

/// Appends `text`, filled up to the width; zeros go behind a sign, and only before numbers.
fn pad(out: &mut String, text: &str, flags: &Flags) {
    let length = text.chars().count();
    let fill = flags.width.unwrap_or(0).saturating_sub(length);
    if flags.minus {
        out.push_str(text);
        out.extend(std::iter::repeat_n(' ', fill));
    } else {
        out.extend(std::iter::repeat_n(if flags.zero { '0' } else { ' ' }, fill));
        out.push_str(text);
    }
}

fn string(out: &mut String, text: &str, verb: char, flags: &Flags) {
    let cut: String = match flags.precision {
        Some(p) if verb != 'x' && verb != 'X' => text.chars().take(p).collect(),
        _ => text.to_owned(),
    };
    let shown = match verb {
        'q' if flags.sharp && !cut.contains('`') && cut.chars().all(|c| c == '\t' || !c.is_control()) => {
            format!("`{cut}`")
        }
        'q' if flags.plus => quote_ascii(&cut),
        'q' => quote(&cut),
        'x' | 'X' => hex(cut.as_bytes(), verb == 'X', flags),
        _ => cut,
    };
    pad(out, &shown, flags);
}

fn hex(bytes: &[u8], upper: bool, flags: &Flags) -> String {
    let bytes = &bytes[..flags.precision.unwrap_or(bytes.len()).min(bytes.len())];
    let prefix = if !flags.sharp || bytes.is_empty() {
        ""
    } else if upper {
        "0X"
    } else {
        "0x"
    };
    let digits = |b: &u8| if upper { format!("{b:02X}") } else { format!("{b:02x}") };
    if flags.space {
        return bytes.iter().map(|b| format!("{prefix}{}", digits(b))).collect::<Vec<_>>().join(" ");
    }
    prefix.to_owned() + &bytes.iter().map(digits).collect::<String>()
}

fn sign(negative: bool, flags: &Flags) -> &'static str {
    match (negative, flags.plus, flags.space) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    }
}

/// `false` when the verb is none for integers.
fn integer(out: &mut String, value: i128, verb: char, flags: &Flags) -> bool {
    let size = value.unsigned_abs();
    let (prefix, mut digits) = match verb {
        'v' | 'd' => ("", format!("{size}")),
        'b' => (if flags.sharp { "0b" } else { "" }, format!("{size:b}")),
        'o' => (if flags.sharp && size != 0 { "0" } else { "" }, format!("{size:o}")),
        'O' => ("0o", format!("{size:o}")),
        'x' => (if flags.sharp { "0x" } else { "" }, format!("{size:x}")),
        'X' => (if flags.sharp { "0X" } else { "" }, format!("{size:X}")),
        'c' | 'q' | 'U' => {
            let c = u32::try_from(value).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
            let text = match verb {
                'c' => c.to_string(),
                'q' => quote_char(c, flags.plus),
                _ if value < 0 => format!("U+{:X}", (value as i64) as u64),
                _ if flags.sharp && crate::quote::printable(c) => format!("U+{size:04X} '{c}'"),
                _ => format!("U+{size:04X}"),
            };
            let flags = Flags { zero: flags.zero && verb != 'U', ..flags.clone() };
            pad(out, &text, &flags);
            return true;
        }
        _ => return false,
    };
    if let Some(p) = flags.precision {
        if p == 0 && size == 0 {
            digits.clear();
        }
        digits = "0".repeat(p.saturating_sub(digits.len())) + &digits;
    }
    let sign = sign(value < 0, flags);
    if flags.zero && flags.precision.is_none() {
        let want = flags.width.unwrap_or(0).saturating_sub(sign.len());
        digits = "0".repeat(want.saturating_sub(digits.len())) + &digits;
    }
    let flags = Flags { zero: false, ..flags.clone() };
    pad(out, &format!("{sign}{prefix}{digits}"), &flags);
    true
}

/// `false` when the verb is none for floats.
fn float(out: &mut String, value: f64, verb: char, flags: &Flags) -> bool {
    let size = value.abs();
    let precision = flags.precision;
    let text = match verb {
        'v' | 'g' | 'G' => general(size, precision),
        'e' | 'E' => scientific(size, precision.unwrap_or(6)),
        'f' | 'F' if size.is_finite() => format!("{size:.*}", precision.unwrap_or(6)),
        'f' | 'F' => general(size, None),
        _ => return false,
    };
    let text = if verb == 'E' || verb == 'G' { text.to_uppercase() } else { text };
    let text = text.trim_start_matches('+');
    let sign = sign(value.is_sign_negative() && !value.is_nan(), flags);
    let mut digits = text.to_owned();
    if flags.zero && size.is_finite() {
        let want = flags.width.unwrap_or(0).saturating_sub(sign.len());
        digits = "0".repeat(want.saturating_sub(digits.len())) + &digits;
    }
    let flags = Flags { zero: false, ..flags.clone() };
    pad(out, &format!("{sign}{digits}"), &flags);
    true
}

/// `%#v`: a value in Go's syntax.
fn syntax(out: &mut String, value: &Json, top: bool) {
    match value {
        Json::Null if top => out.push_str("<nil>"),
        Json::Null => out.push_str("interface {}(nil)"),
        Json::String(text) => out.push_str(&quote(text)),
        Json::Array(items) => {
            out.push_str("[]interface {}{");
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                syntax(out, item, false);
            }
            out.push('}');
        }
        Json::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_unstable_by(|a, b| a.0.cmp(b.0));
            out.push_str("map[string]interface {}{");
            for (i, (key, item)) in sorted.into_iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                out.push_str(&quote(key));
                out.push(':');
                syntax(out, item, false);
            }
            out.push('}');
        }
        plain => write_plain(out, plain),
    }
}
