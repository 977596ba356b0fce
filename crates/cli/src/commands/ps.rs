//! `ps`.

use crate::args::{Global, PsArgs};
use crate::failure::{Failure, Outcome, usage};
use crate::format::{Listing, Row};
use crate::logtime::listing_time;
use crate::units::age_of;
use crate::{output, settings};
use carboy_engine::{Container, Status};
use carboy_format::units;
use serde_json::json;

const COLUMNS: [(&str, &str); 7] = [
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("RunningFor", "CREATED"),
    ("Status", "STATUS"),
    ("Ports", "PORTS"),
    ("Names", "NAMES"),
];
const HEADERS: [(&str, &str); 6] = [
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("CreatedAt", "CREATED AT"),
    ("State", "STATE"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("Networks", "NETWORKS"),
];

pub(super) fn ps(global: &Global, args: &PsArgs) -> Outcome {
    let filters = args.filter.iter().map(|f| Filter::parse(f)).collect::<Result<Vec<_>, _>>()?;
    let engine = settings::engine(global)?;
    let last = if args.latest { Some(1) } else { args.last };
    let of_status = filters.iter().any(|f| matches!(f, Filter::Status(_) | Filter::Exited(_)));
    let everything = args.all || last.is_some() || of_status;
    let mut containers: Vec<Container> = engine.list()?;
    containers.retain(|c| (everything || c.status == Status::Running) && matches(&filters, c));
    containers.truncate(last.unwrap_or(usize::MAX));
    if args.quiet {
        for container in &containers {
            output::line(id(container, args.no_trunc))?;
        }
        return Ok(0);
    }
    let rows = containers.iter().map(|c| row(c, args.no_trunc)).collect();
    let listing = Listing { columns: &COLUMNS, headers: &HEADERS, rows };
    output::print(&listing.render(args.format.as_deref())?)?;
    Ok(0)
}

fn id(container: &Container, whole: bool) -> &str {
    let id = &container.record.id;
    if whole { id } else { &id[..12] }
}

fn row(container: &Container, whole: bool) -> Row {
    let record = &container.record;
    let command = record.resolved.args.join(" ");
    let image = match (&record.image, &record.request.rootfs) {
        (Some(image), _) => image.name.clone(),
        (None, Some(path)) => path.display().to_string(),
        (None, None) => String::new(),
    };
    let labels: Vec<String> = record.resolved.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let mounts: Vec<String> = record
        .resolved
        .mounts
        .iter()
        .map(|m| m.volume.clone().unwrap_or_else(|| m.source.display().to_string()))
        .collect();
    let fields = json!({
        "ID": id(container, whole),
        "Image": image,
        "Command": units::command(&command, whole),
        "CreatedAt": listing_time(record.created_ns),
        "RunningFor": format!("{} ago", age_of(record.created_ns)),
        "State": container.status.as_str(),
        "Status": status_text(container),
        "Ports": "",
        "Names": record.name,
        "Labels": labels.join(","),
        "Mounts": mounts.join(","),
        "Networks": record.request.network.as_str(),
        "LocalVolumes": record.resolved.mounts.iter().filter(|m| m.volume.is_some()).count().to_string(),
    });
    let labels = record.resolved.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    Row { labels, ..Row::new(fields) }
}

/// Docker's words: `Up 5 minutes`, `Exited (0) 2 hours ago`, `Created`.
pub(super) fn status_text(container: &Container) -> String {
    match (container.status, &container.started, &container.exit) {
        (Status::Running, Some(started), _) => format!("Up {}", age_of(started.at_ns)),
        (Status::Exited, _, Some(exit)) => format!("Exited ({}) {} ago", exit.code, age_of(exit.at_ns)),
        _ => "Created".into(),
    }
}

enum Filter {
    Id(String),
    Name(String),
    Status(Vec<&'static str>),
    Ancestor(String),
    Label(String, Option<String>),
    Exited(i32),
}

impl Filter {
    fn parse(text: &str) -> Result<Self, Failure> {
        let (key, value) = text.split_once('=').ok_or_else(|| usage(format!("invalid filter '{text}': KEY=VALUE")))?;
        let value = value.to_owned();
        Ok(match key {
            "id" => Filter::Id(value),
            "name" => Filter::Name(value),
            "status" => match value.as_str() {
                "created" => Filter::Status(vec!["created"]),
                "running" => Filter::Status(vec!["running"]),
                "exited" => Filter::Status(vec!["exited"]),
                "paused" | "restarting" | "removing" | "dead" => Filter::Status(vec![]),
                _ => return Err(usage(format!("invalid filter 'status={value}'"))),
            },
            "ancestor" => Filter::Ancestor(value),
            "label" => match value.split_once('=') {
                Some((name, value)) => Filter::Label(name.to_owned(), Some(value.to_owned())),
                None => Filter::Label(value, None),
            },
            "exited" => Filter::Exited(value.parse().map_err(|_| usage(format!("invalid filter 'exited={value}'")))?),
            _ => return Err(usage(format!("invalid filter '{key}': id, name, status, ancestor, label or exited"))),
        })
    }

    fn key(&self) -> &'static str {
        match self {
            Filter::Id(_) => "id",
            Filter::Name(_) => "name",
            Filter::Status(_) => "status",
            Filter::Ancestor(_) => "ancestor",
            Filter::Label(..) => "label",
            Filter::Exited(_) => "exited",
        }
    }

    fn fits(&self, container: &Container) -> bool {
        let record = &container.record;
        match self {
            Filter::Id(id) => record.id.starts_with(id.as_str()),
            // Docker's are regular expressions; the everyday ones are plain text, `^` and `$`.
            Filter::Name(pattern) => fits_name(pattern, &record.name),
            Filter::Status(list) => list.contains(&container.status.as_str()),
            Filter::Ancestor(image) => record.image.as_ref().is_some_and(|used| {
                let parse = |text: &str| carboy_oci::Reference::parse(text).ok();
                used.id.hex().starts_with(image.trim_start_matches("sha256:"))
                    || parse(image).is_some() && parse(image) == parse(&used.name)
            }),
            Filter::Label(name, value) => {
                let found = record.resolved.labels.get(name);
                found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
            }
            Filter::Exited(code) => container.exit.as_ref().is_some_and(|exit| exit.code == *code),
        }
    }
}

fn fits_name(pattern: &str, name: &str) -> bool {
    let (start, end) = (pattern.starts_with('^'), pattern.ends_with('$'));
    let text = pattern.trim_start_matches('^').trim_end_matches('$');
    let text = text.strip_prefix('/').unwrap_or(text);
    match (start, end) {
        (true, true) => name == text,
        (true, false) => name.starts_with(text),
        (false, true) => name.ends_with(text),
        (false, false) => name.contains(text),
    }
}

/// Filters of one key are alternatives (but labels, which must all fit), those of several keys conditions.
fn matches(filters: &[Filter], container: &Container) -> bool {
    filters.iter().all(|filter| {
        let same = filters.iter().filter(|other| other.key() == filter.key());
        if filter.key() == "label" { filter.fits(container) } else { same.into_iter().any(|f| f.fits(container)) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_as_dockers_everyday_patterns() {
        assert!(fits_name("eb", "web") && fits_name("^we", "web") && fits_name("^/web$", "web"));
        assert!(!fits_name("^eb", "web") && !fits_name("we$", "web"));
    }

    #[test]
    fn unknown_filters_are_refused() {
        assert!(
            Filter::parse("health=x").is_err() && Filter::parse("x").is_err() && Filter::parse("status=x").is_err()
        );
    }
}
