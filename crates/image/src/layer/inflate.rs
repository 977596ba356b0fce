//! What a layer blob is compressed with, told by its first bytes, and undoing it.

use std::io::{self, BufRead, Read};
use std::sync::{Condvar, Mutex, PoisonError};

/// How a blob is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Not at all.
    Plain,
    /// gzip, any number of members.
    Gzip,
    /// zstd, any number of frames.
    Zstd,
}

impl Format {
    /// Tells by the magic number. Media types are not asked: registries hold layers whose type is wrong, and Docker looks at the bytes too.
    pub(crate) fn of(begin: &[u8]) -> Self {
        match begin {
            [0x1f, 0x8b, ..] => Format::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Format::Zstd,
            _ => Format::Plain,
        }
    }

    /// For error messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Format::Plain => "plain",
            Format::Gzip => "gzip",
            Format::Zstd => "zstd",
        }
    }

    /// Undoes it.
    pub(crate) fn reader<'a>(self, input: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Format::Plain => Box::new(input),
            Format::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
            Format::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(input)?),
        })
    }
}

/// Bytes of zstd windows that this process holds at a time: layers with large windows are inflated one after the other. What a single
/// one needs it gets; zstd itself refuses windows beyond 128 MiB.
const WINDOWS_LIMIT: u64 = 24 << 20;

static WINDOWS: Mutex<u64> = Mutex::new(0);
static GIVEN_BACK: Condvar = Condvar::new();

/// The right to hold a window, until it is dropped.
pub(super) struct Window(u64);

impl Window {
    /// Waits until there is room for the window that a blob with this beginning needs.
    pub(super) fn wait(begin: &[u8]) -> Self {
        let size = zstd_window(begin).unwrap_or(0);
        if size == 0 {
            return Window(0);
        }
        let mut held = WINDOWS.lock().unwrap_or_else(PoisonError::into_inner);
        while *held > 0 && *held + size > WINDOWS_LIMIT {
            held = GIVEN_BACK.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        *held += size;
        Window(size)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        *WINDOWS.lock().unwrap_or_else(PoisonError::into_inner) -= self.0;
        GIVEN_BACK.notify_all();
    }
}

/// What the decoder of the first frame must remember of what it has written, in bytes (RFC 8878, 3.1.1.1): its window, but no more than its
/// content, if it tells that. zstd takes no more memory either (ZSTD_decodingBufferSize_min).
fn zstd_window(begin: &[u8]) -> Option<u64> {
    let [0x28, 0xb5, 0x2f, 0xfd, descriptor, rest @ ..] = begin else { return None };
    let single = descriptor & 0x20 != 0;
    // A single segment has no window but its content.
    let (window, rest) = if single { (u64::MAX, rest) } else { (window(*rest.first()?), &rest[1..]) };
    // The content's size follows the dictionary's ID.
    let id = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let length = [usize::from(single), 2, 4, 8][usize::from(descriptor >> 6)];
    if length == 0 {
        return Some(window);
    }
    let field = rest.get(id..id + length)?;
    let size = field.iter().rev().fold(0, |size, byte| size << 8 | u64::from(*byte));
    Some(window.min(if length == 2 { size + 256 } else { size }))
}

/// A window by its descriptor.
fn window(byte: u8) -> u64 {
    let base = 1u64 << (10 + (byte >> 3));
    base + base / 8 * u64::from(byte & 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_read_from_the_frame() {
        let noise: Vec<u8> = (0..400_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(20).unwrap();
        io::Write::write_all(&mut encoder, &noise).unwrap();
        assert_eq!(zstd_window(&encoder.finish().unwrap()), Some(1 << 20));
        let whole = zstd::bulk::compress(&noise[..100_000], 1).unwrap();
        assert_eq!(zstd_window(&whole), Some(100_000));
        let small = zstd::bulk::compress(&noise[..200], 1).unwrap();
        assert_eq!(zstd_window(&small), Some(200));
        assert_eq!((zstd_window(b"\x1f\x8b"), zstd_window(&whole[..5])), (None, None));
        // 128 MiB, of which 1 MiB is used.
        let large = [0x28, 0xb5, 0x2f, 0xfd, 2 << 6, 17 << 3, 0, 0, 16, 0];
        assert_eq!((zstd_window(&large), zstd_window(&large[..8])), (Some(1 << 20), None));
    }

    #[test]
    fn a_large_window_waits_for_the_others() {
        let mut begin = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 15 << 3];
        let (one, other) = (Window::wait(&begin), Window::wait(b"plain"));
        begin[5] = 13 << 3;
        let waiting = std::thread::spawn(move || Window::wait(&begin).0);
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!waiting.is_finished());
        drop((one, other));
        assert_eq!(waiting.join().unwrap(), 8 << 20);
    }
}
