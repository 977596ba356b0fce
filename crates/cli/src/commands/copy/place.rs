//! Opening places: what a location needs of the engine, of this user's files and of the registry client.

use crate::args::{Global, ManifestFormat, RegistryArgs};
use crate::commands::pull::within_user_namespace;
use crate::failure::{Failure, usage};
use crate::{registry, settings};
use carboy_engine::Engine;
use carboy_image::{LoadSource, Members};
use carboy_oci::Reference;
use carboy_transport::{
    ArchiveDestination, ArchiveKind, Compression, Destination, DirectoryDestination, DirectorySource,
    DockerArchiveSource, Error, Format, LayoutDestination, LayoutSource, Location, RegistryDestination, RegistrySource,
    Source, StoreDestination, StoreSource,
};
use std::cell::OnceCell;
use std::path::{Path, PathBuf};

/// Opens places; the store only if one of them is in it.
pub(in crate::commands) struct Places<'g> {
    global: &'g Global,
    engine: OnceCell<Engine>,
}

impl<'g> Places<'g> {
    pub(in crate::commands) fn new(global: &'g Global) -> Self {
        Places { global, engine: OnceCell::new() }
    }

    pub(in crate::commands) fn engine(&self) -> Result<&Engine, Failure> {
        if let Some(engine) = self.engine.get() {
            return Ok(engine);
        }
        let engine = settings::engine(self.global)?;
        Ok(self.engine.get_or_init(|| engine))
    }

    /// See [`within_user_namespace`].
    pub(super) fn within_user_namespace(&self) -> Result<Option<i32>, Failure> {
        within_user_namespace(self.engine()?)
    }

    /// Opens a place for reading.
    pub(in crate::commands) fn source(
        &self,
        location: &Location,
        args: &RegistryArgs,
    ) -> Result<Box<dyn Source + '_>, Failure> {
        let described = location.to_string();
        Ok(match location {
            Location::Registry(name) => Box::new(RegistrySource::new(&registry::client(args)?, name.clone())),
            Location::Directory(path) => Box::new(DirectorySource::new(path.clone())),
            Location::Store(name) => {
                let engine = self.engine()?;
                // The embedded image is put into the store if it is meant.
                let name = registry::local_name(engine.images()?, name)?;
                engine.find_image(&name)?;
                Box::new(StoreSource::open(engine.images()?, &name).map_err(failure)?)
            }
            Location::Layout(path, name) | Location::OciArchive(path, name) => {
                Box::new(LayoutSource::open(members(path)?, described, name.as_deref()).map_err(failure)?)
            }
            Location::DockerArchive(path, name) => docker_archive(members(path)?, described, name.as_deref())?,
        })
    }

    /// Opens a place for writing. `source`: where a registry may take blobs from; `names`: further names in a docker-archive.
    pub(in crate::commands) fn destination(
        &self,
        location: &Location,
        args: &RegistryArgs,
        source: Option<&Reference>,
        names: &[String],
    ) -> Result<Box<dyn Destination + '_>, Failure> {
        Ok(match location {
            Location::Registry(name) => {
                Box::new(RegistryDestination::new(&registry::client(args)?, name.clone(), source))
            }
            Location::Directory(path) => Box::new(DirectoryDestination::new(path.clone()).map_err(failure)?),
            Location::Layout(path, name) => {
                Box::new(LayoutDestination::new(path.clone(), name.clone()).map_err(failure)?)
            }
            Location::OciArchive(path, name) => archive(path, ArchiveKind::Oci, name.iter().cloned().collect())?,
            Location::DockerArchive(path, name) => {
                let all: Vec<String> = name.iter().chain(names).cloned().collect();
                for name in &all {
                    Reference::parse(name).map_err(Error::from).map_err(failure)?;
                }
                // It may hold other images, which would be gone: as with skopeo.
                if std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() > 0) {
                    let why = "docker-archive doesn't support modifying existing images: remove it first";
                    return Err(usage(format!("{}: {why}", path.display())).with_code(1));
                }
                archive(path, ArchiveKind::Docker, all)?
            }
            Location::Store(name) => {
                let name = Reference::parse(name).map_err(Error::from).map_err(failure)?;
                if name.digest().is_some() {
                    return Err(usage("an image of the store cannot be named by a digest"));
                }
                Box::new(StoreDestination::new(self.engine()?.images()?, vec![name]).map_err(failure)?)
            }
        })
    }
}

fn archive(path: &Path, kind: ArchiveKind, names: Vec<String>) -> Result<Box<dyn Destination>, Failure> {
    let archive = ArchiveDestination::create(path, kind, Compression::None).map_err(failure)?;
    archive.name_next(names);
    Ok(Box::new(archive))
}

/// Docker's own archives have an OCI layout in them since version 25: then the manifest is the one that was saved.
fn docker_archive(members: Members, described: String, name: Option<&str>) -> Result<Box<dyn Source>, Failure> {
    if !members.has("index.json") || !members.has("oci-layout") {
        return Ok(Box::new(DockerArchiveSource::open(members, described, name).map_err(failure)?));
    }
    let name = match name {
        Some(name) if !name.starts_with('@') => {
            Some(Reference::parse(name).map_err(Error::from).map_err(failure)?.to_string())
        }
        Some(name) => {
            return Err(failure(Error::NotFound(format!(
                "{described}: images of such an archive are named, not numbered: {name}"
            ))));
        }
        None => None,
    };
    Ok(Box::new(LayoutSource::open(members, described, name.as_deref()).map_err(failure)?))
}

/// The members of an archive or a folder.
pub(super) fn members(path: &Path) -> Result<Members, Failure> {
    Ok(Members::open(LoadSource::Path(path), &spool())?)
}

/// Where compressed archives are unpacked, in a file without a name.
fn spool() -> PathBuf {
    let named = std::env::var_os("TMPDIR").map(PathBuf::from).filter(|path| path.is_absolute());
    named.unwrap_or_else(|| "/var/tmp".into())
}

/// The kind that `--format` asks for.
pub(in crate::commands) fn manifest_format(format: Option<ManifestFormat>) -> Result<Option<Format>, Failure> {
    match format {
        None => Ok(None),
        Some(ManifestFormat::Oci) => Ok(Some(Format::Oci)),
        Some(ManifestFormat::V2s2) => Ok(Some(Format::Docker)),
        Some(ManifestFormat::V2s1) => Err(usage(
            "v2s1 is a format without content digests that is no longer written, and registries refuse it: use v2s2 or oci",
        )),
    }
}

pub(in crate::commands) fn failure(error: Error) -> Failure {
    Failure::from(anyhow::Error::new(error))
}
