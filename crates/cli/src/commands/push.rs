//! `push`.

use super::copy::manifest_format;
use super::pull::has_tag;
use crate::args::{Compression, Global, PushArgs};
use crate::failure::{Failure, Outcome, usage};
use crate::progress::Display;
use crate::{output, registry, settings};
use anyhow::Context;
use carboy_distribution::{Client, Manifest as Document};
use carboy_image::push::{Form, Kind, PushOptions, PushedImage};
use carboy_image::{Compression as LayerCompression, Image, ImageError, Images};
use carboy_oci::Reference;
use carboy_oci::image::Descriptor;
use carboy_transport::{Format, convert_manifest};
use std::io;

pub(super) fn push(global: &Global, args: &PushArgs) -> Outcome {
    if let Some(other) = args.destination.as_deref().and_then(other_transport) {
        return Err(usage(format!("push sends to registries only; for {other} there is `carboy copy`")));
    }
    let engine = settings::engine(global)?;
    let images = engine.images()?;
    let client = registry::client(&args.registry)?;
    if args.all_tags {
        return all_tags(images, &client, args);
    }
    let given = registry::local_name(images, &args.image)?;
    let found = images.find(&given)?;
    let Some(image) = found else {
        let name = Reference::parse(&args.image).map_err(ImageError::from)?;
        return Err(not_here(images, &name)?);
    };
    let destination = args.destination.as_deref().unwrap_or(&given);
    let destination = Reference::parse(destination.strip_prefix("docker://").unwrap_or(destination));
    let destination = destination.map_err(ImageError::from)?;
    if args.destination.is_none() && !is_named(&image, &destination) {
        return Err(usage(format!("{} is an ID: say under which name it is to be pushed", args.image)));
    }
    if !args.quiet && args.destination.is_none() && !has_tag(&args.image) {
        output::line("Using default tag: latest")?;
    }
    let manifest = images.manifest_of(&image, &args.image)?;
    let pushed = one(images, &client, args, (&image, &manifest), &destination)?;
    if let Some(file) = &args.digestfile {
        std::fs::write(file, pushed.digest.as_str()).with_context(|| format!("write {}", file.display()))?;
    }
    Ok(0)
}

fn all_tags(images: &Images, client: &Client, args: &PushArgs) -> Outcome {
    let name = Reference::parse(&args.image).map_err(ImageError::from)?;
    if has_tag(&args.image) {
        return Err(usage("tag can't be used with --all-tags/-a"));
    }
    if args.destination.is_some() || args.digestfile.is_some() {
        return Err(usage("--all-tags cannot be used with a destination or --digestfile"));
    }
    let listed = images.list()?;
    let mut some = false;
    for image in &listed {
        for tag in image.tags().filter(|tag| tag.repository() == name.repository()) {
            some = true;
            let manifest = images.manifest_of(image, &tag.to_string())?;
            one(images, client, args, (image, &manifest), tag)?;
        }
    }
    if !some {
        return Err(not_here(images, &name)?);
    }
    Ok(0)
}

/// Docker tells a repository of which there is nothing from a tag that is not there.
fn not_here(images: &Images, name: &Reference) -> Result<Failure, Failure> {
    let has_others = images.list()?.iter().flat_map(Image::tags).any(|tag| tag.repository() == name.repository());
    Ok(Failure::Other(match has_others {
        true => anyhow::anyhow!("tag does not exist: {}", name.familiar()),
        false => anyhow::anyhow!("An image does not exist locally with the tag: {}", name.familiar_repository()),
    }))
}

