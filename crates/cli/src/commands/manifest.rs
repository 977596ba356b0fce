//! `manifest …`: lists of images, made here and pushed.

mod verbose;

use super::copy::{Places, failure, location, manifest_format, pretty};
use super::for_each;
use crate::args::{
    ExistsArgs, Global, ManifestAddArgs, ManifestAnnotateArgs, ManifestCommand, ManifestCreateArgs,
    ManifestInspectArgs, ManifestPushArgs, ManifestRemoveArgs, ManifestRmArgs, PlatformArgs, RegistryArgs,
};
use crate::failure::{Failure, Outcome, usage};
use crate::output;
use crate::progress::Display;
use anyhow::Context;
use carboy_oci::image::Platform;
use carboy_oci::{Digest, Reference};
use carboy_transport::{Error, List, ListEntry, Lists, Location, Source};
use serde_json::Value;
use std::io;

pub(super) fn manifest(global: &Global, command: ManifestCommand) -> Outcome {
    let places = Places::new(global);
    match command {
        ManifestCommand::Create(args) => create(&places, &args),
        ManifestCommand::Add(args) => add(&places, &args),
        ManifestCommand::Annotate(args) => annotate(&places, &args),
        ManifestCommand::Inspect(args) => inspect(&places, &args),
        ManifestCommand::Push(args) => push(&places, &args),
        ManifestCommand::Rm(args) => rm(&places, &args),
        ManifestCommand::Remove(args) => remove(&places, &args),
        ManifestCommand::Exists(args) => exists(&places, &args),
    }
}

fn name_of(text: &str) -> Result<Reference, Failure> {
    let name = Reference::parse(text).map_err(|e| usage(e.to_string()))?;
    if name.digest().is_some() {
        return Err(usage(format!("a list cannot be named by a digest: {text}")));
    }
    Ok(name)
}

fn lists(places: &Places<'_>) -> Result<Lists, Failure> {
    Lists::open(places.engine()?.root()).map_err(failure)
}

fn existing(lists: &Lists, name: &Reference) -> Result<List, Failure> {
    lists
        .get(name)
        .map_err(failure)?
        .ok_or_else(|| usage(format!("No such manifest: {}", name.familiar())).with_code(1))
}

/// Where an image is that was named without a transport: in the store, else in its registry.
fn place_of(places: &Places<'_>, text: &str) -> Result<Location, Failure> {
    if Location::has_transport(text) {
        return location(text);
    }
    match places.engine()?.find_image(text) {
        Ok(Some(image)) => Ok(Location::Store(image.id.to_string())),
        _ => location(&format!("docker://{text}")),
    }
}

fn add_images(
    places: &Places<'_>,
    list: &mut List,
    (images, all): (&[String], bool),
    registry: &RegistryArgs,
) -> Result<Vec<Digest>, Failure> {
    let mut added = Vec::new();
    for text in images {
        let place = place_of(places, text)?;
        let source = places.source(&place, registry)?;
        let from = |digest: &Digest| match &place {
            Location::Registry(name) => format!("docker://{}", name.with_digest(digest.clone())),
            other => other.to_string(),
        };
        added.extend(list.add(&*source, all, &from).map_err(failure)?);
    }
    Ok(added)
}

fn annotations(list: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let pair = |text: &String| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    list.iter()
        .map(|text| pair(text).ok_or_else(|| usage(format!("invalid annotation {text:?}: NAME=VALUE"))))
        .collect()
}

fn create(places: &Places<'_>, args: &ManifestCreateArgs) -> Outcome {
    let name = name_of(&args.list)?;
    let lists = lists(places)?;
    let mut list = match lists.get(&name).map_err(failure)? {
        Some(_) if !args.amend => {
            return Err(
                usage(format!("the list {} is there already: --amend adds to it", name.familiar())).with_code(1)
            );
        }
        Some(list) => list,
        None => List::new(&name),
    };
    list.annotations.extend(annotations(&args.annotation)?);
    add_images(places, &mut list, (&args.images, args.all), &args.registry)?;
    lists.put(&name, &list).map_err(failure)?;
    output::line(&format!("Created manifest list {name}"))?;
    Ok(0)
}

