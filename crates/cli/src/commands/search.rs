//! `search`.

use crate::args::SearchArgs;
use crate::failure::{Failure, Outcome, usage};
use crate::format::{Listing, Row};
use crate::{output, registry};
use carboy_distribution::Found;
use carboy_image::ImageError;
use carboy_oci::Reference;
use serde_json::json;

const COLUMNS: [(&str, &str); 4] =
    [("Name", "NAME"), ("Description", "DESCRIPTION"), ("StarCount", "STARS"), ("IsOfficial", "OFFICIAL")];
const HEADERS: [(&str, &str); 5] = [
    ("IsAutomated", "AUTOMATED"),
    ("Index", "INDEX"),
    ("Stars", "STARS"),
    ("Official", "OFFICIAL"),
    ("Automated", "AUTOMATED"),
];
const TAGS: [(&str, &str); 2] = [("Name", "NAME"), ("Tag", "TAG")];

pub(super) fn search(args: &SearchArgs) -> Outcome {
    if args.limit == 0 || args.limit > 100 {
        return Err(usage("--limit must be between 1 and 100"));
    }
    let client = registry::client(&args.registry)?;
    let (domain, term) = match args.term.split_once('/') {
        Some((first, rest)) if !Reference::is_short(&args.term) => (first, rest),
        _ => ("docker.io", args.term.as_str()),
    };
    let failed = |e: carboy_distribution::Error| Failure::Other(e.into());
    if args.list_tags {
        let reference = Reference::parse(&args.term).map_err(ImageError::from)?;
        let name = reference.repository();
        let tags = client.repository(&reference).tags(None).map_err(failed)?;
        let rows = tags.iter().take(args.limit).map(|tag| Row::new(json!({ "Name": name, "Tag": tag })));
        return print(args, &TAGS, rows.collect());
    }
    let mut found = client.search(domain, term, args.limit).map_err(failed)?;
    for filter in &args.filter {
        retain(&mut found, filter)?;
    }
    let prefix = if domain == "docker.io" { String::new() } else { format!("{domain}/") };
    let rows = found.iter().map(|found| {
        let fields = json!({
            "Name": format!("{prefix}{}", found.name),
            "Description": description(&found.description, args.no_trunc),
            "StarCount": found.star_count.to_string(),
            "IsOfficial": if found.is_official { "[OK]" } else { "" },
            "IsAutomated": if found.is_automated { "[OK]" } else { "" },
        });
        let podmans = [
            ("Index", json!(domain)),
            ("Stars", json!(found.star_count)),
            ("Official", fields["IsOfficial"].clone()),
            ("Automated", fields["IsAutomated"].clone()),
        ];
        let further = podmans.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Row { further, ..Row::new(fields) }
    });
    print(args, &COLUMNS, rows.collect())
}

fn print(args: &SearchArgs, columns: &[(&'static str, &'static str)], rows: Vec<Row>) -> Outcome {
    let listing = Listing { columns, headers: &HEADERS, rows };
    output::print(&listing.render(args.format.as_deref())?)?;
    Ok(0)
}

fn retain(found: &mut Vec<Found>, filter: &str) -> Result<(), Failure> {
    let truth =
        |value: &str| value.parse::<bool>().map_err(|_| usage(format!("invalid filter {filter:?}: true or false")));
    match filter.split_once('=').unwrap_or((filter, "true")) {
        ("stars", count) => {
            let least: u64 = count.parse().map_err(|_| usage(format!("invalid filter {filter:?}: stars=NUMBER")))?;
            found.retain(|found| found.star_count >= least);
        }
        ("is-official", value) => {
            let wanted = truth(value)?;
            found.retain(|found| found.is_official == wanted);
        }
        ("is-automated", value) => {
            let wanted = truth(value)?;
            found.retain(|found| found.is_automated == wanted);
        }
        _ => return Err(usage(format!("invalid filter {filter:?}: stars=, is-official= or is-automated="))),
    }
    Ok(())
}

/// Of one line, and as short as docker's.
fn description(text: &str, whole: bool) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if whole || line.chars().count() <= 45 { line } else { line.chars().take(44).chain(['…']).collect() }
}
