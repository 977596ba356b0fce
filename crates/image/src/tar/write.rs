//! Writing a tar: ustar headers, and PAX records for what these cannot say (POSIX.1-2001). The same entries make the same bytes.

use super::entry::{Kind, Xattr};
use std::io::{self, Read, Write};

/// What a numeric field of seven octal digits holds at most.
const MAX_SMALL: u64 = 0o7_777_777;
/// And one of eleven.
const MAX_LARGE: u64 = 0o77_777_777_777;
const BLOCK: usize = 512;

/// An entry to be written. Names have no leading slash.
#[derive(Debug, Clone)]
pub struct TarHeader<'a> {
    /// Its name; a directory's ends with a slash.
    pub path: &'a [u8],
    /// What it is.
    pub kind: Kind,
    /// Permission and set-ID bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since the epoch.
    pub mtime: i64,
    /// And nanoseconds.
    pub mtime_ns: u32,
    /// Bytes of content that follow. 0 unless it is a file.
    pub size: u64,
    /// Target of a link.
    pub link: &'a [u8],
    /// Extended attributes.
    pub xattrs: &'a [Xattr],
    /// The parts of a sparse file that are stored, as offset and length, and its whole size.
    pub sparse: Option<(&'a [(u64, u64)], u64)>,
}

impl<'a> TarHeader<'a> {
    /// A file of root's that anybody may read, made at the epoch.
    pub fn file(path: &'a str, size: u64) -> Self {
        TarHeader {
            path: path.as_bytes(),
            kind: Kind::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 0,
            mtime_ns: 0,
            size,
            link: b"",
            xattrs: &[],
            sparse: None,
        }
    }

    /// A directory of root's, made at the epoch.
    pub fn directory(path: &'a str) -> Self {
        TarHeader { kind: Kind::Directory, mode: 0o755, ..TarHeader::file(path, 0) }
    }
}

/// Writes a tar to a stream.
pub struct TarWriter<W: Write> {
    out: W,
}

impl<W: Write> TarWriter<W> {
    /// Begins a tar.
    pub fn new(out: W) -> Self {
        TarWriter { out }
    }

    /// Writes an entry with its content, which must be exactly as long as the header says.
    ///
    /// # Errors
    /// Of either stream; [`io::ErrorKind::UnexpectedEof`] if the content ends too early.
    pub fn entry(&mut self, header: &TarHeader<'_>, content: &mut dyn Read) -> io::Result<()> {
        let map = header.sparse.map(|(parts, _)| sparse_map(parts)).unwrap_or_default();
        self.header(header, map.len() as u64)?;
        self.out.write_all(&map)?;
        let mut content = content.take(header.size);
        let copied = copy(&mut content, &mut self.out)?;
        if copied != header.size {
            let text = format!("the content of {} ended early", String::from_utf8_lossy(header.path));
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        self.pad(copied)
    }

    /// Writes an entry without content.
    ///
    /// # Errors
    /// Of the stream.
    pub fn empty(&mut self, header: &TarHeader<'_>) -> io::Result<()> {
        self.entry(header, &mut io::empty())
    }

    /// Ends the tar and gives the stream back, flushed.
    ///
    /// # Errors
    /// Of the stream.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn header(&mut self, header: &TarHeader<'_>, map: u64) -> io::Result<()> {
        let stored = header.size + map;
        let (records, short) = pax(header, stored);
        if !records.is_empty() {
            let mut block = [0; BLOCK];
            let name = [b"PaxHeaders/", last_part(header.path)].concat();
            block[..name.len().min(100)].copy_from_slice(&name[..name.len().min(100)]);
            fill(&mut block, 0o644, (0, 0), records.len() as u64, 0, b'x');
            self.out.write_all(&seal(block))?;
            self.out.write_all(&records)?;
            self.pad(records.len() as u64)?;
        }
        let mut block = [0; BLOCK];
        put_name(&mut block, &short);
        let link = &header.link[..header.link.len().min(100)];
        block[157..157 + link.len()].copy_from_slice(link);
        let (kind, device) = match header.kind {
            Kind::File => (b'0', None),
            Kind::HardLink => (b'1', None),
            Kind::Symlink => (b'2', None),
            Kind::Char { major, minor } => (b'3', Some((major, minor))),
            Kind::Block { major, minor } => (b'4', Some((major, minor))),
            Kind::Directory => (b'5', None),
            Kind::Fifo => (b'6', None),
        };
        if let Some((major, minor)) = device {
            octal(&mut block[329..337], u64::from(major));
            octal(&mut block[337..345], u64::from(minor));
        }
        let mtime = u64::try_from(header.mtime).unwrap_or(0).min(MAX_LARGE);
        let ids = (small(header.uid), small(header.gid));
        fill(&mut block, header.mode & 0o7777, ids, stored.min(MAX_LARGE), mtime, kind);
        self.out.write_all(&seal(block))
    }