fn add(places: &Places<'_>, args: &ManifestAddArgs) -> Outcome {
    let name = name_of(&args.entry.list)?;
    let lists = lists(places)?;
    let mut list = existing(&lists, &name)?;
    let added = add_images(places, &mut list, (&args.images, args.all), &args.entry.registry)?;
    for entry in list.entries.iter_mut().filter(|entry| added.contains(&entry.descriptor.digest)) {
        describe(entry, &args.entry.platform)?;
    }
    lists.put(&name, &list).map_err(failure)?;
    for digest in added {
        output::line(&format!("{name}: {digest}"))?;
    }
    Ok(0)
}

fn describe(entry: &mut ListEntry, said: &PlatformArgs) -> Result<(), Failure> {
    entry.descriptor.annotations.extend(annotations(&said.annotation)?);
    let words = [&said.os, &said.arch, &said.variant, &said.os_version];
    if words.into_iter().all(Option::is_none) && said.os_features.is_empty() {
        return Ok(());
    }
    let known = entry.descriptor.platform.clone();
    let mut platform = known.unwrap_or(Platform {
        architecture: String::new(),
        os: "linux".to_owned(),
        variant: None,
        os_version: None,
        os_features: Vec::new(),
    });
    if let Some(os) = &said.os {
        platform.os.clone_from(os);
    }
    if let Some(architecture) = &said.arch {
        platform.architecture.clone_from(architecture);
        platform.variant = None;
    }
    if said.variant.is_some() {
        platform.variant.clone_from(&said.variant);
    }
    if said.os_version.is_some() {
        platform.os_version.clone_from(&said.os_version);
    }
    if !said.os_features.is_empty() {
        platform.os_features.clone_from(&said.os_features);
    }
    if platform.architecture.is_empty() {
        return Err(usage("this image does not say its architecture: --arch is needed"));
    }
    entry.descriptor.platform = Some(platform);
    Ok(())
}

fn annotate(places: &Places<'_>, args: &ManifestAnnotateArgs) -> Outcome {
    let name = name_of(&args.entry.list)?;
    let lists = lists(places)?;
    let mut list = existing(&lists, &name)?;
    let digest = match args.image.parse::<Digest>() {
        Ok(digest) => digest,
        Err(_) => {
            let place = place_of(places, &args.image)?;
            let source = places.source(&place, &args.entry.registry)?;
            let root = source.root().map_err(failure)?;
            carboy_transport::image_manifest(&*source, root, None).map_err(failure)?.digest
        }
    };
    let entry = list.entries.iter_mut().find(|entry| entry.descriptor.digest == digest);
    let entry =
        entry.ok_or_else(|| usage(format!("{} is not in the list {}", args.image, name.familiar())).with_code(1))?;
    describe(entry, &args.entry.platform)?;
    lists.put(&name, &list).map_err(failure)?;
    Ok(0)
}

fn inspect(places: &Places<'_>, args: &ManifestInspectArgs) -> Outcome {
    let list = match Reference::parse(&args.name) {
        Ok(name) if !Location::has_transport(&args.name) => lists(places)?.get(&name).map_err(failure)?,
        _ => None,
    };
    let value = match list {
        Some(list) if args.verbose => verbose::of_list(places, &list, &args.registry)?,
        Some(list) => parsed(&list.document().map_err(failure)?.bytes)?,
        None => inspect_place(places, args)?,
    };
    output::line(&pretty(&value)?)?;
    Ok(0)
}

