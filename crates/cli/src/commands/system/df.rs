//! `system df`: bytes on the disk, each file counted once.

use crate::args::{DfArgs, Global};
use crate::commands::image::created_ns;
use crate::commands::pull::within_user_namespace;
use crate::failure::Outcome;
use crate::format::{Listing, Row};
use crate::units::age_of;
use crate::{output, settings};
use carboy_engine::{DiskUsage, Status};
use carboy_format::units::{self, human_size};
use carboy_oci::Reference;
use serde_json::{Value, json};

const COLUMNS: [(&str, &str); 5] =
    [("Type", "TYPE"), ("TotalCount", "TOTAL"), ("Active", "ACTIVE"), ("Size", "SIZE"), ("Reclaimable", "RECLAIMABLE")];
const IMAGES: [(&str, &str); 8] = [
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("ID", "IMAGE ID"),
    ("CreatedSince", "CREATED"),
    ("Size", "SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
    ("Containers", "CONTAINERS"),
];
const CONTAINERS: [(&str, &str); 8] = [
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Size", "SIZE"),
    ("RunningFor", "CREATED"),
    ("Status", "STATUS"),
    ("Names", "NAMES"),
];
const VOLUMES: [(&str, &str); 3] = [("Name", "VOLUME NAME"), ("Links", "LINKS"), ("Size", "SIZE")];

pub(super) fn df(global: &Global, args: &DfArgs) -> Outcome {
    let engine = settings::engine(global)?;
    // Folders of mapped IDs can be looked into only there.
    if let Some(code) = within_user_namespace(&engine)? {
        return Ok(code);
    }
    let usage = engine.disk_usage()?;
    if args.verbose {
        return verbose(&usage);
    }
    let rows = summary(&usage).into_iter().map(row).collect();
    output::print(&Listing { columns: &COLUMNS, headers: &[], rows }.render(args.format.as_deref())?)?;
    Ok(0)
}

fn row(fields: Value) -> Row {
    Row::new(fields)
}

fn summary(usage: &DiskUsage) -> Vec<Value> {
    let line = |kind: &str, total: usize, active: usize, size: u64, reclaimable: u64| {
        let percent = reclaimable.saturating_mul(100).checked_div(size).unwrap_or(0);
        // Docker leaves the percentage out where there is nothing.
        let reclaimable = match size {
            0 => human_size(reclaimable),
            _ => format!("{} ({percent}%)", human_size(reclaimable)),
        };
        json!({
            "Type": kind, "TotalCount": total.to_string(), "Active": active.to_string(),
            "Size": human_size(size), "Reclaimable": reclaimable
        })
    };
    let images = &usage.images;
    let active = images.images.iter().filter(|one| usage.used_images.contains(one.image.id.as_str())).count();
    let running = usage.containers.iter().filter(|(container, _)| container.status == Status::Running);
    let stopped = usage.containers.iter().filter(|(container, _)| container.status != Status::Running);
    let unused = usage.volumes.iter().filter(|(_, _, links)| *links == 0);
    vec![
        line("Images", images.images.len(), active, images.size, images.reclaimable),
        line(
            "Containers",
            usage.containers.len(),
            running.count(),
            usage.containers.iter().map(|(_, bytes)| bytes).sum(),
            stopped.map(|(_, bytes)| bytes).sum(),
        ),
        line(
            "Local Volumes",
            usage.volumes.len(),
            usage.volumes.iter().filter(|(_, _, links)| *links > 0).count(),
            usage.volumes.iter().map(|(_, bytes, _)| bytes).sum(),
            unused.map(|(_, bytes, _)| bytes).sum(),
        ),
    ]
}

fn verbose(usage: &DiskUsage) -> Outcome {
    let table = |title: &str, columns: &[(&'static str, &'static str)], rows: Vec<Value>| {
        let listing = Listing { columns, headers: &[], rows: rows.into_iter().map(row).collect() };
        Ok::<_, crate::failure::Failure>(format!("{title}:\n\n{}\n", listing.render(None)?))
    };
    output::print(&table("Images space usage", &IMAGES, image_rows(usage))?)?;
    output::print(&table("Containers space usage", &CONTAINERS, container_rows(usage))?)?;
    let volumes = usage.volumes.iter();
    let volumes = volumes.map(|(name, bytes, links)| json!({"Name": name, "Links": links, "Size": human_size(*bytes)}));
    output::print(&table("Local Volumes space usage", &VOLUMES, volumes.collect())?)?;
    Ok(0)
}

fn image_rows(usage: &DiskUsage) -> Vec<Value> {
    let rows = usage.images.images.iter().map(|one| {
        let name = one.image.tags().next();
        let of_image = usage
            .containers
            .iter()
            .filter(|(container, _)| container.record.image.as_ref().is_some_and(|used| used.id == one.image.id));
        json!({
            "Repository": name.map_or("<none>".to_owned(), Reference::familiar_repository),
            "Tag": name.and_then(Reference::tag).unwrap_or("<none>"),
            "ID": one.image.id.short(),
            "CreatedSince": match created_ns(&one.image) { 0 => "N/A".to_owned(), ns => format!("{} ago", age_of(ns)) },
            "Size": human_size(one.unique + one.shared),
            "SharedSize": human_size(one.shared),
            "UniqueSize": human_size(one.unique),
            "Containers": of_image.count(),
        })
    });
    rows.collect()
}

fn container_rows(usage: &DiskUsage) -> Vec<Value> {
    let rows = usage.containers.iter().map(|(container, bytes)| {
        let record = &container.record;
        json!({
            "ID": units::short_id(&record.id),
            "Image": record.image.as_ref().map_or("", |image| &image.name),
            "Command": units::command(&record.resolved.args.join(" "), false),
            "LocalVolumes": record.resolved.mounts.iter().filter(|mount| mount.volume.is_some()).count(),
            "Size": human_size(*bytes),
            "RunningFor": format!("{} ago", age_of(record.created_ns)),
            "Status": container.status.as_str(),
            "Names": record.name,
        })
    });
    rows.collect()
}