    fn pad(&mut self, written: u64) -> io::Result<()> {
        let rest = (written % BLOCK as u64) as usize;
        if rest > 0 { self.out.write_all(&[0; BLOCK][rest..]) } else { Ok(()) }
    }
}

/// With a buffer that makes few system calls of large files.
fn copy(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<u64> {
    let mut buffer = vec![0; 128 << 10];
    let mut copied = 0;
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        to.write_all(&buffer[..count])?;
        copied += count as u64;
    }
}

fn small(id: u32) -> u64 {
    if u64::from(id) > MAX_SMALL { 0 } else { u64::from(id) }
}

fn fill(block: &mut [u8; BLOCK], mode: u32, ids: (u64, u64), size: u64, mtime: u64, kind: u8) {
    octal(&mut block[100..108], u64::from(mode));
    octal(&mut block[108..116], ids.0);
    octal(&mut block[116..124], ids.1);
    octal(&mut block[124..136], size);
    octal(&mut block[136..148], mtime);
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
}

/// Puts the checksum in.
fn seal(mut block: [u8; BLOCK]) -> [u8; BLOCK] {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// All of the field's digits, ended by NUL.
fn octal(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    let text = format!("{value:0digits$o}");
    field[..digits].copy_from_slice(&text.as_bytes()[text.len() - digits..]);
}

/// The PAX records that an entry needs, and the name that its header gets.
fn pax(header: &TarHeader<'_>, stored: u64) -> (Vec<u8>, Vec<u8>) {
    let mut records = Vec::new();
    let mut record = |key: &[u8], value: &[u8]| records.extend(pax_record(key, value));
    let mut short = header.path.to_vec();
    if let Some((_, size)) = header.sparse {
        record(b"GNU.sparse.major", b"1");
        record(b"GNU.sparse.minor", b"0");
        record(b"GNU.sparse.name", header.path);
        record(b"GNU.sparse.realsize", size.to_string().as_bytes());
        short = [b"GNUSparseFile.0/", last_part(header.path)].concat();
        short.truncate(100);
    } else if split_name(header.path).is_none() || !header.path.is_ascii() {
        record(b"path", header.path);
        short.truncate(100);
    }
    if header.link.len() > 100 || !header.link.is_ascii() {
        record(b"linkpath", header.link);
    }
    for (key, id) in [(&b"uid"[..], header.uid), (b"gid", header.gid)] {
        if u64::from(id) > MAX_SMALL {
            record(key, id.to_string().as_bytes());
        }
    }
    if stored > MAX_LARGE {
        record(b"size", stored.to_string().as_bytes());
    }
    if header.mtime_ns != 0 || header.mtime < 0 || header.mtime as u64 > MAX_LARGE {
        record(b"mtime", time(header.mtime, header.mtime_ns).as_bytes());
    }
    // A key of a PAX record ends at its first `=`: an attribute with one in its name cannot be told.
    for (name, value) in header.xattrs.iter().filter(|(name, _)| !name.contains(&b'=')) {
        record(&[b"SCHILY.xattr.", &name[..]].concat(), value);
    }
    (records, short)
}

/// Seconds with a fraction, which counts towards minus infinity in `seconds` and `ns` but not in decimal.
fn time(seconds: i64, ns: u32) -> String {
    let text = match (seconds, ns) {
        (_, 0) => return seconds.to_string(),
        (0.., _) => format!("{seconds}.{ns:09}"),
        (_, _) => format!("-{}.{:09}", (seconds + 1).unsigned_abs(), 1_000_000_000 - ns),
    };
    text.trim_end_matches('0').to_owned()
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits.
fn pax_record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

fn put_name(block: &mut [u8; BLOCK], path: &[u8]) {
    match split_name(path) {
        Some((prefix, name)) => {
            block[..name.len()].copy_from_slice(name);
            block[345..345 + prefix.len()].copy_from_slice(prefix);
        }
        None => block[..path.len().min(100)].copy_from_slice(&path[..path.len().min(100)]),
    }
}

/// A name of more than 100 bytes may be split at a slash: at most 155 bytes before it.
fn split_name(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= 100 {
        return Some((b"", path));
    }
    let at = (0..path.len().min(156)).rev().find(|at| path[*at] == b'/' && *at > 0)?;
    let (prefix, name) = (&path[..at], &path[at + 1..]);
    (!name.is_empty() && name.len() <= 100).then_some((prefix, name))
}

fn last_part(path: &[u8]) -> &[u8] {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    &last[..last.len().min(80)]
}

/// GNU's sparse format 1.0: the map stands before the content, in decimal lines, filled up to a block.
fn sparse_map(parts: &[(u64, u64)]) -> Vec<u8> {
    let mut map = format!("{}\n", parts.len()).into_bytes();
    for (offset, length) in parts {
        map.extend(format!("{offset}\n{length}\n").into_bytes());
    }
    map.resize(map.len().next_multiple_of(BLOCK), 0);
    map
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar::Reader;
    use std::io::BufReader;

    fn read_back(bytes: &[u8]) -> Vec<crate::tar::Entry> {
        let mut input = BufReader::new(bytes);
        let mut reader = Reader::new(&mut input);
        std::iter::from_fn(|| reader.next_entry().unwrap()).collect()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let long = format!("{}/{}", "d".repeat(150), "n".repeat(120));
        let split = format!("{}/{}", "d".repeat(150), "n".repeat(90));
        let xattrs = [(b"user.a.b".to_vec(), b"\0=\n".to_vec()), (b"security.capability".to_vec(), vec![1; 20])];
        let base = TarHeader::file("x", 3);
        let headers = [
            TarHeader { mode: 0o4750, uid: 7, gid: 8, mtime: 1_700_000_000, ..base.clone() },
            TarHeader { path: long.as_bytes(), xattrs: &xattrs, ..base.clone() },
            TarHeader { path: split.as_bytes(), uid: u32::MAX - 1, gid: 3_000_000, ..base.clone() },
            TarHeader { path: "ünï".as_bytes(), mtime: -5, mtime_ns: 250_000_000, ..base.clone() },
            TarHeader { path: b"l", kind: Kind::Symlink, link: long.as_bytes(), size: 0, ..base.clone() },
            TarHeader { path: b"h", kind: Kind::HardLink, link: b"x", size: 0, ..base.clone() },
            TarHeader { path: b"c", kind: Kind::Char { major: 1, minor: 300 }, size: 0, ..base.clone() },
            TarHeader { path: b"p", kind: Kind::Fifo, size: 0, mtime_ns: 1, ..base.clone() },
            TarHeader::directory("d/"),
        ];
        let mut writer = TarWriter::new(Vec::new());
        for header in &headers {
            writer.entry(header, &mut &b"abc"[..]).unwrap();
        }
        let bytes = writer.finish().unwrap();
        assert_eq!(bytes.len() % 512, 0);
        let entries = read_back(&bytes);
        assert_eq!(entries.len(), headers.len());
        for (entry, header) in entries.iter().zip(&headers) {
            assert_eq!((&entry.path[..], &entry.kind, &entry.link[..]), (header.path, &header.kind, header.link));
            assert_eq!(
                (entry.mode, entry.uid, entry.gid, entry.size),
                (header.mode, header.uid, header.gid, header.size)
            );
            assert_eq!((entry.mtime, entry.mtime_ns), (header.mtime, header.mtime_ns));
            let mut expected = header.xattrs.to_vec();
            let mut found = entry.xattrs.clone();
            expected.sort();
            found.sort();
            assert_eq!(found, expected);
        }
        assert!(TarWriter::new(Vec::new()).entry(&TarHeader::file("x", 4), &mut &b"abc"[..]).is_err());
    }

    #[test]
    fn sparse_files() {
        let parts = [(4096, 3), (1 << 40, 0)];
        let header = TarHeader { sparse: Some((&parts, 1 << 40)), ..TarHeader::file("s", 3) };
        let mut writer = TarWriter::new(Vec::new());
        writer.entry(&header, &mut &b"abc"[..]).unwrap();
        let entries = read_back(&writer.finish().unwrap());
        assert_eq!((&entries[0].path[..], entries[0].size), (&b"s"[..], 1 << 40));
        assert_eq!(entries[0].sparse.as_ref().unwrap()[0].length, 3);
    }
}
