//! The images of a store: opening and listing.

use crate::layer::LayerRecord;
use crate::snapshot::{self, Snapshotter};
use crate::{Garbage, Image, ImageError, LayerLimits, SnapshotterChoice, SnapshotterKind, StoreSettings};
use carboy_oci::image::{Descriptor, ImageConfig, Manifest};
use carboy_oci::{Digest, Reference};
use carboy_state::file::read_json_if_exists;
use carboy_store::{Collected, Marks, Store};
use serde::de::DeserializeOwned;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

/// The images in a store, with the snapshotter that mounts their layers.
pub struct Images {
    pub(crate) store: Store,
    pub(crate) snapshotter: Box<dyn Snapshotter>,
    pub(crate) drop_blobs: bool,
    pub(crate) limits: LayerLimits,
}

/// An image that has not been looked into.
pub(crate) struct Known {
    pub(crate) id: Digest,
    pub(crate) manifest: Descriptor,
    pub(crate) names: Vec<Reference>,
}

/// Layers of a pull that was killed are kept so long for the next pull of the same, unless another one succeeds before, or something is
/// removed.
const KEPT_FOR_RESUMING: Duration = Duration::from_secs(3600);

impl Images {
    /// Opens the store in `root` and picks the snapshotter.
    ///
    /// # Errors
    /// If the store cannot be opened, or a snapshotter was asked for that does not work here.
    pub fn open(root: &Path, runroot: &Path, choice: SnapshotterChoice) -> Result<Images, ImageError> {
        let store = Store::open(root, runroot)?;
        let settings = StoreSettings::read(root)?;
        let choice = if choice == SnapshotterChoice::Auto { settings.snapshotter } else { choice };
        let snapshotter = snapshot::choose(&store, choice)?;
        let images = Images { store, snapshotter, drop_blobs: settings.drop_blobs, limits: settings.limits };
        if images.store.has_dead_leases(KEPT_FOR_RESUMING)? {
            images.collect()?;
        }
        Ok(images)
    }

    /// Whether the store's settings ask for layers without blobs.
    pub fn drops_blobs(&self) -> bool {
        self.drop_blobs
    }

