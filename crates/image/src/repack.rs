//! Other blobs for layers: for those whose own were dropped, made of the tars that are kept, what an image needs to be sent or saved; and for
//! those that are wanted in another form than they have.
//!
//! The former are compressed as the layers were before, but by another compressor, so that their digests are others and the manifest that
//! names them is another too. The image's ID, which is its configuration's digest, stays. All of it is in the store like any other blob, named by
//! nothing but a lease, and goes with [`Repacked`].

mod compress;

use crate::workers::Workers;
use crate::{ImageError, Images, LayerError};
use carboy_oci::Digest;
use carboy_oci::image::{Descriptor, ImageConfig, Manifest, media_type};
use carboy_store::{Hasher, Lease};
pub use compress::Compression;
use compress::Source;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

/// What layers without a blob are made into, or all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Packing {
    /// Compressed as the manifest says that they were.
    #[default]
    AsBefore,
    /// Not compressed: costs neither time nor space.
    Plain,
    /// Like this, and so are layers with a blob that is not.
    All(Compression),
}

/// An image whose layers all have blobs again. Dropping it takes away what was made for it.
pub struct Repacked<'i> {
    images: &'i Images,
    manifest: Descriptor,
    lease: Option<Lease>,
}

impl Repacked<'_> {
    /// The manifest that names the blobs there are.
    pub fn manifest(&self) -> &Descriptor {
        &self.manifest
    }
}

impl Drop for Repacked<'_> {
    fn drop(&mut self) {
        // The lease first, or nothing would go. What is not taken away now goes with the next collection.
        self.lease = None;
        let _ = self.images.collect();
    }
}

/// A layer to be packed.
struct Layer {
    diff_id: Digest,
    compression: Compression,
    source: Source,
    tar_size: u64,
}

/// A blob that was made.
#[derive(Debug, Clone)]
struct Packed {
    digest: Digest,
    size: u64,
}

