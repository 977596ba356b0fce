//! Annotations `org.systemd.property.NAME`: a property of the scope, its value in GVariant's text form (as runc and crun).
//!
//! ```text
//! org.systemd.property.TimeoutStopUSec: "uint64 123456789"      …TimeoutStopSec: "123"  (seconds become µs)
//! org.systemd.property.CollectMode:     "'inactive-or-failed'"  …After: "['a.service', 'b.service']"
//! ```

use crate::dbus::Value;
use crate::error::CgroupError;
use crate::systemd::Property;
use std::collections::BTreeMap;

const PREFIX: &str = "org.systemd.property.";

/// The properties that the annotations ask for.
///
/// # Errors
/// A value that cannot be read: nothing is left out in silence.
pub(crate) fn properties(annotations: &BTreeMap<String, String>) -> Result<Vec<Property>, CgroupError> {
    let mut found = Vec::new();
    for (key, text) in annotations.range(PREFIX.to_owned()..) {
        let Some(name) = key.strip_prefix(PREFIX) else { break };
        let bad = |reason: &str| CgroupError::invalid(format!("annotations[{key:?}]"), format!("{text:?}: {reason}"));
        if name.len() < 3 || !name.chars().all(|c| c.is_ascii_alphabetic()) {
            return Err(bad("the name after org.systemd.property. must be three letters or more, and only letters"));
        }
        let value = parse(text).ok_or_else(|| bad("is no value in GVariant's text form"))?;
        found.push(match seconds(name) {
            Some(stem) => {
                let us = microseconds(&value).ok_or_else(|| bad("is no number of seconds"))?;
                Property::new(format!("{stem}USec"), Value::U64(us))
            }
            None => Property::new(name.to_owned(), value),
        });
    }
    Ok(found)
}

/// `TimeoutStopSec` is what people write, `TimeoutStopUSec` what the interface has.
fn seconds(name: &str) -> Option<&str> {
    name.strip_suffix("Sec").filter(|stem| stem.ends_with(|c: char| c.is_ascii_lowercase()))
}

fn microseconds(value: &Value) -> Option<u64> {
    let seconds = match value {
        Value::Byte(n) => f64::from(*n),
        Value::I32(n) => f64::from(*n),
        Value::U32(n) => f64::from(*n),
        Value::I64(n) => *n as f64,
        Value::U64(n) => return n.checked_mul(1_000_000),
        Value::Double(n) => *n,
        _ => return None,
    };
    (0.0..1e12).contains(&seconds).then_some((seconds * 1e6) as u64)
}

