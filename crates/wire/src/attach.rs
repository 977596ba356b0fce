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
//! A client that goes away takes nothing with it: the program keeps running, and its output goes on to the log.

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