impl Images {
    /// Makes blobs of the layers of an image that have none, or none in the form that is wanted, so that it can be sent or saved; `None` if
    /// all have theirs.
    ///
    /// # Errors
    /// If a layer's tar is not kept either (directories are not made into tars again: it would not be the same tar), is damaged, or the
    /// disk refuses. Nothing is left behind then.
    pub fn repack(&self, manifest: &Descriptor, packing: Packing) -> Result<Option<Repacked<'_>>, ImageError> {
        let bytes = self.store.read_blob(&manifest.digest)?;
        let invalid = |e| ImageError::invalid(format!("manifest {}", manifest.digest), e);
        let parsed: Manifest = serde_json::from_slice(&bytes).map_err(invalid)?;
        let wanting = match packing {
            Packing::All(compression) => self.layers_unlike(&parsed, compression)?,
            Packing::AsBefore | Packing::Plain => self.dropped_layers(&parsed)?,
        };
        if wanting.is_empty() {
            return Ok(None);
        }
        let lease = self.store.lease()?;
        // From here on dropping it cleans up.
        let mut repacked = Repacked { images: self, manifest: manifest.clone(), lease: Some(lease) };
        let Some(lease) = &repacked.lease else { return Ok(None) };
        let mut layers = Vec::new();
        for (blob, diff_id) in wanting {
            lease.protect(&blob.digest)?;
            lease.protect(&diff_id)?;
            layers.push((blob.digest.as_str(), self.packable(blob, diff_id, packing)?));
        }
        let packed = self.pack_all(&layers, lease)?;
        let pairs = layers.iter().zip(&packed);
        let by_blob: BTreeMap<&str, (Compression, &Packed)> =
            pairs.map(|((blob, layer), packed)| (*blob, (layer.compression, packed))).collect();
        let mut value: Value = serde_json::from_slice(&bytes).map_err(invalid)?;
        let mut changed = false;
        for layer in value["layers"].as_array_mut().into_iter().flatten() {
            let known = layer["digest"].as_str().and_then(|digest| by_blob.get(digest));
            if let Some(&(compression, packed)) = known {
                changed |= layer["digest"] != packed.digest.as_str();
                describe(layer, compression, packed);
            }
        }
        if changed {
            let bytes = serde_json::to_vec(&value).map_err(invalid)?;
            let digest = Hasher::digest_of(&bytes);
            lease.protect(&digest)?;
            self.store.write_blob(&digest, &bytes)?;
            repacked.manifest = Descriptor { digest, size: bytes.len() as u64, ..manifest.clone() };
        }
        Ok(Some(repacked))
    }

    /// The layers that are compressed otherwise, or whose blobs were dropped; each blob once.
    fn layers_unlike<'m>(
        &self,
        manifest: &'m Manifest,
        compression: Compression,
    ) -> Result<Vec<(&'m Descriptor, Digest)>, ImageError> {
        let unlike = |blob: &Descriptor| Compression::of(&blob.media_type) != compression;
        if manifest.layers.iter().all(|blob| !unlike(blob) && self.store.has(&blob.digest)) {
            return Ok(Vec::new());
        }
        let mut seen = HashSet::new();
        let layers = manifest.layers.iter().zip(self.diff_ids(manifest)?);
        let wanting = layers
            .filter(|(blob, id)| unlike(blob) || (!self.store.has(&blob.digest) && self.is_blob_dropped(id)))
            .filter(|(blob, _)| seen.insert(&blob.digest));
        Ok(wanting.collect())
    }

    fn diff_ids(&self, manifest: &Manifest) -> Result<Vec<Digest>, ImageError> {
        let config = self.store.read_blob(&manifest.config.digest)?;
        let config: ImageConfig = serde_json::from_slice(&config)
            .map_err(|e| ImageError::invalid(format!("image configuration {}", manifest.config.digest), e))?;
        Ok(config.rootfs.diff_ids)
    }

    /// The layers whose blobs were dropped: what their blobs were, and their diff IDs; each blob once.
    pub(crate) fn dropped_layers<'m>(
        &self,
        manifest: &'m Manifest,
    ) -> Result<Vec<(&'m Descriptor, Digest)>, ImageError> {
        if manifest.layers.iter().all(|layer| self.store.has(&layer.digest)) {
            return Ok(Vec::new());
        }
        let mut seen = HashSet::new();
        let layers = manifest.layers.iter().zip(self.diff_ids(manifest)?);
        let dropped = layers.filter(|(blob, id)| !self.store.has(&blob.digest) && self.is_blob_dropped(id));
        Ok(dropped.filter(|(blob, _)| seen.insert(&blob.digest)).collect())
    }

    /// How to pack a layer.
    fn packable(&self, blob: &Descriptor, diff_id: Digest, packing: Packing) -> Result<Layer, ImageError> {
        let compression = match packing {
            Packing::Plain => Compression::Plain,
            Packing::AsBefore => Compression::of(&blob.media_type),
            Packing::All(compression) => compression,
        };
        let kept = || self.store.has(&blob.digest).then(|| Source::Blob(self.store.blob_path(&blob.digest)));
        match (self.layer_tar(&diff_id).map(Source::Tar).or_else(kept), self.layer_tar_size(&diff_id)?) {
            (Some(source), Some(tar_size)) => Ok(Layer { diff_id, compression, source, tar_size }),
            _ => Err(ImageError::Inconsistent(format!(
                "the blob {} of layer {diff_id} was dropped, and the {} snapshotter keeps no tar that another could be made of: pull the image again without --drop-blobs",
                blob.digest,
                self.snapshotter()
            ))),
        }
    }

    /// Packs layers, several at once, the largest first; answers in the order of `layers`.
    fn pack_all(&self, layers: &[(&str, Layer)], lease: &Lease) -> Result<Vec<Packed>, ImageError> {
        let mut order: Vec<usize> = (0..layers.len()).collect();
        order.sort_by_key(|number| layers[*number].1.tar_size);
        let done: Mutex<BTreeMap<usize, Packed>> = Mutex::default();
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(layers.len());
        let thread = |e| ImageError::Layer { digest: layers[0].1.diff_id.clone(), source: LayerError::Thread(e) };
        Workers::new(order, &|| {}).run(("repack", threads), thread, |number| {
            let packed = self.pack(&layers[number].1, lease)?;
            done.lock().unwrap_or_else(PoisonError::into_inner).insert(number, packed);
            Ok(())
        })?;
        Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect())
    }

    /// Makes a layer's blob, unless it is here.
    fn pack(&self, layer: &Layer, lease: &Lease) -> Result<Packed, ImageError> {
        let of_layer = |source| ImageError::Layer { digest: layer.diff_id.clone(), source };
        if layer.compression == Compression::Plain {
            lease.protect(&layer.diff_id)?;
            if self.store.has(&layer.diff_id) {
                return Ok(Packed { digest: layer.diff_id.clone(), size: layer.tar_size });
            }
        }
        // Its own claim: that of the layer is for taking it in.
        let claim = Hasher::digest_of(format!("repacked {} {:?}", layer.diff_id, layer.compression).as_bytes());
        let ingest = self.store.ingest(&claim)?;
        let blob = ingest.folder().join("blob");
        let packed = compress::pack(layer, &blob).map_err(of_layer)?;
        lease.protect(&packed.digest)?;
        if !self.store.has(&packed.digest) {
            self.store.publish_blob(&blob, &packed.digest)?;
        }
        Ok(packed)
    }
}

/// Annotations that speak of the bytes of a compressed blob.
const OF_BYTES: [&str; 3] = ["io.github.containers.zstd-chunked.", "containerd.io/snapshot/", "io.containers.estargz."];

/// Makes the entry of a layer speak of its new blob.
fn describe(entry: &mut Value, compression: Compression, packed: &Packed) {
    let Some(entry) = entry.as_object_mut() else { return };
    entry.insert("digest".to_owned(), packed.digest.as_str().into());
    entry.insert("size".to_owned(), packed.size.into());
    let before = entry.get("mediaType").and_then(Value::as_str).unwrap_or_default();
    if Compression::of(before) != compression {
        let kind = match (compression, before.contains("docker")) {
            (Compression::Plain, true) => media_type::DOCKER_LAYER,
            (Compression::Plain, false) => media_type::OCI_LAYER,
            (Compression::Gzip, true) => media_type::DOCKER_LAYER_GZIP,
            (Compression::Gzip, false) => media_type::OCI_LAYER_GZIP,
            // Docker's own format has none.
            (Compression::Zstd, _) => media_type::OCI_LAYER_ZSTD,
        };
        entry.insert("mediaType".to_owned(), kind.into());
    }
    // Where the old blob may be had.
    entry.remove("urls");
    if let Some(annotations) = entry.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.retain(|name, _| !OF_BYTES.iter().any(|prefix| name.starts_with(prefix)));
    }
}
