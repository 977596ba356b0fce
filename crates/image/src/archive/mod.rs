//! Loading images from archives: docker-archive (`docker save`, `podman save`) and oci-archive, compressed or not, from a file or a
//! stream, and OCI layout directories.
//!
//! An archive is read by the names of its members, in whatever order they are needed: a stream and a compressed file are first copied
//! to a file without a name in the store's `ingest/`. Every digest that an archive names is checked; it is trusted no more than a registry.

mod docker;
mod layers;
mod members;
mod oci;

use crate::{Image, ImageError, Images};
use carboy_oci::image::Manifest;
use carboy_oci::{Digest, Reference};
pub use members::Members;
pub(crate) use members::unpacked;
use std::io::Read;
use std::path::Path;

/// Where an archive comes from.
pub enum LoadSource<'a> {
    /// A file, or a directory with an OCI layout.
    Path(&'a Path),
    /// A stream, such as standard input.
    Stream(&'a mut dyn Read),
}

/// Told how far a layer is: its blob's digest, bytes read, bytes in all. Called from several threads.
pub type LoadProgress<'a> = &'a (dyn Fn(&Digest, u64, u64) + Sync);

/// An image that was loaded, and the names that it got by that.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The image.
    pub image: Image,
    /// Names from the archive; none if it gave none.
    pub names: Vec<Reference>,
}

/// Most images of one archive, each of which costs a few lookups before anything is taken in.
const MAX_IMAGES: usize = 4096;

/// Refuses more of something than any honest archive has.
fn check_count(what: &str, count: usize, limit: usize) -> Result<(), ImageError> {
    if count <= limit {
        return Ok(());
    }
    Err(ImageError::Inconsistent(format!("the archive names {count} {what}, more than the {limit} that are taken")))
}

/// An image of an archive, before its layers are taken in.
#[derive(Debug)]
pub struct Found {
    /// Its names.
    pub names: Vec<Reference>,
    /// Media type of its manifest.
    pub media_type: String,
    /// Its manifest; a docker-archive has none, and this is what it would be.
    pub manifest: Vec<u8>,
    /// The same, parsed.
    pub parsed: Manifest,
    /// Its configuration.
    pub config: Vec<u8>,
    /// The members that hold the layers, in the manifest's order.
    pub layers: Vec<String>,
}

/// The images of a docker-archive. Compressed layers are read once to find out their digests.
///
/// # Errors
/// If `manifest.json` or what it names is missing or is no image.
pub fn docker_archive_images(members: &Members) -> Result<Vec<Found>, ImageError> {
    docker::find(members)
}

impl Images {
    /// Loads every image of an archive.
    ///
    /// # Errors
    /// If the archive cannot be read, is of no known kind, or an image in it is damaged. Images before that one stay loaded.
    pub fn load(&self, source: LoadSource<'_>, progress: LoadProgress<'_>) -> Result<Vec<Loaded>, ImageError> {
        self.load_with(source, self.drop_blobs, progress)
    }

    /// [`Images::load`], with or without keeping the layers' blobs.
    ///
    /// # Errors
    /// Likewise.
    pub fn load_with(
        &self,
        source: LoadSource<'_>,
        drop_blobs: bool,
        progress: LoadProgress<'_>,
    ) -> Result<Vec<Loaded>, ImageError> {
        let loaded = self.load_all(source, drop_blobs, progress);
        match &loaded {
            // The archive's own error is the one to report.
            Err(_) => drop(self.collect()),
            Ok(_) => self.clear_up_after_the_dead()?,
        }
        loaded
    }

    fn load_all(
        &self,
        source: LoadSource<'_>,
        drop_blobs: bool,
        progress: LoadProgress<'_>,
    ) -> Result<Vec<Loaded>, ImageError> {
        let members = Members::open_within(source, &self.store.root().join("ingest"), self.limits)?;
        let found = if members.has("index.json") && members.has("oci-layout") {
            oci::find(&members)?
        } else if members.has("manifest.json") {
            docker::find(&members)?
        } else {
            return Err(ImageError::Inconsistent(
                "not an image archive: it has neither manifest.json (docker-archive) nor index.json with oci-layout (oci-archive)"
                    .to_owned(),
            ));
        };
        if found.is_empty() {
            return Err(ImageError::Inconsistent("the archive holds no image for this platform".to_owned()));
        }
        found.into_iter().map(|found| self.load_found(&members, found, drop_blobs, progress)).collect()
    }

    fn load_found(
        &self,
        members: &Members,
        found: Found,
        drop_blobs: bool,
        progress: LoadProgress<'_>,
    ) -> Result<Loaded, ImageError> {
        check_count("layers of an image", found.layers.len(), crate::MAX_LAYERS)?;
        let intake = self.intake()?.dropping_blobs(drop_blobs);
        layers::take_in(&intake, members, &found, progress)?;
        let image = intake.finish(&found.names, &found.media_type, &found.manifest, &found.config)?;
        Ok(Loaded { image, names: found.names })
    }
}
