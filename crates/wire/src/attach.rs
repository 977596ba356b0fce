//! Frames of an attach connection between a client and the monitor.
//!
//! A connection is a `SOCK_STREAM` Unix socket, either `<run_dir>/attach` or the descriptor given as `--attach-fd`:
//!
//! ```text
//! ┌──────┬────────────────────┬─────────┐
//! │ kind │ length (u32, LE)   │ payload │
//! │ 1 B  │ 4 B                │         │
//! └──────┴────────────────────┴─────────┘
//! ```
//!
//! client → monitor: `STDIN` (payload: bytes), `CLOSE_STDIN`, `RESIZE` (rows u16 LE, columns u16 LE)
//! monitor → client: `STDOUT`, `STDERR` (bytes), `EXIT` (JSON [`crate::monitor::Exit`]; sent once, after the output and the
//! cleanup; then the monitor closes)
//!
//! A client that goes away takes nothing with it: the program keeps running, and its output goes on to the log. A connection that
//! ends without `EXIT` means that the monitor was killed, or that this client, connected through the socket, took nothing for
//! [`STALL_LIMIT_MS`] while output waited for it. The client of `--attach-fd` is never cut off: a slow one slows the program.
//!
//! [`write_frame`] and [`Decoder`] work over any `Write` and `Read`, blocking or not; a [`Decoder`] keeps what is incomplete.

use std::io::{self, IoSlice, Read, Write};

/// Client: bytes for the program's standard input.
pub const STDIN: u8 = 0;
/// Monitor: bytes of standard output, or of the terminal.
pub const STDOUT: u8 = 1;
/// Monitor: bytes of standard error.
pub const STDERR: u8 = 2;
/// Client: end of standard input.
pub const CLOSE_STDIN: u8 = 3;
/// Client: the terminal's new size.
pub const RESIZE: u8 = 4;
/// Monitor: the program has ended.
pub const EXIT: u8 = 5;

/// Length of a frame's header in bytes.
pub const HEADER_LEN: usize = 5;
/// Longest payload in bytes; a longer one is a protocol error.
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// Milliseconds without progress after which the monitor cuts off a client of the socket that holds up the program's output.
pub const STALL_LIMIT_MS: u64 = 1000;

/// Encodes a header.
pub fn header(kind: u8, length: usize) -> [u8; HEADER_LEN] {
    let length = (length as u32).to_le_bytes();
    [kind, length[0], length[1], length[2], length[3]]
}

/// Decodes a header into kind and payload length; `None` if the length is over [`MAX_PAYLOAD`].
pub fn parse_header(bytes: [u8; HEADER_LEN]) -> Option<(u8, usize)> {
    let length = u32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]) as usize;
    (length <= MAX_PAYLOAD).then_some((bytes[0], length))
}

/// One frame, its payload borrowed from the [`Decoder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// One of the constants above; unknown kinds are to be skipped.
    pub kind: u8,
    /// The payload.
    pub payload: &'a [u8],
}

/// Encodes the payload of [`RESIZE`].
pub fn encode_size(rows: u16, columns: u16) -> [u8; 4] {
    let (rows, columns) = (rows.to_le_bytes(), columns.to_le_bytes());
    [rows[0], rows[1], columns[0], columns[1]]
}

/// Decodes the payload of [`RESIZE`]: rows, columns.
pub fn decode_size(payload: &[u8]) -> Option<(u16, u16)> {
    let bytes: [u8; 4] = payload.try_into().ok()?;
    Some((u16::from_le_bytes([bytes[0], bytes[1]]), u16::from_le_bytes([bytes[2], bytes[3]])))
}

/// Writes `payload` as one frame, or as several if it is longer than [`MAX_PAYLOAD`]; each frame is one system call where the
/// writer takes it whole. An empty payload is one empty frame.
///
/// For blocking writers: on any error, `WouldBlock` too, a frame may have been written in part and the stream is lost.
pub fn write_frame(writer: &mut impl Write, kind: u8, payload: &[u8]) -> io::Result<()> {
    let mut rest = payload;
    loop {
        let (part, after) = rest.split_at(rest.len().min(MAX_PAYLOAD));
        write_whole(writer, &header(kind, part.len()), part)?;
        rest = after;
        if rest.is_empty() {
            return Ok(());
        }
    }
}

