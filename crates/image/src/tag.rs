//! Giving images further names, and taking names away. An image without a name stays until it is removed.

use crate::layer::LayerRecord;
use crate::{Image, ImageError, Images};
use carboy_oci::image::Descriptor;
use carboy_oci::{Digest, Reference};

impl Images {
    /// Gives the image that `text` means the name `name`; another image that had it loses it.
    ///
    /// # Errors
    /// [`ImageError::NotFound`]; [`ImageError::Inconsistent`] if the name has a digest, which only a registry can give, or looks like one.
    pub fn tag(&self, text: &str, name: &Reference) -> Result<(), ImageError> {
        if name.digest().is_some() {
            return Err(ImageError::Inconsistent("refusing to create a tag with a digest reference".to_owned()));
        }
        // Docker's own exception: what follows would read as a digest.
        if name.familiar_repository() == "sha256" {
            let why = "refusing to create an ambiguous tag using digest algorithm as name";
            return Err(ImageError::Inconsistent(why.to_owned()));
        }
        let lease = self.store.lease()?;
        let missing = || ImageError::NotFound(text.to_owned());
        let image = self.find(text)?.ok_or_else(missing)?;
        let manifest = self.manifest_of(&image, text)?;
        let data = &image.manifest_data;
        let blobs = data.layers.iter().map(|layer| &layer.digest).chain([&manifest.digest, &image.id]);
        for digest in blobs.chain(image.layers()) {
            lease.protect(digest)?;
        }
        // It may have been removed before the lease protected it.
        if !self.store.has(&manifest.digest) || !image.layers().iter().all(|layer| self.has_layer(layer)) {
            return Err(missing());
        }
        self.store.set_ref(name, &manifest)?;
        if self.store.get_image(&image.id)?.is_none() {
            self.store.set_image(&image.id, &image.manifest)?;
        }
        drop(lease);
        self.clear_up_after_the_dead()
    }

    /// Takes names from the image that `text` means, all of them if none is given. Answers those it had.
    ///
    /// # Errors
    /// [`ImageError::NotFound`] for the image, or for a name that it does not have; then nothing has changed.
    pub fn take_names(&self, text: &str, names: &[Reference]) -> Result<Vec<Reference>, ImageError> {
        let image = self.find(text)?.ok_or_else(|| ImageError::NotFound(text.to_owned()))?;
        if let Some(unknown) = names.iter().find(|name| !image.names.contains(name)) {
            return Err(ImageError::Inconsistent(format!("{text}: no such tag: {}", unknown.familiar())));
        }
        let names = if names.is_empty() { &image.names } else { names };
        for name in names {
            self.store.remove_ref(name)?;
        }
        Ok(names.to_vec())
    }

    /// The manifest that `text` means for this image: of several (two compressions of the same layers) the one of that name.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn manifest_of(&self, image: &Image, text: &str) -> Result<Descriptor, ImageError> {
        let named = match Reference::parse(text) {
            Ok(name) if image.names.contains(&name) => self.store.get_ref(&name)?,
            _ => None,
        };
        Ok(named.unwrap_or_else(|| image.manifest.clone()))
    }

    /// Bytes of the files in a layer; `None` if it is not here.
    ///
    /// # Errors
    /// If its record cannot be read.
    pub fn layer_size(&self, diff_id: &Digest) -> Result<Option<u64>, ImageError> {
        Ok(LayerRecord::read(&self.store.layer_dir(diff_id))?.map(|record| record.size))
    }
}
