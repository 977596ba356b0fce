//! `images --tree` and `image tree`.

use crate::args::{Global, TreeArgs};
use crate::failure::Outcome;
use crate::{output, registry, settings};
use carboy_engine::Engine;
use carboy_format::Table;
use carboy_format::units::{human_size, image_size};
use carboy_image::Image;
use carboy_oci::{Digest, Reference};

/// Each name with the platform below it, as Docker draws it.
pub(super) fn images(engine: &Engine, images: &[Image], whole: bool) -> Outcome {
    let containers = engine.list()?;
    let mut table = Table::new(&["IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "EXTRA"]);
    for image in images {
        let id = if whole { image.id.to_string() } else { image.id.short().to_owned() };
        let content = image.manifest_data.layers.iter().map(|layer| layer.size).sum::<u64>()
            + image.manifest.size
            + image.manifest_data.config.size;
        let used = containers.iter().any(|c| c.record.image.as_ref().is_some_and(|used| used.id == image.id));
        let mut names: Vec<String> = image.tags().map(Reference::familiar).collect();
        if names.is_empty() {
            names.push("<untagged>".to_owned());
        }
        let config = &image.config;
        let variant = config.variant.as_deref().map(|variant| format!("/{variant}")).unwrap_or_default();
        let platform = format!("{}/{}{variant}", config.os, config.architecture);
        let extra = if used { "U" } else { "" };
        let cells =
            [&id, &image_size(image.size + content), &image_size(content), &extra.to_owned()].map(String::clone);
        for name in names {
            for first in [name, format!("└─ {platform}")] {
                let [id, usage, content, extra] = &cells;
                table.push([&first, id, usage, content, extra]);
            }
        }
    }
    output::print(&table.to_string())?;
    Ok(0)
}

/// The layers of an image, and which images each is the last layer of, as Podman draws it.
pub(in crate::commands) fn tree(global: &Global, args: &TreeArgs) -> Outcome {
    let engine = settings::engine(global)?;
    let image = registry::find_image(&engine, &args.image)?;
    let tags = |image: &Image| format!("[{}]", image.tags().map(Reference::familiar).collect::<Vec<_>>().join(" "));
    let head = format!(
        "Image ID: {}\nTags:     {}\nSize:     {}\n{}\n",
        image.id.short(),
        tags(&image),
        human_size(image.size),
        if args.whatrequires { "Image Layers, and the images on top of them" } else { "Image Layers" },
    );
    output::print(&head)?;
    let all = engine.images()?.list()?;
    let layers = image.layers();
    for (number, diff_id) in layers.iter().enumerate() {
        let last = number + 1 == layers.len();
        let size = engine.images()?.layer_size(diff_id)?.unwrap_or(0);
        let up_to = &layers[..=number];
        let of = |image: &&Image| match args.whatrequires {
            true => starts_with(image.layers(), up_to),
            false => image.layers() == up_to,
        };
        let tops: Vec<String> = all.iter().filter(of).map(tags).collect();
        let word = if args.whatrequires { "Required by" } else { "Top Layer of" };
        let suffix = if tops.is_empty() { String::new() } else { format!(" {word}: {}", tops.join(" ")) };
        let branch = if last { "└──" } else { "├──" };
        output::line(&format!("{branch} ID: {} Size: {}{suffix}", diff_id.short(), human_size(size)))?;
    }
    Ok(0)
}

fn starts_with(layers: &[Digest], begin: &[Digest]) -> bool {
    layers.len() >= begin.len() && layers[..begin.len()] == *begin
}
