//! `inspect TRANSPORT:…`: an image that is not in the store, in the shape that scripts know from skopeo.

use super::location;
use super::place::{Places, failure};
use super::tags::pretty;
use crate::args::{Global, InspectArgs};
use crate::failure::{Failure, Outcome};
use crate::format::Format;
use crate::{output, registry};
use anyhow::Context;
use carboy_distribution::MANIFEST_LIMIT;
use carboy_format::Env;
use carboy_oci::image::{ImageConfig, Manifest};
use carboy_transport::{Location, Source, image_manifest};
use serde_json::{Value, json};
use std::io::Read;

pub(in crate::commands) fn inspect(global: &Global, args: &InspectArgs, text: &str) -> Outcome {
    let place = location(text)?;
    let places = Places::new(global);
    let source = places.source(&place, &args.registry)?;
    let root = source.root().map_err(failure)?;
    if args.raw && !args.config {
        // The very bytes, whose digest is the image's.
        output::print(&String::from_utf8_lossy(&root.bytes))?;
        return Ok(0);
    }
    let digest = root.digest.clone();
    let chosen = image_manifest(&*source, root, None).map_err(failure)?;
    let manifest: Manifest = serde_json::from_slice(&chosen.bytes).context("manifest")?;
    let bytes = config_bytes(&*source, &manifest)?;
    if args.config && args.raw {
        output::print(&String::from_utf8_lossy(&bytes))?;
        return Ok(0);
    }
    let mut value: Value = if args.config {
        serde_json::from_slice(&bytes).context("image configuration")?
    } else {
        let config: ImageConfig = serde_json::from_slice(&bytes).context("image configuration")?;
        let tags = if args.no_tags { Vec::new() } else { tags(&place, args)? };
        shown(&place, &digest.to_string(), tags, &manifest, &config)
    };
    match args.format.as_deref().map(Format::parse).transpose()? {
        None => {
            // Templates may name them all the same, as skopeo's.
            if let Some(object) = value.as_object_mut().filter(|_| !args.config) {
                object.retain(|name, value| !["Name", "Tag"].contains(&name.as_str()) || value != "");
            }
            output::line(&pretty(&value)?)?;
        }
        // Docker shows the text of `Created`, skopeo a moment.
        Some(format) => output::line(&format.render_with(&value, &Env { times: &["Created"], ..Env::docker() })?)?,
    }
    Ok(0)
}

/// An image's configuration, its digest checked.
pub(in crate::commands) fn config_bytes(source: &dyn Source, manifest: &Manifest) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let reader = source.blob(&manifest.config).map_err(failure)?;
    reader.take(2 * MANIFEST_LIMIT).read_to_end(&mut bytes).context("read the image's configuration")?;
    let mut hasher = carboy_store::Hasher::like(&manifest.config.digest);
    hasher.update(&bytes);
    let actual = hasher.finish();
    if actual != manifest.config.digest {
        let expected = manifest.config.digest.clone();
        return Err(failure(carboy_transport::Error::Digest { expected, actual }));
    }
    Ok(bytes)
}

fn tags(place: &Location, args: &InspectArgs) -> Result<Vec<String>, Failure> {
    let Location::Registry(name) = place else { return Ok(Vec::new()) };
    match registry::client(&args.registry)?.repository(name).tags(None) {
        Ok(mut tags) => {
            tags.sort();
            Ok(tags)
        }
        Err(e) => Err(Failure::Other(e.into())),
    }
}

fn shown(place: &Location, digest: &str, tags: Vec<String>, manifest: &Manifest, config: &ImageConfig) -> Value {
    // Only registries have names for images.
    let name = match place {
        Location::Registry(name) => name.repository(),
        _ => String::new(),
    };
    let layers: Vec<Value> = manifest
        .layers
        .iter()
        .map(|layer| {
            let annotations = if layer.annotations.is_empty() { Value::Null } else { json!(layer.annotations) };
            json!({ "MIMEType": layer.media_type, "Digest": layer.digest, "Size": layer.size, "Annotations": annotations })
        })
        .collect();
    let digests: Vec<&carboy_oci::Digest> = manifest.layers.iter().map(|layer| &layer.digest).collect();
    let labels = if config.config.labels.is_empty() { Value::Null } else { json!(config.config.labels) };
    json!({
        "Name": name,
        "Tag": "",
        "Digest": digest,
        "RepoTags": tags,
        "Created": config.created,
        "DockerVersion": config.docker_version.clone().unwrap_or_default(),
        "Labels": labels,
        "Architecture": config.architecture,
        "Os": config.os,
        "Layers": digests,
        "LayersData": layers,
        "Env": config.config.env,
    })
}