/// What the registry says, as an image here is one of several there. If it says nothing, what is here is all that is known.
fn inspect_place(places: &Places<'_>, args: &ManifestInspectArgs) -> Result<Value, Failure> {
    let show = |place: &Location| match args.verbose {
        true => verbose::of_place(places, place, &args.registry),
        false => parsed(&places.source(place, &args.registry)?.root().map_err(failure)?.bytes),
    };
    if Location::has_transport(&args.name) {
        return show(&location(&args.name)?);
    }
    let image = places.engine()?.find_image(&args.name).unwrap_or(None);
    let here = Location::Store(args.name.clone());
    let name = match Reference::parse(&args.name) {
        Ok(name) if image.as_ref().is_none_or(|image| image.names.contains(&name)) => name,
        // An ID is nothing that a registry knows.
        _ if image.is_some() => return show(&here),
        _ => return Err(usage(format!("No such manifest: {}", args.name)).with_code(1)),
    };
    match show(&Location::Registry(name)) {
        Err(failure) if image.is_some() => {
            output::error_line(&format!("{failure}; this is the manifest of the image that is here"));
            show(&here)
        }
        other => other,
    }
}

fn parsed(bytes: &[u8]) -> Result<Value, Failure> {
    Ok(serde_json::from_slice(bytes).context("manifest")?)
}

fn push(places: &Places<'_>, args: &ManifestPushArgs) -> Outcome {
    if args.all == Some(false) {
        return Err(usage("a list is pushed with its images: --all=false is not supported"));
    }
    let name = name_of(&args.list)?;
    let lists = lists(places)?;
    let list = existing(&lists, &name)?;
    let to = match args.destination.as_deref() {
        None => Location::Registry(name.clone()),
        Some(text) if Location::has_transport(text) => location(text)?,
        Some(text) => location(&format!("docker://{text}"))?,
    };
    let display = Display::new(io::stdout(), args.quiet).context("look at standard output")?;
    let destination = places.destination(&to, &args.registry, None, &[])?;
    let open = |from: &str| -> Result<Box<dyn Source + '_>, Error> {
        let place = from.parse().map_err(|e: carboy_transport::LocationError| Error::Unsupported(e.to_string()))?;
        places.source(&place, &args.registry).map_err(|e| Error::Unsupported(e.to_string()))
    };
    let copied = list.push(&open, &*destination, manifest_format(args.format)?, &display);
    let copied = copied.and_then(|copied| destination.finish().map(|()| copied));
    display.finish();
    let copied = copied.map_err(failure)?;
    if let Some(path) = &args.digestfile {
        std::fs::write(path, copied.digest.to_string()).with_context(|| format!("write {}", path.display()))?;
    }
    if args.purge {
        lists.remove(&name).map_err(failure)?;
    }
    output::line(&copied.digest.to_string())?;
    Ok(0)
}

fn rm(places: &Places<'_>, args: &ManifestRmArgs) -> Outcome {
    let lists = lists(places)?;
    for_each(&args.lists, |text| {
        let name = name_of(text)?;
        match lists.remove(&name).map_err(failure)? {
            true => Ok(Some(format!("Untagged: {}", name.familiar()))),
            false => Err(usage(format!("No such manifest: {}", name.familiar())).with_code(1)),
        }
    })
}

fn remove(places: &Places<'_>, args: &ManifestRemoveArgs) -> Outcome {
    let name = name_of(&args.list)?;
    let lists = lists(places)?;
    let mut list = existing(&lists, &name)?;
    let count = list.entries.len();
    list.entries.retain(|entry| entry.descriptor.digest.as_str() != args.digest);
    if list.entries.len() == count {
        return Err(usage(format!("{} is not in the list {}", args.digest, name.familiar())).with_code(1));
    }
    lists.put(&name, &list).map_err(failure)?;
    output::line(&args.digest)?;
    Ok(0)
}

/// Says nothing: 0 if it is here, 1 if not.
fn exists(places: &Places<'_>, args: &ExistsArgs) -> Outcome {
    let name = name_of(&args.name)?;
    let found = lists(places)?.get(&name).map_err(failure)?.is_some();
    Ok(i32::from(!found))
}
