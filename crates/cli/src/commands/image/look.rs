//! Looking into images: `image mount`, `image unmount`, `image diff`.

use crate::args::{DiffFormat, Global, ImageDiffArgs, ImageMountArgs, ImageUnmountArgs};
use crate::commands::for_each;
use crate::failure::{Outcome, usage};
use crate::{output, registry, settings};
use carboy_engine::Engine;
use carboy_image::{Change, ChangeKind, Image, compare};
use carboy_oci::Reference;
use serde_json::json;

pub(in crate::commands) fn mount(global: &Global, args: &ImageMountArgs) -> Outcome {
    let engine = settings::engine(global)?;
    if args.images.is_empty() && !args.all {
        return list(&engine, args.format);
    }
    if engine.is_rootless() {
        return Err(usage("only root can mount images where others see them: an ordinary user's mounts end with the process that made them")
            .with_code(1));
    }
    let images = match args.all {
        true => engine.images()?.list()?,
        false => args.images.iter().map(|name| registry::find_image(&engine, name)).collect::<Result<_, _>>()?,
    };
    for image in &images {
        let path = engine.images()?.mount_image(image)?;
        let path = path.display();
        let line = match args.images.len() {
            1 => path.to_string(),
            _ => format!("{} {path}", image.id.short()),
        };
        output::line(&line)?;
    }
    Ok(0)
}

fn list(engine: &Engine, format: Option<DiffFormat>) -> Outcome {
    let images = engine.images()?;
    let mut rows = Vec::new();
    for (id, path) in images.mounted_images()? {
        let image = images.get(&id)?;
        let names: Vec<String> = image.iter().flat_map(Image::tags).map(Reference::familiar).collect();
        rows.push((id, names, path));
    }
    if format.is_some() {
        let rows: Vec<_> = rows
            .iter()
            .map(|(id, names, path)| json!({ "id": id.hex(), "Repositories": names, "mountpoint": path }))
            .collect();
        output::line(&json!(rows).to_string())?;
        return Ok(0);
    }
    for (id, names, path) in rows {
        let name = names.first().cloned().unwrap_or_else(|| id.short().to_owned());
        output::line(&format!("{name}  {}", path.display()))?;
    }
    Ok(0)
}

pub(in crate::commands) fn unmount(global: &Global, args: &ImageUnmountArgs) -> Outcome {
    let engine = settings::engine(global)?;
    let images = engine.images()?;
    if args.all != args.images.is_empty() {
        return Err(usage("either names of images or --all is wanted"));
    }
    let mounted = images.mounted_images()?;
    let names: Vec<String> = match args.all {
        true => mounted.iter().map(|(id, _)| id.to_string()).collect(),
        false => args.images.clone(),
    };
    for_each(&names, |name| {
        // An image that was removed is known by its ID still.
        let id = match mounted.iter().find(|(id, _)| id.to_string() == name || id.hex() == name) {
            Some((id, _)) => id.clone(),
            None => registry::find_image(&engine, name)?.id,
        };
        match images.unmount_image(&id, args.force)? {
            true => Ok(Some(id.hex().to_owned())),
            false => Err(usage(format!("image {name} is not mounted")).with_code(1)),
        }
    })
}

/// Against another image, or against itself without its topmost layer.
pub(in crate::commands) fn diff(global: &Global, args: &ImageDiffArgs) -> Outcome {
    let engine = settings::engine(global)?;
    let image = registry::find_image(&engine, &args.image)?;
    let images = engine.images()?;
    let before = match &args.other {
        Some(other) => registry::find_image(&engine, other)?.layers().to_vec(),
        None => image.layers().split_last().map(|(_, below)| below.to_vec()).unwrap_or_default(),
    };
    let after = images.view(image.layers(), None)?.root()?;
    let before = match before.is_empty() {
        true => None,
        false => Some(images.view(&before, None)?.root()?),
    };
    print_changes(&compare(before, after)?, args.format)
}

fn print_changes(changes: &[Change], format: Option<DiffFormat>) -> Outcome {
    let Some(DiffFormat::Json) = format else {
        for change in changes {
            output::line(&change.to_string())?;
        }
        return Ok(0);
    };
    let mut value = serde_json::Map::new();
    let kinds = [("changed", ChangeKind::Changed), ("added", ChangeKind::Added), ("deleted", ChangeKind::Deleted)];
    for (word, kind) in kinds {
        let paths: Vec<_> = changes.iter().filter(|change| change.kind == kind).map(|change| &change.path).collect();
        if !paths.is_empty() {
            value.insert(word.to_owned(), json!(paths));
        }
    }
    output::line(&serde_json::Value::Object(value).to_string())?;
    Ok(0)
}
