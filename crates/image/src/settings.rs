//! A store's settings, `<root>/store.conf`: what every command and every server that opens it goes by.
//!
//! ```text
//! # lines of key = value
//! drop-blobs = yes         compressed blobs are not kept once their layers are here [no]
//! snapshotter = overlay    auto, erofs or overlay; --snapshotter counts more [auto]
//! ```

use crate::{ImageError, SnapshotterChoice};
use carboy_state::file::FileError;
use std::io;
use std::path::Path;

const FILE: &str = "store.conf";

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreSettings {
    /// Whether compressed blobs are dropped.
    pub drop_blobs: bool,
    /// How layers are kept.
    pub snapshotter: SnapshotterChoice,
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
            _ => return Err(bad()),
        }
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_mistakes_are_named() {
        let expected = StoreSettings { drop_blobs: true, snapshotter: SnapshotterChoice::Overlay };
        assert_eq!(parse("# all\n\ndrop-blobs = yes # x\nsnapshotter=overlay\n"), Ok(expected));
        assert_eq!(parse(""), Ok(StoreSettings::default()));
        for bad in ["drop-blobs", "drop-blobs = perhaps", "snapshotter = zfs", "x = y"] {
            assert!(parse(bad).unwrap_err().contains("line 1"), "{bad}");
        }
    }
}
