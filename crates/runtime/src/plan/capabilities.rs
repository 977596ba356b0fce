//! Sets of capability names as bit masks.

use crate::step::CapabilityMasks;
use carboy_oci::capabilities::{NAMES, number};
use carboy_oci::runtime::Capabilities;

/// The five sets as masks, and the names that nobody knows, which the spec says to ignore with a warning.
pub fn masks(sets: &Capabilities) -> (CapabilityMasks, Vec<String>) {
    let mut unknown = Vec::new();
    let mut mask = |names: &[String]| {
        names.iter().fold(0u64, |mask, name| match number(name) {
            Some(number) => mask | 1 << number,
            None => {
                if !unknown.contains(name) {
                    unknown.push(name.clone());
                }
                mask
            }
        })
    };
    let masks = CapabilityMasks {
        bounding: mask(&sets.bounding),
        effective: mask(&sets.effective),
        permitted: mask(&sets.permitted),
        inheritable: mask(&sets.inheritable),
        ambient: mask(&sets.ambient),
    };
    (masks, unknown)
}

/// Names of the bits of a mask, as `CAP_CHOWN`.
pub fn names(mask: u64) -> impl Iterator<Item = String> {
    NAMES.iter().enumerate().filter(move |(bit, _)| mask & 1 << bit != 0).map(|(_, name)| format!("CAP_{name}"))
}
