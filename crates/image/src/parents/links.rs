//! Hard links of a layer to files of lower layers: finding the files.

use super::make::Linked;
use super::stack::Stack;
use crate::{ImageError, LayerError};
use carboy_oci::Digest;
use std::collections::BTreeMap;

/// Why the files cannot be found.
pub(super) enum LinkError {
    /// The lookup failed.
    Lookup(ImageError),
    /// The layer is not for these layers, or is hostile.
    Refused(LayerError),
}

impl LinkError {
    /// As an error of this layer.
    pub(super) fn of_layer(self, diff_id: &Digest) -> ImageError {
        match self {
            LinkError::Lookup(e) => e,
            LinkError::Refused(source) => ImageError::Layer { digest: diff_id.clone(), source },
        }
    }
}

/// Finds the files that links mean, given as targets and names in turn, each ended by a NUL. `room`: bytes that they may have together.
///
/// A target that is its own name too stays visible in the merged tree, and becomes another name of the copy there, as link(2) would
/// have made it, unless it is found behind a symbolic link only.
pub(super) fn find<'a>(words: &'a [u8], below: &mut Stack, room: u64) -> Result<Vec<Linked<'a>>, LinkError> {
    let mut names: BTreeMap<&[u8], Vec<&[u8]>> = BTreeMap::new();
    let mut words = words.split(|&byte| byte == 0).filter(|word| !word.is_empty());
    while let (Some(target), Some(name)) = (words.next(), words.next()) {
        names.entry(target).or_default().push(name);
    }
    let (mut found, mut size) = (Vec::new(), 0u64);
    for (target, mut names) in names {
        let refused = |why: &str| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let entry = text(names.iter().find(|name| **name != target).map_or(target, |name| name));
            LinkError::Refused(LayerError::Link { name: entry, target: text(target), why: why.to_owned() })
        };
        let object = below.find_object(target).map_err(LinkError::Lookup)?;
        let object = object.ok_or_else(|| refused("neither this layer nor those below it have such a file"))?;
        let stat = rustix::fs::fstat(&object).map_err(|_| refused("it cannot be read"))?;
        size = size.saturating_add(u64::try_from(stat.st_size).unwrap_or(0));
        if size > room {
            return Err(refused("a copy of it would be larger than the layers that it comes from"));
        }
        if !below.has_directly(target).map_err(LinkError::Lookup)? {
            names.retain(|name| *name != target);
        }
        found.push(Linked { object, names });
    }
    Ok(found)
}
