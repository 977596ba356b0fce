//! Image references as Docker reads them (distribution/reference: "normalized named").
//!
//! `alpine` means `docker.io/library/alpine:latest`; the first component is a host only if it has a dot, a colon, an upper-case
//! letter, or is `localhost`.

use crate::Digest;
use std::fmt;
use std::str::FromStr;

/// The registry a reference without a host means.
pub const DEFAULT_DOMAIN: &str = "docker.io";

/// A normalized reference: registry host, repository path, and a tag, a digest or both.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a string is not a reference. The wording is Docker's.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// Not in the grammar.
    #[error("invalid reference format: {0:?}")]
    Format(String),
    /// Upper-case letters in the repository.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    UpperCase(String),
    /// It could be taken for an image ID.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    Identifier(String),
    /// The path is longer than 255 bytes.
    #[error("repository name must not be more than 255 characters: {0:?}")]
    TooLong(String),
}

impl Reference {
    /// Parses and normalizes. A reference with neither tag nor digest gets the tag `latest`.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let bad = || ReferenceError::Format(text.to_owned());
        if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(ReferenceError::Identifier(text.to_owned()));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>().map_err(|_| bad())?)),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(bad());
        }
        let (domain, path) = split_domain(name);
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(ReferenceError::UpperCase(path));
        }
        if !is_domain(&domain) || path.is_empty() || !path.split('/').all(is_path_component) {
            return Err(bad());
        }
        if path.len() > 255 {
            return Err(ReferenceError::TooLong(path));
        }
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, None) => Some("latest".to_owned()),
            (None, Some(_)) => None,
        };
        Ok(Reference { domain, path, tag, digest })
    }

    /// Whether a name as it is typed leaves its registry open: `alpine`, `user/app`.
    pub fn is_short(text: &str) -> bool {
        text.split_once('/').is_none_or(|(first, _)| !is_host(first))
    }

    /// The registry's host with its port, such as `docker.io` or `127.0.0.1:5000`.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository within the registry, such as `library/alpine`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, if the reference has one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if the reference has one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The repository with its host, as listings of canonical names show it: `docker.io/library/alpine`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The repository as Docker shows it: `alpine`, `user/app`, `127.0.0.1:5000/app`.
    pub fn familiar_repository(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.repository();
        }
        let short = self.path.strip_prefix("library/").unwrap_or(&self.path);
        // Short only where it means the same again: `docker.io/evil.example/app` would become a name at another registry.
        let (domain, path) = split_domain(short);
        if (&domain, &path) == (&self.domain, &self.path) { short.to_owned() } else { self.repository() }
    }

    /// The reference as Docker shows it: `alpine:latest`.
    pub fn familiar(&self) -> String {
        let mut text = self.familiar_repository();
        if let Some(tag) = &self.tag {
            text = format!("{text}:{tag}");
        }
        if let Some(digest) = &self.digest {
            text = format!("{text}@{digest}");
        }
        text
    }

    /// The same repository with another tag and no digest.
    ///
    /// # Errors
    /// If that is not a tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        if !is_tag(tag) {
            return Err(ReferenceError::Format(format!("{}:{tag}", self.familiar_repository())));
        }
        Ok(Reference { domain: self.domain.clone(), path: self.path.clone(), tag: Some(tag.to_owned()), digest: None })
    }

    /// The same repository with another digest and no tag.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Reference { domain: self.domain.clone(), path: self.path.clone(), tag: None, digest: Some(digest) }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}

fn split_domain(name: &str) -> (String, String) {
    let (domain, path) = match name.split_once('/') {
        Some((first, rest)) if is_host(first) => {
            (if first == "index.docker.io" { DEFAULT_DOMAIN } else { first }, rest)
        }
        _ => (DEFAULT_DOMAIN, name),
    };
    if domain == DEFAULT_DOMAIN && !path.contains('/') && !path.is_empty() {
        return (domain.to_owned(), format!("library/{path}"));
    }
    (domain.to_owned(), path.to_owned())
}

