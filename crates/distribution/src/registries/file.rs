//! The files as they are written.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Larger than any such file.
const LIMIT: u64 = 4 * 1024 * 1024;

/// Why registries.conf cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistriesError {
    /// The file cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Its error.
        source: std::io::Error,
    },
    /// The file is not TOML of the expected form.
    #[error("{} is not valid", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// The parser's error, with line and column.
        source: Box<toml::de::Error>,
    },
    /// The file is not JSON of the expected form.
    #[error("{} is not valid", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's error, with line and column.
        source: serde_json::Error,
    },
    /// An entry that means nothing.
    #[error("{}: {why}", path.display())]
    Rule {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct File {
    pub(super) unqualified_search_registries: Option<Vec<String>>,
    pub(super) registry: Vec<Registry>,
    pub(super) aliases: BTreeMap<String, String>,
    /// Of version 1 of the format, where the names below were tables.
    registries: Option<toml::Table>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Registry {
    pub(super) prefix: String,
    pub(super) location: String,
    pub(super) insecure: bool,
    pub(super) blocked: bool,
    pub(super) mirror_by_digest_only: bool,
    pub(super) mirror: Vec<Mirror>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Mirror {
    pub(super) location: String,
    pub(super) insecure: bool,
    pub(super) pull_from_mirror: String,
}

/// `None` if there is no such file, or none for this user.
pub(super) fn read_text(path: &Path) -> Result<Option<String>, RegistriesError> {
    use std::io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    use std::io::Read;
    let mut text = String::new();
    match std::fs::File::open(path).and_then(|file| file.take(LIMIT).read_to_string(&mut text)) {
        Ok(_) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory | PermissionDenied) => Ok(None),
        Err(source) => Err(RegistriesError::Read { path: path.to_owned(), source }),
    }
}

/// `None` if there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<File>, RegistriesError> {
    let Some(text) = read_text(path)? else { return Ok(None) };
    let parsed: File = toml::from_str(&text)
        .map_err(|source| RegistriesError::Toml { path: path.to_owned(), source: Box::new(source) })?;
    if parsed.registries.is_some() {
        let why = "[registries.search], [registries.insecure] and [registries.block] are version 1 of the format, which is not \
                   supported: use unqualified-search-registries and [[registry]]";
        return Err(RegistriesError::Rule { path: path.to_owned(), why: why.to_owned() });
    }
    Ok(Some(parsed))
}
