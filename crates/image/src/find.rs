//! Finding an image by what a person types: a name, a name with a digest, an ID, the beginning of an ID.

use crate::images::Known;
use crate::{Image, ImageError, Images};
use carboy_oci::{Digest, Reference};

impl Images {
    /// Finds an image as Docker does: a whole ID first, then a name, then the beginning of an ID.
    ///
    /// # Errors
    /// [`ImageError::Ambiguous`] if several IDs begin like that.
    pub fn find(&self, text: &str) -> Result<Option<Image>, ImageError> {
        let found = self.find_known(text)?;
        found.map_or(Ok(None), |known| self.load_image(known))
    }

    /// Other images are not looked into: one that is damaged is in nobody's way.
    fn find_known(&self, text: &str) -> Result<Option<Known>, ImageError> {
        let mut all = self.known()?;
        if let Some(id) = whole_id(text) {
            return Ok(all.into_iter().find(|known| known.id == id));
        }
        let name = Reference::parse(text);
        if let Ok(name) = &name
            && let Some(at) = all.iter().position(|known| names_call(&known.names, &known.manifest.digest, name))
        {
            return Ok(Some(all.swap_remove(at)));
        }
        let prefix = text.strip_prefix("sha256:").unwrap_or(text);
        if !prefix.is_empty() && prefix.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            let mut found = all.into_iter().filter(|known| known.id.hex().starts_with(prefix));
            return match (found.next(), found.next()) {
                (_, Some(_)) => Err(ImageError::Ambiguous(text.to_owned())),
                (known, None) => Ok(known),
            };
        }
        name?;
        Ok(None)
    }
}

fn whole_id(text: &str) -> Option<Digest> {
    text.parse().or_else(|_| format!("sha256:{text}").parse()).ok()
}

/// Whether an image has this name.
pub(crate) fn is_called(image: &Image, name: &Reference) -> bool {
    names_call(&image.names, &image.manifest.digest, name)
}

/// With a digest in the name, the digest decides and a tag is not looked at (Docker does the same).
fn names_call(names: &[Reference], manifest: &Digest, name: &Reference) -> bool {
    match name.digest() {
        None => names.contains(name),
        Some(digest) => names.iter().any(|known| {
            known.repository() == name.repository() && (known.digest() == Some(digest) || manifest == digest)
        }),
    }
}
