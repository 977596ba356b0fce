//! `load`.

use crate::args::{Global, LoadArgs};
use crate::commands::pull::within_user_namespace;
use crate::failure::{Failure, Outcome, usage};
use crate::progress::Display;
use crate::{output, settings};
use anyhow::Context;
use carboy_image::{LoadSource, Loaded};
use carboy_oci::Digest;

pub(in crate::commands) fn load(global: &Global, args: &LoadArgs) -> Outcome {
    if args.input.is_none() && crate::terminal::stdin_is_terminal() {
        return Err(usage(
            "requested load from stdin, but stdin is empty: give an archive with --input, or on standard input",
        ));
    }
    let engine = settings::engine(global)?;
    if let Some(code) = within_user_namespace(&engine)? {
        return Ok(code);
    }
    let display = Display::new(std::io::stdout(), args.quiet).context("look at standard output")?;
    let progress = |digest: &Digest, done: u64, size: u64| display.loading(digest, done, size);
    let images = engine.images()?;
    let drop_blobs = args.drop_blobs || images.drops_blobs();
    let loaded: Vec<Loaded> = match &args.input {
        Some(path) => {
            // Said here with the path, before the archive's format is looked at.
            std::fs::metadata(path).with_context(|| format!("open {}", path.display()))?;
            images
                .load_with(LoadSource::Path(path), drop_blobs, &progress)
                .with_context(|| format!("load {}", path.display()))?
        }
        None => images
            .load_with(LoadSource::Stream(&mut std::io::stdin().lock()), drop_blobs, &progress)
            .map_err(Failure::from)?,
    };
    display.finish();
    for image in &loaded {
        for name in &image.names {
            output::line(&format!("Loaded image: {}", name.familiar()))?;
        }
        if image.names.is_empty() {
            output::line(&format!("Loaded image ID: {}", image.image.id))?;
        }
    }
    Ok(0)
}
