//! Go's string literals: writing them (`strconv.Quote`, `%q`) and reading them (`strconv.Unquote`).

use std::fmt::Write as _;

/// `text` as a double-quoted Go string literal.
pub(crate) fn quote(text: &str) -> String {
    quote_with(text, '"', false)
}

/// [`quote`] with everything beyond ASCII escaped (`%+q`).
pub(crate) fn quote_ascii(text: &str) -> String {
    quote_with(text, '"', true)
}

/// `c` as a single-quoted Go character literal, with `ascii` escaped when it is beyond ASCII.
pub(crate) fn quote_char(c: char, ascii: bool) -> String {
    quote_with(c.encode_utf8(&mut [0; 4]), '\'', ascii)
}

fn quote_with(text: &str, mark: char, ascii: bool) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(mark);
    for c in text.chars() {
        match c {
            c if c == mark || c == '\\' => out.extend(['\\', c]),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if printable(c) && (!ascii || c.is_ascii()) => out.push(c),
            c if (c as u32) < 0x1_0000 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => {
                let _ = write!(out, "\\U{:08x}", c as u32);
            }
        }
    }
    out.push(mark);
    out
}

/// Close to Go's `unicode.IsPrint`: no controls, no separators but the ASCII space, no formatting or private characters.
pub(crate) fn printable(c: char) -> bool {
    c == ' '
        || !(c.is_control()
            || c.is_whitespace()
            || matches!(c as u32, 0xad | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff | 0xfff0..=0xfffb)
            || matches!(c as u32, 0xe000..=0xf8ff | 0xe0000..=0xe0fff | 0xf0000..))
}

/// The text that a Go literal in double quotes, backquotes or single quotes stands for; `None` for a malformed one.
pub(crate) fn unquote(literal: &str) -> Option<String> {
    let mark = literal.chars().next()?;
    let body = literal.strip_prefix(mark)?.strip_suffix(mark)?;
    if mark == '`' {
        return Some(body.replace('\r', ""));
    }
    let mut bytes = Vec::with_capacity(body.len());
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        escape(&mut chars, mark, &mut bytes)?;
    }
    // Bytes written as \xNN may not be UTF-8; Go would keep them, our text cannot.
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn escape(chars: &mut std::str::Chars<'_>, mark: char, bytes: &mut Vec<u8>) -> Option<()> {
    let digits = |chars: &mut std::str::Chars<'_>, first: Option<char>, count: usize, radix: u32| {
        let mut value = 0u32;
        for i in 0..count {
            let c = if i == 0 { first.or_else(|| chars.next()) } else { chars.next() };
            value = value.checked_mul(radix)?.checked_add(c?.to_digit(radix)?)?;
        }
        Some(value)
    };
    let simple = match chars.next()? {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        c if c == mark && (c == '"' || c == '\'') => c as u8,
        'x' => u8::try_from(digits(chars, None, 2, 16)?).ok()?,
        c @ '0'..='7' => u8::try_from(digits(chars, Some(c), 3, 8)?).ok()?,
        c @ ('u' | 'U') => {
            let value = digits(chars, None, if c == 'u' { 4 } else { 8 }, 16)?;
            bytes.extend_from_slice(char::from_u32(value)?.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(());
        }
        _ => return None,
    };
    bytes.push(simple);
    Some(())
}
