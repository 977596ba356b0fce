//! What images take on the disk, each file counted once however many images share it, and which images are pruned.

use crate::{Garbage, Image, ImageError, Images, Removed};
use carboy_oci::Digest;
use carboy_store::{tree_size, tree_size_unseen};
use std::collections::{HashMap, HashSet};

/// What the images of a store take.
#[derive(Debug)]
pub struct Usage {
    /// Each image.
    pub images: Vec<ImageUsage>,
    /// Bytes on disk of all blobs and layers, those that no image needs among them.
    pub size: u64,
    /// Bytes of it that containers, and processes at work, do not need.
    pub reclaimable: u64,
}

/// What one image takes.
#[derive(Debug)]
pub struct ImageUsage {
    /// The image.
    pub image: Image,
    /// Bytes on disk that no other image shares.
    pub unique: u64,
    /// Bytes on disk that other images need too.
    pub shared: u64,
}

/// Blobs and layers: what counts as one thing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Item {
    Blob(Digest),
    Layer(String),
}

impl Images {
    /// What the images take; `is_used`: whether a container is of an image.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn usage(&self, is_used: &dyn Fn(&Image) -> bool) -> Result<Usage, ImageError> {
        let mut needed: HashSet<Item> =
            self.layers_of_containers()?.iter().map(|id| Item::Layer(id.hex().to_owned())).collect();
        {
            let _exclusive = self.store.lock_exclusive()?;
            for digest in self.store.leased()? {
                needed.insert(Item::Layer(digest.hex().to_owned()));
                needed.insert(Item::Blob(digest));
            }
        }
        let (mut seen, mut sizes) = (HashSet::new(), HashMap::new());
        for digest in self.store.blobs()? {
            let size = tree_size_unseen(&self.store.blob_path(&digest), &mut seen);
            sizes.insert(Item::Blob(digest), size);
        }
        for name in self.store.layer_names()? {
            let size = tree_size_unseen(&self.store.root().join("layers").join(&name), &mut seen);
            sizes.insert(Item::Layer(name), size);
        }
        let images = self.list()?;
        let mut users: HashMap<Item, usize> = HashMap::new();
        for image in &images {
            for item in items(image) {
                if is_used(image) {
                    needed.insert(item.clone());
                }
                *users.entry(item).or_default() += 1;
            }
        }
        let of = |item: &Item| sizes.get(item).copied().unwrap_or(0);
        let images = images.into_iter().map(|image| {
            let (own, shared): (Vec<Item>, Vec<Item>) = items(&image).into_iter().partition(|item| users[item] == 1);
            ImageUsage { image, unique: own.iter().map(of).sum(), shared: shared.iter().map(of).sum() }
        });
        let images = images.collect();
        let size = sizes.values().sum();
        let reclaimable = sizes.iter().filter(|(item, _)| !needed.contains(*item)).map(|(_, size)| size).sum();
        Ok(Usage { images, size, reclaimable })
    }

    /// Removes the images that `is_wanted` names and that no container is of; answers what went, and what of the disk is to be given back.
    /// Whatever else nobody needs goes too.
    ///
    /// # Errors
    /// If the store refuses.
    pub fn prune(
        &self,
        is_wanted: &dyn Fn(&Image) -> bool,
        is_used: &dyn Fn(&Image) -> bool,
    ) -> Result<(Vec<Removed>, Garbage), ImageError> {
        let mut removed = Vec::new();
        let mut layers: Vec<(Digest, Digest)> = Vec::new();
        for image in self.list()?.into_iter().filter(|image| is_wanted(image) && !is_used(image)) {
            // The record before the names, as in every removal.
            self.store.remove_image(&image.id)?;
            for name in &image.names {
                if self.store.remove_ref(name)? {
                    removed.push(Removed::Untagged(name.clone()));
                }
            }
            removed.push(Removed::Deleted(image.id.clone()));
            let chains = crate::remove::chain_ids(image.layers());
            layers.extend(image.layers().iter().cloned().zip(chains).rev());
        }
        let (collected, garbage) = self.collect_to_trash()?;
        let mut said = HashSet::new();
        let gone = |diff_id: &Digest| collected.layers.iter().any(|hex| hex == diff_id.hex());
        let deleted = layers.into_iter().filter(|(diff_id, chain)| gone(diff_id) && said.insert(chain.clone()));
        removed.extend(deleted.map(|(_, chain)| Removed::Deleted(chain)));
        Ok((removed, garbage))
    }

    /// Bytes on disk of a layer, in the form that is mounted.
    pub fn layer_disk_size(&self, diff_id: &Digest) -> u64 {
        tree_size(&self.store.layer_dir(diff_id))
    }
}

fn items(image: &Image) -> HashSet<Item> {
    let data = &image.manifest_data;
    let blobs =
        data.layers.iter().map(|layer| layer.digest.clone()).chain([image.manifest.digest.clone(), image.id.clone()]);
    let layers = image.layers().iter().map(|diff_id| Item::Layer(diff_id.hex().to_owned()));
    blobs.map(Item::Blob).chain(layers).collect()
}
