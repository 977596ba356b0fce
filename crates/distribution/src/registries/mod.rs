//! Which hosts serve what a reference names: mirrors, other locations, registries that are blocked or spoken to without TLS, and what short
//! names mean. The format is containers-registries.conf(5), version 2; the caller says which files.

mod file;
mod rule;
#[cfg(test)]
mod tests;

use carboy_oci::{Reference, ReferenceError};
use rule::Rule;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use file::RegistriesError;

/// What the files say.
#[derive(Debug, Clone, Default)]
pub struct Registries {
    rules: Vec<Rule>,
    /// Registries that names without one are looked up in; empty: Docker Hub.
    search: Vec<String>,
    aliases: BTreeMap<String, String>,
}

/// Where a repository is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The host as references name it.
    pub(crate) domain: String,
    pub(crate) path: String,
    pub(crate) insecure: bool,
}

/// The places of one repository, in the order in which they are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) mirrors: Vec<Place>,
    /// The registry itself, which alone is written to.
    pub(crate) origin: Place,
    /// The prefix of the rule that forbids all of it.
    pub(crate) blocked: Option<String>,
}

impl Registries {
    /// Reads these files, the later ones going before the earlier ones. Files that do not exist are skipped.
    ///
    /// # Errors
    /// If a file cannot be read or is not in the format.
    pub fn read(files: &[PathBuf]) -> Result<Self, RegistriesError> {
        let mut all = Registries::default();
        for path in files {
            if let Some(parsed) = file::read(path)? {
                all.add(parsed, path)?;
            }
        }
        Ok(all)
    }

    /// The files in a folder of drop-ins (`registries.conf.d`), in the order in which they count.
    pub fn drop_ins(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut files: Vec<PathBuf> =
            entries.filter(|path| path.extension().is_some_and(|kind| kind == "conf")).collect();
        files.sort();
        files
    }

    fn add(&mut self, file: file::File, path: &Path) -> Result<(), RegistriesError> {
        if let Some(search) = file.unqualified_search_registries {
            self.search = search;
        }
        self.aliases.extend(file.aliases);
        self.aliases.retain(|_, target| !target.is_empty());
        for registry in file.registry {
            let rule = Rule::of(registry).map_err(|why| RegistriesError::Rule { path: path.to_owned(), why })?;
            self.rules.retain(|known| known.prefix != rule.prefix);
            self.rules.push(rule);
        }
        Ok(())
    }

    /// What a name as it is typed may mean, the likeliest first. A name with a registry means itself. A short name means what its alias
    /// says; without one it is looked for in the registries of `unqualified-search-registries`, and in Docker Hub if there are none.
    ///
    /// # Errors
    /// If it is not a reference.
    pub fn candidates(&self, text: &str) -> Result<Vec<Reference>, ReferenceError> {
        let plain = Reference::parse(text)?;
        if !Reference::is_short(text) {
            return Ok(vec![plain]);
        }
        let name = text.split('@').next().unwrap_or(text);
        let name = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => name,
            _ => name,
        };
        let rest = &text[name.len()..];
        if let Some(target) = self.aliases.get(name) {
            return Ok(vec![Reference::parse(&format!("{target}{rest}"))?]);
        }
        if self.search.is_empty() {
            return Ok(vec![plain]);
        }
        self.search.iter().map(|registry| Reference::parse(&format!("{registry}/{text}"))).collect()
    }

    /// Whether a registry as a whole may be spoken to without TLS, or with any certificate.
    pub(crate) fn is_insecure(&self, domain: &str) -> bool {
        self.rules.iter().any(|rule| rule.insecure && rule.prefix == domain)
    }

    /// Where a reference is served.
    pub(crate) fn places(&self, reference: &Reference) -> Places {
        let plain =
            || Place { domain: reference.domain().to_owned(), path: reference.path().to_owned(), insecure: false };
        let fitting = self.rules.iter().filter_map(|rule| Some((rule.matched(reference)?, rule)));
        let Some((length, rule)) = fitting.max_by_key(|(_, rule)| rule.weight()) else {
            return Places { mirrors: Vec::new(), origin: plain(), blocked: None };
        };
        let by_digest = reference.digest().is_some();
        let mirrors = rule.mirrors.iter().filter(|mirror| mirror.serves(by_digest));
        let mirrors = mirrors.map(|mirror| rule::moved(reference, length, &mirror.location, mirror.insecure)).collect();
        let origin = match &rule.location {
            Some(location) => rule::moved(reference, length, location, rule.insecure),
            None => Place { insecure: rule.insecure, ..plain() },
        };
        Places { mirrors, origin, blocked: rule.blocked.then(|| rule.prefix.clone()) }
    }
}
