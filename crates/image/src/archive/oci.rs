//! OCI image layout (image-spec, "Image Layout"): `index.json`, and blobs by their digest.

use super::members::Members;
use super::{Found, docker};
use crate::ImageError;
use crate::pull::Wanted;
use carboy_oci::image::{Descriptor, Index, Manifest, media_type};
use carboy_oci::{Digest, Reference};
use carboy_store::{Hasher, StoreError};

/// Indexes within indexes that are followed.
const DEPTH_LIMIT: usize = 4;
/// containerd's annotation: the whole name.
const WHOLE_NAME: &str = "io.containerd.image.name";
/// The standard's: a name or only a tag.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The images of the layout: each entry of the index, in the manifest for this platform.
pub(super) fn find(members: &Members) -> Result<Vec<Found>, ImageError> {
    let index: Index = parse("index.json", &members.document("index.json")?)?;
    super::check_count("images", index.manifests.len(), super::MAX_IMAGES)?;
    let names = docker::Names::read(members)?;
    let wanted = Wanted::host();
    let mut found = Vec::new();
    for entry in &index.manifests {
        // Entries that are alternatives for each other carry their platform.
        if entry.platform.as_ref().is_some_and(|p| !wanted.accepts(&p.os, &p.architecture, p.variant.as_deref())) {
            continue;
        }
        if let Some((descriptor, manifest)) = resolve(members, entry, &wanted)? {
            let image = image(members, &names, entry, &descriptor, manifest)?;
            // One image under several names has an entry for each.
            match found.iter_mut().find(|known: &&mut Found| known.manifest == image.manifest) {
                Some(known) => {
                    let new = image.names.into_iter().filter(|name| !known.names.contains(name)).collect::<Vec<_>>();
                    known.names.extend(new);
                }
                None => found.push(image),
            }
        }
    }
    Ok(found)
}

/// Follows indexes to the manifest for this platform; `None` if there is none.
fn resolve(
    members: &Members,
    entry: &Descriptor,
    wanted: &Wanted,
) -> Result<Option<(Descriptor, Vec<u8>)>, ImageError> {
    let mut entry = entry.clone();
    for _ in 0..DEPTH_LIMIT {
        let bytes = blob(members, &entry.digest)?;
        match entry.media_type.as_str() {
            media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST => return Ok(Some((entry, bytes))),
            media_type::OCI_INDEX | media_type::DOCKER_LIST => {
                let index: Index = parse("image index", &bytes)?;
                let Some(best) = wanted.best(&index.manifests) else { return Ok(None) };
                entry = best.clone();
            }
            other => {
                return Err(ImageError::Inconsistent(format!(
                    "the layout's index has an entry of the unknown type {other:?}"
                )));
            }
        }
    }
    Err(ImageError::Inconsistent(format!("image indexes are nested more than {DEPTH_LIMIT} deep")))
}

fn image(
    members: &Members,
    names: &docker::Names,
    entry: &Descriptor,
    descriptor: &Descriptor,
    manifest: Vec<u8>,
) -> Result<Found, ImageError> {
    let parsed: Manifest = parse("image manifest", &manifest)?;
    let config = blob(members, &parsed.config.digest)?;
    let mut names = names.of(&parsed.config.digest)?;
    if let Some(name) = entry.annotations.get(WHOLE_NAME).or(entry.annotations.get(REF_NAME)) {
        let name = Reference::parse(name)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let layers = parsed.layers.iter().map(|layer| blob_name(&layer.digest)).collect();
    Ok(Found { names, media_type: descriptor.media_type.clone(), manifest, parsed, config, layers })
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

/// Reads a small blob and checks its digest.
fn blob(members: &Members, digest: &Digest) -> Result<Vec<u8>, ImageError> {
    let bytes = members.document(&blob_name(digest))?;
    let mut hasher = Hasher::like(digest);
    hasher.update(&bytes);
    let actual = hasher.finish();
    if actual != *digest {
        return Err(StoreError::Digest { expected: digest.clone(), actual }.into());
    }
    Ok(bytes)
}

fn parse<T: serde::de::DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, ImageError> {
    serde_json::from_slice(bytes).map_err(|e| ImageError::invalid(format!("{what} of the archive"), e))
}
