//! The 512-byte header block.

/// Bytes of a block.
pub(super) const BLOCK: usize = 512;

/// A header block, not yet interpreted.
pub(super) struct Header(pub(super) [u8; BLOCK]);

impl Header {
    /// Whether every byte is zero: two such blocks end an archive.
    pub(super) fn is_zero(&self) -> bool {
        self.0.iter().all(|&byte| byte == 0)
    }

    /// Whether the checksum is right. Old tars summed signed bytes; both are accepted, as everywhere.
    pub(super) fn checksum_is_right(&self) -> bool {
        let Some(expected) = self.number(148, 8) else { return false };
        let (mut unsigned, mut signed) = (0i64, 0i64);
        for (at, &byte) in self.0.iter().enumerate() {
            let byte = if (148..156).contains(&at) { b' ' } else { byte };
            unsigned += i64::from(byte);
            signed += i64::from(byte as i8);
        }
        expected == unsigned || expected == signed
    }

    /// The type flag.
    pub(super) fn flag(&self) -> u8 {
        self.0[156]
    }

    /// A number: octal text, or GNU's base 256. `None` if it is neither or too large.
    pub(super) fn number(&self, at: usize, length: usize) -> Option<i64> {
        parse_number(&self.0[at..at + length])
    }

    /// Text up to the first NUL.
    pub(super) fn text(&self, at: usize, length: usize) -> &[u8] {
        let field = &self.0[at..at + length];
        field.split(|&byte| byte == 0).next().unwrap_or_default()
    }

    /// Whether it is GNU's dialect, which has no name prefix.
    pub(super) fn is_gnu(&self) -> bool {
        &self.0[257..265] == b"ustar  \0"
    }

    /// The name, with ustar's prefix.
    pub(super) fn name(&self) -> Vec<u8> {
        let name = self.text(0, 100);
        let prefix = if !self.is_gnu() && &self.0[257..262] == b"ustar" { self.text(345, 155) } else { b"" };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }
}

pub(super) fn parse_number(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        // Two's complement over the whole field, with the topmost bit taken for the mark.
        let negative = first & 0x40 != 0;
        let mut value: i128 = if negative { -1 } else { 0 };
        value = (value << 6) | i128::from(first & 0x3f);
        for &byte in &field[1..] {
            value = value.checked_mul(256)? | i128::from(byte);
        }
        return i64::try_from(value).ok();
    }
    let mut value: i64 = 0;
    let digits = field.iter().copied().skip_while(|byte| *byte == b' ').take_while(|byte| !matches!(byte, 0 | b' '));
    for byte in digits {
        let digit = i64::from(byte.checked_sub(b'0').filter(|digit| *digit < 8)?);
        value = value.checked_mul(8)?.checked_add(digit)?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        for (field, value) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0", Some(0)),
            (b"77777777777", Some(0o77777777777)),
            (b"\x80\0\0\0\0\0\0\0\0\0\x01\0", Some(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
            (b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"64x", None),
            (b"-1", None),
        ] {
            assert_eq!(parse_number(field), value, "{field:?}");
        }
    }
}
