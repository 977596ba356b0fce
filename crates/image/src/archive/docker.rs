//! docker-archive: `manifest.json` names a configuration, layers and names. There is no manifest as registries have it; one is written
//! here, of Docker's kind.

use super::Found;
use super::members::Members;
use crate::ImageError;
use crate::layer::Format;
use carboy_oci::image::{Descriptor, ImageConfig, Manifest, media_type};
use carboy_oci::{Digest, Reference};
use carboy_store::Hasher;
use serde::Deserialize;
use std::io::Read;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// The images of the archive.
pub(super) fn find(members: &Members) -> Result<Vec<Found>, ImageError> {
    entries(members)?.into_iter().map(|entry| found(members, entry)).collect()
}

/// What `manifest.json` says, in archives that are of both kinds.
#[derive(Default)]
pub(super) struct Names(Vec<Entry>);

impl Names {
    pub(super) fn read(members: &Members) -> Result<Names, ImageError> {
        if members.has("manifest.json") { entries(members).map(Names) } else { Ok(Names::default()) }
    }

    /// The names that it gives to an image, by its configuration's digest.
    pub(super) fn of(&self, config: &Digest) -> Result<Vec<Reference>, ImageError> {
        let entry = self.0.iter().find(|entry| entry.config.contains(config.hex()));
        entry.map_or(Ok(Vec::new()), names)
    }
}

fn entries(members: &Members) -> Result<Vec<Entry>, ImageError> {
    let bytes = members.document("manifest.json")?;
    let entries: Vec<Entry> =
        serde_json::from_slice(&bytes).map_err(|e| ImageError::invalid("manifest.json of the archive", e))?;
    super::check_count("images", entries.len(), super::MAX_IMAGES).map(|()| entries)
}

fn names(entry: &Entry) -> Result<Vec<Reference>, ImageError> {
    entry.repo_tags.iter().flatten().map(|name| Ok(Reference::parse(name)?)).collect()
}

fn found(members: &Members, entry: Entry) -> Result<Found, ImageError> {
    let config = members.document(&entry.config)?;
    let parsed: ImageConfig =
        serde_json::from_slice(&config).map_err(|e| ImageError::invalid("image configuration", e))?;
    let layers = entry.layers.clone().unwrap_or_default();
    if layers.len() != parsed.rootfs.diff_ids.len() {
        return Err(ImageError::Inconsistent(format!(
            "manifest.json and {} do not belong together: {} layers, {} diff IDs",
            entry.config,
            layers.len(),
            parsed.rootfs.diff_ids.len()
        )));
    }
    let descriptors =
        layers.iter().zip(&parsed.rootfs.diff_ids).map(|(layer, diff_id)| layer_descriptor(members, layer, diff_id));
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type::DOCKER_MANIFEST.to_owned()),
        artifact_type: None,
        config: descriptor(media_type::DOCKER_CONFIG, Hasher::digest_of(&config), config.len() as u64),
        layers: descriptors.collect::<Result<_, _>>()?,
        subject: None,
        annotations: Default::default(),
    };
    let bytes = serde_json::to_vec(&manifest).map_err(|e| ImageError::invalid("manifest", e))?;
    Ok(Found {
        names: names(&entry)?,
        media_type: media_type::DOCKER_MANIFEST.to_owned(),
        manifest: bytes,
        parsed: manifest,
        config,
        layers,
    })
}

/// A layer's descriptor. A plain tar has the digest that the configuration names, which is checked when it is taken in; a
/// compressed one has to be hashed first.
fn layer_descriptor(members: &Members, name: &str, diff_id: &Digest) -> Result<Descriptor, ImageError> {
    let (mut reader, size) = members.open_member(name)?;
    let unreadable = |e| ImageError::invalid(format!("{name} in the archive"), e);
    let mut buffer = vec![0; 256 << 10];
    let mut begin = Vec::new();
    (&mut reader).take(4).read_to_end(&mut begin).map_err(unreadable)?;
    let media_type = match Format::of(&begin) {
        // The others are told of archives only.
        Format::Plain | Format::Xz | Format::Bzip2 => {
            return Ok(descriptor(media_type::DOCKER_LAYER, diff_id.clone(), size));
        }
        Format::Gzip => media_type::DOCKER_LAYER_GZIP,
        Format::Zstd => media_type::OCI_LAYER_ZSTD,
    };
    let mut hasher = Hasher::sha256();
    hasher.update(&begin);
    loop {
        let count = reader.read(&mut buffer).map_err(unreadable)?;
        if count == 0 {
            return Ok(descriptor(media_type, hasher.finish(), size));
        }
        hasher.update(&buffer[..count]);
    }
}

fn descriptor(media_type: &str, digest: Digest, size: u64) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest,
        size,
        urls: Vec::new(),
        annotations: Default::default(),
        platform: None,
        artifact_type: None,
    }
}
