//! `image prune`, `system prune`: Docker's questions, filters and words.

use crate::args::{Global, ImagePruneArgs, SystemPruneArgs};
use crate::commands::image::created_ns;
use crate::commands::pull::within_user_namespace;
use crate::failure::{Failure, Outcome, usage};
use crate::logtime::parse_moment;
use crate::{output, settings};
use carboy_engine::{Container, Pruned};
use carboy_format::units::human_size;
use carboy_image::{Image, Removed};
use std::collections::BTreeMap;
use std::io::BufRead;

/// Filters that leave things out.
#[derive(Default)]
struct Filters {
    /// Made before this, in nanoseconds since the epoch.
    until: Option<u64>,
    /// Labels that must be there, and those that must not.
    labels: Vec<String>,
    not_labels: Vec<String>,
    dangling: Option<bool>,
}

impl Filters {
    fn parse(filters: &[String], with_dangling: bool) -> Result<Self, Failure> {
        let mut parsed = Filters::default();
        for filter in filters {
            let bad = || usage(format!("bad format of filter {filter:?} (expected name=value)"));
            let (key, value) = filter.split_once('=').ok_or_else(bad)?;
            match key {
                "until" => {
                    let moment = parse_moment(value).map_err(usage)?;
                    let moment: jiff::Timestamp = moment.parse().map_err(|e: jiff::Error| usage(e.to_string()))?;
                    parsed.until = Some(u64::try_from(moment.as_nanosecond()).unwrap_or(0));
                }
                "label" => parsed.labels.push(value.to_owned()),
                "label!" => parsed.not_labels.push(value.to_owned()),
                "dangling" if with_dangling => match value {
                    "true" | "1" => parsed.dangling = Some(true),
                    "false" | "0" => parsed.dangling = Some(false),
                    _ => return Err(usage(format!("invalid filter 'dangling=[{value}]'")).with_code(1)),
                },
                _ => return Err(usage(format!("invalid filter '{key}'")).with_code(1)),
            }
        }
        Ok(parsed)
    }

    fn lets_pass<'l>(&self, made_ns: u64, labels: impl Fn(&str) -> Option<&'l String>) -> bool {
        let has = |label: &String| {
            let (name, value) = label.split_once('=').map_or((label.as_str(), None), |(n, v)| (n, Some(v)));
            labels(name).is_some_and(|found| value.is_none_or(|value| value == found))
        };
        self.until.is_none_or(|until| made_ns < until)
            && self.labels.iter().all(has)
            && !self.not_labels.iter().any(has)
    }

    fn image(&self, image: &Image) -> bool {
        self.lets_pass(created_ns(image), |name| image.config.config.labels.get(name))
    }

    fn container(&self, container: &Container) -> bool {
        let labels: &BTreeMap<String, String> = &container.record.resolved.labels;
        self.lets_pass(container.record.created_ns, |name| labels.get(name))
    }
}

/// `image prune`.
pub(crate) fn images(global: &Global, args: &ImagePruneArgs) -> Outcome {
    let filters = Filters::parse(&args.filter, true)?;
    let engine = settings::engine(global)?;
    if let Some(code) = within_user_namespace(&engine)? {
        return Ok(code);
    }
    // Docker's older way to say --all.
    let all = args.all || filters.dangling == Some(false);
    let what = if all {
        "WARNING! This will remove all images without at least one container associated to them."
    } else {
        "WARNING! This will remove all dangling images."
    };
    if !args.force && !is_confirmed(what)? {
        return Err(usage("image prune has been cancelled").with_code(1));
    }
    let pruned = engine.prune_images(all, &|image| !filters.image(image))?;
    report_images(&pruned)?;
    total(pruned.bytes)
}

/// `system prune`.
pub(super) fn system(global: &Global, args: &SystemPruneArgs) -> Outcome {
    let filters = Filters::parse(&args.filter, false)?;
    if args.volumes && filters.until.is_some() {
        return Err(usage("ERROR: The \"until\" filter is not supported with \"--volumes\"").with_code(1));
    }
    let engine = settings::engine(global)?;
    if let Some(code) = within_user_namespace(&engine)? {
        return Ok(code);
    }
    if !args.force && !is_confirmed(&warning(args))? {
        return Err(usage("system prune has been cancelled").with_code(1));
    }
    let containers = engine.prune_containers(&|container| !filters.container(container))?;
    list("Deleted Containers:", &containers.containers)?;
    // A volume has no labels here: with a filter for them nothing is known of it that would let it pass.
    let volumes = match args.volumes && filters.labels.is_empty() {
        true => engine.prune_volumes()?,
        false => Pruned::default(),
    };
    list("Deleted Volumes:", &volumes.volumes)?;
    let images = engine.prune_images(args.all, &|image| !filters.image(image))?;
    report_images(&images)?;
    total(containers.bytes + volumes.bytes + images.bytes)
}

fn warning(args: &SystemPruneArgs) -> String {
    let mut lines = vec!["WARNING! This will remove:", "  - all stopped containers"];
    if args.volumes {
        lines.push("  - all anonymous volumes not used by at least one container");
    }
    lines.push(if args.all {
        "  - all images without at least one container associated to them"
    } else {
        "  - all dangling images"
    });
    let mut text = lines.join("\n");
    if !args.filter.is_empty() {
        text.push_str("\n\n  Items to be pruned will be filtered with:");
        args.filter.iter().for_each(|filter| text.push_str(&format!("\n  - {filter}")));
    }
    text.push('\n');
    text
}

fn is_confirmed(what: &str) -> Result<bool, Failure> {
    output::print(&format!("{what}\nAre you sure you want to continue? [y/N] "))?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|e| Failure::Other(e.into()))?;
    Ok(matches!(answer.trim(), "y" | "Y"))
}

fn list(title: &str, names: &[String]) -> Result<(), Failure> {
    if names.is_empty() {
        return Ok(());
    }
    Ok(output::print(&format!("{title}\n{}\n\n", names.join("\n")))?)
}

fn report_images(pruned: &Pruned) -> Result<(), Failure> {
    let lines = pruned.images.iter().map(|removed| match removed {
        Removed::Untagged(name) => format!("untagged: {}", name.familiar()),
        Removed::Deleted(digest) => format!("deleted: {digest}"),
    });
    list("Deleted Images:", &lines.collect::<Vec<_>>())
}

fn total(bytes: u64) -> Outcome {
    output::line(&format!("Total reclaimed space: {}", human_size(bytes)))?;
    Ok(0)
}
