//! Images as the engine needs them: found by what a request says, the embedded one imported when first used, none removed that a
//! container uses.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::helper::run_helper;
use crate::record::Status;
use carboy_image::{EmbeddedImage, Image, ImageUser, Removed};
use carboy_oci::Reference;
use std::ffi::OsString;

/// Name of the image that is embedded in the binary.
pub const HELLO: &str = "hello";

impl Engine {
    /// The image that a name or an ID means; the embedded one is put into the store if that is meant and it is not there.
    ///
    /// # Errors
    /// If the store cannot be read, or the name is not a reference.
    pub fn find_image(&self, name: &str) -> Result<Option<Image>> {
        let found = self.images()?.find(name)?;
        if found.is_some() || !is_hello(name) || embedded().is_none() {
            return Ok(found);
        }
        if self.user_namespace.is_some() {
            let words: Vec<OsString> = vec![
                self.own_program()?.into(),
                "--root".into(),
                self.folders.root.clone().into(),
                "--runroot".into(),
                self.folders.runroot.clone().into(),
                "internal".into(),
                "import-hello".into(),
            ];
            run_helper(&self.mapped(words)?)?;
            return Ok(self.images()?.find(name)?);
        }
        self.import_hello().map(Some)
    }

    /// Puts the embedded image into the store.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn import_hello(&self) -> Result<Image> {
        let name = Reference::parse(HELLO).map_err(carboy_image::ImageError::from)?;
        let embedded = embedded().ok_or_else(|| Error::NoSuchImage(HELLO.into()))?;
        Ok(self.images()?.import_embedded(&name, &embedded)?)
    }

    /// Environment that a built-in image's program is given: what it compares its own view with.
    pub(crate) fn extra_env(&self, image: Option<&Image>) -> Vec<String> {
        let _ = image;
        Vec::new()
    }

    /// Removes an image, or one of its names, unless a container uses it.
    ///
    /// # Errors
    /// [`Error::Image`] with Docker's conflicts.
    pub fn remove_image(&self, name: &str, force: bool) -> Result<Vec<Removed>> {
        let containers = self.list()?;
        let in_use = |image: &Image| {
            let uses = |c: &&crate::record::Container| c.record.image.as_ref().is_some_and(|used| used.id == image.id);
            let users = || containers.iter().filter(uses);
            let user = users().find(|c| c.status == Status::Running).or_else(|| users().next())?;
            Some(ImageUser { container: user.record.id.clone(), running: user.status == Status::Running })
        };
        self.images()?.remove(name, force, &in_use).map_err(Error::from)
    }
}

/// Whether a name means the embedded image.
pub(crate) fn is_hello(name: &str) -> bool {
    let parse = |text: &str| Reference::parse(text).ok();
    parse(name).is_some() && parse(name) == parse(HELLO)
}

/// The embedded image.
pub(crate) fn embedded() -> Option<EmbeddedImage<'static>> {
    None
}

impl Engine {
    /// Whether a name means the image in the binary, which no registry has.
    pub fn is_embedded(&self, name: &str) -> bool {
        is_hello(name) && embedded().is_some()
    }
}
