//! An image as `inspect` shows it, in the shape that scripts know from Docker.

use carboy_image::{Image, Images};
use carboy_oci::Reference;
use carboy_oci::image::ContainerConfig;
use serde_json::{Value, json};

pub(in crate::commands) fn image_json(images: &Images, image: &Image) -> Value {
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
        "Digest": image.manifest.digest.to_string(),
        "ManifestType": image.manifest.media_type,
        "Descriptor": image.manifest,
    });
    if let (Some(variant), Some(object)) = (&config.variant, value.as_object_mut()) {
        object.insert("Variant".into(), variant.clone().into());
    }
    value
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
