//! From a reference to one manifest and its configuration, asking the registry for nothing that the store has.

use super::{Event, Progress, PullError, Wanted, check, platform};
use crate::{Image, Images, Intake};
use carboy_distribution::{Manifest, Repository, Target};
use carboy_oci::image::{ImageConfig, Index, Manifest as ImageManifest, media_type};
use carboy_oci::{Digest, Reference};

/// The largest configuration, in bytes.
const CONFIG_LIMIT: u64 = 8 * 1024 * 1024;

/// Indexes may hold indexes, but nobody nests them deeply, and a chain without end must end.
const MAX_DEPTH: usize = 4;

/// The manifest of the wanted platform.
pub(super) struct Chosen {
    /// What the reference means: the digest of the outermost index, or of the manifest itself.
    pub(super) top: Digest,
    pub(super) manifest: Manifest,
}

/// A configuration as it came and as it reads.
pub(super) struct Config {
    pub(super) bytes: Vec<u8>,
    pub(super) parsed: ImageConfig,
}

/// What to ask for. A tag that is known here is looked up by HEAD first: registries count that less, and it often is all that is needed.
pub(super) fn current_target(
    images: &Images,
    repository: &Repository,
    reference: &Reference,
) -> Result<Target, PullError> {
    let target = Target::of(reference);
    if matches!(target, Target::Tag(_)) && images.store().get_ref(reference)?.is_some() {
        let head = repository.manifest_head(&target)?;
        return Ok(head.map_or(target, |head| Target::Digest(head.digest)));
    }
    Ok(target)
}

/// The image that `digest` means in this repository, if it is here, whole, of the wanted platform and named like this.
pub(super) fn present(
    images: &Images,
    intake: &Intake<'_>,
    reference: &Reference,
    digest: &Digest,
    wanted: &Wanted,
) -> Result<Option<Image>, PullError> {
    let store = images.store();
    let Some(manifest) = store.get_ref(&reference.with_digest(digest.clone()))? else { return Ok(None) };
    if reference.digest().is_none() && store.get_ref(reference)?.as_ref() != Some(&manifest) {
        return Ok(None);
    }
    let Ok(bytes) = store.read_blob(&manifest.digest) else { return Ok(None) };
    let Ok(parsed) = serde_json::from_slice::<ImageManifest>(&bytes) else { return Ok(None) };
    // An unreadable or incomplete image is pulled again, which repairs it.
    let Ok(Some(image)) = images.get(&parsed.config.digest) else { return Ok(None) };
    let config = &image.config;
    if !wanted.accepts(&config.os, &config.architecture, config.variant.as_deref()) {
        return Ok(None);
    }
    for (blob, diff_id) in parsed.layers.iter().zip(image.layers()) {
        let has = intake.has_layer(blob, diff_id);
        if !has.map_err(|source| PullError::Layer { digest: blob.digest.clone(), source })? {
            return Ok(None);
        }
    }
    Ok(Some(image))
}

/// Fetches what `target` means, and descends through indexes to the best manifest for the wanted platform.
pub(super) fn choose(
    images: &Images,
    repository: &Repository,
    target: &Target,
    wanted: &Wanted,
    strict: bool,
) -> Result<Chosen, PullError> {
    let mut manifest = fetch(images, repository, target)?;
    let top = manifest.digest.clone();
    for _ in 0..MAX_DEPTH {
        if !matches!(manifest.media_type.as_str(), media_type::OCI_INDEX | media_type::DOCKER_LIST) {
            return Ok(Chosen { top, manifest });
        }
        let index: Index = parse("index", repository.name(), &manifest.bytes)?;
        let best = wanted.best(&index.manifests).filter(|entry| !strict || same_architecture(entry, wanted));
        let Some(best) = best else {
            let platforms = index.manifests.iter().filter_map(|entry| entry.platform.as_ref());
            let shown = platforms.map(|p| platform::display(&p.os, &p.architecture, p.variant.as_deref()));
            let available = shown.filter(|text| text != "unknown/unknown").collect::<Vec<_>>().join(", ");
            return Err(PullError::NoPlatform { wanted: wanted.to_string(), available });
        };
        manifest = fetch(images, repository, &Target::Digest(best.digest.clone()))?;
    }
    Err(PullError::Nested(repository.name().to_owned()))
}

/// Who asks for a platform by name wants no relative of it, such as 386 for amd64.
fn same_architecture(entry: &carboy_oci::image::Descriptor, wanted: &Wanted) -> bool {
    entry.platform.as_ref().is_none_or(|platform| wanted.is_architecture(&platform.architecture))
}

/// A manifest from the store if it is there, else from the registry.
fn fetch(images: &Images, repository: &Repository, target: &Target) -> Result<Manifest, PullError> {
    if let Target::Digest(digest) = target
        && images.store().has(digest)
        && let Ok(bytes) = images.store().read_blob(digest)
        && let Ok(parsed) = serde_json::from_slice::<ImageManifest>(&bytes)
    {
        let media_type = parsed.media_type.unwrap_or_else(|| media_type::OCI_MANIFEST.to_owned());
        return Ok(Manifest { media_type, digest: digest.clone(), bytes });
    }
    Ok(repository.manifest(target)?)
}

/// The configuration of a manifest, after both were found to be usable and to belong together.
pub(super) fn configuration(
    images: &Images,
    repository: &Repository,
    reference: &Reference,
    chosen: &Chosen,
    (wanted, strict): (&Wanted, bool),
    progress: &dyn Progress,
) -> Result<(ImageManifest, Config), PullError> {
    let name = reference.familiar();
    let manifest: ImageManifest = parse("manifest", &name, &chosen.manifest.bytes)?;
    check::manifest(&name, &manifest)?;
    let store = images.store();
    let bytes = match store.read_blob(&manifest.config.digest) {
        Ok(bytes) => bytes,
        Err(_) => repository.blob_bytes(&manifest.config, CONFIG_LIMIT)?,
    };
    let parsed: ImageConfig = parse("configuration", &name, &bytes)?;
    let (layers, diff_ids) = (manifest.layers.len(), parsed.rootfs.diff_ids.len());
    if layers != diff_ids {
        let why = format!("its manifest has {layers} layers, its configuration names {diff_ids}");
        return Err(PullError::Unsupported { reference: name, why });
    }
    if !wanted.accepts(&parsed.os, &parsed.architecture, parsed.variant.as_deref()) {
        let actual = platform::display(&parsed.os, &parsed.architecture, parsed.variant.as_deref());
        // As with the peers: a list, or whoever asks, may know better than the configuration. What runs it will look again.
        let warning = match strict {
            true => format!(
                "image with reference {name} was found but does not match the specified platform: wanted {wanted}, actual: {actual}"
            ),
            false => format!(
                "the requested image's platform ({actual}) does not match the detected host platform ({wanted}) and no specific platform was requested"
            ),
        };
        progress.event(Event::Warning(&warning));
    }
    Ok((manifest, Config { bytes, parsed }))
}

fn parse<T: serde::de::DeserializeOwned>(what: &'static str, reference: &str, bytes: &[u8]) -> Result<T, PullError> {
    serde_json::from_slice(bytes).map_err(|source| PullError::Json { what, reference: reference.to_owned(), source })
}
