//! `docker-archive:` without an OCI layout in it, as docker wrote it until version 24 and skopeo and podman write it: there is no manifest, so
//! one is made of what `manifest.json` says.

use crate::Error;
use crate::content::Source;
use carboy_distribution::Manifest as Document;
use carboy_image::{Members, docker_archive_images};
use carboy_oci::image::Descriptor;
use carboy_oci::{Digest, Reference};
use std::collections::HashMap;
use std::io::Read;

/// An image of a docker-archive.
pub struct DockerArchiveSource {
    members: Members,
    described: String,
    document: Document,
    config: (Digest, Vec<u8>),
    layers: HashMap<Digest, String>,
}

impl DockerArchiveSource {
    /// The image of that name, or of that number (`@0`); without a name the only one.
    ///
    /// # Errors
    /// If there is none, or several.
    pub fn open(members: Members, described: String, name: Option<&str>) -> Result<Self, Error> {
        let mut images = docker_archive_images(&members)?;
        let missing = |name: &str| Error::NotFound(format!("{described} has no image {name:?}"));
        let number = match name {
            None if images.len() > 1 => {
                return Err(Error::NotFound(format!(
                    "{described} has several images: a name or @NUMBER must be given"
                )));
            }
            None => 0,
            Some(name) => match name.strip_prefix('@') {
                Some(digits) => digits.parse().map_err(|_| missing(name))?,
                None => {
                    let wanted = Reference::parse(name)?;
                    images.iter().position(|image| image.names.contains(&wanted)).ok_or_else(|| missing(name))?
                }
            },
        };
        if number >= images.len() {
            return Err(missing(name.unwrap_or("")));
        }
        let image = images.swap_remove(number);
        let layers = image.parsed.layers.iter().map(|layer| layer.digest.clone()).zip(image.layers).collect();
        let document = Document::from_bytes(image.manifest, &image.media_type, &described)?;
        let config = (image.parsed.config.digest, image.config);
        Ok(DockerArchiveSource { members, described, document, config, layers })
    }
}

impl Source for DockerArchiveSource {
    fn describe(&self) -> String {
        self.described.clone()
    }

    fn root(&self) -> Result<Document, Error> {
        Ok(self.document.clone())
    }

    fn manifest(&self, entry: &Descriptor) -> Result<Document, Error> {
        if entry.digest == self.document.digest {
            return Ok(self.document.clone());
        }
        Err(Error::NotFound(format!("{} has no manifest {}", self.described, entry.digest)))
    }

    fn blob(&self, blob: &Descriptor) -> Result<Box<dyn Read + '_>, Error> {
        if blob.digest == self.config.0 {
            return Ok(Box::new(&self.config.1[..]));
        }
        let missing = || Error::NotFound(format!("{} has no blob {}", self.described, blob.digest));
        Ok(self.members.open_member(self.layers.get(&blob.digest).ok_or_else(missing)?)?.0)
    }
}
