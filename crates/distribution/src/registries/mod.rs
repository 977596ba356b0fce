//! Which hosts serve what a reference names: mirrors, other locations, registries that are blocked or spoken to without TLS, and what short
//! names mean. Three kinds of files say so, and the caller says which: containers-registries.conf(5), version 2; containerd's hosts.toml;
//! docker's daemon.json. Of two kinds that say where something is served, the first of these three counts; what any of them calls
//! insecure is, and what registries.conf blocks stays blocked.

mod daemon;
mod file;
mod hosts;
mod place;
mod rule;
#[cfg(test)]
mod tests;

use carboy_oci::{Reference, ReferenceError};
use daemon::Daemon;
use hosts::Hosts;
use rule::Rule;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use file::RegistriesError;
pub(crate) use place::{Can, Endpoint, Place, Places};

/// What the files say.
#[derive(Debug, Clone, Default)]
pub struct Registries {
    rules: Vec<Rule>,
    /// Registries that names without one are looked up in; empty: Docker Hub.
    search: Vec<String>,
    aliases: BTreeMap<String, String>,
    hosts: Vec<Hosts>,
    daemon: Daemon,
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

    /// Reads containerd's and docker's files too: `REGISTRY/hosts.toml` below these folders, the first that has one for a registry counts
    /// (a `_default` only where no folder names the registry), and these daemon.json, the later ones going before the earlier ones.
    ///
    /// # Errors
    /// If a file cannot be read or is not in the format.
    pub fn with_hosts(mut self, folders: &[PathBuf], daemons: &[PathBuf]) -> Result<Self, RegistriesError> {
        for folder in folders {
            self.hosts.extend(Hosts::read_all(folder)?);
        }
        for path in daemons {
            self.daemon.add(path)?;
        }
        Ok(self)
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

    /// Where a registry as a whole is asked.
    pub(crate) fn whole(&self, domain: &str) -> Place {
        let mut place =
            self.hosts_of(domain).map_or_else(|| Place::new(domain, "", false), |hosts| hosts.server(domain));
        let by_rule = self.rules.iter().any(|rule| rule.insecure && rule.prefix == domain);
        place.insecure |= by_rule || self.daemon.is_insecure(&place.domain);
        place
    }

    fn hosts_of(&self, domain: &str) -> Option<&Hosts> {
        let named = self.hosts.iter().find(|hosts| hosts.registry.as_deref() == Some(domain));
        named.or_else(|| self.hosts.iter().find(|hosts| hosts.registry.is_none()))
    }

    /// Where a reference is served.
    pub(crate) fn places(&self, reference: &Reference) -> Places {
        let fitting = self.rules.iter().filter_map(|rule| Some((rule.matched(reference)?, rule)));
        let rule = fitting.max_by_key(|(_, rule)| rule.weight());
        let moved = rule.filter(|(_, rule)| rule.says_where());
        let mut places = match moved {
            Some((length, rule)) => rule.places(reference, length),
            None => self.places_without_rule(reference),
        };
        if let Some((_, rule)) = rule {
            places.origin.insecure |= rule.insecure;
            places.blocked = rule.blocked.then(|| rule.prefix.clone());
        }
        for place in places.mirrors.iter_mut().chain([&mut places.origin]) {
            place.insecure |= self.daemon.is_insecure(&place.domain);
        }
        places
    }

    fn places_without_rule(&self, reference: &Reference) -> Places {
        let (mirrors, origin) = match self.hosts_of(reference.domain()) {
            Some(hosts) => hosts.places(reference),
            None if reference.domain() == "docker.io" => {
                (self.daemon.mirrors(reference.path()), Place::new("docker.io", reference.path(), false))
            }
            None => (Vec::new(), Place::new(reference.domain(), reference.path(), false)),
        };
        Places { mirrors, origin, blocked: None }
    }
}
