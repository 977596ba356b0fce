//! Which other repositories of the registry are known to have a blob: those that an image of the store came from or went to.

use crate::{ImageError, Images};
use carboy_oci::image::Manifest;
use carboy_oci::{Digest, Reference};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A repository is asked to lend a blob by one request each; a few are enough.
const MAX_HOLDERS: usize = 3;

/// More scopes than this make no token server happy.
const MAX_PATHS: usize = 8;

/// Blobs and who has them.
#[derive(Debug, Default)]
pub(super) struct Known {
    holders: HashMap<Digest, Vec<String>>,
    paths: BTreeSet<String>,
}

impl Known {
    /// What the store's names say of the destination's registry. Only names with a digest count: they come from a registry, a tag may be
    /// anybody's wish.
    pub(super) fn of(images: &Images, destination: &Reference) -> Result<Self, ImageError> {
        let mut known = Known::default();
        let mut manifests: BTreeMap<Digest, Manifest> = BTreeMap::new();
        for named in images.store().list_refs()? {
            let name = &named.name;
            if name.domain() != destination.domain() || name.path() == destination.path() || name.digest().is_none() {
                continue;
            }
            let digest = &named.manifest.digest;
            if !manifests.contains_key(digest)
                && let Ok(bytes) = images.store().read_blob(digest)
                && let Ok(parsed) = serde_json::from_slice(&bytes)
            {
                manifests.insert(digest.clone(), parsed);
            }
            if let Some(manifest) = manifests.get(digest) {
                known.add(name.path(), manifest);
            }
        }
        Ok(known)
    }

    fn add(&mut self, path: &str, manifest: &Manifest) {
        if !self.paths.contains(path) && self.paths.len() == MAX_PATHS {
            return;
        }
        for blob in manifest.layers.iter().chain([&manifest.config]) {
            let holders = self.holders.entry(blob.digest.clone()).or_default();
            if holders.len() < MAX_HOLDERS && !holders.iter().any(|known| known == path) {
                holders.push(path.to_owned());
                self.paths.insert(path.to_owned());
            }
        }
    }

    /// All repositories that may be asked.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(String::as_str)
    }

    /// The repositories that have a blob.
    pub(super) fn holders(&self, digest: &Digest) -> &[String] {
        self.holders.get(digest).map_or(&[], Vec::as_slice)
    }
}
