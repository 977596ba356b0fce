//! An image as `inspect` shows it, in the shape that scripts know from Docker, with what Podman shows besides.

use crate::logtime::format_ns;
use carboy_image::{Image, ImageError, Images};
use carboy_oci::Reference;
use carboy_oci::image::ContainerConfig;
use serde_json::{Map, Value, json};
use std::time::UNIX_EPOCH;

pub(in crate::commands) fn image_json(images: &Images, image: &Image) -> Result<Value, ImageError> {
    let config = &image.config;
    let names = |names: Vec<&Reference>| names.into_iter().map(Reference::familiar).collect::<Vec<_>>();
    let last = config.history.last();
    let layers: Vec<String> =
        image.layers().iter().map(|layer| images.store().layer_dir(layer).display().to_string()).collect();
    let mut value = json!({
        "Id": image.id.to_string(),
        "RepoTags": names(image.tags().collect()),
        "RepoDigests": names(image.repo_digests().collect()),
        "Parent": "",
        "Comment": last.and_then(|step| step.comment.clone()).unwrap_or_default(),
        "Created": image.created.clone().unwrap_or_default(),
        "DockerVersion": config.docker_version.clone().unwrap_or_default(),
        "Author": config.author.clone().unwrap_or_default(),
        "Config": config_json(&config.config),
        "Architecture": config.architecture,
        "Os": config.os,
        "Size": image.size,
        "VirtualSize": image.size,
        "GraphDriver": {
            "Name": images.snapshotter().to_string(),
            "Data": { "Layers": layers.join(":") },
        },
        "RootFS": { "Type": "layers", "Layers": config.rootfs.diff_ids },
        "Metadata": { "LastTagTime": last_tag_time(images, image)? },
        "Digest": image.manifest.digest.to_string(),
        "ManifestType": image.manifest.media_type,
        "Descriptor": image.manifest,
    });
    if let Some(object) = value.as_object_mut() {
        let version = [("Variant", &config.variant), ("OsVersion", &config.os_version)];
        for (name, text) in version.into_iter().filter_map(|(name, text)| Some((name, text.as_ref()?))) {
            object.insert(name.to_owned(), text.clone().into());
        }
        object.extend(podmans(image));
    }
    Ok(value)
}

/// The youngest of its tags; Docker's word for never if it has none.
fn last_tag_time(images: &Images, image: &Image) -> Result<String, ImageError> {
    let mut last = None;
    for name in image.tags() {
        last = last.max(images.store().ref_time(name)?);
    }
    let since_epoch = last.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let ns = since_epoch.and_then(|time| u64::try_from(time.as_nanos()).ok());
    Ok(ns.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), format_ns))
}

/// What Podman shows outside of the configuration.
fn podmans(image: &Image) -> Map<String, Value> {
    let (config, defaults) = (&image.config, &image.config.config);
    let value = json!({
        "Version": config.docker_version.clone().unwrap_or_default(),
        "Labels": if defaults.labels.is_empty() { Value::Null } else { json!(defaults.labels) },
        "Annotations": image.manifest_data.annotations,
        "User": defaults.user,
        "History": config.history,
        "Healthcheck": defaults.healthcheck,
    });
    let Value::Object(mut object) = value else { return Map::new() };
    object.retain(|name, value| name != "Healthcheck" || !value.is_null());
    object
}

/// Docker shows lists and maps without anything in them as null.
fn config_json(config: &ContainerConfig) -> Value {
    let or_null = |value: Value| match &value {
        Value::Array(list) if list.is_empty() => Value::Null,
        Value::Object(map) if map.is_empty() => Value::Null,
        _ => value,
    };
    let mut value = json!({
        "Hostname": "",
        "Domainname": "",
        "User": config.user,
        "AttachStdin": false,
        "AttachStdout": false,
        "AttachStderr": false,
        "ExposedPorts": config.exposed_ports,
        "Tty": false,
        "OpenStdin": false,
        "StdinOnce": false,
        "Env": or_null(json!(config.env)),
        "Cmd": config.cmd,
        "Healthcheck": config.healthcheck,
        "Image": "",
        "Volumes": or_null(json!(config.volumes)),
        "WorkingDir": config.working_dir,
        "Entrypoint": config.entrypoint,
        "OnBuild": or_null(json!(config.on_build)),
        "Labels": or_null(json!(config.labels)),
        "StopSignal": config.stop_signal,
        "Shell": config.shell,
    });
    if let Some(object) = value.as_object_mut() {
        // These are not shown at all unless the image has them.
        object.retain(|key, value| {
            !matches!(key.as_str(), "ExposedPorts" | "Healthcheck" | "StopSignal" | "Shell")
                || !(value.is_null() || value.as_object().is_some_and(|map| map.is_empty()))
        });
    }
    value
}
