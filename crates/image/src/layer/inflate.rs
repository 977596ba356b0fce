//! What a layer blob is compressed with, told by its first bytes, and undoing it.

use super::BUDGET;
use carboy_sys::scratch::resident;
use carboy_sys::zstd::Decoder;
use std::io::{self, BufRead, Read};
use std::path::Path;

/// Bytes of files that a process has mapped at most while it inflates, but for what one block adds.
const RESIDENT: usize = 12 << 20;
/// A block of zstd has at most so many bytes.
const BLOCK: usize = 128 << 10;

/// How a blob is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Not at all.
    Plain,
    /// gzip, any number of members.
    Gzip,
    /// zstd, any number of frames.
    Zstd,
    /// xz, any number of streams: archives only, never layers.
    Xz,
    /// bzip2, any number of streams: archives only, never layers.
    Bzip2,
}

/// What the decoder of an xz stream may hold, in KiB: its dictionary (128 MiB, twice what `xz -9` takes) and a little more.
const XZ_MEMORY_KIB: u32 = (128 << 10) + 1024;

impl Format {
    /// Tells by the magic number. Media types are not asked: registries hold layers whose type is wrong, and Docker looks at the bytes too.
    pub(crate) fn of(begin: &[u8]) -> Self {
        match begin {
            [0x1f, 0x8b, ..] => Format::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Format::Zstd,
            _ => Format::Plain,
        }
    }

    /// Tells what a whole archive is compressed with, which may be more than registries know.
    pub(crate) fn of_archive(begin: &[u8]) -> Self {
        match begin {
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Format::Xz,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Format::Bzip2,
            other => Format::of(other),
        }
    }

    /// For error messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Format::Plain => "plain",
            Format::Gzip => "gzip",
            Format::Zstd => "zstd",
            Format::Xz => "xz",
            Format::Bzip2 => "bzip2",
        }
    }

    /// Undoes it. What zstd has to remember may become a nameless file in `folder`.
    pub(crate) fn reader<'a>(self, input: impl BufRead + 'a, folder: &Path) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Format::Plain => Box::new(input),
            Format::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
            Format::Zstd => Box::new(Zstd { input, decoder: Decoder::new(folder.to_owned(), &BUDGET)?, at_end: true }),
            Format::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(input, true, XZ_MEMORY_KIB)),
            Format::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
        })
    }
}

/// Frames of zstd, one after the other.
struct Zstd<R> {
    input: R,
    decoder: Decoder,
    /// Between two frames.
    at_end: bool,
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let room = target.len().min(BLOCK);
        loop {
            let available = self.input.fill_buf()?;
            let ended = available.is_empty();
            if ended && self.at_end {
                return Ok(0);
            }
            let step = self.decoder.decompress(available, &mut target[..room])?;
            self.input.consume(step.read);
            self.at_end = step.at_end;
            if self.decoder.in_files() > 0 && resident().map_or(true, |bytes| bytes > RESIDENT) {
                self.decoder.release();
            }
            if step.written > 0 {
                return Ok(step.written);
            }
            if ended && !self.at_end {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a frame is cut off"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carboy_sys::scratch::Budget;
    use std::io::Write;

    static NONE: Budget = Budget::new(0);

    /// A frame that does not tell its size.
    fn frame(content: &[u8], window_log: u32) -> Vec<u8> {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(window_log).unwrap();
        encoder.long_distance_matching(true).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn inflated(bytes: &[u8], budget: &'static Budget) -> (io::Result<Vec<u8>>, usize) {
        // Not a tmpfs, if that can be had.
        let decoder = Decoder::new("/var/tmp".into(), budget).unwrap();
        // Small pieces, so that all that can be cut is.
        let mut reader = Zstd { input: io::BufReader::with_capacity(1021, bytes), decoder, at_end: true };
        let mut content = Vec::new();
        let read = reader.read_to_end(&mut content).map(|_| content);
        (read, reader.decoder.in_files())
    }

    #[test]
    fn windows_in_files_and_in_memory_give_the_same() {
        let noise: Vec<u8> = (0..3_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let content = [&noise[..], &[7; 3_000_000], &noise[..]].concat();
        let skipped = [&[0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        // Windows that grow and shrink, frames of which nothing is kept, one that is empty, and one that tells its size.
        let blob = [
            &skipped[..],
            &frame(&content[..100_000], 17),
            &frame(&content, 27),
            &frame(b"", 20),
            &skipped,
            &frame(&content, 22),
            &zstd::bulk::compress(&content, 1).unwrap(),
            &skipped,
        ]
        .concat();
        let expected = [&content[..100_000], &content, &content, &content].concat();
        let (read, in_files) = inflated(&blob, &NONE);
        assert!(read.unwrap() == expected);
        assert!(in_files >= 128 << 20, "{in_files}");
        let (read, in_files) = inflated(&blob, &super::BUDGET);
        assert!(read.unwrap() == expected && in_files >= 128 << 20);
        let small = frame(&content, 20);
        let (read, in_files) = inflated(&small, &super::BUDGET);
        assert!(read.unwrap() == content && in_files == 0);
    }

    #[test]
    fn damage_is_refused() {
        let whole = frame(&[b'x'; 5000], 27);
        for cut in [1, 3, 5, 6, 9, whole.len() - 5, whole.len() - 1] {
            assert!(inflated(&whole[..cut], &NONE).0.is_err(), "{cut} bytes");
        }
        let mut wrong = whole.clone();
        *wrong.last_mut().unwrap() ^= 1;
        assert!(inflated(&wrong, &NONE).0.unwrap_err().to_string().contains("checksum"));
        let after = [&whole[..], b"no frame"].concat();
        assert!(inflated(&after, &NONE).0.is_err());
        // 256 MiB, and a size of 2^60: refused, and nothing is taken for what it claims.
        let large = [0x28, 0xb5, 0x2f, 0xfd, 3 << 6, 18 << 3, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0];
        let (read, in_files) = inflated(&large, &NONE);
        assert!(read.unwrap_err().to_string().contains("memory") && in_files == 0);
        let mut claims = large;
        claims[5] = 17 << 3;
        let (read, in_files) = inflated(&claims, &NONE);
        assert!(read.is_err() && in_files < 129 << 20, "{in_files}");
    }
}
