//! What a manifest must be like before anything of it is fetched.

use super::PullError;
use crate::MAX_LAYERS;
use carboy_oci::image::{Descriptor, Manifest, media_type};

/// Refuses what is no container image, and layers that cannot be taken in.
pub(crate) fn manifest(reference: &str, manifest: &Manifest) -> Result<(), PullError> {
    let refuse = |why: String| Err(PullError::Unsupported { reference: reference.to_owned(), why });
    let config = manifest.config.media_type.as_str();
    // Docker 1.10 called configurations octet streams.
    if !matches!(config, media_type::OCI_CONFIG | media_type::DOCKER_CONFIG | "application/octet-stream") {
        return refuse(format!("it is not a container image: its configuration is of type {config:?}"));
    }
    if manifest.layers.len() > MAX_LAYERS {
        return refuse(format!(
            "it has {} layers, more than the {MAX_LAYERS} that can be mounted",
            manifest.layers.len()
        ));
    }
    match manifest.layers.iter().find_map(layer) {
        Some(why) => refuse(why),
        None => Ok(()),
    }
}

/// Why a layer cannot be used.
fn layer(layer: &Descriptor) -> Option<String> {
    let kind = layer.media_type.as_str();
    let known = [
        media_type::OCI_LAYER,
        media_type::OCI_LAYER_GZIP,
        media_type::OCI_LAYER_ZSTD,
        media_type::DOCKER_LAYER,
        media_type::DOCKER_LAYER_GZIP,
        // What BuildKit and Buildah write for zstd in Docker's manifests.
        "application/vnd.docker.image.rootfs.diff.tar.zstd",
    ];
    if known.contains(&kind) {
        return None;
    }
    let digest = &layer.digest;
    Some(if kind.contains("nondistributable") || kind.contains("rootfs.foreign") {
        format!("layer {digest} is a foreign layer ({kind}), which registries do not hold")
    } else if kind.ends_with("+encrypted") {
        format!("layer {digest} is encrypted ({kind})")
    } else {
        format!("layer {digest} is of the unknown type {kind:?}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(config: &str, layer: &str) -> Manifest {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let text = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"{config}","digest":"{digest}","size":2}},
                "layers":[{{"mediaType":"{layer}","digest":"{digest}","size":3}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn only_images_with_layers_that_are_here() {
        manifest("x", &with(media_type::OCI_CONFIG, media_type::OCI_LAYER_ZSTD)).unwrap();
        manifest("x", &with(media_type::DOCKER_CONFIG, media_type::DOCKER_LAYER_GZIP)).unwrap();
        for (config, layer, word) in [
            ("application/vnd.cncf.helm.config.v1+json", media_type::OCI_LAYER, "not a container image"),
            (media_type::DOCKER_CONFIG, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "foreign"),
            (media_type::OCI_CONFIG, "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "foreign"),
            (media_type::OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "encrypted"),
            (media_type::OCI_CONFIG, "text/plain", "unknown type"),
        ] {
            let error = manifest("x", &with(config, layer)).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        let mut many = with(media_type::OCI_CONFIG, media_type::OCI_LAYER);
        many.layers = vec![many.layers[0].clone(); MAX_LAYERS + 1];
        assert!(manifest("x", &many).unwrap_err().to_string().contains("501 layers"));
    }
}
