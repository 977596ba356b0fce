//! Taking an image in: layers first, then manifest and configuration, then its names. Until [`Intake::finish`] nothing of it can be
//! seen, and what an interrupted intake leaves goes with the next collection.

use crate::layer::{LayerIngest, Progress};
use crate::{Image, ImageError, Images, LayerError};
use carboy_oci::image::{Descriptor, ImageConfig, Manifest};
use carboy_oci::{Digest, Reference};
use carboy_store::{Hasher, Lease};
use std::io::Read;

/// One image being taken in. May be shared by threads, one for each layer. Its lease protects what was taken in until it is dropped.
pub struct Intake<'a> {
    images: &'a Images,
    lease: Lease,
    drop_blobs: bool,
}

/// An image inside the binary.
#[derive(Debug, Clone, Copy)]
pub struct EmbeddedImage<'a> {
    /// Its manifest.
    pub manifest: &'a [u8],
    /// Media type of the manifest.
    pub media_type: &'a str,
    /// Its configuration.
    pub config: &'a [u8],
    /// Its layers as the manifest names them, in the manifest's order.
    pub layers: &'a [&'a [u8]],
}

impl Images {
    /// Begins to take an image in.
    pub fn intake(&self) -> Result<Intake<'_>, ImageError> {
        Ok(Intake { images: self, lease: self.store.lease()?, drop_blobs: self.drop_blobs })
    }

    /// Puts an image that is embedded in the binary into the store, under `name`; nothing is written if it is there already.
    pub fn import_embedded(&self, name: &Reference, embedded: &EmbeddedImage<'_>) -> Result<Image, ImageError> {
        let intake = self.intake()?;
        let (manifest, config) = parse_pair(embedded.manifest, embedded.config)?;
        for ((blob, diff_id), bytes) in manifest.layers.iter().zip(&config.rootfs.diff_ids).zip(embedded.layers) {
            intake
                .ingest_layer(blob, diff_id, &mut &**bytes, &|_| {})
                .map_err(|source| ImageError::Layer { digest: blob.digest.clone(), source })?;
        }
        intake.finish(std::slice::from_ref(name), embedded.media_type, embedded.manifest, embedded.config)
    }
}

impl Intake<'_> {
    /// Whether layers are taken in without keeping their blobs, whatever the store's settings say.
    #[must_use]
    pub fn dropping_blobs(mut self, drop_blobs: bool) -> Self {
        self.drop_blobs = drop_blobs;
        self
    }

    /// Whether the layer is here, as a blob (unless blobs are dropped) and in the form that is mounted. If the answer is yes it stays at least as long as this
    /// intake lives.
    pub fn has_layer(&self, blob: &Descriptor, diff_id: &Digest) -> Result<bool, LayerError> {
        self.lease.protect(diff_id)?;
        self.lease.protect(&blob.digest)?;
        Ok(self.images.has_layer(diff_id) && (self.drop_blobs || self.images.store.has(&blob.digest)))
    }

    /// Waits until nobody else takes this layer in; `None` if it is here then. Call this before opening a download: the other's work
    /// is reused. If only the form that is mounted is missing, it is made from the blob, and that is `None` too.
    pub fn begin_layer(&self, blob: &Descriptor, diff_id: &Digest) -> Result<Option<LayerIngest<'_>>, LayerError> {
        if self.has_layer(blob, diff_id)? {
            return Ok(None);
        }
        let ingest = self.images.store.ingest(diff_id)?;
        if self.has_layer(blob, diff_id)? {
            return Ok(None);
        }
        let layer = LayerIngest::new(self.images, ingest, blob.clone(), diff_id.clone(), !self.drop_blobs);
        if self.images.store.has(&blob.digest) {
            let mut file = self.images.store.open_blob(&blob.digest)?;
            layer.run(&mut file, &|_| {})?;
            return Ok(None);
        }
        Ok(Some(layer))
    }

    /// Takes one layer in from `src`, unless it is here. `progress` is told the bytes of the blob read so far. See [`LayerIngest::run`].
    pub fn ingest_layer(
        &self,
        blob: &Descriptor,
        diff_id: &Digest,
        src: &mut dyn Read,
        progress: Progress<'_>,
    ) -> Result<(), LayerError> {
        match self.begin_layer(blob, diff_id)? {
            Some(layer) => layer.run(src, progress),
            None => Ok(()),
        }
    }

    /// Records the image once all its layers are here, and gives it its names. `manifest` and `config` are kept as they are.
    ///
    /// # Errors
    /// If a layer is missing, manifest and configuration do not belong together, or the disk refuses. Then no name has changed.
    pub fn finish(
        &self,
        names: &[Reference],
        media_type: &str,
        manifest: &[u8],
        config: &[u8],
    ) -> Result<Image, ImageError> {
        let (parsed, parsed_config) = parse_pair(manifest, config)?;
        for (blob, diff_id) in parsed.layers.iter().zip(&parsed_config.rootfs.diff_ids) {
            let missing = |source| ImageError::Layer { digest: blob.digest.clone(), source };
            if !self.has_layer(blob, diff_id).map_err(missing)? {
                return Err(ImageError::Inconsistent(format!(
                    "layer {} of the image is not in the store",
                    blob.digest
                )));
            }
        }
        self.images.adopt_parents(&parsed_config.rootfs.diff_ids)?;
        let store = &self.images.store;
        let descriptor = Descriptor {
            media_type: media_type.to_owned(),
            digest: Hasher::digest_of(manifest),
            size: manifest.len() as u64,
            urls: Vec::new(),
            annotations: Default::default(),
            platform: None,
            artifact_type: None,
        };
        for (digest, bytes) in [(&parsed.config.digest, config), (&descriptor.digest, manifest)] {
            self.lease.protect(digest)?;
            store.write_blob(digest, bytes)?;
        }
        // Names first: what is killed in between has a name, and no image without one is left that nobody asked for.
        for name in names {
            if store.get_ref(name)?.as_ref() != Some(&descriptor) {
                store.set_ref(name, &descriptor)?;
            }
        }
        if store.get_image(&parsed.config.digest)?.as_ref() != Some(&descriptor) {
            store.set_image(&parsed.config.digest, &descriptor)?;
        }
        let id = &parsed.config.digest;
        let image = self.images.get(id)?.ok_or_else(|| ImageError::NotFound(id.to_string()))?;
        if self.drop_blobs {
            self.images.drop_blobs_of(&image)?;
        }
        Ok(image)
    }
}

/// Parses a manifest and its configuration and checks that they belong together.
fn parse_pair(manifest: &[u8], config: &[u8]) -> Result<(Manifest, ImageConfig), ImageError> {
    let parsed: Manifest = serde_json::from_slice(manifest).map_err(|e| ImageError::invalid("image manifest", e))?;
    let mut hasher = Hasher::like(&parsed.config.digest);
    hasher.update(config);
    let actual = hasher.finish();
    if actual != parsed.config.digest {
        let expected = parsed.config.digest;
        return Err(ImageError::Store(carboy_store::StoreError::Digest { expected, actual }));
    }
    let parsed_config: ImageConfig =
        serde_json::from_slice(config).map_err(|e| ImageError::invalid("image configuration", e))?;
    let (layers, diff_ids) = (parsed.layers.len(), parsed_config.rootfs.diff_ids.len());
    if layers != diff_ids {
        return Err(ImageError::Inconsistent(format!(
            "manifest and configuration do not belong together: {layers} layers, {diff_ids} diff IDs"
        )));
    }
    Ok((parsed, parsed_config))
}
