//! Images in any place: `copy`, `save`, `list-tags`, `delete`, `sync`, and `inspect` of what is not in the store.

mod inspect;
mod place;
mod save;
mod sync;
mod tags;

pub(super) use inspect::{config_bytes, inspect};
pub(super) use place::{Places, failure, manifest_format};
pub(super) use save::save;
#[cfg(feature = "fuzz")]
pub use sync::fuzz as fuzz_sync_yaml;
pub(super) use sync::sync;
pub(super) use tags::{delete, list_tags, pretty};

use crate::args::{CopyArgs, Global, MultiArch};
use crate::failure::{Failure, Outcome, usage};
use crate::output;
use crate::progress::Display;
use anyhow::Context;
use carboy_transport::{CopyOptions, Instances, Location};
use std::io;

pub(super) fn copy(global: &Global, args: &CopyArgs) -> Outcome {
    let (from, to) = (location(&args.source)?, location(&args.destination)?);
    if !args.additional_tag.is_empty() && !matches!(to, Location::DockerArchive(..)) {
        return Err(usage("--additional-tag is for docker-archive: only"));
    }
    let places = Places::new(global);
    if matches!(to, Location::Store(_))
        && let Some(code) = places.within_user_namespace()?
    {
        return Ok(code);
    }
    let options = CopyOptions {
        instances: match args.multi_arch {
            None if args.all => Instances::All,
            None | Some(MultiArch::System) => Instances::One,
            Some(MultiArch::All) => Instances::All,
            Some(MultiArch::IndexOnly) => Instances::ListOnly,
        },
        platform: super::pull::platform(args.platform.as_deref())?,
        format: manifest_format(args.format)?,
        preserve_digests: args.preserve_digests,
    };
    let source = places.source(&from, &args.registries.source())?;
    let destination =
        places.destination(&to, &args.registries.destination(), source.repository(), &args.additional_tag)?;
    let display = Display::new(io::stdout(), args.quiet).context("look at standard output")?;
    let copied = carboy_transport::copy(&*source, &*destination, &options, &display);
    // What failed is given up here, and with it the lease of what was taken in.
    let copied = match copied {
        Ok(copied) => destination.finish().map(|()| copied),
        Err(error) => {
            drop(destination);
            Err(error)
        }
    };
    display.finish();
    if copied.is_err() && matches!(to, Location::Store(_)) {
        // The copy's own error is the one to report.
        let _ = places.engine()?.images()?.collect();
    }
    let copied = copied.map_err(place::failure)?;
    if let Some(path) = &args.digestfile {
        std::fs::write(path, copied.digest.to_string()).with_context(|| format!("write {}", path.display()))?;
    }
    let line = if args.quiet { copied.digest.to_string() } else { format!("Digest: {}", copied.digest) };
    output::line(&line)?;
    Ok(0)
}

/// A place that a person named.
pub(super) fn location(text: &str) -> Result<Location, Failure> {
    text.parse().map_err(|e: carboy_transport::LocationError| usage(e.to_string()))
}
