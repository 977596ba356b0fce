//! The bytes of EROFS structures (fs/erofs/erofs_fs.h, Linux 6.12). All numbers are little-endian.

/// Bits of a block: 512 bytes, the unit in which a tar lays out content. Needs Linux 6.4.
pub(super) const BLOCK_BITS: u32 = 9;
/// Bytes of a block.
pub(super) const BLOCK: u64 = 1 << BLOCK_BITS;
/// Where the first inode may be.
pub(super) const FIRST_INODE: u64 = 1280;
/// Inode numbers count slots of this many bytes.
pub(super) const SLOT: u64 = 32;
/// Bytes of an extended inode.
pub(super) const INODE: u64 = 64;
/// Bytes of a directory entry without its name.
pub(super) const DIRENT: u64 = 12;
/// Bytes of a chunk index.
pub(super) const CHUNK_INDEX: u64 = 8;
/// A chunk that is a hole.
pub(super) const HOLE: u32 = u32::MAX;
/// Largest exponent of a chunk's size in blocks.
pub(super) const CHUNK_BITS_LIMIT: u32 = 31;

const MAGIC: u32 = 0xe0f5_e1e2;
const SUPERBLOCK_AT: usize = 1024;
const INCOMPAT_CHUNKED_FILE: u32 = 0x4;
const INCOMPAT_DEVICE_TABLE: u32 = 0x8;
const CHUNK_FORMAT_INDEXES: u32 = 0x20;

/// How an inode's data is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Data {
    /// In consecutive blocks from this one.
    Plain(u32),
    /// After the inode and its attributes, in the same block.
    Inline,
    /// By chunk indexes; each chunk has 2^bits blocks.
    Chunks(u32),
    /// None: the number of a device, or 0.
    Device(u32),
}

/// An inode's numbers.
pub(super) struct InodeFields {
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: i64,
    pub(super) mtime_ns: u32,
    pub(super) size: u64,
    pub(super) nlink: u32,
    pub(super) number: u32,
    /// Bytes of the attributes that follow.
    pub(super) xattr_size: u64,
    pub(super) data: Data,
}

impl InodeFields {
    /// `struct erofs_inode_extended`.
    pub(super) fn bytes(&self) -> [u8; INODE as usize] {
        let (layout, union) = match self.data {
            Data::Plain(block) | Data::Device(block) => (0u16, block),
            Data::Inline => (2, 0),
            Data::Chunks(bits) => (4, bits | CHUNK_FORMAT_INDEXES),
        };
        // The header of attributes has 12 bytes; the count is of 4-byte units beyond it, plus one.
        let xattr_count = if self.xattr_size == 0 { 0 } else { (self.xattr_size - 12) / 4 + 1 } as u16;
        let mut bytes = [0; INODE as usize];
        put(&mut bytes, 0, &(layout << 1 | 1).to_le_bytes());
        put(&mut bytes, 2, &xattr_count.to_le_bytes());
        put(&mut bytes, 4, &self.mode.to_le_bytes());
        put(&mut bytes, 8, &self.size.to_le_bytes());
        put(&mut bytes, 16, &union.to_le_bytes());
        put(&mut bytes, 20, &self.number.to_le_bytes());
        put(&mut bytes, 24, &self.uid.to_le_bytes());
        put(&mut bytes, 28, &self.gid.to_le_bytes());
        put(&mut bytes, 32, &self.mtime.to_le_bytes());
        put(&mut bytes, 40, &self.mtime_ns.to_le_bytes());
        put(&mut bytes, 44, &self.nlink.to_le_bytes());
        bytes
    }
}

/// `struct erofs_inode_chunk_index`: device 0 is the index itself, 1 the tar.
pub(super) fn chunk_index(device: u16, block: u32) -> [u8; CHUNK_INDEX as usize] {
    let mut bytes = [0; CHUNK_INDEX as usize];
    put(&mut bytes, 2, &device.to_le_bytes());
    put(&mut bytes, 4, &block.to_le_bytes());
    bytes
}

/// What precedes the first inode: `struct erofs_super_block` and one `struct erofs_deviceslot`.
pub(super) fn head(
    root_nid: u16,
    inodes: u64,
    blocks: u32,
    tar_blocks: u32,
    uuid: &[u8],
) -> [u8; FIRST_INODE as usize] {
    let mut bytes = [0; FIRST_INODE as usize];
    let at = |offset: usize| SUPERBLOCK_AT + offset;
    put(&mut bytes, at(0), &MAGIC.to_le_bytes());
    bytes[at(12)] = BLOCK_BITS as u8;
    put(&mut bytes, at(14), &root_nid.to_le_bytes());
    put(&mut bytes, at(16), &inodes.to_le_bytes());
    put(&mut bytes, at(36), &blocks.to_le_bytes());
    put(&mut bytes, at(48), &uuid[..16]);
    put(&mut bytes, at(80), &(INCOMPAT_CHUNKED_FILE | INCOMPAT_DEVICE_TABLE).to_le_bytes());
    put(&mut bytes, at(86), &1u16.to_le_bytes());
    // The device table begins at 9 * 128 = 1152.
    put(&mut bytes, at(88), &9u16.to_le_bytes());
    put(&mut bytes, 1152 + 64, &tar_blocks.to_le_bytes());
    bytes
}

/// Attribute name prefixes that have a number; other attributes cannot be set on Linux by an unpacker either.
const PREFIXES: [(&[u8], u8); 5] = [
    (b"system.posix_acl_access", 2),
    (b"system.posix_acl_default", 3),
    (b"user.", 1),
    (b"trusted.", 4),
    (b"security.", 6),
];

/// The attributes of an inode: `struct erofs_xattr_ibody_header` and entries. Empty if there is none that can be kept.
pub(super) fn xattrs<'a>(list: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
    let mut bytes = vec![0; 12];
    for (name, value) in list {
        let Some((prefix, number)) = PREFIXES.iter().find(|(prefix, _)| name.starts_with(prefix)) else { continue };
        let rest = &name[prefix.len()..];
        bytes.push(rest.len() as u8);
        bytes.push(*number);
        bytes.extend((value.len() as u16).to_le_bytes());
        bytes.extend(rest);
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    if bytes.len() == 12 { Vec::new() } else { bytes }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}
