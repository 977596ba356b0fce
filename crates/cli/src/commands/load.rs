//! `load`.

use crate::args::LoadArgs;
use crate::failure::{Failure, Outcome};
use crate::output;
use anyhow::Context;
use carboy_engine::Engine;
use carboy_image::{LoadSource, Loaded};
use carboy_oci::Digest;

pub(super) fn load(engine: &Engine, args: &LoadArgs) -> Outcome {
    let quiet = |_: &Digest, _: u64, _: u64| {};
    let images = engine.images()?;
    let loaded: Vec<Loaded> = match &args.input {
        Some(path) => {
            // Said here with the path, before the archive's format is looked at.
            std::fs::metadata(path).with_context(|| format!("open {}", path.display()))?;
            images.load(LoadSource::Path(path), &quiet).with_context(|| format!("load {}", path.display()))?
        }
        None => images.load(LoadSource::Stream(&mut std::io::stdin().lock()), &quiet).map_err(Failure::from)?,
    };
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