fn write_whole(writer: &mut impl Write, header: &[u8], payload: &[u8]) -> io::Result<()> {
    let mut done = 0;
    while done < header.len() + payload.len() {
        let head = &header[done.min(header.len())..];
        let body = &payload[done.saturating_sub(header.len())..];
        match writer.write_vectored(&[IoSlice::new(head), IoSlice::new(body)]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Takes frames out of a stream of bytes, however they are cut.
///
/// ```text
/// loop { decoder.read_from(&mut stream)? == 0 → the other side closed
///        while let Some(frame) = decoder.next_frame()? { … } }
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    taken: usize,
}

/// Bytes asked for by one [`Decoder::read_from`].
const READ_LEN: usize = 16 * 1024;

impl Decoder {
    /// An empty decoder; it allocates nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends what one `read` gives; 0 is the stream's end. Errors of the reader, `WouldBlock` among them, change nothing.
    pub fn read_from(&mut self, reader: &mut impl Read) -> io::Result<usize> {
        self.compact();
        let end = self.buffer.len();
        self.buffer.resize(end + READ_LEN, 0);
        let result = loop {
            match reader.read(&mut self.buffer[end..]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(end + result.as_ref().map_or(0, |n| *n));
        result
    }

    /// Appends bytes read elsewhere.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.compact();
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame; `None` if more bytes are needed. A payload over [`MAX_PAYLOAD`] is an `InvalidData` error, after
    /// which the stream is lost.
    pub fn next_frame(&mut self) -> io::Result<Option<Frame<'_>>> {
        let Some((kind, length)) = self.peek_header()? else { return Ok(None) };
        let start = self.taken + HEADER_LEN;
        if self.buffer.len() < start + length {
            return Ok(None);
        }
        self.taken = start + length;
        Ok(Some(Frame { kind, payload: &self.buffer[start..start + length] }))
    }

    /// Kind of the next frame once it is there whole, leaving it in place.
    pub fn peek_kind(&self) -> io::Result<Option<u8>> {
        let header = self.peek_header()?;
        Ok(header.filter(|(_, length)| self.buffer.len() >= self.taken + HEADER_LEN + length).map(|(kind, _)| kind))
    }

    fn peek_header(&self) -> io::Result<Option<(u8, usize)>> {
        let Some(bytes) = self.buffer[self.taken..].first_chunk::<HEADER_LEN>() else { return Ok(None) };
        let too_long = || io::Error::new(io::ErrorKind::InvalidData, "attach frame longer than allowed");
        parse_header(*bytes).ok_or_else(too_long).map(Some)
    }

    fn compact(&mut self) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        if self.buffer.is_empty() {
            self.buffer = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_any_cutting() {
        let long = vec![7u8; MAX_PAYLOAD + 3];
        let mut bytes = Vec::new();
        write_frame(&mut bytes, STDIN, b"abc").unwrap();
        write_frame(&mut bytes, CLOSE_STDIN, b"").unwrap();
        write_frame(&mut bytes, STDOUT, &long).unwrap();
        write_frame(&mut bytes, RESIZE, &encode_size(24, 80)).unwrap();
        for step in [1, 4, 5, 6, 4096, bytes.len()] {
            let mut decoder = Decoder::new();
            let mut got: Vec<(u8, Vec<u8>)> = Vec::new();
            for part in bytes.chunks(step) {
                decoder.extend(part);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    got.push((frame.kind, frame.payload.to_vec()));
                }
            }
            assert_eq!(got.len(), 5, "cut every {step} bytes");
            assert_eq!(got[0], (STDIN, b"abc".to_vec()));
            assert_eq!(got[1], (CLOSE_STDIN, vec![]));
            assert_eq!((got[2].1.len(), got[3].1.len()), (MAX_PAYLOAD, 3));
            assert_eq!(decode_size(&got[4].1), Some((24, 80)));
        }
    }

    #[test]
    fn an_oversized_frame_is_an_error() {
        let mut decoder = Decoder::new();
        decoder.extend(&header(STDIN, MAX_PAYLOAD + 1));
        assert_eq!(decoder.next_frame().unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn read_from_reports_the_end() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, STDERR, b"x").unwrap();
        let mut decoder = Decoder::new();
        let mut reader = bytes.as_slice();
        assert_eq!(decoder.read_from(&mut reader).unwrap(), 6);
        assert_eq!(decoder.next_frame().unwrap(), Some(Frame { kind: STDERR, payload: b"x" }));
        assert_eq!(decoder.read_from(&mut reader).unwrap(), 0);
    }
}
