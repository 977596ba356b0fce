//! Logging in and out on disk: docker's `config.json` and podman's `auth.json` with one entry more or less. What this program does not know
//! in such a file stays as it is; the file is replaced whole, and nobody else can read it.

use crate::credentials::{Credential, CredentialsError, key_of, normalize};
use crate::helper;
use base64::Engine;
use serde_json::{Map, Value, json};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file with credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthFile(PathBuf);

/// Where credentials are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// In the file, readable for whoever can read the file.
    File(PathBuf),
    /// By a credential helper.
    Helper(String),
}

impl AuthFile {
    /// This file, whether it is there or not.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        AuthFile(path.into())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Whether the file has an entry, or a credential helper, for just this registry.
    pub fn names(&self, registry: &str) -> Result<bool, CredentialsError> {
        let content = self.read()?;
        Ok(keys(&content, "auths", registry).next().is_some()
            || keys(&content, "credHelpers", registry).next().is_some())
    }

    /// Keeps a credential for a registry (`docker.io`, `127.0.0.1:5000`, or for podman a part of one, `host/team`). `user`: whose it is.
    pub fn keep(&self, registry: &str, user: &str, credential: &Credential) -> Result<Kept, CredentialsError> {
        let key = key_of(registry);
        self.change(|content| {
            let helper = helper_for(content, registry);
            let entry = match &helper {
                Some(name) => {
                    helper::store(name, key, credential)?;
                    json!({})
                }
                None => entry(user, credential),
            };
            // An entry under another spelling of the same name would go before this one.
            let others: Vec<String> = keys(content, "auths", registry).filter(|other| other != key).collect();
            if let Some(auths) = section(content, "auths") {
                others.iter().for_each(|other| drop(auths.shift_remove(other)));
                auths.insert(key.to_owned(), entry);
            }
            Ok(helper.map_or_else(|| Kept::File(self.0.clone()), Kept::Helper))
        })
    }

    /// Forgets what the file, and its credential helper, know of a registry; false if that was nothing.
    pub fn forget(&self, registry: &str) -> Result<bool, CredentialsError> {
        if !self.0.exists() {
            return Ok(false);
        }
        let content = self.read()?;
        let entries: Vec<String> = keys(&content, "auths", registry).collect();
        let helper = helper_for(&content, registry);
        if let Some(name) = &helper {
            let key = key_of(registry);
            if entries.is_empty() && helper::get(name, key)?.is_none() {
                return Ok(false);
            }
            helper::erase(name, key)?;
        }
        if !entries.is_empty() {
            self.change(|content| {
                if let Some(auths) = section(content, "auths") {
                    entries.iter().for_each(|key| drop(auths.shift_remove(key)));
                }
                Ok(())
            })?;
        }
        Ok(helper.is_some() || !entries.is_empty())
    }

    /// The registries that the file has entries for, in its own words.
    pub fn registries(&self) -> Result<Vec<String>, CredentialsError> {
        let content = self.read()?;
        let auths = content.get("auths").and_then(Value::as_object);
        Ok(auths.into_iter().flat_map(Map::keys).map(|key| normalize(key).to_owned()).collect())
    }

    fn read(&self) -> Result<Map<String, Value>, CredentialsError> {
        let bytes = match std::fs::read(&self.0) {
            Ok(bytes) => bytes,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(Map::new()),
            Err(source) => return Err(CredentialsError::Read { path: self.0.clone(), source }),
        };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Map::new());
        }
        serde_json::from_slice(&bytes).map_err(|source| CredentialsError::Json { path: self.0.clone(), source })
    }

    /// Reads, changes and replaces the file, one process at a time.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Map<String, Value>) -> Result<T, CredentialsError>,
    ) -> Result<T, CredentialsError> {
        let failed = |source| CredentialsError::Write { path: self.0.clone(), source };
        // docker's file may be a link into a folder of dot files: what it leads to is replaced, not the link.
        let path = std::fs::canonicalize(&self.0).unwrap_or_else(|_| self.0.clone());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let folder_file = File::open(folder).map_err(failed)?;
        folder_file.lock().map_err(failed)?;
        let mut content = self.read()?;
        let result = change(&mut content)?;
        let mut text = serde_json::to_vec_pretty(&content)
            .map_err(|source| CredentialsError::Json { path: self.0.clone(), source })?;
        text.push(b'\n');
        replace(&path, &text).and_then(|()| folder_file.sync_all()).map_err(failed)?;
        Ok(result)
    }
}

/// The file appears whole or not at all, and was never readable for others.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let new = path.with_file_name(name);
    let _ = std::fs::remove_file(&new);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let written = file.write_all(text).and_then(|()| file.sync_all()).and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written
}

/// The keys of a section that mean this registry.
fn keys<'c>(content: &'c Map<String, Value>, section: &str, registry: &'c str) -> impl Iterator<Item = String> + 'c {
    let entries = content.get(section).and_then(Value::as_object);
    let all = entries.into_iter().flat_map(Map::keys);
    all.filter(move |key| normalize(key) == normalize(registry)).cloned()
}

/// A section, made if it is missing or of no use.
fn section<'c>(content: &'c mut Map<String, Value>, name: &str) -> Option<&'c mut Map<String, Value>> {
    let value = content.entry(name).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut()
}

/// The helper of this registry, or of all.
fn helper_for(content: &Map<String, Value>, registry: &str) -> Option<String> {
    let helpers = content.get("credHelpers").and_then(Value::as_object);
    let own = helpers.and_then(|helpers| {
        let key = keys(content, "credHelpers", registry).next()?;
        helpers.get(&key)?.as_str().map(str::to_owned)
    });
    let store = || content.get("credsStore").and_then(Value::as_str).map(str::to_owned);
    own.or_else(store).filter(|name| !name.is_empty())
}

fn entry(user: &str, credential: &Credential) -> Value {
    let encode = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
    match credential {
        Credential::Basic { user, password } => json!({ "auth": encode(format!("{user}:{password}")) }),
        Credential::IdentityToken(token) => {
            json!({ "auth": encode(format!("{user}:")), "identitytoken": token })
        }
    }
}

#[cfg(test)]
#[path = "authfile_tests.rs"]
mod tests;
