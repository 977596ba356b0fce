//! One image of the store.

use crate::layer::RootDirectory;
use carboy_oci::image::{Descriptor, ImageConfig, Manifest};
use carboy_oci::{Digest, Reference};

/// An image of the store, complete with its layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// The image ID: the digest of its configuration.
    pub id: Digest,
    /// Descriptor of its manifest.
    pub manifest: Descriptor,
    /// Its names, in order: tags, and names with a digest.
    pub names: Vec<Reference>,
    /// Its configuration.
    pub config: ImageConfig,
    /// Its manifest.
    pub manifest_data: Manifest,
    /// Bytes of the files in its layers, uncompressed.
    pub size: u64,
    /// The number of the lowest layer of which anything is seen: the topmost whose root directory is opaque, or the base.
    pub(crate) lowest: usize,
    /// Metadata of its root directory: of the topmost layer that has an entry for it, among those of which anything is seen.
    pub(crate) root: Option<RootDirectory>,
    /// When it was made, RFC 3339, as its configuration says.
    pub created: Option<String>,
}

impl Image {
    /// The diff IDs of its layers, base first.
    pub fn layers(&self) -> &[Digest] {
        &self.config.rootfs.diff_ids
    }

    /// Its names that have a tag.
    pub fn tags(&self) -> impl Iterator<Item = &Reference> {
        self.names.iter().filter(|name| name.tag().is_some() && name.digest().is_none())
    }

    /// Its names that have a digest: Docker's RepoDigests.
    pub fn repo_digests(&self) -> impl Iterator<Item = &Reference> {
        self.names.iter().filter(|name| name.digest().is_some())
    }
}
