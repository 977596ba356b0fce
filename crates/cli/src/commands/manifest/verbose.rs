//! `manifest inspect --verbose`: each manifest with its bytes, its platform and where it is, in Docker's shape.

use crate::args::RegistryArgs;
use crate::commands::copy::{Places, config_bytes, failure, location};
use crate::failure::Failure;
use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use carboy_distribution::Manifest as Document;
use carboy_oci::Reference;
use carboy_oci::image::{Descriptor, ImageConfig, Index, Manifest, Platform, media_type};
use carboy_transport::{List, Location, Source};
use serde_json::{Value, json};

/// The images of a list that is made here.
pub(super) fn of_list(places: &Places<'_>, list: &List, registry: &RegistryArgs) -> Result<Value, Failure> {
    let mut shown = Vec::new();
    for entry in &list.entries {
        let source = places.source(&location(&entry.from)?, registry)?;
        let root = source.root().map_err(failure)?;
        let document = match root.digest == entry.descriptor.digest {
            true => root,
            false => source.manifest(&entry.descriptor).map_err(failure)?,
        };
        let name = entry.from.strip_prefix("docker://").unwrap_or(&entry.from);
        shown.push(one(name, &entry.descriptor, &document)?);
    }
    Ok(Value::Array(shown))
}

/// What is in another place, or in the store: an image as one object, the images of a list as an array.
pub(super) fn of_place(places: &Places<'_>, place: &Location, registry: &RegistryArgs) -> Result<Value, Failure> {
    let source = places.source(place, registry)?;
    let root = source.root().map_err(failure)?;
    let name = match place {
        Location::Registry(name) => name.to_string(),
        Location::Store(name) => Reference::parse(name).map_or(name.clone(), |name| name.to_string()),
        other => other.to_string(),
    };
    if !root.is_index() {
        let descriptor = described(&*source, &root)?;
        return one(&name, &descriptor, &root);
    }
    let index: Index = serde_json::from_slice(&root.bytes).context("list of images")?;
    let mut shown = Vec::new();
    for entry in &index.manifests {
        let document = source.manifest(entry).map_err(failure)?;
        shown.push(one(&format!("{name}@{}", entry.digest), entry, &document)?);
    }
    Ok(Value::Array(shown))
}

/// The descriptor that a list would have of an image: the platform is the one of its configuration.
fn described(source: &dyn Source, document: &Document) -> Result<Descriptor, Failure> {
    let manifest: Manifest = serde_json::from_slice(&document.bytes).context("manifest")?;
    let bytes = config_bytes(source, &manifest)?;
    // An artifact's configuration is no image's.
    let config: Option<ImageConfig> = serde_json::from_slice(&bytes).ok();
    let platform = config.filter(|config| !config.architecture.is_empty()).map(|config| Platform {
        architecture: config.architecture,
        os: config.os,
        variant: config.variant,
        os_version: config.os_version,
        os_features: config.os_features,
    });
    let size = document.bytes.len() as u64;
    Ok(Descriptor {
        media_type: document.media_type.clone(),
        digest: document.digest.clone(),
        size,
        urls: Vec::new(),
        annotations: Default::default(),
        platform,
        artifact_type: None,
    })
}

fn one(name: &str, descriptor: &Descriptor, document: &Document) -> Result<Value, Failure> {
    let mut value = json!({ "Ref": name, "Descriptor": descriptor, "Raw": STANDARD.encode(&document.bytes) });
    let field = match document.media_type.as_str() {
        media_type::OCI_MANIFEST => Some("OCIManifest"),
        media_type::DOCKER_MANIFEST => Some("SchemaV2Manifest"),
        // A list within a list is shown by its bytes alone.
        _ => None,
    };
    if let (Some(field), Some(object)) = (field, value.as_object_mut()) {
        object.insert(field.to_owned(), serde_json::from_slice(&document.bytes).context("manifest")?);
    }
    Ok(value)
}
