//! Sparse maps: where the stored bytes of a file belong.

/// Stored bytes that belong at `offset`. Segments are in order and do not overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Where in the file, in bytes.
    pub(crate) offset: u64,
    /// How many bytes.
    pub(crate) length: u64,
}

/// Most segments of one file. GNU tar on a fragmented 100 GB disk image writes some tens of thousands.
pub(super) const LIMIT: usize = 1 << 18;

/// Checks a map against the file's size and the number of bytes stored, and drops empty segments.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(mut map: Vec<Segment>, size: u64, stored: u64) -> Result<Vec<Segment>, &'static str> {
    if map.len() > LIMIT {
        return Err("the sparse map has more than 262144 segments");
    }
    let (mut end, mut sum) = (0u64, 0u64);
    for segment in &map {
        if segment.offset < end {
            return Err("the sparse map is not in order");
        }
        end = segment.offset.checked_add(segment.length).ok_or("the sparse map exceeds the file")?;
        sum = sum.saturating_add(segment.length);
    }
    if end > size {
        return Err("the sparse map exceeds the file");
    }
    if sum != stored {
        return Err("the sparse map does not fit the bytes stored");
    }
    map.retain(|segment| segment.length > 0);
    Ok(map)
}
