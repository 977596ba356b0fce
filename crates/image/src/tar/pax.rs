//! PAX extended headers: records `<length> <key>=<value>\n`.

use super::entry::Xattr;
use super::sparse::Segment;

/// Most extended attributes of an entry.
const XATTRS: usize = 512;

/// What extended headers say about the entry that follows.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<(i64, u32)>,
    pub(super) xattrs: Vec<Xattr>,
    pub(super) sparse: PaxSparse,
}

/// GNU's sparse formats 0.0, 0.1 and 1.0.
#[derive(Debug, Default)]
pub(super) struct PaxSparse {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    /// 0.0: the offset whose length has not come yet.
    offset: Option<u64>,
    pub(super) map: Option<Vec<Segment>>,
}

/// Applies the records of one extended header.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(mut records: &[u8], pax: &mut Pax) -> Result<(), &'static str> {
    const DAMAGED: &str = "damaged PAX header";
    while !records.is_empty() {
        let space = records.iter().take(21).position(|&byte| byte == b' ').ok_or(DAMAGED)?;
        let length = number(&records[..space]).and_then(|length| usize::try_from(length).ok()).ok_or(DAMAGED)?;
        if length <= space + 1 || length > records.len() || records[length - 1] != b'\n' {
            return Err(DAMAGED);
        }
        let record = &records[space + 1..length - 1];
        let equals = record.iter().position(|&byte| byte == b'=').ok_or(DAMAGED)?;
        apply(&record[..equals], &record[equals + 1..], pax)?;
        records = &records[length..];
    }
    Ok(())
}

/// One record. An empty value takes an earlier one back (POSIX pax, "pax Extended Header Keyword Precedence").
fn apply(key: &[u8], value: &[u8], pax: &mut Pax) -> Result<(), &'static str> {
    let text = || (!value.is_empty()).then(|| value.to_vec());
    let int = |what| if value.is_empty() { Ok(None) } else { number(value).map(Some).ok_or(what) };
    let id = |what| {
        Ok::<_, &'static str>(match int(what)? {
            Some(id) => Some(u32::try_from(id).map_err(|_| what)?),
            None => None,
        })
    };
    match key {
        b"path" => pax.path = text(),
        b"linkpath" => pax.link = text(),
        b"size" => pax.size = int("bad PAX size")?,
        b"uid" => pax.uid = id("bad PAX uid")?,
        b"gid" => pax.gid = id("bad PAX gid")?,
        b"mtime" if value.is_empty() => pax.mtime = None,
        b"mtime" => pax.mtime = Some(time(value).ok_or("bad PAX mtime")?),
        b"GNU.sparse.major" => pax.sparse.major = int("bad GNU.sparse.major")?,
        b"GNU.sparse.minor" => pax.sparse.minor = int("bad GNU.sparse.minor")?,
        b"GNU.sparse.name" => pax.sparse.name = text(),
        b"GNU.sparse.size" | b"GNU.sparse.realsize" => pax.sparse.size = int("bad size of a sparse file")?,
        b"GNU.sparse.offset" => pax.sparse.offset = int("bad GNU.sparse.offset")?,
        b"GNU.sparse.numbytes" => {
            let (Some(offset), Some(length)) = (pax.sparse.offset.take(), int("bad GNU.sparse.numbytes")?) else {
                return Err("GNU.sparse.numbytes without GNU.sparse.offset");
            };
            pax.sparse.map.get_or_insert_default().push(Segment { offset, length });
        }
        b"GNU.sparse.map" => pax.sparse.map = Some(map(value).ok_or("bad GNU.sparse.map")?),
        _ => {
            if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                pax.xattrs.retain(|(known, _)| known != name);
                // Each is compared with all before it: thousands of them would take long to refuse.
                if pax.xattrs.len() >= XATTRS {
                    return Err("more than 512 extended attributes");
                }
                if !name.is_empty() {
                    pax.xattrs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
    }
    Ok(())
}

/// Format 0.1: `offset,length,offset,length,…`.
fn map(value: &[u8]) -> Option<Vec<Segment>> {
    if value.is_empty() {
        return Some(Vec::new());
    }
    let numbers: Vec<u64> = value.split(|&byte| byte == b',').map(number).collect::<Option<_>>()?;
    let pairs = numbers.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    Some(pairs.map(|pair| Segment { offset: pair[0], length: pair[1] }).collect())
}

/// A decimal number below 2^63.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|value| *value <= i64::MAX as u64)
}

/// Seconds with a fraction, perhaps negative, as seconds rounded down and nanoseconds; digits beyond nanoseconds are dropped.
fn time(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds = number(whole.as_bytes())? as i64;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanoseconds = digits.fold(0u32, |value, digit| value * 10 + u32::from(digit - b'0'));
    Some(match (negative, nanoseconds) {
        (false, _) => (seconds, nanoseconds),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, 1_000_000_000 - nanoseconds),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(records: &[u8]) -> Result<Pax, &'static str> {
        let mut pax = Pax::default();
        parse(records, &mut pax).map(|()| pax)
    }

    #[test]
    fn records_are_applied_in_order_and_taken_back_by_empty_ones() {
        let pax = parsed(b"11 path=a\n9 path=b\n".as_slice());
        assert!(pax.is_err(), "a wrong length");
        let pax = parsed(b"9 path=a\n12 uid=1000\n13 mtime=1.5\n8 path=\n26 SCHILY.xattr.user.a=x\n\n").unwrap();
        assert_eq!((pax.path, pax.uid, pax.mtime), (None, Some(1000), Some((1, 500_000_000))));
        assert_eq!(pax.xattrs, [(b"user.a".to_vec(), b"x\n".to_vec())]);
    }

    #[test]
    fn times_round_down() {
        assert_eq!(time(b"1700000000.123456789123"), Some((1_700_000_000, 123_456_789)));
        assert_eq!(time(b"-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time(b"-3"), Some((-3, 0)));
        assert_eq!(time(b"1.x"), None);
    }

    #[test]
    fn damage_is_refused() {
        for bad in [
            &b"x"[..],
            b"5 a=b",
            b"99999999999999999999999 a=b\n",
            b"0 a=b\n",
            b"6 abc\n",
            b"12 uid=-5555\n",
            b"20 uid=99999999999\n\n",
        ] {
            assert!(parsed(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
