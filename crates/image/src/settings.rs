//! A store's settings, `<root>/store.conf`: what every command and every server that opens it goes by.
//!
//! ```text
//! # lines of key = value
//! drop-blobs = yes         compressed blobs are not kept once their layers are here [no]
//! snapshotter = overlay    auto, erofs or overlay; --snapshotter counts more [auto]
//! layer-size-limit = 20G   layers that have more bytes uncompressed are refused (K, M, G, T) [none]
//! layer-growth-limit = 50  blobs that inflate to more than so many times their size, beyond the first GiB, are refused [1100]
//! ```

use crate::{ImageError, SnapshotterChoice};
use carboy_state::file::FileError;
use std::io;
use std::path::Path;

const FILE: &str = "store.conf";

/// deflate makes at most 1032 bytes of one, so that no gzip layer is refused for its growth: a layer may well hold a disk image of zeros,
/// and zeros take no space here. zstd makes 30,000, and no honest layer is gigabytes of nothing else.
const GROWTH: u64 = 1100;
/// Growth is not looked at before so many bytes.
const FREE_GROWTH: u64 = 1 << 30;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreSettings {
    /// Whether compressed blobs are dropped.
    pub drop_blobs: bool,
    /// How layers are kept.
    pub snapshotter: SnapshotterChoice,
    /// How much of a layer is taken in.
    pub limits: LayerLimits,
}

impl Default for StoreSettings {
    fn default() -> Self {
        let limits = LayerLimits { size: u64::MAX, growth: GROWTH };
        StoreSettings { drop_blobs: false, snapshotter: SnapshotterChoice::Auto, limits }
    }
}

/// Limits against layers that fill the disk, or keep a processor busy for hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerLimits {
    /// Bytes of an uncompressed layer.
    pub size: u64,
    /// How many times its own size a blob may inflate to, beyond the first GiB.
    pub growth: u64,
}

impl LayerLimits {
    /// Bytes that a blob of this size may inflate to, and which limit that is.
    pub(crate) fn of_blob(self, size: u64) -> (u64, &'static str) {
        let grown = FREE_GROWTH.saturating_add(size.saturating_mul(self.growth));
        if self.size <= grown {
            (self.size, "bytes uncompressed (layer-size-limit in store.conf)")
        } else {
            (grown, "bytes that a blob of its size may inflate to (layer-growth-limit in store.conf)")
        }
    }
}

impl StoreSettings {
    /// Reads the settings of the store in `root`; the defaults if there is no such file.
    ///
    /// # Errors
    /// If there is one that cannot be understood.
    pub fn read(root: &Path) -> Result<Self, ImageError> {
        let path = root.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => parse(&text).map_err(|why| ImageError::invalid(path.display().to_string(), why)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(FileError::at("read", &path)(e).into()),
        }
    }
}

fn parse(text: &str) -> Result<StoreSettings, String> {
    let mut settings = StoreSettings::default();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let bad = || format!("line {}: {line:?} is not understood", number + 1);
        let (key, value) = line.split_once('=').ok_or_else(bad)?;
        match (key.trim(), value.trim()) {
            ("drop-blobs", "yes" | "true") => settings.drop_blobs = true,
            ("drop-blobs", "no" | "false") => settings.drop_blobs = false,
            ("snapshotter", "auto") => settings.snapshotter = SnapshotterChoice::Auto,
            ("snapshotter", "erofs") => settings.snapshotter = SnapshotterChoice::Erofs,
            ("snapshotter", "overlay") => settings.snapshotter = SnapshotterChoice::Overlay,
            ("layer-size-limit", "none") => settings.limits.size = u64::MAX,
            ("layer-size-limit", size) => settings.limits.size = bytes(size).ok_or_else(bad)?,
            ("layer-growth-limit", times) => settings.limits.growth = times.parse().map_err(|_| bad())?,
            _ => return Err(bad()),
        }
    }
    Ok(settings)
}

/// A number with a binary unit.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let power = match &text[digits.len()..] {
        "" => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << (10 * power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_mistakes_are_named() {
        let expected =
            StoreSettings { drop_blobs: true, snapshotter: SnapshotterChoice::Overlay, ..StoreSettings::default() };
        assert_eq!(parse("# all\n\ndrop-blobs = yes # x\nsnapshotter=overlay\n"), Ok(expected));
        let limits = |text| parse(text).unwrap().limits;
        assert_eq!(
            limits("layer-size-limit = 20G\nlayer-growth-limit = 50"),
            LayerLimits { size: 20 << 30, growth: 50 }
        );
        assert_eq!(limits("layer-size-limit = none"), StoreSettings::default().limits);
        assert_eq!(parse(""), Ok(StoreSettings::default()));
        for bad in [
            "drop-blobs",
            "drop-blobs = perhaps",
            "snapshotter = zfs",
            "x = y",
            "layer-size-limit = 1X",
            "layer-size-limit = 99999999T",
        ] {
            assert!(parse(bad).unwrap_err().contains("line 1"), "{bad}");
        }
    }

    #[test]
    fn no_gzip_is_refused_for_its_growth() {
        let limits = StoreSettings::default().limits;
        for size in [0, 1, 1000, 1 << 20, 1 << 40] {
            assert!(limits.of_blob(size).0 >= size * 1032);
        }
        let (most, which) = limits.of_blob(320_000);
        assert!(most < 10_000_000_000 && which.contains("layer-growth-limit"));
        assert_eq!(limits.of_blob(u64::MAX).0, u64::MAX);
        let (most, which) = LayerLimits { size: 10, ..limits }.of_blob(320_000);
        assert!(most == 10 && which.contains("layer-size-limit"));
    }
}
