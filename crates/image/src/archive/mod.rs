//! Loading images from archives: docker-archive and oci-archive, compressed or not.

use crate::{Image, ImageError, Images};
use carboy_oci::{Digest, Reference};
use std::io::Read;
use std::path::Path;

/// Where an archive comes from.
pub enum LoadSource<'a> {
    /// A file, or a directory with an OCI layout.
    Path(&'a Path),
    /// A stream, such as standard input.
    Stream(&'a mut dyn Read),
}

/// Told how far a layer is: its diff ID or blob digest, bytes read, bytes in all.
pub type LoadProgress<'a> = &'a (dyn Fn(&Digest, u64, u64) + Sync);

/// An image that was loaded, and the names that it got by that.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The image.
    pub image: Image,
    /// Names from the archive; none if it gave none.
    pub names: Vec<Reference>,
}

impl Images {
    /// Loads every image of an archive.
    pub fn load(&self, source: LoadSource<'_>, progress: LoadProgress<'_>) -> Result<Vec<Loaded>, ImageError> {
        let _ = (source, progress);
        Err(ImageError::Inconsistent("loading archives is not written yet".to_owned()))
    }
}
