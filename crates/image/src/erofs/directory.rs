//! Directory blocks: entries, then their names; names sorted over the whole directory, because the kernel looks them up by bisection.

use super::format::{BLOCK, DIRENT};
use crate::tree::{Body, Id, Tree};
use std::io::{self, Write};

/// One name in a directory.
pub(super) struct Name<'a> {
    pub(super) name: &'a [u8],
    pub(super) object: Id,
    /// EROFS_FT_*.
    pub(super) file_type: u8,
}

/// The names in a directory, its own and its parent's among them, in the order of the format.
pub(super) fn names(tree: &Tree, id: Id) -> impl Iterator<Item = Name<'_>> {
    let children = match tree.inode(id).body {
        Body::Directory(directory) => Some(tree.children(directory)),
        _ => None,
    };
    let mut children = children
        .into_iter()
        .flatten()
        .map(|(name, object)| Name { name, object, file_type: tree.file_type(object) })
        .peekable();
    let own = |name, object| Name { name, object, file_type: 2 };
    let mut dots = [own(b".", id), own(b"..", tree.parent(id))].into_iter().peekable();
    std::iter::from_fn(move || match (children.peek(), dots.peek()) {
        (Some(child), Some(dot)) if child.name < dot.name => children.next(),
        (_, Some(_)) => dots.next(),
        _ => children.next(),
    })
}

/// Bytes of a directory with these names, in order.
pub(super) fn size<'a>(names: impl Iterator<Item = Name<'a>>) -> u64 {
    let (mut whole, mut used) = (0, 0);
    for name in names {
        let need = DIRENT + name.name.len() as u64;
        if used + need > BLOCK {
            whole += BLOCK;
            used = 0;
        }
        used += need;
    }
    whole + used
}

/// Writes the directory; `nid` answers the number of an object.
pub(super) fn write<'a>(
    names: impl Iterator<Item = Name<'a>>,
    nid: impl Fn(Id) -> u64,
    out: &mut impl Write,
) -> io::Result<()> {
    let (mut block, mut bytes) = (Vec::new(), Vec::with_capacity(BLOCK as usize));
    let mut used = 0;
    for name in names {
        let need = DIRENT + name.name.len() as u64;
        if used + need > BLOCK {
            write_block(&block, &nid, &mut bytes);
            bytes.resize(BLOCK as usize, 0);
            out.write_all(&bytes)?;
            block.clear();
            used = 0;
        }
        used += need;
        block.push(name);
    }
    write_block(&block, &nid, &mut bytes);
    out.write_all(&bytes)
}

fn write_block(block: &[Name<'_>], nid: &impl Fn(Id) -> u64, bytes: &mut Vec<u8>) {
    bytes.clear();
    let mut name_at = block.len() as u64 * DIRENT;
    for name in block {
        bytes.extend(nid(name.object).to_le_bytes());
        bytes.extend((name_at as u16).to_le_bytes());
        bytes.extend([name.file_type, 0]);
        name_at += name.name.len() as u64;
    }
    block.iter().for_each(|name| bytes.extend(name.name));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_and_bytes_agree() {
        for count in [0usize, 1, 2, 10, 30, 31, 32, 33, 34, 35, 36, 200] {
            let texts: Vec<String> = (0..count).map(|n| format!("{n:03}{}", "x".repeat(n % 250))).collect();
            let names = || texts.iter().map(|text| Name { name: text.as_bytes(), object: 1, file_type: 1 });
            let mut bytes = Vec::new();
            write(names(), u64::from, &mut bytes).unwrap();
            assert_eq!(bytes.len() as u64, size(names()), "{count}");
        }
    }
}
