//! Manifests: asked for with what we understand, bounded, and compared with their digests.

use crate::error::{Error, Result};
use crate::host::{Answer, Ask};
use crate::repository::Repository;
use crate::response::read_again;
use crate::transport::Payload;
use carboy_oci::image::media_type;
use carboy_oci::{Digest, Reference};
use serde::Deserialize;
use sha2::{Digest as _, Sha256, Sha512};
use std::fmt;
use ureq::http::header::{ACCEPT, CONTENT_TYPE};
use ureq::http::{HeaderMap, HeaderValue, Method};

/// The largest manifest, in bytes (what registries accept at most, and containerd's limit too).
pub const MANIFEST_LIMIT: u64 = 4 * 1024 * 1024;

/// Schema 1 is not in the list: a registry that has nothing else then says so, or sends it anyway.
const ACCEPTED: [&str; 4] =
    [media_type::OCI_INDEX, media_type::OCI_MANIFEST, media_type::DOCKER_LIST, media_type::DOCKER_MANIFEST];

/// What a manifest is asked by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A tag.
    Tag(String),
    /// A digest.
    Digest(Digest),
}

impl Target {
    /// What `reference` means: its digest if it has one, else its tag.
    pub fn of(reference: &Reference) -> Self {
        match (reference.digest(), reference.tag()) {
            (Some(digest), _) => Target::Digest(digest.clone()),
            (None, tag) => Target::Tag(tag.unwrap_or("latest").to_owned()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Tag(tag) => write!(f, ":{tag}"),
            Target::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

/// A manifest or index as the registry sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its media type, one of the four that are understood.
    pub media_type: String,
    /// Its digest: the one it was asked by, or that of its bytes.
    pub digest: Digest,
    /// The very bytes.
    pub bytes: Vec<u8>,
}

impl Manifest {
    /// A manifest that comes from elsewhere than a registry: its kind by its own word, or else by the one it was announced with.
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::Schema1`], [`Error::MediaType`], or [`Error::Protocol`] if it is not what it says.
    pub fn from_bytes(bytes: Vec<u8>, announced: &str, what: &str) -> Result<Self> {
        let media_type = media_type_of(&bytes, announced, what)?;
        let digest = Digest::sha256(&Sha256::digest(&bytes).into());
        Ok(Manifest { media_type, digest, bytes })
    }

    /// Whether it names other manifests.
    pub fn is_index(&self) -> bool {
        matches!(self.media_type.as_str(), media_type::OCI_INDEX | media_type::DOCKER_LIST)
    }
}

/// What a HEAD request says of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestHead {
    /// The manifest's digest.
    pub digest: Digest,
    /// The media type the registry gives.
    pub media_type: String,
}

impl Repository {
    /// Asks for a manifest's digest only. `None`: the registry does not say; a GET will.
    pub fn manifest_head(&self, target: &Target) -> Result<Option<ManifestHead>> {
        let what = format!("manifest for {}{target}", self.name());
        let result = self.request(Method::HEAD, &rest(target), accept(), &what);
        let response = match result {
            // An answer to HEAD has no body: the registry's words come with the GET that the caller sends next.
            // Nor does an address signed for GET, where a redirect leads, take one.
            Err(
                Error::NotFound { .. }
                | Error::Denied { .. }
                | Error::Status { status: 400 | 401 | 403 | 405 | 501, .. },
            ) => return Ok(None),
            other => other?.1,
        };
        let Some(digest) = digest_header(response.headers(), self.name())? else { return Ok(None) };
        Ok(Some(ManifestHead { digest, media_type: content_type(response.headers()) }))
    }

    /// Fetches a manifest or index and verifies its digest.
    pub fn manifest(&self, target: &Target) -> Result<Manifest> {
        let what = format!("manifest for {}{target}", self.name());
        let rest = rest(target);
        let ask = Ask { headers: accept(), ..Ask::new(Method::GET, &rest) };
        match self.manifest_by(target, &what, || self.ask(&ask, &what)) {
            // A mirror that sends something else is as good as none.
            Err(error) if self.asks_mirrors() && error.is_about_content() => {
                self.manifest_by(target, &what, || self.ask_origin(&ask, &what))
            }
            other => other,
        }
    }

    fn manifest_by(&self, target: &Target, what: &str, ask: impl FnMut() -> Result<Answer>) -> Result<Manifest> {
        let (_, headers, bytes) = read_again(self.transport(), MANIFEST_LIMIT, what, ask)?;
        let promised = digest_header(&headers, self.name())?;
        let announced = content_type(&headers);
        let asked = match target {
            Target::Digest(digest) => Some(digest),
            Target::Tag(_) => None,
        };
        for expected in [asked, promised.as_ref()].into_iter().flatten() {
            verify(&bytes, expected, what)?;
        }
        let digest = asked.cloned().or(promised).unwrap_or_else(|| Digest::sha256(&Sha256::digest(&bytes).into()));
        let media_type = media_type_of(&bytes, &announced, what)?;
        Ok(Manifest { media_type, digest, bytes })
    }

    /// Puts a manifest or index into the repository, as it is, and answers its digest. What it names must be there before.
    ///
    /// # Errors
    /// What the registry says; [`Error::Digest`] if it claims to have got something else.
    pub fn put_manifest(&self, target: &Target, media_type: &str, bytes: &[u8]) -> Result<Digest> {
        let what = format!("manifest for {}{target}", self.name());
        if let Target::Digest(digest) = target {
            verify(bytes, digest, &what)?;
        }
        let kind = HeaderValue::from_str(media_type)
            .map_err(|_| Error::MediaType { what: what.clone(), media_type: media_type.to_owned() })?;
        let rest = rest(target);
        let ask = Ask {
            headers: HeaderMap::from_iter([(CONTENT_TYPE, kind)]),
            payload: Payload::Bytes(bytes),
            ..Ask::new(Method::PUT, &rest)
        };
        let (_, response) = self.ask(&ask, &what)?;
        if let Some(received) = digest_header(response.headers(), self.name())? {
            verify(bytes, &received, &what)?;
        }
        Ok(match target {
            Target::Digest(digest) => digest.clone(),
            Target::Tag(_) => Digest::sha256(&Sha256::digest(bytes).into()),
        })
    }

    /// Deletes a manifest with all its tags, by its digest; or a tag alone, where the registry can do that.
    ///
    /// # Errors
    /// What the registry says: many do not allow it (405).
    pub fn delete_manifest(&self, target: &Target) -> Result<()> {
        let what = format!("manifest for {}{target}", self.name());
        self.request(Method::DELETE, &rest(target), HeaderMap::new(), &what).map(drop)
    }

    /// Deletes a blob.
    ///
    /// # Errors
    /// What the registry says: many do not allow it (405).
    pub fn delete_blob(&self, digest: &Digest) -> Result<()> {
        let rest = format!("blobs/{digest}");
        self.request(Method::DELETE, &rest, HeaderMap::new(), &self.blob_name(digest)).map(drop)
    }
}

fn rest(target: &Target) -> String {
    match target {
        Target::Tag(tag) => format!("manifests/{tag}"),
        Target::Digest(digest) => format!("manifests/{digest}"),
    }
}

fn accept() -> HeaderMap {
    ACCEPTED.iter().map(|accepted| (ACCEPT, HeaderValue::from_static(accepted))).collect()
}

fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    value.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

fn digest_header(headers: &HeaderMap, name: &str) -> Result<Option<Digest>> {
    let Some(value) = headers.get("docker-content-digest") else { return Ok(None) };
    let parsed = value.to_str().ok().and_then(|text| text.parse().ok());
    parsed.map(Some).ok_or_else(|| Error::Protocol {
        host: name.to_owned(),
        detail: format!("the registry sent an invalid Docker-Content-Digest: {value:?}"),
    })
}

/// Compares content with a digest of either algorithm.
pub(crate) fn verify(bytes: &[u8], expected: &Digest, what: &str) -> Result<()> {
    let received = match expected.algorithm() {
        "sha512" => {
            let hex: String = Sha512::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            format!("sha512:{hex}").parse().ok()
        }
        _ => Some(Digest::sha256(&Sha256::digest(bytes).into())),
    };
    match received {
        Some(received) if received != *expected => {
            Err(Error::Digest { what: what.to_owned(), expected: expected.clone(), received })
        }
        _ => Ok(()),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    #[serde(default)]
    schema_version: u32,
    media_type: Option<String>,
    config: Option<serde::de::IgnoredAny>,
    manifests: Option<serde::de::IgnoredAny>,
}

/// What a manifest is. Its own word counts (it is covered by the digest); the registry's is needed where the manifest is silent, and must not
/// contradict, lest an index be read as a manifest (CVE-2021-41190).
fn media_type_of(bytes: &[u8], announced: &str, what: &str) -> Result<String> {
    let schema1 = [media_type::DOCKER_V1, media_type::DOCKER_V1_SIGNED];
    let shape: Shape = serde_json::from_slice(bytes).map_err(|source| match announced {
        // No registry, but a page for people to log in at, or to read.
        page if page.starts_with("text/html") => {
            Error::MediaType { what: what.to_owned(), media_type: page.to_owned() }
        }
        _ => Error::Json { what: what.to_owned(), source },
    })?;
    if shape.schema_version == 1 || schema1.contains(&announced) {
        return Err(Error::Schema1(what.to_owned()));
    }
    let by_shape = match (shape.config.is_some(), shape.manifests.is_some()) {
        (true, false) => media_type::OCI_MANIFEST,
        (false, true) => media_type::OCI_INDEX,
        _ => "",
    };
    let is_index = |kind: &str| matches!(kind, media_type::OCI_INDEX | media_type::DOCKER_LIST);
    let own = shape.media_type.filter(|kind| !kind.is_empty());
    let named = own.unwrap_or_else(|| if ACCEPTED.contains(&announced) { announced } else { by_shape }.to_owned());
    if !ACCEPTED.contains(&named.as_str()) {
        let media_type = if named.is_empty() { announced.to_owned() } else { named };
        return Err(Error::MediaType { what: what.to_owned(), media_type });
    }
    if by_shape.is_empty() || is_index(&named) != is_index(by_shape) {
        let detail = format!("{what} is called {named} but does not have the form of one");
        return Err(Error::Protocol { host: "the registry's answer".to_owned(), detail });
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_manifest_is() {
        let docker =
            format!(r#"{{"schemaVersion":2,"mediaType":"{}","config":{{}},"layers":[]}}"#, media_type::DOCKER_MANIFEST);
        let of = |json: &str, announced: &str| media_type_of(json.as_bytes(), announced, "x");
        assert_eq!(of(&docker, "application/octet-stream").unwrap(), media_type::DOCKER_MANIFEST);
        let silent = r#"{"schemaVersion":2,"config":{},"layers":[]}"#;
        assert_eq!(of(silent, media_type::OCI_MANIFEST).unwrap(), media_type::OCI_MANIFEST);
        assert_eq!(of(silent, "text/plain").unwrap(), media_type::OCI_MANIFEST);
        assert!(matches!(of(silent, media_type::OCI_INDEX), Err(Error::Protocol { .. })));
        assert_eq!(of(r#"{"schemaVersion":2,"manifests":[]}"#, "").unwrap(), media_type::OCI_INDEX);
        assert!(matches!(of(r#"{"schemaVersion":1,"fsLayers":[]}"#, ""), Err(Error::Schema1(_))));
        assert!(matches!(of("{}", media_type::DOCKER_V1_SIGNED), Err(Error::Schema1(_))));
        let both = r#"{"schemaVersion":2,"config":{},"manifests":[]}"#;
        assert!(matches!(of(both, media_type::OCI_INDEX), Err(Error::Protocol { .. })));
        assert!(matches!(of(r#"{"mediaType":"application/x"}"#, ""), Err(Error::MediaType { .. })));
        assert!(matches!(of("[", ""), Err(Error::Json { .. })));
        assert!(matches!(of("<html>", "text/html"), Err(Error::MediaType { .. })));
    }
}
