//! Searching: the index that Docker Hub and a few others have (Docker's API version 1), else the registry's own list of repositories.

use crate::auth::Auth;
use crate::client::Client;
use crate::endpoint::encode_query;
use crate::error::{Error, Result};
use crate::host::{Ask, Host};
use crate::repository::Repository;
use crate::response::read_bounded;
use crate::scope::Access;
use serde::Deserialize;
use ureq::http::Method;

/// The largest answer of an index, in bytes.
const ANSWER_LIMIT: u64 = 8 * 1024 * 1024;

/// A repository that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Found {
    /// Its name within the registry.
    pub name: String,
    /// What it is, in its owner's words.
    #[serde(deserialize_with = "text_or_null")]
    pub description: String,
    /// How many like it.
    pub star_count: u64,
    /// Whether it is one of Docker's official images.
    pub is_official: bool,
    /// Whether it was built by Docker Hub.
    pub is_automated: bool,
}

#[derive(Deserialize)]
struct Answer {
    results: Vec<Found>,
}

#[derive(Deserialize)]
struct Catalog {
    repositories: Option<Vec<String>>,
}

impl Client {
    /// Repositories of a registry whose names or descriptions have to do with `term`; where the registry has no index, those whose names
    /// contain it.
    ///
    /// # Errors
    /// What the registry says, if it has neither an index nor a list.
    pub fn search(&self, registry: &str, term: &str, limit: usize) -> Result<Vec<Found>> {
        match self.search_index(registry, term, limit) {
            Err(
                Error::NotFound { .. }
                | Error::Denied { .. }
                | Error::Json { .. }
                | Error::Status { status: 400..=499, .. },
            ) => {}
            other => return other,
        }
        let wanted = term.to_lowercase();
        let mut names = self.catalog(registry)?;
        names.retain(|name| name.to_lowercase().contains(&wanted));
        names.truncate(limit);
        Ok(names.into_iter().map(|name| Found { name, ..Found::default() }).collect())
    }

    fn search_index(&self, registry: &str, term: &str, limit: usize) -> Result<Vec<Found>> {
        let what = format!("search for {term:?} at {registry}");
        // Docker Hub's index is another host than its registry.
        let authority = if registry == "docker.io" { "index.docker.io" } else { registry };
        let host = Host::elsewhere(Auth::new(registry, "", Access::Pull), authority, "/v1/");
        let index = Repository::whole(self.clone(), registry, &self.settings().registries.whole(registry), host);
        let rest = format!("search?q={}&n={limit}", encode_query(term));
        let (uri, response) = index.ask_origin(&Ask::new(Method::GET, &rest), &what)?;
        let bytes = read_bounded(index.transport(), &uri, response, ANSWER_LIMIT, &what)?;
        let answer: Answer = serde_json::from_slice(&bytes).map_err(|source| Error::Json { what, source })?;
        Ok(answer.results.into_iter().take(limit).collect())
    }

    /// The names of all repositories, where the registry tells them.
    ///
    /// # Errors
    /// What the registry says: large ones do not.
    pub fn catalog(&self, registry: &str) -> Result<Vec<String>> {
        let what = format!("repositories of {registry}");
        let place = self.settings().registries.whole(registry);
        let host = Host::new(&place, Auth::new(registry, "", Access::Pull));
        let whole = Repository::whole(self.clone(), registry, &place, host);
        let mut names = Vec::new();
        whole.pages(&Ask::new(Method::GET, "_catalog?n=1000"), &what, |page: Catalog, _| {
            names.extend(page.repositories.unwrap_or_default());
        })?;
        Ok(names)
    }
}

fn text_or_null<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default())
}
