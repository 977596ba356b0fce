//! `sync`: all images of a repository or of a folder.

use super::place::{Places, failure, manifest_format};
use crate::args::{Global, SyncArgs, SyncPlace};
use crate::failure::{Failure, Outcome, usage};
use crate::progress::Display;
use crate::{output, registry};
use anyhow::Context;
use carboy_oci::Reference;
use carboy_transport::{CopyOptions, Instances, Location};
use std::io;
use std::path::{Path, PathBuf};

/// An image and what it is called below the destination.
struct Item {
    from: Location,
    /// With the registry and the whole path, such as `registry.example.org/team/app:1`.
    whole: String,
}

pub(in crate::commands) fn sync(global: &Global, args: &SyncArgs) -> Outcome {
    if args.src == SyncPlace::Dir && args.dest == SyncPlace::Dir {
        return Err(usage("sync from 'dir' to 'dir' not implemented, consider using rsync instead"));
    }
    let items = match args.src {
        SyncPlace::Docker => of_registry(args)?,
        SyncPlace::Dir => of_folder(Path::new(&args.source))?,
    };
    if items.is_empty() {
        return Err(usage(format!("{} holds no image", args.source)).with_code(1));
    }
    let mut failed = 0;
    for item in &items {
        let to = target(item, args)?;
        output::line(&format!("Copying {} to {to}", item.from))?;
        if args.dry_run {
            continue;
        }
        if let Err(failure) = one(global, args, &item.from, &to) {
            if !args.keep_going {
                return Err(failure);
            }
            output::error_line(&format!("{}: {failure}", item.from));
            failed += 1;
        }
    }
    let done = items.len() - failed;
    let verb = if args.dry_run { "Would have synced" } else { "Synced" };
    output::line(&format!("{verb} {done} images from {} sources", 1))?;
    Ok(i32::from(failed > 0))
}

fn one(global: &Global, args: &SyncArgs, from: &Location, to: &Location) -> Result<(), Failure> {
    let places = Places::new(global);
    let options = CopyOptions {
        instances: if args.all { Instances::All } else { Instances::One },
        platform: None,
        format: manifest_format(args.format)?,
        preserve_digests: args.preserve_digests,
    };
    let source = places.source(from, &args.registries.source())?;
    let destination = places.destination(to, &args.registries.destination(), source.repository(), &[])?;
    let display = Display::new(io::stdout(), false).context("look at standard output")?;
    let result = carboy_transport::copy(&*source, &*destination, &options, &display).and_then(|_| destination.finish());
    display.finish();
    result.map_err(failure)
}

fn of_registry(args: &SyncArgs) -> Result<Vec<Item>, Failure> {
    let name = Reference::parse(&args.source).map_err(|e| usage(e.to_string()))?;
    let is_one = args.source.contains('@') || args.source.rsplit('/').next().is_some_and(|last| last.contains(':'));
    let tags = if is_one {
        Vec::new()
    } else {
        let client = registry::client(&args.registries.source())?;
        client.repository(&name).tags(None).map_err(|e| Failure::Other(e.into()))?
    };
    let item = |name: Reference| Item { whole: name.to_string(), from: Location::Registry(name) };
    if is_one {
        return Ok(vec![item(name)]);
    }
    let parse = |tag: &String| Reference::parse(&format!("{}:{tag}", name.repository()));
    tags.iter().map(parse).map(|name| name.map(item).map_err(|e| usage(e.to_string()))).collect()
}

/// Every folder below that holds an image; its path is its name.
fn of_folder(root: &Path) -> Result<Vec<Item>, Failure> {
    let mut items = Vec::new();
    let mut todo: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(folder) = todo.pop() {
        let is_image = folder.join("version").is_file() && folder.join("manifest.json").is_file();
        if is_image {
            let below = folder.strip_prefix(root).unwrap_or(&folder);
            let own = below.as_os_str().is_empty();
            let whole = if own { folder.file_name().map(Path::new).unwrap_or(below) } else { below };
            items.push(Item { from: Location::Directory(folder.clone()), whole: whole.display().to_string() });
            continue;
        }
        let entries = std::fs::read_dir(&folder).with_context(|| format!("read folder {}", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("read folder {}", folder.display()))?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                todo.push(entry.path());
            }
        }
    }
    items.sort_by(|a, b| a.whole.cmp(&b.whole));
    Ok(items)
}

/// As skopeo: the last part of the name below the destination, or all of it with `--scoped`.
fn target(item: &Item, args: &SyncArgs) -> Result<Location, Failure> {
    let short = item.whole.rsplit('/').next().unwrap_or(&item.whole);
    let below = if args.scoped { item.whole.as_str() } else { short };
    let joined = format!("{}/{below}", args.destination.trim_end_matches('/'));
    Ok(match args.dest {
        SyncPlace::Dir => Location::Directory(joined.into()),
        SyncPlace::Docker => Location::Registry(Reference::parse(&joined).map_err(|e| usage(e.to_string()))?),
    })
}
