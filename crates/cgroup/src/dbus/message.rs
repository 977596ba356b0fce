//! Messages.
//!
//! ```text
//! byte  0  endianness 'l' or 'B'     4  length of the body, u32
//!       1  kind                      8  serial, u32
//!       2  flags                    12  header fields: a(yv), padded to 8, then the body
//!       3  version 1
//! ```

use super::value::{Decoder, Value, bad, pad};
use super::{DbusError, Method};

/// The part whose length is known before anything is.
pub(super) const FIXED: usize = 16;
/// What a message may be long at most.
const LONGEST: usize = 128 << 20;

/// Codes of header fields.
mod field {
    pub(super) const PATH: u8 = 1;
    pub(super) const INTERFACE: u8 = 2;
    pub(super) const MEMBER: u8 = 3;
    pub(super) const ERROR: u8 = 4;
    pub(super) const REPLY: u8 = 5;
    pub(super) const DESTINATION: u8 = 6;
    pub(super) const SIGNATURE: u8 = 8;
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Kind {
    #[default]
    Other,
    Call,
    Return,
    Error,
    Signal,
}

const KINDS: [Kind; 5] = [Kind::Other, Kind::Call, Kind::Return, Kind::Error, Kind::Signal];

/// A message.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Message {
    pub(super) kind: Kind,
    pub(super) serial: u32,
    pub(super) reply_to: u32,
    pub(super) destination: String,
    pub(super) path: String,
    pub(super) interface: String,
    pub(crate) member: String,
    pub(super) error: String,
    pub(crate) body: Vec<Value>,
}

impl Message {
    pub(super) fn call(serial: u32, method: Method<'_>, arguments: &[Value]) -> Message {
        Message {
            kind: Kind::Call,
            serial,
            destination: method.destination.to_owned(),
            path: method.path.to_owned(),
            interface: method.interface.to_owned(),
            member: method.member.to_owned(),
            body: arguments.to_vec(),
            ..Message::default()
        }
    }

    /// As it is sent.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        self.body.iter().for_each(|value| value.encode(&mut body));
        let kind = KINDS.iter().position(|kind| *kind == self.kind).unwrap_or(0) as u8;
        let mut out = vec![b'l', kind, 0, 1];
        out.extend((body.len() as u32).to_le_bytes());
        out.extend(self.serial.to_le_bytes());
        let text = |code, text: &str| (!text.is_empty()).then(|| (code, Value::Str(text.to_owned())));
        let path = (!self.path.is_empty()).then(|| (field::PATH, Value::Path(self.path.clone())));
        let signature: String = self.body.iter().map(Value::signature).collect();
        let signature = (!signature.is_empty()).then_some((field::SIGNATURE, Value::Signature(signature)));
        let reply = (self.reply_to != 0).then_some((field::REPLY, Value::U32(self.reply_to)));
        let fields = [
            path,
            text(field::INTERFACE, &self.interface),
            text(field::MEMBER, &self.member),
            text(field::ERROR, &self.error),
            reply,
            text(field::DESTINATION, &self.destination),
            signature,
        ];
        let fields = fields.into_iter().flatten();
        let fields =
            fields.map(|(code, value)| Value::Struct(vec![Value::Byte(code), Value::Variant(Box::new(value))]));
        Value::Array("(yv)".into(), fields.collect()).encode(&mut out);
        pad(&mut out, 8);
        out.extend(body);
        out
    }

    /// As it came.
    pub(super) fn decode(bytes: &[u8]) -> Result<Message, DbusError> {
        let swapped = bytes.first() == Some(&b'B');
        let mut decoder = Decoder::new(bytes, 1, swapped);
        let head = decoder.values("yyyuua(yv)")?;
        let [Value::Byte(kind), _, _, _, Value::U32(serial), Value::Array(_, fields)] = head.as_slice() else {
            return Err(bad("another header"));
        };
        let kind = KINDS.get(usize::from(*kind)).copied().unwrap_or_default();
        let mut message = Message { kind, serial: *serial, ..Message::default() };
        let mut signature = String::new();
        for one in fields {
            let Value::Struct(pair) = one else { continue };
            let [Value::Byte(code), Value::Variant(value)] = pair.as_slice() else { continue };
            let text = value.as_str().unwrap_or_default().to_owned();
            match (*code, value.as_ref()) {
                (field::PATH, _) => message.path = text,
                (field::INTERFACE, _) => message.interface = text,
                (field::MEMBER, _) => message.member = text,
                (field::ERROR, _) => message.error = text,
                (field::REPLY, Value::U32(number)) => message.reply_to = *number,
                (field::DESTINATION, _) => message.destination = text,
                (field::SIGNATURE, _) => signature = text,
                _ => {}
            }
        }
        decoder.align(8)?;
        // The body's alignment counts from its own start, which is a multiple of 8.
        let at = decoder.position();
        message.body = Decoder::new(bytes, at, swapped).values(&signature)?;
        Ok(message)
    }
}

/// How much follows the first [`FIXED`] bytes.
pub(super) fn rest_length(head: &[u8]) -> Result<usize, DbusError> {
    let number = |at: usize| {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&head[at..at + 4]);
        if head[0] == b'B' { u32::from_be_bytes(bytes) as usize } else { u32::from_le_bytes(bytes) as usize }
    };
    if !matches!(head[0], b'l' | b'B') || head[3] != 1 {
        return Err(bad("another protocol"));
    }
    let (body, fields) = (number(4), number(12));
    if body > LONGEST || fields > LONGEST {
        return Err(bad("a length beyond the limit"));
    }
    Ok((FIXED + fields).next_multiple_of(8) - FIXED + body)
}
