//! Protocol Buffers, as much of them as CRIU's RPC needs: numbers, texts and messages within messages, under the numbers of their fields.

/// A message being written.
#[derive(Debug, Default)]
pub struct Message(Vec<u8>);

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH: u64 = 2;
const FIXED32: u64 = 5;

impl Message {
    /// A field that is a number, an enumeration's value, or true (1).
    pub fn number(&mut self, field: u32, value: u64) {
        self.varint(u64::from(field) << 3 | VARINT);
        self.varint(value);
    }

    /// A field that is a text.
    pub fn text(&mut self, field: u32, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    /// A field that is a message itself.
    pub fn nested(&mut self, field: u32, value: &Message) {
        self.bytes(field, &value.0);
    }

    /// What is sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn bytes(&mut self, field: u32, value: &[u8]) {
        self.varint(u64::from(field) << 3 | LENGTH);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// A field that was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// A number.
    Number(u64),
    /// A text or a message.
    Bytes(&'a [u8]),
}

/// The fields of a message in their order; what follows something malformed is left out.
pub fn fields(mut bytes: &[u8]) -> impl Iterator<Item = (u32, Value<'_>)> {
    std::iter::from_fn(move || {
        let key = take_varint(&mut bytes)?;
        let value = match key & 7 {
            VARINT => Value::Number(take_varint(&mut bytes)?),
            LENGTH => {
                let length = usize::try_from(take_varint(&mut bytes)?).ok()?;
                Value::Bytes(bytes.split_off(..length)?)
            }
            FIXED64 => Value::Bytes(bytes.split_off(..8)?),
            FIXED32 => Value::Bytes(bytes.split_off(..4)?),
            _ => return None,
        };
        Some((u32::try_from(key >> 3).ok()?, value))
    })
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut inner = Message::default();
        inner.text(1, "net");
        inner.number(2, 20);
        let mut outer = Message::default();
        outer.number(1, 300);
        outer.number(16, u64::MAX);
        outer.nested(27, &inner);
        assert_eq!(&outer.as_bytes()[..3], [0x08, 0xac, 0x02], "as the format's own documentation has it");
        let read: Vec<_> = fields(outer.as_bytes()).collect();
        assert_eq!(read[..2], [(1, Value::Number(300)), (16, Value::Number(u64::MAX))]);
        let (27, Value::Bytes(bytes)) = read[2] else { panic!("{read:?}") };
        assert_eq!(fields(bytes).collect::<Vec<_>>(), [(1, Value::Bytes(b"net")), (2, Value::Number(20))]);
    }

    #[test]
    fn what_is_cut_or_nonsense_ends_it() {
        for bytes in [&[0x08][..], &[0x12, 5, 1], &[0x80; 11], &[0x0b, 1], &[0x09, 1]] {
            assert_eq!(fields(bytes).count(), 0, "{bytes:?}");
        }
    }
}
