//! Values of version 1, which the spec speaks, in the terms of version 2.

/// `cpu.shares` (2 to 262144, default 1024) as `cpu.weight` (1 to 10000, default 100): a quadratic in the logarithm that maps
/// smallest, default and largest onto each other, as runc 1.3.2 and crun 1.23 have it. (The linear map before it made 1024 into 39.)
pub(super) fn cpu_weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            10f64.powf(exponent).ceil() as u64
        }
    }
}

/// `blkio.weight` (10 to 1000) as `io.weight` (1 to 10000), linear as in runc.
pub(super) fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight).saturating_sub(10)) * 9999 / 990
}

/// Memory and swap together as swap alone (`memory.swap.max`); `None` when nothing is to be written.
///
/// # Errors
/// The reason why it cannot be computed.
pub(super) fn swap_max(swap: Option<i64>, memory: Option<i64>) -> Result<Option<String>, &'static str> {
    match (swap.unwrap_or(0), memory.unwrap_or(0)) {
        (0, -1) => Ok(Some("max".to_owned())),
        (0, _) => Ok(None),
        (-1, _) => Ok(Some("max".to_owned())),
        (swap, -1) => Ok(Some(swap.to_string())),
        (_, 0) => Err("a limit of memory and swap together needs a memory limit in the unified hierarchy"),
        (swap, memory) => Ok(Some((swap - memory).to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_and_defaults_map_onto_each_other() {
        let weights: Vec<u64> = [0, 2, 3, 512, 1024, 2048, 262_144, u64::MAX].map(cpu_weight).into();
        assert_eq!(weights, [1, 1, 2, 59, 100, 174, 10_000, 10_000]);
        assert_eq!([10, 100, 500, 1000].map(io_weight), [1, 910, 4950, 10_000]);
        assert_eq!(swap_max(Some(300), Some(100)), Ok(Some("200".into())));
        assert_eq!(swap_max(Some(-1), Some(100)), Ok(Some("max".into())));
        assert_eq!(swap_max(None, Some(-1)), Ok(Some("max".into())));
        assert_eq!(swap_max(None, Some(100)), Ok(None));
        assert!(swap_max(Some(300), None).is_err());
    }
}
