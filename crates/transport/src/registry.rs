//! A repository of a registry.

use crate::Error;
use crate::content::{Blob, Destination, Phase, Source};
use carboy_distribution::{Access, Client, Manifest as Document, Pushed, Repository, Target, Upload};
use carboy_oci::Reference;
use carboy_oci::image::{Descriptor, Manifest};
use std::io::{self, Read};

/// An image of a registry.
pub struct RegistrySource {
    repository: Repository,
    name: Reference,
}

impl RegistrySource {
    /// Nothing is asked yet.
    pub fn new(client: &Client, name: Reference) -> Self {
        RegistrySource { repository: client.repository_for(&name, Access::Pull), name }
    }

    /// The repository, for what is not about one image.
    pub fn conversation(&self) -> &Repository {
        &self.repository
    }
}

impl Source for RegistrySource {
    fn describe(&self) -> String {
        format!("docker://{}", self.name.familiar())
    }

    fn root(&self) -> Result<Document, Error> {
        Ok(self.repository.manifest(&Target::of(&self.name))?)
    }

    fn manifest(&self, entry: &Descriptor) -> Result<Document, Error> {
        Ok(self.repository.manifest(&Target::Digest(entry.digest.clone()))?)
    }

    fn blob(&self, blob: &Descriptor) -> Result<Box<dyn Read + '_>, Error> {
        Ok(Box::new(self.repository.blob(blob)))
    }

    fn repository(&self) -> Option<&Reference> {
        Some(&self.name)
    }
}

/// A repository that takes an image.
pub struct RegistryDestination {
    repository: Repository,
    name: Reference,
}

impl RegistryDestination {
    /// Nothing is asked yet. `source`: a repository whose blobs the registry may take itself.
    pub fn new(client: &Client, name: Reference, source: Option<&Reference>) -> Self {
        let repository = client.repository_for(&name, Access::Push);
        repository.mount_from(source.filter(|source| source.domain() == name.domain()).map(Reference::path));
        RegistryDestination { repository, name }
    }
}

impl Destination for RegistryDestination {
    fn accepts(&self, _: &str) -> bool {
        true
    }

    fn put_blob(&self, blob: Blob<'_>, source: &dyn Source, progress: &dyn Fn(u64)) -> Result<Phase, Error> {
        let descriptor = blob.descriptor;
        let from = source.repository().filter(|source| source.domain() == self.name.domain());
        let mount_from: Vec<String> = from.map(|source| source.path().to_owned()).into_iter().collect();
        let content = |offset: u64| -> io::Result<Box<dyn Read + '_>> {
            let mut reader = source.blob(descriptor).map_err(io::Error::other)?;
            io::copy(&mut (&mut reader).take(offset), &mut io::sink())?;
            Ok(reader)
        };
        let upload = Upload {
            digest: &descriptor.digest,
            size: descriptor.size,
            content: &content,
            mount_from: &mount_from,
            piece: None,
            progress,
        };
        match self.repository.push_blob(&upload)? {
            Pushed::Uploaded => Ok(Phase::Done),
            Pushed::Existed | Pushed::Mounted(_) => Ok(Phase::Exists),
        }
    }

    fn put_manifest(&self, document: &Document, _: Option<&Manifest>, is_root: bool) -> Result<(), Error> {
        let target = match (is_root, self.name.digest()) {
            (true, None) => Target::of(&self.name),
            (true, Some(digest)) if *digest != document.digest => {
                let (expected, actual) = (digest.clone(), document.digest.clone());
                return Err(Error::Digest { expected, actual });
            }
            _ => Target::Digest(document.digest.clone()),
        };
        self.repository.put_manifest(&target, &document.media_type, &document.bytes)?;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}
