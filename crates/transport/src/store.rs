//! The store: an image that is here, or is to be.

use crate::Error;
use crate::content::{Blob, Destination, Phase, Source, whole};
use carboy_distribution::Manifest as Document;
use carboy_image::{Image, Images, Intake, Packing, Repacked};
use carboy_oci::image::{Descriptor, Manifest, media_type};
use carboy_oci::{Digest, Reference};
use carboy_store::Lease;
use std::collections::HashMap;
use std::io::Read;
use std::sync::{Mutex, PoisonError};

/// An image of the store. It stays there at least as long as this value lives.
pub struct StoreSource<'a> {
    images: &'a Images,
    image: Image,
    manifest: Descriptor,
    /// If blobs had been dropped: what was made in their place, and the manifest's digest before.
    repacked: Option<(Repacked<'a>, Digest)>,
    _lease: Lease,
}

impl<'a> StoreSource<'a> {
    /// The image that `text` means. Layers whose blobs were dropped are packed as before, which changes the manifest's digest.
    ///
    /// # Errors
    /// If there is none, or a layer cannot be packed.
    pub fn open(images: &'a Images, text: &str) -> Result<Self, Error> {
        Self::open_packed(images, text, Packing::AsBefore)
    }

    /// [`StoreSource::open`], with another way to pack the layers whose blobs were dropped.
    ///
    /// # Errors
    /// As there.
    pub fn open_packed(images: &'a Images, text: &str, packing: Packing) -> Result<Self, Error> {
        let lease = images.store().lease()?;
        let missing = || Error::Image(carboy_image::ImageError::NotFound(text.to_owned()));
        let image = images.find(text)?.ok_or_else(missing)?;
        let manifest = images.manifest_of(&image, text)?;
        lease.protect(&manifest.digest)?;
        let bytes = images.store().read_blob(&manifest.digest)?;
        let parsed: Manifest =
            serde_json::from_slice(&bytes).map_err(Error::json(format!("manifest {}", manifest.digest)))?;
        for blob in parsed.layers.iter().chain([&parsed.config]) {
            lease.protect(&blob.digest)?;
        }
        // It may have been removed before the lease protected it.
        if !images.store().has(&manifest.digest) || !images.store().has(&parsed.config.digest) {
            return Err(missing());
        }
        let before = manifest.digest.clone();
        let repacked = images.repack(&manifest, packing)?;
        let manifest = repacked.as_ref().map_or(manifest, |made| made.manifest().clone());
        let repacked = repacked.map(|made| (made, before));
        Ok(StoreSource { images, image, manifest, repacked, _lease: lease })
    }

    /// The image.
    pub fn image(&self) -> &Image {
        &self.image
    }
}

impl Source for StoreSource<'_> {
    fn describe(&self) -> String {
        format!("image {}", self.image.id.short())
    }

    fn root(&self) -> Result<Document, Error> {
        self.manifest(&self.manifest)
    }

    fn digest_before(&self) -> Option<&Digest> {
        self.repacked.as_ref().map(|(_, before)| before).filter(|before| **before != self.manifest.digest)
    }

    fn manifest(&self, entry: &Descriptor) -> Result<Document, Error> {
        let bytes = self.images.store().read_blob(&entry.digest)?;
        let mut document = Document::from_bytes(bytes, &entry.media_type, &format!("manifest {}", entry.digest))?;
        document.digest = entry.digest.clone();
        Ok(document)
    }

    fn blob(&self, blob: &Descriptor) -> Result<Box<dyn Read + '_>, Error> {
        Ok(Box::new(self.images.store().open_blob(&blob.digest)?))
    }
}

/// The store, taking one image. Dropped before it is finished it leaves nothing behind.
pub struct StoreDestination<'a> {
    images: &'a Images,
    /// `None` once it is finished.
    intake: Option<Intake<'a>>,
    names: Vec<Reference>,
    configs: Mutex<HashMap<Digest, Vec<u8>>>,
    root: Mutex<Option<Document>>,
}

impl<'a> StoreDestination<'a> {
    /// An image that will have these names; without any it is known by its ID.
    ///
    /// # Errors
    /// If the store refuses.
    pub fn new(images: &'a Images, names: Vec<Reference>) -> Result<Self, Error> {
        let intake = Some(images.intake()?);
        Ok(StoreDestination { images, intake, names, configs: Mutex::default(), root: Mutex::default() })
    }

    fn intake(&self) -> Result<&Intake<'a>, Error> {
        self.intake.as_ref().ok_or_else(|| Error::Unsupported("the copy is finished".to_owned()))
    }
}

impl Drop for StoreDestination<'_> {
    fn drop(&mut self) {
        // Its lease first, or nothing would go. What stays now goes with the next collection.
        if self.intake.take().is_some() {
            let _ = self.images.collect();
        }
    }
}

impl Destination for StoreDestination<'_> {
    fn accepts(&self, kind: &str) -> bool {
        matches!(kind, media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST)
    }

    /// A layer is more than one thread's work already.
    fn parallel(&self) -> usize {
        3
    }

    fn put_blob(&self, blob: Blob<'_>, source: &dyn Source, progress: &dyn Fn(u64)) -> Result<Phase, Error> {
        let Some(diff_id) = blob.diff_id else {
            let bytes = whole(source, blob.descriptor)?;
            progress(blob.descriptor.size);
            self.configs.lock().unwrap_or_else(PoisonError::into_inner).insert(blob.descriptor.digest.clone(), bytes);
            return Ok(Phase::Done);
        };
        let failed =
            |source| Error::Image(carboy_image::ImageError::Layer { digest: blob.descriptor.digest.clone(), source });
        let Some(layer) = self.intake()?.begin_layer(blob.descriptor, diff_id).map_err(failed)? else {
            return Ok(Phase::Exists);
        };
        let mut counted = Counted { reader: source.blob(blob.descriptor)?, read: 0, progress };
        layer.run(&mut counted, &|_| {}).map_err(failed)?;
        Ok(Phase::Done)
    }

    fn put_manifest(&self, document: &Document, parsed: Option<&Manifest>, _: bool) -> Result<(), Error> {
        if parsed.is_none() {
            return Err(Error::Unsupported("the store keeps images of one platform, not lists of images".to_owned()));
        }
        *self.root.lock().unwrap_or_else(PoisonError::into_inner) = Some(document.clone());
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), Error> {
        let root = self.root.lock().unwrap_or_else(PoisonError::into_inner).take();
        let root = root.ok_or_else(|| Error::NotFound("there was no image to copy".to_owned()))?;
        let manifest: Manifest =
            serde_json::from_slice(&root.bytes).map_err(Error::json(format!("manifest {}", root.digest)))?;
        let configs = std::mem::take(&mut *self.configs.lock().unwrap_or_else(PoisonError::into_inner));
        let config = configs.get(&manifest.config.digest).ok_or_else(|| {
            Error::Unsupported(format!("{} is no container image's configuration", manifest.config.digest))
        })?;
        self.intake()?.finish(&self.names, &root.media_type, &root.bytes, config)?;
        self.intake = None;
        Ok(self.images.clear_up_after_the_dead()?)
    }
}

struct Counted<'a> {
    reader: Box<dyn Read + 'a>,
    read: u64,
    progress: &'a dyn Fn(u64),
}

impl Read for Counted<'_> {
    fn read(&mut self, target: &mut [u8]) -> std::io::Result<usize> {
        let count = self.reader.read(target)?;
        self.read += count as u64;
        (self.progress)(self.read);
        Ok(count)
    }
}
