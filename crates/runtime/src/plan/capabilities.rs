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

/// What can be granted of the five sets, by the rules of capset(2), and what is lost of the first four.
pub fn granted(asked: CapabilityMasks, grantable: u64) -> (CapabilityMasks, u64) {
    let bounding = asked.bounding & grantable;
    let permitted = asked.permitted & grantable;
    let effective = asked.effective & permitted;
    let inheritable = asked.inheritable & bounding;
    let ambient = asked.ambient & permitted & inheritable;
    let lost = asked.bounding & !bounding
        | asked.permitted & !permitted
        | asked.effective & !effective
        | asked.inheritable & !inheritable;
    (CapabilityMasks { bounding, effective, permitted, inheritable, ambient }, lost)
}

/// Names of the bits of a mask, as `CAP_CHOWN`.
pub fn names(mask: u64) -> impl Iterator<Item = String> {
    NAMES.iter().enumerate().filter(move |(bit, _)| mask & 1 << bit != 0).map(|(_, name)| format!("CAP_{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_would_refuse_is_left_out() {
        let asked = CapabilityMasks {
            bounding: 0b111,
            permitted: 0b1011,
            effective: 0b1111,
            inheritable: 0b1001,
            ambient: 0b1001,
        };
        let (masks, lost) = granted(asked, 0b1101);
        let CapabilityMasks { bounding, permitted, effective, inheritable, ambient } = masks;
        assert_eq!((bounding, permitted, effective, inheritable, ambient), (0b101, 0b1001, 0b1001, 0b1, 0b1));
        assert_eq!(lost, 0b1110);
        assert_eq!(granted(asked, u64::MAX).1, 0b1100, "neither permitted nor bounding");
    }
}
