//! Values and their marshalled form (D-Bus specification, "Marshalling (Wire Format)").

use super::DbusError;
use std::fmt;

/// A value. Only types that systemd's interface for units uses.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// `y`
    Byte(u8),
    /// `b`
    Bool(bool),
    /// `i`
    I32(i32),
    /// `u`
    U32(u32),
    /// `x`
    I64(i64),
    /// `t`
    U64(u64),
    /// `d`
    Double(f64),
    /// `s`
    Str(String),
    /// `o`
    Path(String),
    /// `g`
    Signature(String),
    /// `a…`: type of the elements, and they.
    Array(String, Vec<Value>),
    /// `(…)`
    Struct(Vec<Value>),
    /// `v`
    Variant(Box<Value>),
}

/// What an array may hold at most, in bytes.
const LARGEST_ARRAY: usize = 64 << 20;
/// How deep containers may nest.
const DEEPEST: usize = 32;

impl Value {
    /// The type.
    pub(crate) fn signature(&self) -> String {
        match self {
            Value::Byte(_) => "y".into(),
            Value::Bool(_) => "b".into(),
            Value::I32(_) => "i".into(),
            Value::U32(_) => "u".into(),
            Value::I64(_) => "x".into(),
            Value::U64(_) => "t".into(),
            Value::Double(_) => "d".into(),
            Value::Str(_) => "s".into(),
            Value::Path(_) => "o".into(),
            Value::Signature(_) => "g".into(),
            Value::Array(element, _) => format!("a{element}"),
            Value::Struct(fields) => format!("({})", fields.iter().map(Value::signature).collect::<String>()),
            Value::Variant(_) => "v".into(),
        }
    }

    /// The text of a string or a path.
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) | Value::Path(text) | Value::Signature(text) => Some(text),
            Value::Variant(inner) => inner.as_str(),
            _ => None,
        }
    }

    pub(crate) fn into_string(self) -> Option<String> {
        self.as_str().map(str::to_owned)
    }

    /// Appends the marshalled value. Alignment counts from the start of `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        pad(out, alignment(self.signature().as_bytes().first().copied().unwrap_or(b'y')));
        match self {
            Value::Byte(n) => out.push(*n),
            Value::Bool(on) => out.extend(u32::from(*on).to_le_bytes()),
            Value::I32(n) => out.extend(n.to_le_bytes()),
            Value::U32(n) => out.extend(n.to_le_bytes()),
            Value::I64(n) => out.extend(n.to_le_bytes()),
            Value::U64(n) => out.extend(n.to_le_bytes()),
            Value::Double(n) => out.extend(n.to_le_bytes()),
            Value::Str(text) | Value::Path(text) => {
                out.extend((text.len() as u32).to_le_bytes());
                out.extend(text.as_bytes());
                out.push(0);
            }
            Value::Signature(text) => encode_signature(out, text),
            Value::Array(element, values) => {
                let at = out.len();
                out.extend([0; 4]);
                // The padding before the first element is there even if there is none, and does not count.
                pad(out, alignment(element.as_bytes().first().copied().unwrap_or(b'y')));
                let start = out.len();
                values.iter().for_each(|value| value.encode(out));
                let length = (out.len() - start) as u32;
                out[at..at + 4].copy_from_slice(&length.to_le_bytes());
            }
            Value::Struct(fields) => fields.iter().for_each(|field| field.encode(out)),
            Value::Variant(inner) => {
                encode_signature(out, &inner.signature());
                inner.encode(out);
            }
        }
    }
}

fn encode_signature(out: &mut Vec<u8>, text: &str) {
    out.push(text.len() as u8);
    out.extend(text.as_bytes());
    out.push(0);
}

pub(super) fn pad(out: &mut Vec<u8>, to: usize) {
    out.resize(out.len().next_multiple_of(to), 0);
}

fn alignment(kind: u8) -> usize {
    match kind {
        b'y' | b'g' | b'v' => 1,
        b'n' | b'q' => 2,
        b'x' | b't' | b'd' | b'(' | b'{' => 8,
        _ => 4,
    }
}

/// As gvariant text, for `explain`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, values: &[Value]| {
            values.iter().enumerate().try_for_each(|(at, value)| {
                let comma = if at == 0 { "" } else { ", " };
                write!(f, "{comma}{value}")
            })
        };
        match self {
            Value::Byte(n) => write!(f, "0x{n:02x}"),
            Value::Bool(on) => write!(f, "{on}"),
            Value::I32(n) => write!(f, "{n}"),
            Value::U32(n) => write!(f, "{n}"),
            Value::I64(n) => write!(f, "{n}"),
            Value::U64(u64::MAX) => write!(f, "infinity"),
            Value::U64(n) => write!(f, "{n}"),
            Value::Double(n) => write!(f, "{n}"),
            Value::Str(text) | Value::Path(text) | Value::Signature(text) => write!(f, "{text:?}"),
            Value::Variant(inner) => write!(f, "<{inner}>"),
            Value::Array(_, values) => {
                write!(f, "[")?;
                list(f, values)?;
                write!(f, "]")
            }
            Value::Struct(fields) => {
                write!(f, "(")?;
                list(f, fields)?;
                write!(f, ")")
            }
        }
    }
}

