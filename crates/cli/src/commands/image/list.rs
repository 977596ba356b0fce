//! `images`.

use super::filter::Filters;
use super::tree;
use crate::args::{Global, ImageSort, ImagesArgs};
use crate::failure::{Failure, Outcome};
use crate::format::{Listing, Row};
use crate::logtime::listing_time;
use crate::units::age_of;
use crate::{output, settings};
use carboy_format::units::{human_size, image_size};
use carboy_image::Image;
use carboy_oci::Reference;
use serde_json::{Map, Value, json};
use std::collections::HashSet;

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
/// Headers of what templates may name besides; those of the last rows are Podman's.
const HEADERS: [(&str, &str); 19] = [
    ("Digest", "DIGEST"),
    ("CreatedAt", "CREATED AT"),
    ("VirtualSize", "SIZE"),
    ("Containers", "CONTAINERS"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
    ("Created", "CREATED"),
    ("CreatedTime", "CREATED AT"),
    ("Dangling", "DANGLING"),
    ("Id", "ID"),
    ("IsReadOnly", "READONLY"),
    ("Labels", "LABELS"),
    ("Names", "NAMES"),
    ("Os", "OS"),
    ("Arch", "ARCH"),
    ("ParentId", "PARENT ID"),
    ("ReadOnly", "READONLY"),
    ("RepoDigests", "REPO DIGESTS"),
    ("RepoTags", "REPO TAGS"),
];

pub(in crate::commands) fn images(global: &Global, args: &ImagesArgs) -> Outcome {
    let engine = settings::engine(global)?;
    let filters = Filters::parse(&engine, &args.filter, args.name.as_deref())?;
    let mut images = engine.images()?.list()?;
    images.retain(|image| filters.keep(image));
    // Newest first, as Docker lists them.
    images.sort_by_key(|image| std::cmp::Reverse(created_ns(image)));
    if args.tree {
        return tree::images(&engine, &images, args.no_trunc);
    }
    let mut rows: Vec<(&Image, Row)> = Vec::new();
    for image in &images {
        rows.extend(rows_of(image, &filters, args.no_trunc).into_iter().map(|row| (image, row)));
    }
    sort(&mut rows, args.sort);
    let rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
    if args.quiet {
        let mut seen = HashSet::new();
        for id in rows.iter().filter_map(|row| row.fields["ID"].as_str()).filter(|id| seen.insert(id.to_owned())) {
            output::line(id)?;
        }
        return Ok(0);
    }
    let columns: &[(&str, &str)] = if args.digests { &WITH_DIGESTS } else { &COLUMNS };
    let listing = Listing { columns, headers: &HEADERS, rows };
    let text = listing.render(args.format.as_deref())?;
    let has_heading = args.format.as_deref().is_none_or(|format| format.starts_with("table"));
    let body = text.split_once('\n').map_or("", |(_, body)| body);
    output::print(if args.noheading && has_heading { body } else { &text })?;
    Ok(0)
}

/// When an image was made, in nanoseconds since the epoch; 0 if its configuration does not say.
pub(crate) fn created_ns(image: &Image) -> u64 {
    let time: Option<jiff::Timestamp> = image.created.as_deref().and_then(|text| text.parse().ok());
    time.map_or(0, |time| time.as_nanosecond().try_into().unwrap_or(0))
}

fn sort(rows: &mut [(&Image, Row)], by: ImageSort) {
    let text = |row: &Row, field: &str| row.fields[field].as_str().unwrap_or_default().to_owned();
    match by {
        ImageSort::Created => {}
        ImageSort::Id => rows.sort_by(|a, b| a.0.id.cmp(&b.0.id)),
        ImageSort::Size => rows.sort_by_key(|(image, _)| image.size),
        ImageSort::Repository => rows.sort_by_key(|(_, row)| text(row, "Repository")),
        ImageSort::Tag => rows.sort_by_key(|(_, row)| text(row, "Tag")),
    }
}

/// A row for each tag; one with `<none>` for an image without.
fn rows_of(image: &Image, filters: &Filters, whole: bool) -> Vec<Row> {
    let names = || image.tags().filter(|name| filters.keep_name(name));
    let rows: Vec<Row> =
        names().map(|name| row(image, name.familiar_repository(), name.tag().unwrap_or("<none>"), whole)).collect();
    if !rows.is_empty() || image.tags().next().is_some() {
        return rows;
    }
    let repository = image.repo_digests().find(|name| filters.keep_name(name)).map(Reference::familiar_repository);
    match repository {
        Some(repository) => vec![row(image, repository, "<none>", whole)],
        None if filters.by_name() => Vec::new(),
        None => vec![row(image, "<none>".into(), "<none>", whole)],
    }
}

fn row(image: &Image, repository: String, tag: &str, whole: bool) -> Row {
    let name = image.repo_digests().find(|name| name.familiar_repository() == repository);
    let digest = name.and_then(|name| name.digest()).map_or("<none>".to_owned(), ToString::to_string);
    let created = created_ns(image);
    let fields = json!({
        "Containers": "N/A",
        "CreatedAt": match created { 0 => "N/A".to_owned(), ns => listing_time(ns) },
        "CreatedSince": match created { 0 => "N/A".to_owned(), ns => format!("{} ago", age_of(ns)) },
        "Digest": digest,
        "ID": if whole { image.id.to_string() } else { image.id.short().to_owned() },
        "Repository": repository,
        "SharedSize": "N/A",
        "Size": image_size(image.size),
        "Tag": tag,
        "UniqueSize": "N/A",
        "VirtualSize": human_size(image.size),
    });
    let labels = image.config.config.labels.clone();
    let further = podmans(image, &fields);
    Row { fields, labels, further }
}

/// What Podman's templates name besides.
fn podmans(image: &Image, fields: &Value) -> Map<String, Value> {
    let names: Vec<String> = image.tags().map(Reference::familiar).collect();
    let further = json!({
        "Arch": image.config.architecture,
        "Created": fields["CreatedSince"],
        "CreatedTime": fields["CreatedAt"],
        "Dangling": names.is_empty(),
        "Id": image.id.hex(),
        "IsReadOnly": false,
        "Labels": image.config.config.labels,
        "Names": names,
        "Os": image.config.os,
        "ParentId": "",
        "ReadOnly": false,
        "RepoDigests": image.repo_digests().map(Reference::familiar).collect::<Vec<_>>(),
        "RepoTags": names,
    });
    further.as_object().cloned().unwrap_or_default()
}

/// A reference that a person typed.
pub(super) fn reference(text: &str) -> Result<Reference, Failure> {
    Reference::parse(text).map_err(|e| {
        crate::failure::usage(format!("Error parsing reference: {text:?} is not a valid repository/tag: {e}"))
            .with_code(1)
    })
}
