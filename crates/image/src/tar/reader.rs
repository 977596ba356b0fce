//! The stream of entries.

use super::entry::{Entry, Kind};
use super::header::{BLOCK, Header, parse_number};
use super::pax::{self, Pax};
use super::sparse::{self, Segment};
use crate::LayerError;
use std::io::BufRead;

/// Most bytes of one header that describes another: PAX records, a long name.
const DESCRIPTION_LIMIT: u64 = 1 << 20;
/// Most descriptions in a row before one entry.
const DESCRIPTIONS_IN_A_ROW: u32 = 16;

/// Reads entries one after the other.
pub(crate) struct Reader<'a> {
    input: &'a mut dyn BufRead,
    /// Bytes of the tar read so far.
    position: u64,
    /// Bytes of the current entry's content that have not been read, and the padding after them.
    left: u64,
    padding: u64,
    /// Name of the last entry, for messages.
    last: Vec<u8>,
}

impl<'a> Reader<'a> {
    /// Reads a tar from its first byte.
    pub(crate) fn new(input: &'a mut dyn BufRead) -> Self {
        Reader { input, position: 0, left: 0, padding: 0, last: Vec::new() }
    }

    /// The next entry; `None` at the end of the archive. What is left of the current entry's content is passed over.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, LayerError> {
        let (mut pax, mut long_name, mut long_link) = (Pax::default(), None, None);
        for _ in 0..DESCRIPTIONS_IN_A_ROW {
            self.skip_content()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let size = self.check(header.number(124, 12).and_then(|n| u64::try_from(n).ok()).ok_or("bad size"))?;
            match header.flag() {
                b'x' | b'X' => {
                    let records = self.description(size)?;
                    self.check(pax::parse(&records, &mut pax))?;
                }
                b'L' => long_name = Some(until_nul(self.description(size)?)),
                b'K' => long_link = Some(until_nul(self.description(size)?)),
                // A global PAX header (git archive writes one), a volume label: nothing that concerns an entry.
                b'g' | b'V' => self.begin_content(size)?,
                _ => {
                    if let Some(path) = pax.sparse.name.take().or(pax.path.take()).or(long_name) {
                        self.last = path;
                    } else {
                        self.last = header.name();
                    }
                    let link = pax.link.take().or(long_link).unwrap_or_else(|| header.text(157, 100).to_vec());
                    return self.entry(&header, size, pax, link).map(Some);
                }
            }
        }
        self.refuse("too many headers that only describe the next entry")
    }

    /// Passes on the content of the current entry, or what is left of it, in pieces.
    pub(crate) fn content(&mut self, mut take: impl FnMut(&[u8]) -> Result<(), LayerError>) -> Result<(), LayerError> {
        while self.left > 0 {
            let available = self.input.fill_buf().map_err(LayerError::Read)?;
            if available.is_empty() {
                return Err(LayerError::Truncated(self.position));
            }
            let count = available.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            take(&available[..count])?;
            self.consume(count);
            self.left -= count as u64;
        }
        Ok(())
    }

    /// Reads exactly so many bytes of the current entry's content, if there are as many.
    fn content_exact(&mut self, target: &mut [u8]) -> Result<bool, LayerError> {
        if self.left < target.len() as u64 {
            return Ok(false);
        }
        self.read_exact(target)?;
        self.left -= target.len() as u64;
        Ok(true)
    }

    /// Reads the stream to its end, past the end of the archive.
    pub(crate) fn drain(&mut self) -> Result<(), LayerError> {
        loop {
            let count = self.input.fill_buf().map_err(LayerError::Read)?.len();
            if count == 0 {
                return Ok(());
            }
            self.consume(count);
        }
    }

    /// An error about the last entry.
    pub(crate) fn refuse<T>(&self, why: impl Into<String>) -> Result<T, LayerError> {
        let entry = String::from_utf8_lossy(&self.last[..self.last.len().min(1024)]).into_owned();
        Err(LayerError::Tar { entry, offset: self.position, why: why.into() })
    }

    /// A reason as an error about the last entry.
    pub(crate) fn check<T>(&self, result: Result<T, &'static str>) -> Result<T, LayerError> {
        result.or_else(|why| self.refuse(why))
    }

    fn entry(&mut self, header: &Header, size: u64, pax: Pax, link: Vec<u8>) -> Result<Entry, LayerError> {
        let kind = self.kind(header)?;
        let stored = if kind == Kind::File { pax.size.unwrap_or(size) } else { 0 };
        let id = |number: Option<i64>, what| number.and_then(|id| u32::try_from(id).ok()).ok_or(what);
        let uid = self.check(pax.uid.map_or_else(|| id(header.number(108, 8), "bad uid"), Ok))?;
        let gid = self.check(pax.gid.map_or_else(|| id(header.number(116, 8), "bad gid"), Ok))?;
        let mode = self.check(header.number(100, 8).ok_or("bad mode"))?;
        let (mtime, mtime_ns) = match pax.mtime {
            Some(time) => time,
            None => (self.check(header.number(136, 12).ok_or("bad mtime"))?, 0),
        };
        let old_map = if header.flag() == b'S' { Some(self.gnu_map(header)?) } else { None };
        self.begin_content(if header.flag() == b'D' { size } else { stored })?;
        let mut entry = Entry {
            path: self.last.clone(),
            kind,
            link,
            mode: (mode & 0o7777) as u32,
            uid,
            gid,
            mtime,
            mtime_ns,
            size: stored,
            xattrs: pax.xattrs,
            offset: self.position,
            sparse: None,
        };
        let map = match (old_map, pax.sparse.major, pax.sparse.minor) {
            (Some(map), _, _) => Some(map),
            (None, Some(1), Some(0)) => Some((pax.sparse.size, self.map_in_content()?)),
            (None, None | Some(0), _) => pax.sparse.map.map(|map| (pax.sparse.size, map)),
            (None, ..) => return self.refuse("unknown version of GNU's sparse format"),
        };
        if let Some((real_size, map)) = map.filter(|_| entry.kind == Kind::File) {
            entry.size = self.check(real_size.ok_or("a sparse file without its size"))?;
            entry.offset = self.position;
            entry.sparse = Some(self.check(sparse::check(map, entry.size, self.left))?);
        }
        if entry.size > i64::MAX as u64 {
            return self.refuse("bad size");
        }
        Ok(entry)
    }

    fn kind(&self, header: &Header) -> Result<Kind, LayerError> {
        let device = |at, what| self.check(header.number(at, 8).and_then(|n| u32::try_from(n).ok()).ok_or(what));
        let numbers = || Ok::<_, LayerError>((device(329, "bad device number")?, device(337, "bad device number")?));
        Ok(match header.flag() {
            // Before ustar a directory was a file whose name ends with a slash.
            b'0' | 0 if self.last.ends_with(b"/") => Kind::Directory,
            b'0' | 0 | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => numbers().map(|(major, minor)| Kind::Char { major, minor })?,
            b'4' => numbers().map(|(major, minor)| Kind::Block { major, minor })?,
            b'5' | b'D' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => return self.refuse(format!("unknown entry type {:?}", char::from(other))),
        })
    }

    /// GNU's old sparse format: four segments in the header, more in blocks that follow it.
    fn gnu_map(&mut self, header: &Header) -> Result<(Option<u64>, Vec<Segment>), LayerError> {
        let mut map = Vec::new();
        let real_size = header.number(483, 12).and_then(|size| u64::try_from(size).ok());
        let mut add = |fields: &[u8]| {
            for field in fields.chunks_exact(24) {
                // An unused field is all zeros or blank.
                if field[0] == 0 {
                    continue;
                }
                let number = |field| parse_number(field).and_then(|n| u64::try_from(n).ok());
                let (Some(offset), Some(length)) = (number(&field[..12]), number(&field[12..])) else {
                    return Err("bad sparse map");
                };
                map.push(Segment { offset, length });
            }
            if map.len() > sparse::LIMIT { Err("the sparse map has more than 262144 segments") } else { Ok(()) }
        };
        self.check(add(&header.0[386..482]))?;
        let mut more = header.0[482] != 0;
        while more {
            let mut block = [0; BLOCK];
            self.read_exact(&mut block)?;
            self.check(add(&block[..504]))?;
            more = block[504] != 0;
        }
        Ok((real_size, map))
    }

    /// GNU's sparse format 1.0: decimal numbers, one a line, at the beginning of the content, padded to a block.
    fn map_in_content(&mut self) -> Result<Vec<Segment>, LayerError> {
        let mut numbers: Vec<u64> = Vec::new();
        let mut digits: Vec<u8> = Vec::new();
        loop {
            let mut block = [0; BLOCK];
            if !self.content_exact(&mut block)? {
                return self.refuse("the sparse map is cut off");
            }
            for &byte in &block {
                if byte != b'\n' {
                    digits.push(byte);
                    if digits.len() > 20 {
                        return self.refuse("bad sparse map");
                    }
                    continue;
                }
                numbers.push(self.check(pax::number(&digits).ok_or("bad sparse map"))?);
                digits.clear();
                if numbers[0] > sparse::LIMIT as u64 {
                    return self.refuse("the sparse map has more than 262144 segments");
                }
                if numbers.len() as u64 == 1 + 2 * numbers[0] {
                    let pairs = numbers[1..].chunks_exact(2);
                    return Ok(pairs.map(|pair| Segment { offset: pair[0], length: pair[1] }).collect());
                }
            }
        }
    }

    /// A header, or `None` at the end: of the stream, or two blocks of zeros.
    fn header(&mut self) -> Result<Option<Header>, LayerError> {
        let mut block = [0; BLOCK];
        if self.input.fill_buf().map_err(LayerError::Read)?.is_empty() {
            return Ok(None);
        }
        self.read_exact(&mut block)?;
        let header = Header(block);
        if header.is_zero() {
            // One alone ends the archive too, as GNU tar has it.
            return Ok(None);
        }
        if !header.checksum_is_right() {
            return self.refuse("the header after this entry has a wrong checksum: not a tar, or damaged");
        }
        Ok(Some(header))
    }

    fn description(&mut self, size: u64) -> Result<Vec<u8>, LayerError> {
        if size > DESCRIPTION_LIMIT {
            return self.refuse("a header that describes the next entry is larger than 1 MiB");
        }
        self.begin_content(size)?;
        let mut bytes = vec![0; size as usize];
        self.content_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn begin_content(&mut self, size: u64) -> Result<(), LayerError> {
        // Offsets and sizes stay far from overflow whatever the header says.
        if size > i64::MAX as u64 / 4 {
            return self.refuse("bad size");
        }
        self.left = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
        Ok(())
    }

    fn skip_content(&mut self) -> Result<(), LayerError> {
        self.content(|_| Ok(()))?;
        // Some writers (umoci's `insert`) leave out the padding after the last entry; Go's reader, and so Docker, takes that.
        self.left = std::mem::take(&mut self.padding);
        match self.content(|_| Ok(())) {
            Err(LayerError::Truncated(_)) => self.left = 0,
            other => other?,
        }
        Ok(())
    }

    fn read_exact(&mut self, mut target: &mut [u8]) -> Result<(), LayerError> {
        while !target.is_empty() {
            let available = self.input.fill_buf().map_err(LayerError::Read)?;
            if available.is_empty() {
                return Err(LayerError::Truncated(self.position));
            }
            let count = available.len().min(target.len());
            target[..count].copy_from_slice(&available[..count]);
            target = &mut target[count..];
            self.consume(count);
        }
        Ok(())
    }

    fn consume(&mut self, count: usize) {
        self.input.consume(count);
        self.position += count as u64;
    }
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len()));
    bytes
}
