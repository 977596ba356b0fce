//! `save`: images of the store into an archive or a folder, as they are.

use super::place::{Places, failure};
use crate::args::{ArchiveCompression, Global, SaveArgs, SaveFormat};
use crate::failure::{Failure, Outcome, usage};
use crate::progress::Display;
use crate::registry;
use anyhow::Context;
use carboy_engine::Error;
use carboy_image::{Image, Images, Packing};
use carboy_oci::{Digest, Reference};
use carboy_transport::{
    ArchiveDestination, ArchiveKind, Compression, CopyOptions, Destination, DirectoryDestination, Format,
    LayoutDestination, StoreSource, copy,
};
use std::io::{self, IsTerminal};
use std::path::Path;

/// An image and the names it is saved with.
struct Chosen {
    /// What the store finds it by.
    text: String,
    manifest: Digest,
    names: Vec<Reference>,
}

pub(in crate::commands) fn save(global: &Global, args: &SaveArgs) -> Outcome {
    let is_folder = matches!(args.format, SaveFormat::OciDir | SaveFormat::DockerDir);
    match &args.output {
        None if is_folder => return Err(usage("a folder is needed for this format: --output DIR")),
        None if io::stdout().is_terminal() => {
            return Err(usage("cowardly refusing to save to a terminal. Use the -o flag or redirect").with_code(1));
        }
        _ => {}
    }
    if is_folder && args.compression != ArchiveCompression::Uncompressed {
        return Err(usage("--compression is for archives"));
    }
    let places = Places::new(global);
    let engine = places.engine()?;
    for name in &args.images {
        // The embedded image is put into the store if it is meant.
        engine.find_image(name)?;
    }
    let images = engine.images()?;
    let names = args.images.iter().map(|name| registry::local_name(images, name));
    let chosen = choose(images, &names.collect::<Result<Vec<_>, _>>()?)?;
    if args.format == SaveFormat::DockerDir && chosen.len() > 1 {
        return Err(usage("the format docker-dir holds one image"));
    }
    let quiet = args.quiet || !io::stderr().is_terminal();
    let display = Display::new(io::stderr(), quiet).context("look at standard error")?;
    let result = write(images, &chosen, args, &display);
    display.finish();
    result?;
    Ok(0)
}

fn write(images: &Images, chosen: &[Chosen], args: &SaveArgs, display: &Display) -> Result<(), Failure> {
    let kind = if args.format == SaveFormat::OciArchive { ArchiveKind::Oci } else { ArchiveKind::Docker };
    let compression = match args.compression {
        ArchiveCompression::Uncompressed => Compression::None,
        ArchiveCompression::Gzip => Compression::Gzip,
        ArchiveCompression::Zstd => Compression::Zstd,
    };
    let format = match args.format {
        SaveFormat::DockerArchive => None,
        SaveFormat::DockerDir => Some(Format::Docker),
        SaveFormat::OciArchive | SaveFormat::OciDir => Some(Format::Oci),
    };
    let options = CopyOptions { format, ..CopyOptions::default() };
    // An archive of docker's may hold plain tars, as its own did until version 24; then it need not be compressed anew.
    let packing = if args.format == SaveFormat::DockerArchive { Packing::Plain } else { Packing::AsBefore };
    let one = |image: &Chosen, destination: &dyn Destination| -> Result<(), Failure> {
        let source = StoreSource::open_packed(images, &image.text, packing).map_err(failure)?;
        copy(&source, destination, &options, display).map(drop).map_err(failure)
    };
    let finish = |destination: Box<dyn Destination>| destination.finish().map_err(failure);
    match (args.format, args.output.as_deref()) {
        (SaveFormat::DockerDir, Some(path)) => {
            let folder = Box::new(DirectoryDestination::new(path.to_owned()).map_err(failure)?);
            one(&chosen[0], &*folder)?;
            finish(folder)
        }
        (SaveFormat::OciDir, Some(path)) => {
            for image in chosen {
                // An image with several names is written once and named often.
                let names: Vec<Option<String>> = match image.names.is_empty() {
                    true => vec![None],
                    false => image.names.iter().map(|name| Some(name.to_string())).collect(),
                };
                for name in names {
                    let folder = Box::new(LayoutDestination::new(path.to_owned(), name).map_err(failure)?);
                    one(image, &*folder)?;
                    finish(folder)?;
                }
            }
            Ok(())
        }
        (_, path) => {
            let archive = match path {
                Some(path) => ArchiveDestination::create(path, kind, compression),
                None => {
                    ArchiveDestination::stream(Box::new(io::stdout()), Path::new("standard output"), kind, compression)
                }
            };
            let archive = Box::new(archive.map_err(failure)?);
            for image in chosen {
                archive.name_next(image.names.iter().map(ToString::to_string).collect());
                one(image, &*archive)?;
            }
            finish(archive)
        }
    }
}

/// As docker: an ID saves the image without a name, a name without a tag saves all tags of the repository, and an image that is meant
/// twice is saved once.
fn choose(images: &Images, texts: &[String]) -> Result<Vec<Chosen>, Failure> {
    let all = images.list()?;
    let mut chosen: Vec<Chosen> = Vec::new();
    for text in texts {
        for (text, image, names) in meant(images, &all, text)? {
            let manifest = images.manifest_of(&image, &text)?.digest;
            match chosen.iter_mut().find(|known| known.manifest == manifest) {
                Some(known) => {
                    let new: Vec<Reference> = names.into_iter().filter(|name| !known.names.contains(name)).collect();
                    known.names.extend(new);
                }
                None => chosen.push(Chosen { text, manifest, names }),
            }
        }
    }
    Ok(chosen)
}

fn meant(images: &Images, all: &[Image], text: &str) -> Result<Vec<(String, Image, Vec<Reference>)>, Failure> {
    let name = Reference::parse(text).ok();
    let is_bare = !text.contains('@') && text.rsplit('/').next().is_some_and(|last| !last.contains(':'));
    if let Some(name) = name.as_ref().filter(|_| is_bare) {
        let tags: Vec<(String, Image, Vec<Reference>)> = all
            .iter()
            .flat_map(|image| image.tags().map(move |tag| (image, tag)))
            .filter(|(_, tag)| tag.repository() == name.repository())
            .map(|(image, tag)| (tag.to_string(), image.clone(), vec![tag.clone()]))
            .collect();
        if !tags.is_empty() {
            return Ok(tags);
        }
    }
    let image = images.find(text)?.ok_or_else(|| Error::NoSuchImage(text.to_owned()))?;
    let names = name.filter(|name| image.tags().any(|tag| tag == name)).into_iter().collect();
    Ok(vec![(text.to_owned(), image, names)])
}
