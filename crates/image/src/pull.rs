//! Pulling: from a reference to an image in the store, over the registry client, with layers in parallel.
//!
//! ```text
//! reference ─ resolve ─▶ manifest of the platform ─▶ configuration ─▶ layers, several at once ─▶ Intake::finish ─▶ names
//!             (HEAD only, if what we have is what the tag means)       BlobReader ─▶ LayerIngest::run
//! ```
//! No layer touches the disk but in the form the store keeps. The first error ends the other transfers, and a collection takes what was
//! finished before it. What SIGKILL leaves has no name and no lease any more: the next pull reuses it until a collection takes it.

mod check;
mod error;
mod layers;
pub mod platform;
mod progress;
mod resolve;

#[cfg(feature = "fuzz")]
pub(crate) use check::manifest as check_manifest;
pub(crate) use error::kind_of;
pub use error::{PullError, PullErrorKind};
pub use platform::{ParsePlatformError, Wanted};
pub use progress::{Event, LayerPhase, NoProgress, Progress};

use crate::{Image, Images, Intake};
use carboy_distribution::{Client, Repository, Target};
use carboy_oci::{Digest, Reference};

/// How to pull.
#[derive(Debug, Clone, Default)]
pub struct PullOptions {
    /// The platform that was asked for; the host's if `None`.
    pub platform: Option<Wanted>,
    /// Layers taken in at once; the default if `None`.
    pub parallel: Option<usize>,
    /// Whether the layers' blobs are dropped once the layers are here; as the store's settings say if `None`.
    pub drop_blobs: Option<bool>,
    /// Connections for one large layer. `None`: one on this machine, where more would only cost; elsewhere as many as other layers leave.
    pub connections: Option<usize>,
}

/// The outcome of a pull.
#[derive(Debug, Clone, PartialEq)]
pub struct Pulled {
    /// The image.
    pub image: Image,
    /// What the reference means at the registry: the digest of the index or manifest behind the tag.
    pub digest: Digest,
    /// Whether the name was new or meant something else before.
    pub is_new: bool,
}

/// Pulls what `reference` means and gives it that name. If that is here already it costs one HEAD request, and none at all if the
/// reference has a digest.
///
/// # Errors
/// See [`PullError`]. Then no name has changed.
pub fn pull(
    images: &Images,
    registry: &Client,
    reference: &Reference,
    options: &PullOptions,
    progress: &dyn Progress,
) -> Result<Pulled, PullError> {
    let intake = images.intake()?.dropping_blobs(options.drop_blobs.unwrap_or(images.drops_blobs()));
    let result = take_in(images, &intake, &registry.repository(reference), reference, options, progress);
    if result.is_err() {
        // Its lease first, or nothing would go. The pull's own error is the one to report.
        drop(intake);
        let _ = images.collect();
    } else {
        // What another pull left that was killed, and that this one had no use for.
        drop(intake);
        images.clear_up_after_the_dead()?;
    }
    result
}

fn take_in(
    images: &Images,
    intake: &Intake<'_>,
    repository: &Repository,
    reference: &Reference,
    options: &PullOptions,
    progress: &dyn Progress,
) -> Result<Pulled, PullError> {
    let wanted = options.platform.clone().unwrap_or_else(Wanted::host);
    let target = resolve::current_target(images, repository, reference)?;
    if let Target::Digest(digest) = &target
        && let Some(image) = resolve::present(images, intake, reference, digest, &wanted)?
    {
        progress.event(Event::Started(reference));
        progress.event(Event::Finished { digest, is_new: false });
        return Ok(Pulled { image, digest: digest.clone(), is_new: false });
    }
    let strict = options.platform.is_some();
    let chosen = match resolve::choose(images, repository, &target, &wanted, strict) {
        // The tag was moved after it was looked up, and what it meant is gone already.
        Err(error) if error.kind() == PullErrorKind::NotFound && target != Target::of(reference) => {
            resolve::choose(images, repository, &Target::of(reference), &wanted, strict)?
        }
        other => other?,
    };
    progress.event(Event::Started(reference));
    let (manifest, config) =
        resolve::configuration(images, repository, reference, &chosen, (&wanted, strict), progress)?;
    layers::pull(intake, repository, &manifest, &config.parsed.rootfs.diff_ids, options, progress)?;

    let names = names(reference, &chosen.top);
    let before = images.store().get_ref(&names[0])?;
    let image = intake.finish(&names, &chosen.manifest.media_type, &chosen.manifest.bytes, &config.bytes)?;
    let is_new = before.is_none_or(|before| before.digest != image.manifest.digest);
    progress.event(Event::Finished { digest: &chosen.top, is_new });
    Ok(Pulled { image, digest: chosen.top, is_new })
}

/// The names a pulled image gets: what was asked for, and the repository with the digest that the tag meant, which is how the next pull
/// of the same tag knows with one HEAD that nothing has changed.
fn names(reference: &Reference, top: &Digest) -> Vec<Reference> {
    let by_digest = reference.with_digest(top.clone());
    if reference.digest().is_some() { vec![by_digest] } else { vec![reference.clone(), by_digest] }
}
