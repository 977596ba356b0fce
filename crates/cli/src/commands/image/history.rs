//! `history`: the steps that made an image.

use crate::args::{Global, HistoryArgs};
use crate::failure::Outcome;
use crate::format::{Listing, Row};
use crate::units::age_of;
use crate::{output, registry, settings};

use carboy_format::units::image_size;
use carboy_image::Image;
use carboy_oci::image::History;
use serde_json::{Map, json};

const HUMAN: [(&str, &str); 5] = [
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];
const EXACT: [(&str, &str); 5] = [
    ("ID", "IMAGE"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];
/// Longer commands are cut, unless they are asked for.
const COMMAND_WIDTH: usize = 45;

pub(in crate::commands) fn history(global: &Global, args: &HistoryArgs) -> Outcome {
    let engine = settings::engine(global)?;
    let image = registry::find_image(&engine, &args.image)?;
    let images = engine.images()?;
    let mut sizes = Vec::new();
    for diff_id in image.layers() {
        sizes.push(images.layer_size(diff_id)?.unwrap_or(0));
    }
    let rows: Vec<Row> = steps(&image, &sizes)
        .iter()
        .enumerate()
        .map(|(number, (step, size))| row(&image, number == 0, step, *size, args))
        .collect();
    if args.quiet {
        for row in &rows {
            output::line(row.fields["ID"].as_str().unwrap_or_default())?;
        }
        return Ok(0);
    }
    let listing = Listing {
        columns: if args.human { &HUMAN } else { &EXACT },
        headers: if args.human { &EXACT } else { &HUMAN },
        rows,
    };
    output::print(&listing.render(args.format.as_deref())?)?;
    Ok(0)
}

/// The steps with the sizes of their layers, newest first. Layers that no step tells of come last.
fn steps(image: &Image, sizes: &[u64]) -> Vec<(History, u64)> {
    let mut sizes = sizes.iter().copied();
    let mut steps: Vec<(History, u64)> = image
        .config
        .history
        .iter()
        .map(|step| (step.clone(), if step.empty_layer { 0 } else { sizes.next().unwrap_or(0) }))
        .collect();
    steps.extend(sizes.map(|size| (History::default(), size)));
    steps.reverse();
    steps
}

fn row(image: &Image, first: bool, step: &History, size: u64, args: &HistoryArgs) -> Row {
    let id = match (first, args.no_trunc) {
        (false, _) => "<missing>".to_owned(),
        (true, true) => image.id.to_string(),
        (true, false) => image.id.short().to_owned(),
    };
    let time: Option<jiff::Timestamp> = step.created.as_deref().and_then(|text| text.parse().ok());
    let since = time.map(|time| format!("{} ago", age_of(u64::try_from(time.as_nanosecond()).unwrap_or(0))));
    let command = step.created_by.clone().unwrap_or_default().replace('\t', " ");
    let fields = json!({
        "Comment": step.comment.clone().unwrap_or_default(),
        "CreatedAt": time.map(|time| format!("{time:.0}")).unwrap_or_default(),
        "CreatedBy": if args.no_trunc { command } else { carboy_format::units::ellipsis(&command, COMMAND_WIDTH) },
        "CreatedSince": since.unwrap_or_else(|| "N/A".to_owned()),
        "ID": id,
        "Size": if args.human { image_size(size) } else { size.to_string() },
    });
    let further = Map::from_iter([("Created".to_owned(), fields["CreatedSince"].clone())]);
    Row { further, ..Row::new(fields) }
}