fn one(
    images: &Images,
    client: &Client,
    args: &PushArgs,
    (image, manifest): (&Image, &Descriptor),
    destination: &Reference,
) -> Result<PushedImage, Failure> {
    check_platform(args, image)?;
    if let Some(digest) = destination.digest().filter(|digest| **digest != manifest.digest) {
        return Err(usage(format!("the image's digest is {}, not {digest}", manifest.digest)));
    }
    if destination.digest().is_some() && args.format.is_some() {
        return Err(usage("--format makes another digest than the one that the destination names"));
    }
    let display = Display::new(io::stdout(), args.quiet).context("look at standard output")?;
    let piece = args.chunk_size.map(|mib| mib.max(1).saturating_mul(1 << 20));
    let kind = kind(args, manifest)?;
    let options = PushOptions { parallel: None, piece, kind, compression: args.compression_format.map(compression) };
    let pushed = carboy_image::push::push(images, client, manifest, destination, &options, &display);
    display.finish();
    let pushed = pushed.map_err(|e| Failure::Other(e.into()))?;
    if matches!(kind, Kind::OwnOrOther(_)) && pushed.media_type != manifest.media_type {
        let (own, other) = (&manifest.media_type, &pushed.media_type);
        output::error_line(&format!("The registry refused {own}: the manifest was sent as {other}"));
    }
    if args.quiet {
        // With the digest, by which it can be pulled whatever becomes of the tag.
        match destination.digest() {
            Some(_) => output::line(&destination.to_string())?,
            None => output::line(&format!("{destination}@{}", pushed.digest))?,
        }
    } else {
        let tag = destination.tag().map_or_else(|| pushed.digest.to_string(), str::to_owned);
        output::line(&format!("{tag}: digest: {} size: {}", pushed.digest, pushed.size))?;
    }
    // What the registry now has under this digest is known: the next pull of it asks for nothing, and others may mount from there.
    if pushed.digest == manifest.digest && is_named(image, destination) {
        let by_digest = destination.with_digest(pushed.digest.clone());
        if images.store().get_ref(&by_digest).map_err(ImageError::from)?.as_ref() != Some(manifest) {
            images.store().set_ref(&by_digest, manifest).map_err(ImageError::from)?;
        }
    }
    Ok(pushed)
}

fn is_named(image: &Image, name: &Reference) -> bool {
    image.names.iter().any(|known| known.repository() == name.repository())
}

/// Which kind of manifest `--format` asks for.
fn kind(args: &PushArgs, manifest: &Descriptor) -> Result<Kind, Failure> {
    let zstd = args.compression_format == Some(Compression::Zstd);
    Ok(match manifest_format(args.format)? {
        Some(Format::Docker) if zstd => return Err(usage("Docker's image format has no zstd: use --format oci")),
        // As podman does.
        None if zstd && Format::Docker.is(&manifest.media_type) => Kind::Other(other_kind),
        Some(wanted) if wanted.is(&manifest.media_type) => Kind::Own,
        Some(_) => Kind::Other(other_kind),
        None => Kind::OwnOrOther(other_kind),
    })
}

fn other_kind(form: &Form) -> Result<Form, Box<dyn std::error::Error + Send + Sync>> {
    let own = if Format::Docker.is(&form.media_type) { Format::Docker } else { Format::Oci };
    let document = Document::from_bytes(form.bytes.clone(), &form.media_type, "manifest")?;
    let other = convert_manifest(&document, own.other())?;
    Ok(Form { media_type: other.media_type, bytes: other.bytes })
}

fn check_platform(args: &PushArgs, image: &Image) -> Result<(), Failure> {
    if let Some(text) = &args.platform {
        let wanted: carboy_image::pull::Wanted =
            text.parse().map_err(|e: carboy_image::pull::ParsePlatformError| usage(e.to_string()))?;
        let config = &image.config;
        if !wanted.accepts(&config.os, &config.architecture, config.variant.as_deref()) {
            let actual = format!("{}/{}", config.os, config.architecture);
            let name = &args.image;
            let text = format!(
                "image with reference {name} was found but does not match the specified platform: wanted {wanted}, actual: {actual}"
            );
            return Err(Failure::Other(anyhow::Error::msg(text)));
        }
    }
    Ok(())
}

fn compression(wanted: Compression) -> LayerCompression {
    match wanted {
        Compression::Gzip => LayerCompression::Gzip,
        Compression::Zstd => LayerCompression::Zstd,
        Compression::Plain => LayerCompression::Plain,
    }
}

/// The transport of a destination that is no registry.
fn other_transport(destination: &str) -> Option<&str> {
    let known =
        ["dir", "oci", "oci-archive", "docker-archive", "docker-daemon", "containers-storage", "carboy", "ostree"];
    destination.split_once(':').map(|(transport, _)| transport).filter(|transport| known.contains(transport))
}
