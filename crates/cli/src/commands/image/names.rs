//! `rmi`, `tag`, `untag`, `image exists`.

use super::list::reference;
use crate::args::{ExistsArgs, Global, RmiArgs, TagArgs, UntagArgs};
use crate::commands::for_each;
use crate::commands::pull::within_user_namespace;
use crate::failure::{Outcome, usage};
use crate::{registry, settings};
use carboy_engine::{Error, ErrorKind};
use carboy_oci::Reference;

pub(in crate::commands) fn rmi(global: &Global, args: &RmiArgs) -> Outcome {
    let engine = settings::engine(global)?;
    if let Some(code) = within_user_namespace(&engine)? {
        return Ok(code);
    }
    let names = match (args.all, args.images.is_empty()) {
        (true, true) => engine.images()?.list()?.iter().map(|image| image.id.to_string()).collect(),
        (true, false) => return Err(usage("either names of images or --all, not both")),
        (false, true) => return Err(usage("an image is needed: carboy rmi IMAGE…, or --all")),
        (false, false) => args.images.clone(),
    };
    // One image may have several names: an ID of all of them is not in conflict with itself.
    let force = args.force || args.all;
    for_each(&names, |name| match engine.remove_image(&registry::local_name(engine.images()?, name)?, force) {
        Ok(removed) => Ok(Some(removed.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))),
        Err(e) if (force || args.ignore) && e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e.into()),
    })
}

pub(in crate::commands) fn tag(global: &Global, args: &TagArgs) -> Outcome {
    let targets = args.targets.iter().map(|text| reference(text)).collect::<Result<Vec<Reference>, _>>()?;
    let engine = settings::engine(global)?;
    let given = registry::local_name(engine.images()?, &args.source)?;
    // The embedded image is put into the store if it is meant.
    let source = engine.find_image(&given)?.ok_or_else(|| Error::NoSuchImage(given.clone()))?;
    for target in &targets {
        let named = Reference::parse(&given).is_ok_and(|name| source.names.contains(&name));
        let text = if named { given.clone() } else { source.id.to_string() };
        engine.images()?.tag(&text, target)?;
    }
    Ok(0)
}

pub(in crate::commands) fn untag(global: &Global, args: &UntagArgs) -> Outcome {
    let names = args.names.iter().map(|text| reference(text)).collect::<Result<Vec<Reference>, _>>()?;
    let engine = settings::engine(global)?;
    let images = engine.images()?;
    images.take_names(&registry::local_name(images, &args.image)?, &names)?;
    Ok(0)
}

/// Says nothing: 0 if it is here, 1 if not.
pub(in crate::commands) fn exists(global: &Global, args: &ExistsArgs) -> Outcome {
    let engine = settings::engine(global)?;
    let images = engine.images()?;
    let found = registry::local_name(images, &args.name).map(|name| images.find(&name));
    match found.unwrap_or(Ok(None)) {
        Ok(image) => Ok(i32::from(image.is_none())),
        Err(carboy_image::ImageError::Reference(_)) => Ok(1),
        Err(e) => Err(e.into()),
    }
}
