//! Where something is served, and how that host is reached.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use ureq::http::HeaderMap;

/// Where a repository is served.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The host as references name it.
    pub(crate) domain: String,
    pub(crate) path: String,
    pub(crate) insecure: bool,
    /// What a hosts.toml says of the host.
    pub(crate) endpoint: Option<Arc<Endpoint>>,
    /// The registry that is meant, if the host is another: sent as `ns`, so that one host can serve several.
    pub(crate) namespace: Option<String>,
}

impl Place {
    /// A place of which nothing more is said.
    pub(crate) fn new(domain: impl Into<String>, path: impl Into<String>, insecure: bool) -> Self {
        Place { domain: domain.into(), path: path.into(), insecure, endpoint: None, namespace: None }
    }

    /// What may be asked of it.
    pub(crate) fn can(&self) -> Can {
        self.endpoint.as_ref().map_or(Can::ALL, |endpoint| endpoint.can)
    }
}

/// The places of one repository, in the order in which they are asked.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// Asked for what only reads.
    pub(crate) mirrors: Vec<Place>,
    /// The registry itself: the last word, and what is written to.
    pub(crate) origin: Place,
    /// The prefix of the rule that forbids all of it.
    pub(crate) blocked: Option<String>,
}

/// One host of a hosts.toml.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// `None`: found out.
    pub(crate) scheme: Option<&'static str>,
    /// The path of the API, usually `/v2`.
    pub(crate) root: String,
    pub(crate) can: Can,
    /// Files with CAs.
    pub(crate) authorities: Vec<PathBuf>,
    /// The client's certificate and key, which may be one file.
    pub(crate) client: Option<(PathBuf, PathBuf)>,
    /// Any certificate will do.
    pub(crate) skip_verify: bool,
    /// Sent with every request to this host.
    pub(crate) headers: HeaderMap,
    /// How long a connection may take.
    pub(crate) connect: Option<Duration>,
}

/// What a host may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Can {
    /// Content by its digest.
    pub(crate) pull: bool,
    /// What a tag means.
    pub(crate) resolve: bool,
    /// To take content.
    pub(crate) push: bool,
}

impl Can {
    pub(crate) const ALL: Can = Can { pull: true, resolve: true, push: true };

    /// Of containerd's words; all without any.
    pub(super) fn of(words: &[String]) -> Result<Self, String> {
        if words.is_empty() {
            return Ok(Can::ALL);
        }
        let mut can = Can { pull: false, resolve: false, push: false };
        for word in words {
            match word.to_ascii_lowercase().as_str() {
                "pull" => can.pull = true,
                "resolve" => can.resolve = true,
                "push" => can.push = true,
                other => return Err(format!("unknown capability {other:?}: pull, resolve or push")),
            }
        }
        Ok(can)
    }
}
