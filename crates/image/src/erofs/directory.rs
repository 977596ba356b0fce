//! Directory blocks: entries, then their names; names sorted over the whole directory, because the kernel looks them up by bisection.

use super::format::{BLOCK, DIRENT};

/// One name in a directory.
pub(super) struct Name<'a> {
    pub(super) name: &'a [u8],
    /// Inode, in whatever way the caller counts.
    pub(super) inode: u32,
    /// EROFS_FT_*: as in readdir's d_type order.
    pub(super) file_type: u8,
}

/// Bytes of a directory with names of these lengths, in order.
pub(super) fn size(names: &[Name<'_>]) -> u64 {
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

/// The directory's bytes; `nid` answers the number of an inode.
pub(super) fn bytes(names: &[Name<'_>], nid: impl Fn(u32) -> u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size(names) as usize);
    let mut rest = names;
    while !rest.is_empty() {
        bytes.resize(bytes.len().next_multiple_of(BLOCK as usize), 0);
        let mut used = 0;
        let fits = rest.iter().take_while(|name| {
            used += DIRENT + name.name.len() as u64;
            used <= BLOCK
        });
        let (block, left) = rest.split_at(fits.count());
        let mut name_at = block.len() as u64 * DIRENT;
        for name in block {
            bytes.extend(nid(name.inode).to_le_bytes());
            bytes.extend((name_at as u16).to_le_bytes());
            bytes.extend([name.file_type, 0]);
            name_at += name.name.len() as u64;
        }
        block.iter().for_each(|name| bytes.extend(name.name));
        rest = left;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_and_bytes_agree() {
        for count in [1usize, 2, 10, 30, 31, 32, 33, 34, 35, 36, 200] {
            let texts: Vec<String> = (0..count).map(|n| format!("{n:03}{}", "x".repeat(n % 250))).collect();
            let names: Vec<Name<'_>> =
                texts.iter().map(|t| Name { name: t.as_bytes(), inode: 1, file_type: 1 }).collect();
            assert_eq!(bytes(&names, u64::from).len() as u64, size(&names), "{count}");
        }
    }
}