/// Reads marshalled values; every length is checked against what is there.
pub(super) struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
    swapped: bool,
    depth: usize,
}

impl<'a> Decoder<'a> {
    /// `at` is where to begin; alignment counts from the start of `bytes`.
    pub(super) fn new(bytes: &'a [u8], at: usize, swapped: bool) -> Self {
        Decoder { bytes, at, swapped, depth: 0 }
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// All values of a signature.
    pub(super) fn values(&mut self, signature: &str) -> Result<Vec<Value>, DbusError> {
        let mut rest = signature.as_bytes();
        let mut values = Vec::new();
        while !rest.is_empty() {
            let (kind, after) = split_type(rest)?;
            values.push(self.value(kind)?);
            rest = after;
        }
        Ok(values)
    }

    fn value(&mut self, kind: &[u8]) -> Result<Value, DbusError> {
        let first = kind.first().copied().unwrap_or_default();
        self.align(alignment(first))?;
        Ok(match first {
            b'y' => Value::Byte(self.take(1)?[0]),
            b'b' => Value::Bool(u32::from_le_bytes(self.fixed()?) != 0),
            b'n' => Value::I32(i16::from_le_bytes(self.fixed()?).into()),
            b'q' => Value::U32(u16::from_le_bytes(self.fixed()?).into()),
            b'i' => Value::I32(i32::from_le_bytes(self.fixed()?)),
            b'u' | b'h' => Value::U32(u32::from_le_bytes(self.fixed()?)),
            b'x' => Value::I64(i64::from_le_bytes(self.fixed()?)),
            b't' => Value::U64(u64::from_le_bytes(self.fixed()?)),
            b'd' => Value::Double(f64::from_le_bytes(self.fixed()?)),
            b's' => Value::Str(self.text()?),
            b'o' => Value::Path(self.text()?),
            b'g' => Value::Signature(self.short_text()?),
            b'v' => {
                let signature = self.short_text()?;
                let (kind, after) = split_type(signature.as_bytes())?;
                if !after.is_empty() {
                    return Err(bad("a variant of several values"));
                }
                Value::Variant(Box::new(self.nested(|decoder| decoder.value(kind))?))
            }
            b'a' => self.array(&kind[1..])?,
            b'(' | b'{' => {
                let inner = String::from_utf8_lossy(&kind[1..kind.len() - 1]).into_owned();
                Value::Struct(self.nested(|decoder| decoder.values(&inner))?)
            }
            _ => return Err(bad("a type that does not exist")),
        })
    }

    fn array(&mut self, element: &[u8]) -> Result<Value, DbusError> {
        let length = u32::from_le_bytes(self.fixed()?) as usize;
        self.align(alignment(element.first().copied().unwrap_or_default()))?;
        if length > LARGEST_ARRAY || length > self.bytes.len() - self.at {
            return Err(bad("an array that is too long"));
        }
        let end = self.at + length;
        let mut values = Vec::new();
        while self.at < end {
            values.push(self.nested(|decoder| decoder.value(element))?);
        }
        Ok(Value::Array(String::from_utf8_lossy(element).into_owned(), values))
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, DbusError>) -> Result<T, DbusError> {
        if self.depth == DEEPEST {
            return Err(bad("values nested too deep"));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    pub(super) fn align(&mut self, to: usize) -> Result<(), DbusError> {
        let at = self.at.next_multiple_of(to);
        self.take(at - self.at).map(drop)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DbusError> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len()).ok_or_else(|| bad("cut short"))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// A number, turned to little-endian.
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DbusError> {
        let mut number = [0; N];
        number.copy_from_slice(self.take(N)?);
        if self.swapped {
            number.reverse();
        }
        Ok(number)
    }

    fn text(&mut self) -> Result<String, DbusError> {
        self.align(4)?;
        let length = u32::from_le_bytes(self.fixed()?) as usize;
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.take(1)?;
        Ok(text)
    }

    fn short_text(&mut self) -> Result<String, DbusError> {
        let length = self.take(1)?[0].into();
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.take(1)?;
        Ok(text)
    }
}

/// The first complete type of a signature, and the rest.
fn split_type(signature: &[u8]) -> Result<(&[u8], &[u8]), DbusError> {
    let mut open = 0usize;
    for (at, letter) in signature.iter().enumerate() {
        match letter {
            b'a' => continue,
            b'(' | b'{' => open += 1,
            b')' | b'}' => open = open.checked_sub(1).ok_or_else(|| bad("a signature that does not nest"))?,
            _ => {}
        }
        if open == 0 {
            return Ok(signature.split_at(at + 1));
        }
    }
    Err(bad("a signature that is not complete"))
}

pub(super) fn bad(what: &str) -> DbusError {
    DbusError::Protocol(format!("a message with {what}"))
}
