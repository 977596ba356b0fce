//! Removing images and names with Docker's meaning: a name goes first, and the image with its last name.

use crate::find::is_called;
use crate::{Garbage, Image, ImageError, Images};
use carboy_oci::{Digest, Reference};
use carboy_store::Hasher;
use std::fmt;
use std::time::Duration;

/// A container that uses an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUser {
    /// Container ID.
    pub container: String,
    /// Whether it runs.
    pub running: bool,
}

/// What was removed, displayed as Docker prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A name.
    Untagged(Reference),
    /// An image (its ID) or a layer (its chain ID).
    Deleted(Digest),
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Removed::Untagged(name) => write!(f, "Untagged: {}", name.familiar()),
            Removed::Deleted(digest) => write!(f, "Deleted: {digest}"),
        }
    }
}

impl Images {
    /// Removes the name or image that `text` means. `in_use` answers which container uses an image, a running one if there is one.
    ///
    /// # Errors
    /// [`ImageError::NotFound`]; [`ImageError::Conflict`] if a container uses it, or an ID with several names was given without `force`.
    pub fn remove(
        &self,
        text: &str,
        force: bool,
        in_use: &dyn Fn(&Image) -> Option<ImageUser>,
    ) -> Result<Vec<Removed>, ImageError> {
        let (removed, garbage) = self.remove_to_trash(text, force, in_use)?;
        garbage.map_or(Ok(0), |garbage| garbage.empty(&self.store))?;
        Ok(removed)
    }

    /// [`Images::remove`] without the part that takes its time. If there is garbage, it is up to the caller to have it emptied.
    pub fn remove_to_trash(
        &self,
        text: &str,
        force: bool,
        in_use: &dyn Fn(&Image) -> Option<ImageUser>,
    ) -> Result<(Vec<Removed>, Option<Garbage>), ImageError> {
        let image = self.find(text)?.ok_or_else(|| ImageError::NotFound(text.to_owned()))?;
        let user = in_use(&image);
        let mut removed = Vec::new();
        let mut going = image.names.clone();
        let named = Reference::parse(text).ok().filter(|name| is_called(&image, name));
        if let Some(name) = named {
            if let Some(user) = user.as_ref().filter(|_| !force && is_single(&image.names)) {
                let (container, id) = (short(&user.container), image.id.short());
                return Err(ImageError::Conflict(format!(
                    "unable to remove repository reference {text:?} (must force) - container {container} is using its \
                     referenced image {id}"
                )));
            }
            going = names_that_go(&image, &name);
            if going.is_empty() {
                return Err(ImageError::NotFound(name.familiar()));
            }
            // The image of a running container loses its name, but stays.
            if going.len() < image.names.len() || user.is_some_and(|user| user.running) {
                if self.store.get_image(&image.id)?.is_none() {
                    self.store.set_image(&image.id, &image.manifest)?;
                }
                self.untag(&going, &mut removed)?;
                // What a killed pull left goes with the next removal, be it only of a name.
                let has_left = self.store.has_dead_leases(Duration::ZERO)?;
                let garbage = has_left.then(|| self.collect_to_trash()).transpose()?;
                return Ok((removed, garbage.map(|(_, garbage)| garbage)));
            }
        } else {
            self.check_removable(&image, force, user.as_ref(), !is_single(&image.names))?;
        }
        // The record before the names: a removal that is cut short leaves an image that still has a name.
        self.store.remove_image(&image.id)?;
        self.untag(&going, &mut removed)?;
        removed.push(Removed::Deleted(image.id.clone()));
        let (collected, garbage) = self.collect_to_trash()?;
        let gone = |diff_id: &Digest| collected.layers.iter().any(|hex| hex == diff_id.hex());
        let chains = chain_ids(image.layers());
        let deleted = image.layers().iter().zip(chains).rev().filter(|(diff_id, _)| gone(diff_id));
        removed.extend(deleted.map(|(_, chain)| Removed::Deleted(chain)));
        Ok((removed, Some(garbage)))
    }

    /// Docker's conflicts of a removal by ID.
    fn check_removable(
        &self,
        image: &Image,
        force: bool,
        user: Option<&ImageUser>,
        many_names: bool,
    ) -> Result<(), ImageError> {
        let id = image.id.short();
        let conflict = |how: &str, why: String| {
            Err(ImageError::Conflict(format!("unable to delete {id} ({how}) - image is {why}")))
        };
        if let Some(user) = user.filter(|user| user.running) {
            return conflict("cannot be forced", format!("being used by running container {}", short(&user.container)));
        }
        if many_names && !force {
            return conflict("must be forced", "referenced in multiple repositories".to_owned());
        }
        match user {
            Some(user) if !force => {
                conflict("must be forced", format!("being used by stopped container {}", short(&user.container)))
            }
            _ => Ok(()),
        }
    }

    fn untag(&self, names: &[Reference], removed: &mut Vec<Removed>) -> Result<(), ImageError> {
        for name in names {
            if self.store.remove_ref(name)? {
                removed.push(Removed::Untagged(name.clone()));
            }
        }
        Ok(())
    }
}

/// What goes with one name: itself, and the names with a digest of the same repository if no tag of it is left.
fn names_that_go(image: &Image, name: &Reference) -> Vec<Reference> {
    let same = |known: &Reference| known.repository() == name.repository();
    // A name with a digest may have found the image by its manifest's digest.
    let found = |known: &Reference| known == name || (name.digest().is_some() && known.digest() == name.digest());
    let (mut going, left): (Vec<Reference>, Vec<Reference>) =
        image.names.iter().cloned().partition(|known| same(known) && found(known));
    let tagged = left.iter().any(|known| same(known) && known.digest().is_none());
    if !going.is_empty() && name.digest().is_none() && !tagged {
        going.extend(left.into_iter().filter(|known| same(known)));
    }
    going
}

/// Whether there is at most one tag, and all names are of one repository (Docker's isSingleReference).
fn is_single(names: &[Reference]) -> bool {
    let tags = names.iter().filter(|name| name.digest().is_none()).count();
    let repositories: std::collections::HashSet<String> = names.iter().map(Reference::repository).collect();
    tags <= 1 && repositories.len() <= 1
}

fn short(container: &str) -> &str {
    container.get(..12).unwrap_or(container)
}

/// Chain IDs (image-spec, "Layer ChainID"): what Docker calls its layers.
pub(crate) fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chains: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let chain = match chains.last() {
            None => diff_id.clone(),
            Some(parent) => Hasher::digest_of(format!("{parent} {diff_id}").as_bytes()),
        };
        chains.push(chain);
    }
    chains
}
