//! Manifests of Docker's kind made into the OCI's, and back. Only media types change; configurations and layers stay what they are, and
//! with them the image's ID.

use crate::Error;
use carboy_distribution::Manifest as Document;
use carboy_oci::image::media_type as kind;
use serde_json::Value;

/// A kind of manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The OCI's.
    Oci,
    /// Docker's, version 2, schema 2.
    Docker,
}

impl Format {
    /// Whether a manifest or index of this media type is of this kind.
    pub fn is(self, media_type: &str) -> bool {
        match self {
            Format::Oci => matches!(media_type, kind::OCI_MANIFEST | kind::OCI_INDEX),
            Format::Docker => matches!(media_type, kind::DOCKER_MANIFEST | kind::DOCKER_LIST),
        }
    }

    /// The other one.
    pub fn other(self) -> Format {
        match self {
            Format::Oci => Format::Docker,
            Format::Docker => Format::Oci,
        }
    }

    /// The media type of an index.
    pub fn index(self) -> &'static str {
        match self {
            Format::Oci => kind::OCI_INDEX,
            Format::Docker => kind::DOCKER_LIST,
        }
    }
}

/// Pairs of the same thing, the OCI's name first.
const SAME: [(&str, &str); 6] = [
    (kind::OCI_MANIFEST, kind::DOCKER_MANIFEST),
    (kind::OCI_INDEX, kind::DOCKER_LIST),
    (kind::OCI_CONFIG, kind::DOCKER_CONFIG),
    (kind::OCI_LAYER_GZIP, kind::DOCKER_LAYER_GZIP),
    (kind::OCI_LAYER, kind::DOCKER_LAYER),
    (
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ),
];

/// The same manifest of another kind.
///
/// # Errors
/// [`Error::Unsupported`] for what that kind has no name for.
pub fn manifest(document: &Document, to: Format) -> Result<Document, Error> {
    let what = format!("manifest {}", document.digest);
    let mut value: Value = serde_json::from_slice(&document.bytes).map_err(Error::json(&what))?;
    let root = translate(&document.media_type, to)?;
    let object = value.as_object_mut().ok_or_else(|| Error::Unsupported(format!("{what} is not an object")))?;
    object.insert("mediaType".to_owned(), root.clone().into());
    if to == Format::Docker {
        if object.contains_key("subject") || object.contains_key("artifactType") {
            return Err(Error::Unsupported(format!("{what} is an artifact, which Docker's format cannot describe")));
        }
        object.remove("annotations");
    }
    let parts =
        [object.get_mut("config").map(std::slice::from_mut)].into_iter().flatten().flatten().collect::<Vec<_>>();
    for part in parts {
        descriptor(part, to)?;
    }
    for part in object.get_mut("layers").and_then(Value::as_array_mut).into_iter().flatten() {
        descriptor(part, to)?;
    }
    let bytes = serde_json::to_vec(&value).map_err(Error::json(&what))?;
    Ok(Document::from_bytes(bytes, &root, &what)?)
}

fn descriptor(part: &mut Value, to: Format) -> Result<(), Error> {
    let Some(object) = part.as_object_mut() else { return Ok(()) };
    let old = object.get("mediaType").and_then(Value::as_str).unwrap_or_default();
    let new = translate(old, to)?;
    object.insert("mediaType".to_owned(), new.into());
    if to == Format::Docker {
        object.remove("annotations");
    }
    Ok(())
}

/// The name of the same thing in another kind.
pub(crate) fn translate(media_type: &str, to: Format) -> Result<String, Error> {
    for (oci, docker) in SAME {
        if media_type == oci || media_type == docker {
            return Ok(if to == Format::Oci { oci } else { docker }.to_owned());
        }
    }
    match (to, media_type) {
        // What BuildKit calls zstd in Docker's manifests.
        (Format::Oci, "application/vnd.docker.image.rootfs.diff.tar.zstd") => Ok(kind::OCI_LAYER_ZSTD.to_owned()),
        (Format::Oci, other) => Ok(other.to_owned()),
        (Format::Docker, other) => Err(Error::Unsupported(format!(
            "Docker's image format has no {other:?}: such an image can only be copied as an OCI image"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_again() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"{}","size":2,"digest":"{digest}"}},"layers":[{{"mediaType":"{}","size":3,"digest":"{digest}"}}]}}"#,
            kind::DOCKER_MANIFEST,
            kind::DOCKER_CONFIG,
            kind::DOCKER_LAYER_GZIP
        );
        let docker = Document::from_bytes(text.clone().into_bytes(), "", "x").unwrap();
        let oci = manifest(&docker, Format::Oci).unwrap();
        assert!(Format::Oci.is(&oci.media_type) && oci.digest != docker.digest);
        assert!(String::from_utf8_lossy(&oci.bytes).contains("image.layer.v1.tar+gzip"));
        assert_eq!(manifest(&oci, Format::Docker).unwrap(), docker);
        let zstd = text.replace(kind::DOCKER_LAYER_GZIP, kind::OCI_LAYER_ZSTD);
        let zstd = Document::from_bytes(zstd.into_bytes(), "", "x").unwrap();
        assert!(manifest(&zstd, Format::Docker).unwrap_err().to_string().contains("only be copied as an OCI image"));
    }
}
