//! The filters of `images`: Docker's, and Podman's further ones.

use super::list::created_ns;
use super::pattern;
use crate::failure::{Failure, usage};
use crate::logtime::parse_moment;
use carboy_engine::Engine;
use carboy_image::Image;
use carboy_oci::Reference;
use std::collections::HashSet;

type Test = Box<dyn Fn(&Image) -> bool>;

/// What is asked for by `--filter`.
#[derive(Default)]
pub(super) struct Filters {
    /// Patterns for names, of which one must match.
    references: Vec<String>,
    tests: Vec<Test>,
}

impl Filters {
    /// Understands filters of the form `key=value`; images that they name must exist.
    pub(super) fn parse(engine: &Engine, filters: &[String], name: Option<&str>) -> Result<Self, Failure> {
        let mut parsed = Filters::default();
        for filter in filters {
            let (key, value) = filter.split_once('=').ok_or_else(|| {
                usage(format!(
                    "invalid argument \"{filter}\" for \"-f, --filter\": bad format of filter (expected name=value)"
                ))
            })?;
            parsed.add(engine, key, value)?;
        }
        for pattern in name.into_iter() {
            parsed.reference(pattern)?;
        }
        Ok(parsed)
    }

    fn add(&mut self, engine: &Engine, key: &str, value: &str) -> Result<(), Failure> {
        let truth = || match value {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(usage(format!("invalid filter '{key}=[{value}]'"))),
        };
        let value = value.to_owned();
        let test: Test = match key {
            "reference" => return self.reference(&value),
            "dangling" => {
                let wanted = truth()?;
                Box::new(move |image| image.tags().next().is_none() == wanted)
            }
            "label" => Box::new(move |image| has_label(image, &value)),
            "label!" => Box::new(move |image| !has_label(image, &value)),
            "before" => {
                let than = created_of(engine, &value)?;
                Box::new(move |image| created_ns(image) < than)
            }
            "since" | "after" => {
                let than = created_of(engine, &value)?;
                Box::new(move |image| created_ns(image) > than)
            }
            "until" => {
                let moment: jiff::Timestamp =
                    parse_moment(&value).map_err(usage)?.parse().map_err(|e: jiff::Error| usage(e.to_string()))?;
                let moment = u64::try_from(moment.as_nanosecond()).unwrap_or(0);
                Box::new(move |image| created_ns(image) < moment)
            }
            "id" => {
                let prefix = value.strip_prefix("sha256:").unwrap_or(&value).to_owned();
                Box::new(move |image| image.id.hex().starts_with(&prefix))
            }
            "containers" => {
                let wanted = truth()?;
                let containers = engine.list()?;
                let used: HashSet<_> =
                    containers.iter().filter_map(|c| c.record.image.as_ref()).map(|image| image.id.clone()).collect();
                Box::new(move |image| used.contains(&image.id) == wanted)
            }
            // No image of this store is read-only, half of another one, or a list of images.
            "readonly" | "intermediate" | "manifest" => {
                let wanted = truth()?;
                Box::new(move |_| !wanted)
            }
            _ => return Err(usage(format!("invalid filter '{key}'")).with_code(1)),
        };
        self.tests.push(test);
        Ok(())
    }

    fn reference(&mut self, text: &str) -> Result<(), Failure> {
        if pattern::matches(text, "").is_none() {
            return Err(usage(format!("invalid reference filter '{text}': syntax error in pattern")));
        }
        self.references.push(text.to_owned());
        Ok(())
    }

    /// Whether the image is listed at all.
    pub(super) fn keep(&self, image: &Image) -> bool {
        self.tests.iter().all(|test| test(image))
            && (self.references.is_empty() || image.names.iter().any(|name| self.keep_name(name)))
    }

    /// Whether the image is listed by this name.
    pub(super) fn keep_name(&self, name: &Reference) -> bool {
        let (whole, repository) = (name.familiar(), name.familiar_repository());
        let fits = |pattern: &String| {
            let direct = |text: &str| pattern::matches(pattern, text) == Some(true);
            // A name with its registry written out means what it means in every other command.
            let meant = || match Reference::parse(pattern) {
                Ok(wanted) => wanted == *name || name.repository() == *pattern,
                Err(_) => false,
            };
            direct(&whole) || direct(&repository) || meant()
        };
        self.references.is_empty() || self.references.iter().any(fits)
    }

    /// Whether names are looked at: an image without any is then left out.
    pub(super) fn by_name(&self) -> bool {
        !self.references.is_empty()
    }
}

fn has_label(image: &Image, label: &str) -> bool {
    let (name, value) = label.split_once('=').map_or((label, None), |(n, v)| (n, Some(v)));
    image.config.config.labels.get(name).is_some_and(|found| value.is_none_or(|value| value == found))
}

fn created_of(engine: &Engine, name: &str) -> Result<u64, Failure> {
    let image = crate::registry::find_image(engine, name)?;
    Ok(created_ns(&image))
}
