//! User names, passwords and identity tokens: given by the caller, or found in docker's and podman's files and credential helpers.
//!
//! The caller says which files; nothing here knows a home folder. Secrets never appear in `Debug` output or messages.

use crate::helper;
use base64::Engine;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// The key of Docker Hub in docker's files.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// How to log in at one registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// User name and password.
    Basic {
        /// User name.
        user: String,
        /// Password.
        password: String,
    },
    /// An OAuth2 refresh token, exchanged for bearer tokens.
    IdentityToken(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credential::Basic { user, .. } => write!(f, "Basic {{ user: {user:?}, password: … }}"),
            Credential::IdentityToken(_) => f.write_str("IdentityToken(…)"),
        }
    }
}

/// Where credentials come from.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    given: Option<Credential>,
    files: Vec<PathBuf>,
}

/// Why credentials could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The file cannot be read.
    #[error("read credentials {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Its error.
        source: std::io::Error,
    },
    /// The file is not JSON of the expected form.
    #[error("credentials {} are not valid", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's error; it names line and column, not the content.
        source: serde_json::Error,
    },
    /// An `auth` value is not `base64(user:password)`.
    #[error("credentials {}: the entry for {key:?} is not base64 of user:password", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// The entry.
        key: String,
    },
    /// The file cannot be written.
    #[error("write credentials {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Its error.
        source: std::io::Error,
    },
    /// A helper's name has a path separator.
    #[error("invalid credential helper {0:?}")]
    HelperName(String),
    /// The helper cannot be run.
    #[error("run {program}")]
    HelperRun {
        /// `docker-credential-NAME`.
        program: String,
        /// The error.
        source: std::io::Error,
    },
    /// The helper failed.
    #[error("{program} failed: {message}")]
    HelperFailed {
        /// `docker-credential-NAME`.
        program: String,
        /// What it printed.
        message: String,
    },
    /// The helper's answer is not what the protocol says.
    #[error("{program}: invalid answer")]
    HelperAnswer {
        /// `docker-credential-NAME`.
        program: String,
        /// The parser's error.
        source: serde_json::Error,
    },
}

/// docker's config.json and podman's auth.json, as far as credentials go.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct File {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl Credentials {
    /// No credentials at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// These credentials for every registry that is asked (`--creds`).
    pub fn given(credential: Credential) -> Self {
        Credentials { given: Some(credential), files: Vec::new() }
    }

    /// Credentials in these files; the first file that has some for a registry counts. Files that do not exist are skipped.
    pub fn in_files(files: Vec<PathBuf>) -> Self {
        Credentials { given: None, files }
    }

    /// The files that podman and docker use, in podman's order (containers-auth.json(5)), from the environment variables that `lookup`
    /// knows: `REGISTRY_AUTH_FILE` alone if set; else `$XDG_RUNTIME_DIR/containers/auth.json`,
    /// `${XDG_CONFIG_HOME:-$HOME/.config}/containers/auth.json` and `${DOCKER_CONFIG:-$HOME/.docker}/config.json`.
    pub fn standard_files(lookup: impl Fn(&str) -> Option<std::ffi::OsString>) -> Vec<PathBuf> {
        let var = |name: &str| lookup(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(file) = var("REGISTRY_AUTH_FILE") {
            return vec![file];
        }
        let home = var("HOME");
        let config = var("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|home| home.join(".config")));
        let docker = var("DOCKER_CONFIG").or_else(|| home.as_ref().map(|home| home.join(".docker")));
        let files = [
            var("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json")),
            config.map(|dir| dir.join("containers/auth.json")),
            docker.map(|dir| dir.join("config.json")),
        ];
        files.into_iter().flatten().collect()
    }

    /// The credential for a repository, by the registry's name in references (`docker.io`, `127.0.0.1:5000`) and the repository's path.
    pub fn find(&self, domain: &str, path: &str) -> Result<Option<Credential>, CredentialsError> {
        if let Some(given) = &self.given {
            return Ok(Some(given.clone()));
        }
        for file in &self.files {
            let Some(parsed) = read(file)? else { continue };
            if let Some(credential) = find_in(&parsed, file, domain, path)? {
                return Ok(Some(credential));
            }
        }
        Ok(None)
    }
}

