//! `sync`: all images of a repository, of a folder, or of a list in a file.

mod node;
mod semver;
mod yaml;

#[cfg(feature = "fuzz")]
pub use yaml::fuzz;

use super::place::{Places, failure, manifest_format};
use crate::args::{Global, RegistryArgs, SyncArgs, SyncPlace};
use crate::failure::{Failure, Outcome, usage};
use crate::progress::Display;
use crate::{output, registry};
use anyhow::Context;
use carboy_oci::Reference;
use carboy_transport::{CopyOptions, Instances, Location};
use semver::Version;
use std::io;
use std::path::{Path, PathBuf};

/// An image and what it is called below the destination.
struct Item {
    from: Location,
    /// With the registry and the whole path, such as `registry.example.org/team/app:1`.
    whole: String,
    /// How it is reached.
    reach: RegistryArgs,
}

pub(in crate::commands) fn sync(global: &Global, args: &SyncArgs) -> Outcome {
    if args.src == SyncPlace::Dir && args.dest == SyncPlace::Dir {
        return Err(usage("sync from 'dir' to 'dir' not implemented, consider using rsync instead"));
    }
    if args.dest == SyncPlace::Yaml {
        return Err(usage("yaml is a kind of source: --dest docker or --dest dir"));
    }
    let source = args.registries.source();
    let mut failed = 0;
    let (items, sources) = match args.src {
        SyncPlace::Docker => (of_name(&args.source, &source)?, 1),
        SyncPlace::Dir => (of_folder(Path::new(&args.source))?, 1),
        SyncPlace::Yaml => of_file(Path::new(&args.source), args, &mut failed)?,
    };
    if items.is_empty() {
        return Err(usage(format!("{} holds no image", args.source)).with_code(1));
    }
    let mut uncopied = 0;
    for item in &items {
        let to = target(item, args)?;
        output::line(&format!("Copying {} to {to}", item.from))?;
        if args.dry_run {
            continue;
        }
        if let Err(failure) = one(global, args, item, &to) {
            if !args.keep_going {
                return Err(failure);
            }
            output::error_line(&format!("{}: {failure}", item.from));
            uncopied += 1;
        }
    }
    let done = items.len() - uncopied;
    let verb = if args.dry_run { "Would have synced" } else { "Synced" };
    output::line(&format!("{verb} {done} images from {sources} sources"))?;
    Ok(i32::from(failed + uncopied > 0))
}

fn one(global: &Global, args: &SyncArgs, item: &Item, to: &Location) -> Result<(), Failure> {
    let places = Places::new(global);
    let options = CopyOptions {
        instances: if args.all { Instances::All } else { Instances::One },
        platform: None,
        format: manifest_format(args.format)?,
        preserve_digests: args.preserve_digests,
    };
    let source = places.source(&item.from, &item.reach)?;
    let destination = places.destination(to, &args.registries.destination(), source.repository(), &[])?;
    let display = Display::new(io::stdout(), false).context("look at standard output")?;
    let result = carboy_transport::copy(&*source, &*destination, &options, &display).and_then(|_| destination.finish());
    display.finish();
    result.map_err(failure)
}

/// One image of a registry, or all of a repository.
fn of_name(text: &str, reach: &RegistryArgs) -> Result<Vec<Item>, Failure> {
    let name = Reference::parse(text).map_err(|e| usage(e.to_string()))?;
    let is_one = text.contains('@') || text.rsplit('/').next().is_some_and(|last| last.contains(':'));
    if is_one {
        return Ok(vec![item(name, reach)]);
    }
    tags(&name, reach)?.iter().map(|tag| tagged(&name, tag, reach)).collect()
}

fn item(name: Reference, reach: &RegistryArgs) -> Item {
    Item { whole: name.to_string(), from: Location::Registry(name), reach: reach.clone() }
}

fn tagged(name: &Reference, tag: &str, reach: &RegistryArgs) -> Result<Item, Failure> {
    let separator = if tag.contains(':') { '@' } else { ':' };
    let text = format!("{}{separator}{tag}", name.repository());
    Ok(item(Reference::parse(&text).map_err(|e| usage(e.to_string()))?, reach))
}

fn tags(name: &Reference, reach: &RegistryArgs) -> Result<Vec<String>, Failure> {
    registry::client(reach)?.repository(name).tags(None).map_err(|e| Failure::Other(e.into()))
}

/// What a file of skopeo's form lists, and of how many registries. A repository whose tags cannot be listed is passed over with `--keep-going`.
fn of_file(path: &Path, args: &SyncArgs, failed: &mut usize) -> Result<(Vec<Item>, usize), Failure> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let registries = yaml::parse(&text).map_err(|why| usage(format!("{}: {why}", path.display())))?;
    let (mut items, sources) = (Vec::new(), registries.len());
    for registry in registries {
        let mut reach = args.registries.source();
        reach.tls_verify = registry.tls_verify.or(reach.tls_verify);
        reach.cert_dir = registry.cert_dir.or(reach.cert_dir);
        reach.creds = registry.credentials.map(|(user, password)| format!("{user}:{password}")).or(reach.creds);
        for (image, wanted) in &registry.images {
            let name = parse(&registry.name, image)?;
            let wanted = if wanted.is_empty() { listed(&name, &reach, args, failed)? } else { wanted.clone() };
            for tag in wanted {
                items.push(tagged(&name, &tag, &reach)?);
            }
        }
        for (image, expression) in &registry.by_expression {
            let name = parse(&registry.name, image)?;
            let bad = |e: regex_lite::Error| usage(format!("{}: {image}: {expression:?}: {e}", path.display()));
            let matcher = regex_lite::Regex::new(expression).map_err(bad)?;
            for tag in listed(&name, &reach, args, failed)?.iter().filter(|tag| matcher.is_match(tag)) {
                items.push(tagged(&name, tag, &reach)?);
            }
        }
        for (image, range) in &registry.by_version {
            let name = parse(&registry.name, image)?;
            let is_in = |tag: &&String| Version::parse(tag).is_some_and(|version| range.holds(&version));
            for tag in listed(&name, &reach, args, failed)?.iter().filter(is_in) {
                items.push(tagged(&name, tag, &reach)?);
            }
        }
    }
    Ok((items, sources))
}

fn parse(registry: &str, image: &str) -> Result<Reference, Failure> {
    Reference::parse(&format!("{registry}/{image}")).map_err(|e| usage(e.to_string()))
}

/// The tags of a repository; none with `--keep-going` if they cannot be listed.
fn listed(name: &Reference, reach: &RegistryArgs, args: &SyncArgs, failed: &mut usize) -> Result<Vec<String>, Failure> {
    match tags(name, reach) {
        Err(failure) if args.keep_going => {
            output::error_line(&format!("{}: {failure}", name.familiar_repository()));
            *failed += 1;
            Ok(Vec::new())
        }
        other => other,
    }
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
            let (from, whole) = (Location::Directory(folder.clone()), whole.display().to_string());
            items.push(Item { from, whole, reach: RegistryArgs::default() });
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
        SyncPlace::Docker | SyncPlace::Yaml => {
            Location::Registry(Reference::parse(&joined).map_err(|e| usage(e.to_string()))?)
        }
    })
}
