//! `images`, `rmi`, `load`.

use super::for_each;
use super::pull::within_user_namespace;
use crate::args::{Global, ImagesArgs, LoadArgs, RmiArgs};
use crate::failure::{Failure, Outcome, usage};
use crate::format::{Listing, Row};
use crate::logtime::listing_time;
use crate::units::age_of;
use crate::{output, settings};
use carboy_format::units::{human_size, image_size};
use carboy_image::Image;
use carboy_oci::Reference;
use serde_json::json;

const COLUMNS: [(&str, &str); 5] =
    [("Repository", "REPOSITORY"), ("Tag", "TAG"), ("ID", "IMAGE ID"), ("CreatedSince", "CREATED"), ("Size", "SIZE")];
const WITH_DIGESTS: [(&str, &str); 6] = [
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("ID", "IMAGE ID"),
    ("CreatedSince", "CREATED"),
    ("Size", "SIZE"),
];
const HEADERS: [(&str, &str); 3] = [("Digest", "DIGEST"), ("CreatedAt", "CREATED AT"), ("VirtualSize", "SIZE")];

pub(super) fn images(global: &Global, args: &ImagesArgs) -> Outcome {
    let engine = settings::engine(global)?;
    let mut images = engine.images()?.list()?;
    for filter in &args.filter {
        retain(&mut images, filter)?;
    }
    // Newest first, as Docker lists them.
    images.sort_by_key(|image| std::cmp::Reverse(created_ns(image)));
    let mut rows = Vec::new();
    for image in &images {
        rows.extend(rows_of(image, args.name.as_deref(), args.no_trunc)?);
    }
    if args.quiet {
        let mut seen = std::collections::HashSet::new();
        for id in rows.iter().filter_map(|row| row.fields["ID"].as_str()).filter(|id| seen.insert(id.to_owned())) {
            output::line(id)?;
        }
        return Ok(0);
    }
    let columns: &[(&str, &str)] = if args.digests { &WITH_DIGESTS } else { &COLUMNS };
    let listing = Listing { columns, headers: &HEADERS, rows };
    output::print(&listing.render(args.format.as_deref())?)?;
    Ok(0)
}

fn retain(images: &mut Vec<Image>, filter: &str) -> Result<(), Failure> {
    match filter.split_once('=') {
        Some(("dangling", value @ ("true" | "false"))) => {
            images.retain(|image| image.tags().next().is_none() == (value == "true"));
        }
        Some(("reference", name)) => {
            let parse = |text: &str| Reference::parse(text).map_err(|e| usage(e.to_string()));
            let wanted = parse(name)?;
            let repository_only =
                !name.contains('@') && wanted.tag().is_some_and(|tag| !name.ends_with(&format!(":{tag}")));
            images.retain(|image| {
                image
                    .names
                    .iter()
                    .any(|known| *known == wanted || repository_only && known.repository() == wanted.repository())
            });
        }
        Some(("label", label)) => images.retain(|image| {
            let (name, value) = label.split_once('=').map_or((label, None), |(n, v)| (n, Some(v)));
            image.config.config.labels.get(name).is_some_and(|found| value.is_none_or(|value| value == found))
        }),
        _ => return Err(usage(format!("invalid filter '{filter}': reference=, dangling= or label="))),
    }
    Ok(())
}

fn created_ns(image: &Image) -> u64 {
    let time: Option<jiff::Timestamp> = image.created.as_deref().and_then(|text| text.parse().ok());
    time.map_or(0, |time| time.as_nanosecond().try_into().unwrap_or(0))
}

/// A row for each tag; one with `<none>` for an image without.
fn rows_of(image: &Image, only: Option<&str>, whole: bool) -> Result<Vec<Row>, Failure> {
    let only = match only {
        Some(text) => {
            let reference = Reference::parse(text).map_err(|e| usage(e.to_string()))?;
            let with_tag = text.rsplit('/').next().is_some_and(|last| last.contains(':'));
            Some((reference, with_tag))
        }
        None => None,
    };
    let wanted = |name: &Reference| {
        only.as_ref().is_none_or(|(reference, with_tag)| {
            name.repository() == reference.repository() && (!with_tag || name.tag() == reference.tag())
        })
    };
    let digest_of = |repository: &str| {
        let name = image.repo_digests().find(|name| name.familiar_repository() == repository);
        name.and_then(|name| name.digest()).map_or("<none>".to_owned(), ToString::to_string)
    };
    let row = |repository: String, tag: &str| {
        let fields = json!({
            "Digest": digest_of(&repository),
            "Repository": repository,
            "Tag": tag,
            "ID": if whole { image.id.to_string() } else { image.id.short().to_owned() },
            "CreatedSince": match created_ns(image) { 0 => "N/A".to_owned(), ns => format!("{} ago", age_of(ns)) },
            "CreatedAt": match created_ns(image) { 0 => "N/A".to_owned(), ns => listing_time(ns) },
            "Size": image_size(image.size),
            "VirtualSize": human_size(image.size),
        });
        let labels = image.config.config.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        Row { fields, labels }
    };
    let rows: Vec<Row> = image
        .tags()
        .filter(|name| wanted(name))
        .map(|name| row(name.familiar_repository(), name.tag().unwrap_or("<none>")))
        .collect();
    if !rows.is_empty() || image.tags().next().is_some() {
        return Ok(rows);
    }
    let repository = image.repo_digests().find(|name| wanted(name)).map(Reference::familiar_repository);
    Ok(match (repository, only) {
        (Some(repository), _) => vec![row(repository, "<none>")],
        (None, None) => vec![row("<none>".into(), "<none>")],
        (None, Some(_)) => Vec::new(),
    })
}

pub(super) fn rmi(global: &Global, args: &RmiArgs) -> Outcome {
    let engine = settings::engine(global)?;
    if let Some(code) = within_user_namespace(&engine)? {
        return Ok(code);
    }
    for_each(&args.images, |name| match engine.remove_image(name, args.force) {
        Ok(removed) => Ok(Some(removed.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))),
        Err(e) if args.force && e.kind() == carboy_engine::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e.into()),
    })
}

pub(super) fn load(global: &Global, args: &LoadArgs) -> Outcome {
    if args.input.is_none() && crate::terminal::stdin_is_terminal() {
        return Err(usage(
            "requested load from stdin, but stdin is empty: give an archive with --input, or on standard input",
        ));
    }
    let engine = settings::engine(global)?;
    if let Some(code) = within_user_namespace(&engine)? {
        return Ok(code);
    }
    super::load::load(&engine, args)
}