    /// Collects if a process died at its work, whose layers nothing names. Whoever has changed the store calls this at the end.
    ///
    /// # Errors
    /// If the store refuses.
    pub fn clear_up_after_the_dead(&self) -> Result<(), ImageError> {
        if self.store.has_dead_leases(Duration::ZERO)? {
            self.collect()?;
        }
        Ok(())
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Which snapshotter is in use.
    pub fn snapshotter(&self) -> SnapshotterKind {
        self.snapshotter.kind()
    }

    /// All images, in order of their IDs.
    pub fn list(&self) -> Result<Vec<Image>, ImageError> {
        let mut images = Vec::new();
        for known in self.known()? {
            images.extend(self.load_image(known)?);
        }
        Ok(images)
    }

    /// What is known of all images without looking into one, in order of their IDs.
    pub(crate) fn known(&self) -> Result<Vec<Known>, ImageError> {
        let recorded = self.store.list_images()?;
        let mut names = self.names(&recorded)?;
        let mut all = Vec::new();
        for (id, manifest) in recorded {
            let names = names.remove(&id).map(|(names, _)| names).unwrap_or_default();
            all.push(Known { id, manifest, names });
        }
        // An image that a name means is one, though a pull was killed before it recorded the image itself.
        all.extend(names.into_iter().map(|(id, (names, manifest))| Known { id, manifest, names }));
        all.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(all)
    }

    /// The image with this ID.
    pub fn get(&self, id: &Digest) -> Result<Option<Image>, ImageError> {
        let Some(manifest) = self.store.get_image(id)? else {
            let known = self.known()?.into_iter().find(|known| known.id == *id);
            return known.map_or(Ok(None), |known| self.load_image(known));
        };
        let recorded = [(id.clone(), manifest.clone())];
        let names = self.names(&recorded)?.remove(id).map(|(names, _)| names).unwrap_or_default();
        self.load_image(Known { id: id.clone(), manifest, names })
    }

    /// The names of images, and a manifest, by image ID. One image may have several manifests, such as of two compressions: an image is
    /// its configuration.
    fn names(
        &self,
        recorded: &[(Digest, Descriptor)],
    ) -> Result<HashMap<Digest, (Vec<Reference>, Descriptor)>, ImageError> {
        let ids: HashMap<&Digest, &Digest> = recorded.iter().map(|(id, manifest)| (&manifest.digest, id)).collect();
        let mut names: HashMap<Digest, (Vec<Reference>, Descriptor)> = HashMap::new();
        for named in self.store.list_refs()? {
            let digest = &named.manifest.digest;
            let id = match ids.get(digest) {
                Some(id) => (*id).clone(),
                // A name whose manifest is gone is nobody's.
                None => match self.read_json_blob::<Manifest>(digest, "manifest") {
                    Ok(manifest) => manifest.config.digest,
                    Err(_) => continue,
                },
            };
            names.entry(id).or_insert_with(|| (Vec::new(), named.manifest)).0.push(named.name);
        }
        Ok(names)
    }

    /// Reads an image's blobs and its layers' records; `None` if it was removed meanwhile.
    pub(crate) fn load_image(&self, known: Known) -> Result<Option<Image>, ImageError> {
        let Known { id, manifest, names } = known;
        let read = || -> Result<Image, ImageError> {
            let manifest_data: Manifest = self.read_json_blob(&manifest.digest, "manifest")?;
            let config: ImageConfig = self.read_json_blob(&id, "image configuration")?;
            let (mut size, mut lowest, mut root) = (0, 0, None);
            for (number, diff_id) in config.rootfs.diff_ids.iter().enumerate() {
                let Some(record) = LayerRecord::read(&self.store.layer_dir(diff_id))? else { continue };
                size += record.size;
                if record.opaque {
                    (lowest, root) = (number, None);
                }
                root = record.root.or(root);
            }
            let created = config.created.clone();
            Ok(Image {
                id: id.clone(),
                manifest: manifest.clone(),
                names,
                config,
                manifest_data,
                size,
                lowest,
                root,
                created,
            })
        };
        match read() {
            Ok(image) => Ok(Some(image)),
            Err(_) if self.store.get_image(&id)?.is_none() => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn read_json_blob<T: DeserializeOwned>(&self, digest: &Digest, what: &str) -> Result<T, ImageError> {
        let bytes = self.store.read_blob(digest)?;
        serde_json::from_slice(&bytes).map_err(|e| ImageError::invalid(format!("{what} {digest}"), e))
    }

    /// Whether a layer is here in the form that this snapshotter mounts.
    pub fn has_layer(&self, diff_id: &Digest) -> bool {
        self.snapshotter.has(&self.store.layer_dir(diff_id))
    }

    /// Removes what no image, no container and no living process needs: blobs, layers and their mounts.
    pub fn collect(&self) -> Result<Collected, ImageError> {
        let (mut collected, garbage) = self.collect_to_trash()?;
        collected.bytes = garbage.empty(&self.store)?;
        Ok(collected)
    }

    /// [`Images::collect`] without the part that takes its time: the bytes are given back by [`Garbage::empty`].
    pub fn collect_to_trash(&self) -> Result<(Collected, Garbage), ImageError> {
        // Before anything gets into the trash, so that no other command thinks that it was left there.
        let lock = self.store.lock_trash()?;
        let mut mounts = Vec::new();
        let collected = self.store.collect_to_trash(|| {
            let marks = self.marks()?;
            mounts = self.unmount_except(&marks.layers)?;
            Ok::<_, ImageError>(marks)
        })?;
        Ok((collected, Garbage { lock, mounts }))
    }

    /// Everything reachable. Called under the exclusive lock.
    fn marks(&self) -> Result<Marks, ImageError> {
        let mut marks = Marks { blobs: HashSet::new(), layers: self.layers_of_containers()? };
        let mut manifests: HashSet<Digest> = self.store.list_refs()?.into_iter().map(|r| r.manifest.digest).collect();
        for (id, manifest) in self.store.list_images()? {
            marks.blobs.insert(id);
            manifests.insert(manifest.digest);
        }
        for digest in manifests {
            // A name whose manifest is gone keeps nothing, and does not keep others from being collected.
            if self.store.has(&digest) {
                let manifest: Manifest = self.read_json_blob(&digest, "manifest")?;
                if self.store.has(&manifest.config.digest) {
                    let config: ImageConfig = self.read_json_blob(&manifest.config.digest, "image configuration")?;
                    marks.layers.extend(config.rootfs.diff_ids);
                }
                marks.blobs.insert(manifest.config.digest);
                marks.blobs.extend(manifest.layers.into_iter().map(|layer| layer.digest));
                marks.blobs.insert(digest);
            }
        }
        Ok(marks)
    }

    /// The layers that containers name in their records, `containers/*/layers.json`, and those of images that are mounted.
    pub(crate) fn layers_of_containers(&self) -> Result<HashSet<Digest>, ImageError> {
        let folder = self.store.root().join("containers");
        let mut layers = self.layers_of_mounts()?;
        let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(layers) };
        for entry in entries.flatten() {
            let path = entry.path().join(crate::LAYERS_FILE);
            layers.extend(read_json_if_exists::<Vec<Digest>>(&path)?.unwrap_or_default());
        }
        Ok(layers)
    }
}
