//! One `[[registry]]`: which references it is about, and where they are moved to.

use super::file::{Mirror as MirrorEntry, Registry};
use super::place::{Place, Places};
use carboy_oci::Reference;

/// What is said of all references below a prefix.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    /// `host[:port][/path…[:tag|@digest]]`, or `*.domain`.
    pub(super) prefix: String,
    /// What takes the prefix's place.
    pub(super) location: Option<String>,
    pub(super) insecure: bool,
    pub(super) blocked: bool,
    pub(super) mirrors: Vec<Mirror>,
}

#[derive(Debug, Clone)]
pub(super) struct Mirror {
    pub(super) location: String,
    pub(super) insecure: bool,
    pulls: Pulls,
}

/// Which pulls a mirror serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pulls {
    All,
    ByDigest,
    ByTag,
}

impl Mirror {
    fn of(entry: MirrorEntry, only_by_digest: bool) -> Result<Self, String> {
        let pulls = match entry.pull_from_mirror.as_str() {
            "" | "all" if only_by_digest => Pulls::ByDigest,
            "" | "all" => Pulls::All,
            "digest-only" => Pulls::ByDigest,
            "tag-only" if only_by_digest => {
                return Err(
                    "mirror-by-digest-only and pull-from-mirror = \"tag-only\" contradict each other".to_owned()
                );
            }
            "tag-only" => Pulls::ByTag,
            other => return Err(format!("pull-from-mirror = {other:?}: all, digest-only or tag-only")),
        };
        let location = location(&entry.location)?.ok_or("a mirror without a location")?;
        Ok(Mirror { location, insecure: entry.insecure, pulls })
    }

    /// Whether a pull by tag, or by digest, is served.
    pub(super) fn serves(&self, by_digest: bool) -> bool {
        match self.pulls {
            Pulls::All => true,
            Pulls::ByDigest => by_digest,
            Pulls::ByTag => !by_digest,
        }
    }
}

impl Rule {
    pub(super) fn of(entry: Registry) -> Result<Self, String> {
        let own = location(&entry.location)?;
        let prefix = location(&entry.prefix)?.or_else(|| own.clone());
        let prefix = prefix.ok_or("a [[registry]] needs a prefix or a location")?;
        if prefix.starts_with("*.") && prefix.contains('/') {
            return Err(format!("prefix {prefix:?}: behind *. only a domain may stand"));
        }
        let only_by_digest = entry.mirror_by_digest_only;
        let mirrors = entry.mirror.into_iter().map(|mirror| Mirror::of(mirror, only_by_digest));
        let mirrors = mirrors.collect::<Result<Vec<_>, _>>()?;
        Ok(Rule { prefix, location: own, insecure: entry.insecure, blocked: entry.blocked, mirrors })
    }

    /// How many bytes of the reference's whole name the prefix covers, if it is about it.
    pub(super) fn matched(&self, reference: &Reference) -> Option<usize> {
        let name = reference.to_string();
        if let Some(domain) = self.prefix.strip_prefix('*') {
            let host = reference.domain();
            let below = host.strip_suffix(domain).is_some_and(|front| !front.is_empty());
            // The more of the domain it names, the better it fits; a prefix without a star is longer than any.
            return below.then_some(host.len());
        }
        let rest = name.strip_prefix(self.prefix.as_str())?;
        let fits = rest.is_empty() || rest.starts_with(['/', ':', '@']);
        // `host` is not the beginning of `host:5000`: there the colon begins a port.
        let is_port = !self.prefix.contains('/') && rest.starts_with(':');
        (fits && !is_port).then_some(self.prefix.len())
    }

    /// Whether the rule moves what it is about, or has mirrors for it; one that only calls it insecure or blocked does not.
    pub(super) fn says_where(&self) -> bool {
        !self.mirrors.is_empty() || self.location.as_deref().is_some_and(|location| location != self.prefix)
    }

    /// Where a reference that the prefix covers `length` bytes of is served.
    pub(super) fn places(&self, reference: &Reference, length: usize) -> Places {
        let by_digest = reference.digest().is_some();
        let mirrors = self.mirrors.iter().filter(|mirror| mirror.serves(by_digest));
        let mirrors = mirrors.map(|mirror| moved(reference, length, &mirror.location, mirror.insecure)).collect();
        let origin = match &self.location {
            Some(location) => moved(reference, length, location, self.insecure),
            None => Place::new(reference.domain(), reference.path(), self.insecure),
        };
        Places { mirrors, origin, blocked: None }
    }

    /// Of two rules about one reference, which is the more specific.
    pub(super) fn weight(&self) -> usize {
        self.prefix.len()
    }
}

/// The reference's repository with its first `length` bytes replaced.
pub(super) fn moved(reference: &Reference, length: usize, location: &str, insecure: bool) -> Place {
    let name = reference.repository();
    let rest = name.get(length..).unwrap_or("");
    let whole = format!("{location}{rest}");
    let (domain, path) = whole.split_once('/').unwrap_or((whole.as_str(), ""));
    Place::new(domain, path, insecure)
}

/// A host with a port and a path, without what people add by mistake.
fn location(text: &str) -> Result<Option<String>, String> {
    let text = text.trim_end_matches('/');
    if text.contains("://") {
        return Err(format!("location {text:?}: without http:// or https:// (use insecure = true for plain HTTP)"));
    }
    let is_sound =
        !text.bytes().any(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control() || b"?#\\".contains(&byte));
    if !is_sound {
        return Err(format!("location {text:?} is not a registry's name"));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}
