//! `list-tags` and `delete`.

use super::location;
use super::place::{Places, failure, members};
use crate::args::{Global, PlaceArgs};
use crate::failure::{Failure, Outcome, usage};
use crate::{output, registry};
use anyhow::Context;
use carboy_distribution::{Access, Target};
use carboy_image::docker_archive_images;
use carboy_transport::{LayoutSource, Location, delete_from_layout};
use serde::Serialize as _;
use serde_json::{Value, json};

pub(in crate::commands) fn list_tags(args: &PlaceArgs) -> Outcome {
    let place = location(&args.place)?;
    let value = match &place {
        Location::Registry(name) => {
            let last = args.place.rsplit('/').next().unwrap_or_default();
            if last.contains(':') || args.place.contains('@') {
                return Err(usage(format!("No tag or digest allowed in reference {:?}", args.place)));
            }
            let client = registry::client(&args.registry)?;
            let mut tags = client.repository(name).tags(None).map_err(|e| Failure::Other(e.into()))?;
            tags.sort();
            json!({ "Repository": name.repository(), "Tags": tags })
        }
        Location::DockerArchive(path, None) => {
            let images = docker_archive_images(&members(path)?)?;
            let names = images.iter().flat_map(|image| &image.names).map(|name| name.familiar());
            json!({ "Tags": names.collect::<Vec<_>>() })
        }
        Location::Layout(path, None) | Location::OciArchive(path, None) => {
            let names = LayoutSource::names(&members(path)?, &place.to_string()).map_err(failure)?;
            json!({ "Tags": names })
        }
        _ => {
            return Err(usage(format!(
                "the tags of {place} cannot be listed: docker://REPOSITORY, docker-archive:FILE, oci:FOLDER or oci-archive:FILE"
            )));
        }
    };
    output::line(&pretty(&value)?)?;
    Ok(0)
}

/// JSON as Go writes it for people.
pub(in crate::commands) fn pretty(value: &Value) -> Result<String, Failure> {
    let mut text = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, indent)).context("encode")?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

pub(in crate::commands) fn delete(global: &Global, args: &PlaceArgs) -> Outcome {
    match location(&args.place)? {
        Location::Registry(name) => {
            let repository = registry::client(&args.registry)?.repository_for(&name, Access::Delete);
            let other = |e: carboy_distribution::Error| Failure::Other(e.into());
            // By its digest, as not every registry can delete a tag alone; all tags of the manifest go with it.
            let digest = match Target::of(&name) {
                Target::Digest(digest) => digest,
                tag => repository.manifest(&tag).map_err(other)?.digest,
            };
            repository.delete_manifest(&Target::Digest(digest)).map_err(other)?;
        }
        Location::Layout(path, name) => {
            delete_from_layout(&path, name.as_deref()).map_err(failure)?;
        }
        Location::Directory(path) => {
            if !path.join("version").is_file() || !path.join("manifest.json").is_file() {
                return Err(usage(format!("{} holds no image (dir:)", path.display())).with_code(1));
            }
            std::fs::remove_dir_all(&path).with_context(|| format!("remove {}", path.display()))?;
        }
        Location::Store(name) => {
            let places = Places::new(global);
            if let Some(code) = places.within_user_namespace()? {
                return Ok(code);
            }
            places.engine()?.remove_image(&name, false)?;
        }
        place @ (Location::OciArchive(..) | Location::DockerArchive(..)) => {
            return Err(usage(format!("nothing can be deleted from an archive: remove the file of {place}")));
        }
    }
    Ok(0)
}