/// Whether the first component of a name is a host.
fn is_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let mut bytes = tag.bytes();
    tag.len() <= 128 && bytes.next().is_some_and(word) && bytes.all(|b| word(b) || b == b'.' || b == b'-')
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (domain, None),
    };
    if port.is_some_and(|port| port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit())) {
        return false;
    }
    if let Some(v6) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return !v6.is_empty() && v6.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
    }
    host.split('.').all(|label| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    })
}

/// `[a-z0-9]+` joined by `.`, `_`, `__` or any number of `-`.
fn is_path_component(component: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    if bytes.is_empty() || !alnum(bytes[0]) || !alnum(bytes[bytes.len() - 1]) {
        return false;
    }
    let separators = component.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).filter(|s| !s.is_empty());
    for separator in separators {
        if !matches!(separator, "." | "_" | "__") && !separator.bytes().all(|b| b == b'-') {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_normalize_as_docker_does() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        for (input, canonical, familiar) in [
            ("alpine", "docker.io/library/alpine:latest", "alpine:latest"),
            ("user/app:1", "docker.io/user/app:1", "user/app:1"),
            ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
            ("127.0.0.1:5000/a/b:v1.0-x", "127.0.0.1:5000/a/b:v1.0-x", "127.0.0.1:5000/a/b:v1.0-x"),
            ("index.docker.io/library/x", "docker.io/library/x:latest", "x:latest"),
            ("[::1]:5000/x:y", "[::1]:5000/x:y", "[::1]:5000/x:y"),
            ("a__b/c---d/e.f_g", "docker.io/a__b/c---d/e.f_g:latest", "a__b/c---d/e.f_g:latest"),
        ] {
            let reference = Reference::parse(input).unwrap();
            assert_eq!(reference.to_string(), canonical);
            assert_eq!(reference.familiar(), familiar);
            assert_eq!(Reference::parse(canonical).unwrap(), reference);
        }
        let both = Reference::parse(&format!("q.io/x:t@{digest}")).unwrap();
        assert_eq!((both.tag(), both.digest().unwrap().as_str()), (Some("t"), digest.as_str()));
        assert_eq!(Reference::parse(&format!("x@{digest}")).unwrap().tag(), None);
    }

    #[test]
    fn what_is_refused_is_said_in_dockers_words() {
        let (long, id) = (format!("a/{}", "b".repeat(254)), "ab".repeat(32));
        for (bad, words) in [
            ("docker.io/Upper", "invalid reference format: repository name (library/Upper) must be lowercase"),
            ("x:", "invalid reference format"),
            (&long, "repository name must not be more than 255 characters"),
            (&id, "cannot specify 64-byte hexadecimal strings"),
        ] {
            let error = Reference::parse(bad).unwrap_err().to_string();
            assert!(error.contains(words), "{bad}: {error}");
        }
        assert!(Reference::parse(&format!("{id}:tag")).is_ok());
        assert!(Reference::is_short("a/b:1") && !Reference::is_short("h:1/b") && !Reference::is_short("localhost/b"));
        assert!(Reference::parse("a").unwrap().with_tag("b:c").is_err());
    }

    #[test]
    fn what_is_shown_means_the_same() {
        for (text, shown) in [
            ("docker.io/evil.example/app", "docker.io/evil.example/app:latest"),
            ("docker.io/localhost/app:1", "docker.io/localhost/app:1"),
            ("docker.io/library/a/b", "docker.io/library/a/b:latest"),
            ("docker.io/library/a", "a:latest"),
            ("index.docker.io/a/b", "a/b:latest"),
        ] {
            let reference = Reference::parse(text).unwrap();
            assert_eq!(reference.familiar(), shown);
            assert_eq!(Reference::parse(shown).unwrap(), reference);
        }
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        for bad in [
            "",
            ":",
            "x:",
            "x:-a",
            "Upper",
            "a//b",
            "/a",
            "a/",
            "a..b",
            "a._b",
            "x@sha256:12",
            "-a",
            "x:a:b",
            "ho_st:5000/x",
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad:?}");
        }
    }
}
