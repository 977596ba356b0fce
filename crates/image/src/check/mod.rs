//! Whether a store is whole, and making it whole again.
//!
//! Looking at records and at what is there is quick; with `deep`, every byte is read and hashed. A repair makes a layer again from its
//! blob where it can, removes what is damaged beyond that, and never touches what a container uses.

mod deep;
mod problem;
mod repair;

pub use problem::{Finding, Outcome, Problem};

use crate::{ImageError, Images};
use carboy_oci::image::{Descriptor, ImageConfig, Manifest};
use carboy_oci::{Digest, Reference};
use carboy_store::{StoreError, tree_size};
use std::collections::HashSet;

/// What to look at, and what to do about it.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckOptions {
    /// Read and hash everything.
    pub deep: bool,
    /// Repair what is found.
    pub repair: bool,
}

impl Images {
    /// Checks the store.
    ///
    /// # Errors
    /// If it cannot be looked at. What is wrong in it is no error.
    pub fn check(&self, options: CheckOptions) -> Result<Vec<Finding>, ImageError> {
        let mut problems = if options.deep { self.check_content()? } else { Vec::new() };
        let damaged: HashSet<Digest> = problems.iter().filter_map(Problem::damaged_blob).collect();
        problems.extend(self.check_records(&damaged)?);
        if options.repair {
            return self.repair(problems);
        }
        Ok(problems.into_iter().map(|problem| Finding { problem, outcome: Outcome::Left }).collect())
    }

    /// Compares records with what is there, under the exclusive lock: at a moment when nobody adds.
    fn check_records(&self, damaged: &HashSet<Digest>) -> Result<Vec<Problem>, ImageError> {
        let _exclusive = self.store.lock_exclusive()?;
        let scanned = self.store.scan()?;
        let mut problems: Vec<Problem> = Vec::new();
        problems.extend(scanned.unreadable.into_iter().map(|(path, why)| Problem::Unreadable { path, why }));
        let mut needed = Needed { layers: self.layers_of_containers()?, ..Needed::default() };
        let leased = self.store.leased()?;
        for (id, manifest) in &scanned.images {
            self.check_image(id, manifest, damaged, &mut needed, &mut problems);
        }
        for named in &scanned.refs {
            self.check_name(&named.name, &named.manifest, &mut needed, &mut problems);
        }
        needed.blobs.extend(leased.iter().cloned());
        needed.layers.extend(leased);
        for digest in self.store.blobs()?.into_iter().filter(|digest| !needed.blobs.contains(digest)) {
            let bytes = tree_size(&self.store.blob_path(&digest));
            problems.push(Problem::OrphanedBlob { digest, bytes });
        }
        let layers: HashSet<&str> = needed.layers.iter().map(Digest::hex).collect();
        for name in self.store.layer_names()?.into_iter().filter(|name| !layers.contains(name.as_str())) {
            let bytes = tree_size(&self.store.root().join("layers").join(&name));
            problems.push(Problem::OrphanedLayer { name, bytes });
        }
        problems.extend(self.stale_mounts()?);
        Ok(problems)
    }

    fn check_image(
        &self,
        id: &Digest,
        manifest: &Descriptor,
        damaged: &HashSet<Digest>,
        needed: &mut Needed,
        problems: &mut Vec<Problem>,
    ) {
        needed.blobs.extend([id.clone(), manifest.digest.clone()]);
        let parsed = self.read_part::<Manifest>(id, &manifest.digest, "manifest", problems);
        let config = self.read_part::<ImageConfig>(id, id, "configuration", problems);
        let (Some(parsed), Some(config)) = (parsed, config) else { return };
        needed.blobs.extend(parsed.layers.iter().map(|layer| layer.digest.clone()));
        needed.layers.extend(config.rootfs.diff_ids.iter().cloned());
        for (blob, diff_id) in parsed.layers.iter().zip(&config.rootfs.diff_ids) {
            let has_blob = self.store.has(&blob.digest) && !damaged.contains(&blob.digest);
            if !self.has_layer(diff_id) {
                let blob = has_blob.then(|| blob.clone());
                problems.push(Problem::MissingLayer { image: id.clone(), diff_id: diff_id.clone(), blob });
            } else if !self.store.has(&blob.digest) && !self.is_blob_dropped(diff_id) {
                let (image, blob) = (id.clone(), blob.digest.clone());
                problems.push(Problem::MissingBlob { image, blob, diff_id: diff_id.clone() });
            }
        }
    }

    /// A name's manifest may be another than its image's: the same layers, compressed otherwise.
    fn check_name(&self, name: &Reference, manifest: &Descriptor, needed: &mut Needed, problems: &mut Vec<Problem>) {
        let parsed = self.store.read_blob(&manifest.digest).ok();
        let parsed = parsed.and_then(|bytes| serde_json::from_slice::<Manifest>(&bytes).ok());
        match parsed {
            Some(parsed) => {
                needed.blobs.extend(parsed.layers.into_iter().map(|layer| layer.digest));
                if self.store.get_image(&parsed.config.digest).ok().flatten().is_none() {
                    // A name keeps its image's layers even without the image's own record.
                    let config = self.store.read_blob(&parsed.config.digest).ok();
                    let config = config.and_then(|bytes| serde_json::from_slice::<ImageConfig>(&bytes).ok());
                    needed.layers.extend(config.map(|config| config.rootfs.diff_ids).unwrap_or_default());
                }
                needed.blobs.extend([manifest.digest.clone(), parsed.config.digest]);
            }
            None => problems.push(Problem::DanglingName { name: name.clone() }),
        }
    }

    fn read_part<T: serde::de::DeserializeOwned>(
        &self,
        image: &Digest,
        digest: &Digest,
        part: &'static str,
        problems: &mut Vec<Problem>,
    ) -> Option<T> {
        let image = image.clone();
        match self.store.read_blob(digest) {
            Ok(bytes) => {
                let parsed = serde_json::from_slice(&bytes).ok();
                if parsed.is_none() {
                    problems.push(Problem::Broken { image, part, why: "it cannot be read".to_owned() });
                }
                parsed
            }
            Err(e) => {
                let why = match e {
                    StoreError::Missing(_) => "it is missing".to_owned(),
                    StoreError::Digest { .. } => "it does not have its digest".to_owned(),
                    other => other.to_string(),
                };
                problems.push(Problem::Broken { image, part, why });
                None
            }
        }
    }

    /// Mounts of layers that are not in the store any more.
    fn stale_mounts(&self) -> Result<Vec<Problem>, ImageError> {
        let folder = self.store.runroot().join("layers");
        let names = std::fs::read_dir(&folder).map_err(carboy_state::file::FileError::at("list", &folder))?;
        let stale = names.flatten().filter(|entry| {
            let layer = self.store.root().join("layers").join(entry.file_name());
            crate::snapshot::is_mounted(&entry.path()) && !layer.exists()
        });
        Ok(stale.map(|entry| Problem::StaleMount { path: entry.path() }).collect())
    }
}

/// What images, containers and living processes need.
#[derive(Default)]
struct Needed {
    blobs: HashSet<Digest>,
    layers: HashSet<Digest>,
}
