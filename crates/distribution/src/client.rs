//! The client: settings that hold for every registry, and the certificates that are read once.

use crate::certificates::HostCertificates;
use crate::credentials::Credentials;
use crate::error::Result;
use crate::proxy::Proxies;
use crate::registries::Registries;
use crate::repository::Repository;
use crate::scope::Access;
use carboy_oci::Reference;
use rustls::pki_types::CertificateDer;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// What the caller decides.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where user names and passwords are found.
    pub credentials: Credentials,
    /// Whether certificates are verified and plain HTTP is refused. Loopback addresses may be plain HTTP in any case. `None`: as the
    /// registries' own rules say, and they are verified if those say nothing.
    pub tls_verify: Option<bool>,
    /// Mirrors, other locations, short names.
    pub registries: Registries,
    /// Folders with a folder for each host, `HOST[:PORT]/{*.crt,*.cert,*.key}` (containers-certs.d(5), docker's and containerd's certs.d).
    pub certificates: Vec<PathBuf>,
    /// A folder with certificates for all hosts.
    pub certificates_for_all: Option<PathBuf>,
    /// Proxies.
    pub proxies: Proxies,
    /// How long to wait for what, and how often to try.
    pub limits: Limits,
    /// What the client calls itself to servers.
    pub user_agent: String,
    /// Is told, in a line, when a server is waited for that asked for that, or asked again that said nothing.
    pub notice: Option<fn(&str)>,
}

/// How long to wait for what, and how often to try.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For a connection with its TLS handshake.
    pub connect: Duration,
    /// For the head of an answer.
    pub answer: Duration,
    /// For the answer to an upload that is complete: the registry may have to move it.
    pub commit: Duration,
    /// For the next byte of a body: a download is never too slow, only ever stalled.
    pub stall: Duration,
    /// Tries of one request (two if it is time that runs out), and reconnections in a row without a byte of progress.
    pub tries: u32,
    /// Wait before the second try; doubled for each further one.
    pub backoff: Duration,
    /// The longest wait that a `Retry-After` may ask for.
    pub longest_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connect: Duration::from_secs(15),
            answer: Duration::from_secs(30),
            commit: Duration::from_secs(300),
            stall: Duration::from_secs(30),
            tries: 5,
            backoff: Duration::from_millis(300),
            longest_wait: Duration::from_secs(60),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            credentials: Credentials::none(),
            tls_verify: None,
            registries: Registries::default(),
            certificates: Vec::new(),
            certificates_for_all: None,
            proxies: Proxies::default(),
            limits: Limits::default(),
            user_agent: concat!("carboy/", env!("CARGO_PKG_VERSION")).to_owned(),
            notice: None,
        }
    }
}

/// A registry client. Cheap to clone; what it read from the system is shared.
#[derive(Debug, Clone, Default)]
pub struct Client {
    settings: Arc<Settings>,
    roots: Arc<OnceLock<Roots>>,
    own: Arc<Mutex<HashMap<String, Option<HostCertificates>>>>,
}

/// The system's root certificates.
#[derive(Debug)]
pub(crate) struct Roots {
    pub(crate) certificates: Vec<CertificateDer<'static>>,
}

impl Client {
    /// A client with these settings. Nothing is read or connected yet.
    pub fn new(settings: Settings) -> Self {
        Client { settings: Arc::new(settings), roots: Arc::default(), own: Arc::default() }
    }

    /// The same with other settings; what was read from the system is shared.
    pub(crate) fn with_settings(&self, settings: Settings) -> Self {
        Client { settings: Arc::new(settings), roots: self.roots.clone(), own: Arc::default() }
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A conversation with the repository of `reference`: its own connections and tokens, and its own [`Repository::cancel`].
    pub fn repository(&self, reference: &Reference) -> Repository {
        self.repository_for(reference, Access::Pull)
    }

    /// The same, to do more than read.
    pub fn repository_for(&self, reference: &Reference, access: Access) -> Repository {
        Repository::new(self.clone(), reference, access)
    }

    /// The system's certificates, read at the first call (about a hundred small certificates: 2 ms).
    pub(crate) fn roots(&self) -> &Roots {
        self.roots.get_or_init(|| {
            // Certificates that cannot be read are skipped as every TLS client does; none at all shows in the handshake's error.
            Roots { certificates: rustls_native_certs::load_native_certs().certs }
        })
    }

    /// The certificates for one host beyond the system's, read once.
    pub(crate) fn certificates_for(&self, authority: &str) -> Result<Option<HostCertificates>> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = own.get(authority) {
            return Ok(known.clone());
        }
        let found = HostCertificates::find(&self.settings, authority)?;
        own.insert(authority.to_owned(), found.clone());
        Ok(found)
    }
}
