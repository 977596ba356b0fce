//! Finding an image by what a person types: a name, a name with a digest, an ID, the beginning of an ID.

use crate::{Image, ImageError, Images};
use carboy_oci::{Digest, Reference};

impl Images {
    /// Finds an image as Docker does: a whole ID first, then a name, then the beginning of an ID.
    ///
    /// # Errors
    /// [`ImageError::Ambiguous`] if several IDs begin like that.
    pub fn find(&self, text: &str) -> Result<Option<Image>, ImageError> {
        let images = self.list()?;
        if let Some(id) = whole_id(text) {
            return Ok(images.into_iter().find(|image| image.id == id));
        }
        let name = Reference::parse(text);
        if let Ok(name) = &name
            && let Some(image) = images.iter().find(|image| is_called(image, name))
        {
            return Ok(Some(image.clone()));
        }
        let prefix = text.strip_prefix("sha256:").unwrap_or(text);
        if !prefix.is_empty() && prefix.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            let mut found = images.into_iter().filter(|image| image.id.hex().starts_with(prefix));
            return match (found.next(), found.next()) {
                (_, Some(_)) => Err(ImageError::Ambiguous(text.to_owned())),
                (image, None) => Ok(image),
            };
        }
        name?;
        Ok(None)
    }
}

fn whole_id(text: &str) -> Option<Digest> {
    text.parse().or_else(|_| format!("sha256:{text}").parse()).ok()
}

/// With a digest in the name, the digest decides and a tag is not looked at (Docker does the same).
pub(crate) fn is_called(image: &Image, name: &Reference) -> bool {
    match name.digest() {
        None => image.names.contains(name),
        Some(digest) => image.names.iter().any(|known| {
            known.repository() == name.repository()
                && (known.digest() == Some(digest) || image.manifest.digest == *digest)
        }),
    }
}