fn read(path: &Path) -> Result<Option<File>, CredentialsError> {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(source) if matches!(source.kind(), NotFound | NotADirectory) => return Ok(None),
        Err(source) => return Err(CredentialsError::Read { path: path.to_owned(), source }),
    };
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let parsed = serde_json::from_slice(&bytes);
    parsed.map(Some).map_err(|source| CredentialsError::Json { path: path.to_owned(), source })
}

fn find_in(file: &File, path: &Path, domain: &str, repository: &str) -> Result<Option<Credential>, CredentialsError> {
    let key = key_of(domain);
    if let Some(name) = file.cred_helpers.get(domain).or_else(|| file.cred_helpers.get(key)) {
        return helper::get(name, key);
    }
    if let Some(entry) = most_specific(&file.auths, domain, repository)
        && let Some(credential) = decode(entry.0, entry.1, path)?
    {
        return Ok(Some(credential));
    }
    match file.creds_store.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => helper::get(name, key),
        None => Ok(None),
    }
}

/// podman's files may have entries for a part of a registry (`host/team`): the longest one that holds counts.
fn most_specific<'f>(auths: &'f BTreeMap<String, Entry>, domain: &str, path: &str) -> Option<(&'f str, &'f Entry)> {
    let mut name = format!("{domain}/{path}");
    loop {
        let found = auths.iter().find(|(key, _)| normalize(key) == name);
        if let Some((key, entry)) = found {
            return Some((key, entry));
        }
        name.truncate(name.rfind('/')?);
    }
}

/// The key of a registry in docker's files.
pub(crate) fn key_of(registry: &str) -> &str {
    if registry == "docker.io" { DOCKER_HUB_KEY } else { registry }
}

/// docker's keys may be URLs: `https://index.docker.io/v1/`, `https://host/v2/`. Only docker's own paths are cut, podman's are kept.
pub(crate) fn normalize(key: &str) -> &str {
    let (is_url, rest) = match key.split_once("://") {
        Some((_, rest)) => (true, rest),
        None => (false, key),
    };
    let rest = rest.trim_end_matches('/');
    let rest = rest.strip_suffix("/v1").or_else(|| rest.strip_suffix("/v2")).unwrap_or(rest);
    let rest = if is_url { rest.split('/').next().unwrap_or(rest) } else { rest };
    if matches!(rest, "index.docker.io" | "registry-1.docker.io") { "docker.io" } else { rest }
}

fn decode(key: &str, entry: &Entry, path: &Path) -> Result<Option<Credential>, CredentialsError> {
    if let Some(token) = entry.identitytoken.as_deref().filter(|token| !token.is_empty()) {
        return Ok(Some(Credential::IdentityToken(token.to_owned())));
    }
    if let Some(auth) = entry.auth.as_deref().filter(|auth| !auth.is_empty()) {
        let bad = || CredentialsError::Entry { path: path.to_owned(), key: key.to_owned() };
        let bytes = base64::engine::general_purpose::STANDARD.decode(auth.trim()).map_err(|_| bad())?;
        let text = String::from_utf8(bytes).map_err(|_| bad())?;
        let (user, password) = text.split_once(':').ok_or_else(bad)?;
        let password = password.trim_end_matches('\0').to_owned();
        return Ok(Some(Credential::Basic { user: user.to_owned(), password }));
    }
    match (&entry.username, &entry.password) {
        (Some(user), Some(password)) if !user.is_empty() => {
            Ok(Some(Credential::Basic { user: user.clone(), password: password.clone() }))
        }
        // `docker login` with a credential store leaves empty entries.
        _ => Ok(None),
    }
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