fn parse(text: &str) -> Option<Value> {
    let mut parser = Parser { rest: text.trim() };
    let value = parser.value(None)?;
    parser.skip();
    parser.rest.is_empty().then_some(value)
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn word(&mut self) -> &str {
        self.skip();
        let end = self
            .rest
            .find(|c: char| c.is_whitespace() || matches!(c, ',' | ']' | ')' | '[' | '('))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// `kind` is the type that a keyword or an `@` has announced.
    fn value(&mut self, kind: Option<&str>) -> Option<Value> {
        self.skip();
        match self.rest.chars().next()? {
            '@' => {
                self.rest = &self.rest[1..];
                let signature = self.word().to_owned();
                self.value(Some(&signature))
            }
            '\'' | '"' => self.text(kind),
            '[' => self.array(kind),
            '(' => self.tuple(kind),
            _ => self.bare(kind),
        }
    }

    fn bare(&mut self, kind: Option<&str>) -> Option<Value> {
        let word = self.word().to_owned();
        let keyword = match word.as_str() {
            "boolean" => "b",
            "byte" => "y",
            "int32" => "i",
            "uint32" => "u",
            "int64" => "x",
            "uint64" => "t",
            "double" => "d",
            "string" => "s",
            "objectpath" => "o",
            "signature" => "g",
            _ => return number(&word, kind),
        };
        self.value(Some(keyword))
    }

    fn text(&mut self, kind: Option<&str>) -> Option<Value> {
        let mut letters = self.rest.chars();
        let quote = letters.next()?;
        let mut text = String::new();
        loop {
            match letters.next()? {
                c if c == quote => break,
                '\\' => match letters.next()? {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    c @ ('\\' | '\'' | '"') => text.push(c),
                    _ => return None,
                },
                c => text.push(c),
            }
        }
        self.rest = letters.as_str();
        match kind {
            None | Some("s") => Some(Value::Str(text)),
            Some("o") => Some(Value::Path(text)),
            Some("g") => Some(Value::Signature(text)),
            _ => None,
        }
    }

    fn array(&mut self, kind: Option<&str>) -> Option<Value> {
        let element = kind.map(|kind| kind.strip_prefix('a')).map_or(Some(None), |element| element.map(Some))?;
        let mut element = element.map(str::to_owned);
        let values = self.list("[", "]", |parser| {
            let value = parser.value(element.as_deref())?;
            // All have the type of the first.
            element.get_or_insert_with(|| value.signature());
            Some(value)
        })?;
        Some(Value::Array(element?, values))
    }

    fn tuple(&mut self, kind: Option<&str>) -> Option<Value> {
        let fields = self.list("(", ")", |parser| parser.value(None))?;
        let value = Value::Struct(fields);
        kind.is_none_or(|kind| kind == value.signature()).then_some(value)
    }

    fn list(&mut self, open: &str, close: &str, mut one: impl FnMut(&mut Self) -> Option<Value>) -> Option<Vec<Value>> {
        let mut values = Vec::new();
        if !self.take(open) {
            return None;
        }
        while !self.take(close) {
            if !values.is_empty() && !self.take(",") {
                return None;
            }
            values.push(one(self)?);
        }
        Some(values)
    }
}

fn number(word: &str, kind: Option<&str>) -> Option<Value> {
    Some(match kind {
        Some("b") | None if word == "true" => Value::Bool(true),
        Some("b") | None if word == "false" => Value::Bool(false),
        Some("y") => Value::Byte(integer(word)?.try_into().ok()?),
        Some("u") => Value::U32(integer(word)?.try_into().ok()?),
        Some("x") => Value::I64(integer(word)?.try_into().ok()?),
        Some("t") => Value::U64(integer(word)?.try_into().ok()?),
        Some("d") => Value::Double(word.parse().ok()?),
        Some("i") => Value::I32(integer(word)?.try_into().ok()?),
        None => match integer(word) {
            Some(integer) => Value::I32(integer.try_into().ok()?),
            None => {
                Value::Double(word.parse().ok().filter(|_| word.starts_with(|c: char| c == '-' || c.is_ascii_digit()))?)
            }
        },
        _ => return None,
    })
}

fn integer(word: &str) -> Option<i128> {
    match word.strip_prefix("0x") {
        Some(hex) => i128::from_str_radix(hex, 16).ok(),
        None => word.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, text: &str) -> Result<String, String> {
        let annotations = BTreeMap::from([
            (format!("org.systemd.property.{name}"), text.to_owned()),
            ("org.other".into(), "x".into()),
            ("z".into(), "y".into()),
        ]);
        let found = properties(&annotations).map_err(|e| e.to_string())?;
        assert_eq!(found.len(), 1);
        Ok(format!("{} {} {}", found[0].name, found[0].value.signature(), found[0].value))
    }

    #[test]
    fn values_in_text_form() {
        for (name, text, expected) in [
            ("TimeoutStopUSec", "uint64 123456789", "TimeoutStopUSec t 123456789"),
            ("TimeoutStopSec", "123", "TimeoutStopUSec t 123000000"),
            ("TimeoutStopSec", "1.5", "TimeoutStopUSec t 1500000"),
            ("CollectMode", "'inactive-or-failed'", "CollectMode s \"inactive-or-failed\""),
            ("SendSIGHUP", "true", "SendSIGHUP b true"),
            ("Nice", "-3", "Nice i -3"),
            ("After", "['a.service', \"b.service\"]", "After as [\"a.service\", \"b.service\"]"),
            ("Before", "@as []", "Before as []"),
            ("DeviceAllow", "[('/dev/null', 'rw')]", "DeviceAllow a(ss) [(\"/dev/null\", \"rw\")]"),
            ("AllowedCPUs", "[byte 0x01, 2]", "AllowedCPUs ay [0x01, 0x02]"),
            ("CPUWeight", "@t 7", "CPUWeight t 7"),
        ] {
            assert_eq!(one(name, text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (name, text) in [
            ("TimeoutStopSec", "'soon'"),
            ("Nice", ""),
            ("Nice", "1 2"),
            ("Nice", "[1, 'a']"),
            ("Nice", "[]"),
            ("Nice", "'open"),
            ("Nice", "uint32 -1"),
            ("Nice", "inf"),
            ("X", "1"),
            ("A.b", "1"),
        ] {
            let error = one(name, text).unwrap_err();
            assert!(error.starts_with("annotations[\"org.systemd.property."), "{text}: {error}");
        }
    }
}
