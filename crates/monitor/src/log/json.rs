//! One record of Docker's json-file log, byte for byte as Docker's encoder writes it.

use super::{Stream, time};

/// Appends `{"log":"…","stream":"…","time":"…"}` and a newline.
pub(super) fn push_record(out: &mut Vec<u8>, stream: Stream, bytes: &[u8], at_ns: u64) {
    out.extend_from_slice(b"{\"log\":\"");
    push_escaped(out, bytes);
    let stream = match stream {
        Stream::Stdout => "\",\"stream\":\"stdout\",\"time\":\"",
        Stream::Stderr => "\",\"stream\":\"stderr\",\"time\":\"",
    };
    out.extend_from_slice(stream.as_bytes());
    time::push_rfc3339_nano(out, at_ns);
    out.extend_from_slice(b"\"}\n");
}

/// As Go's encoding/json with HTML escaping: what is not UTF-8 becomes U+FFFD.
fn push_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        push_text(out, chunk.valid());
        // One replacement for each byte, as Go decodes.
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut plain = 0;
    let mut index = 0;
    while index < bytes.len() {
        let (escape, length): (Option<&[u8]>, usize) = match bytes[index] {
            b'"' => (Some(b"\\\""), 1),
            b'\\' => (Some(b"\\\\"), 1),
            b'\n' => (Some(b"\\n"), 1),
            b'\r' => (Some(b"\\r"), 1),
            0..0x20 | b'<' | b'>' | b'&' => (None, 1),
            // U+2028 and U+2029 end a line in JavaScript.
            0xe2 if bytes[index + 1] == 0x80 && bytes[index + 2] == 0xa8 => (Some(b"\\u2028"), 3),
            0xe2 if bytes[index + 1] == 0x80 && bytes[index + 2] == 0xa9 => (Some(b"\\u2029"), 3),
            _ => {
                index += 1;
                continue;
            }
        };
        out.extend_from_slice(&bytes[plain..index]);
        match escape {
            Some(escape) => out.extend_from_slice(escape),
            None => push_hex(out, bytes[index]),
        }
        index += length;
        plain = index;
    }
    out.extend_from_slice(&bytes[plain..]);
}

fn push_hex(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\u00");
    out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}
