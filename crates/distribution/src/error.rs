//! What can go wrong between us and a registry. Messages name what was asked for and of whom; causes are sources, never text.

use crate::credentials::CredentialsError;
use carboy_oci::Digest;
use std::io;

/// Short for a result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of failure an [`Error`] is, for exit codes and HTTP statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The registry does not have it.
    NotFound,
    /// Credentials are missing, wrong or not sufficient.
    Unauthorized,
    /// The registry cannot be reached, does not answer or is overloaded; trying later may help.
    Unavailable,
    /// A certificate was not accepted, or TLS failed otherwise.
    Tls,
    /// What was received is not what was asked for.
    Integrity,
    /// The content is of a kind that is not supported.
    Unsupported,
    /// The request, a setting or a file the caller named is not valid.
    Invalid,
    /// The answer does not follow the protocol.
    Protocol,
    /// [`crate::Repository::cancel`] was called.
    Cancelled,
}

/// A failed request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something went wrong on the way, while this was asked for.
    #[error("{what}")]
    During {
        /// What was asked for.
        what: String,
        /// What went wrong.
        source: Box<Error>,
    },
    /// 404.
    #[error("{what} not found: {detail}")]
    NotFound {
        /// What was asked for.
        what: String,
        /// The registry's words.
        detail: String,
    },
    /// 401 or 403, after the credentials there are were tried. The wording is Docker's, as registries hide private repositories.
    #[error("{access} access denied for {repository}, repository does not exist or may require a login: {detail}")]
    Denied {
        /// `pull`, `push` or `delete`.
        access: &'static str,
        /// The repository.
        repository: String,
        /// The registry's words, or what is missing.
        detail: String,
    },
    /// User name or password were refused.
    #[error("{host} refused the user name or password: {detail}")]
    BadCredentials {
        /// Who refused them.
        host: String,
        /// The server's words.
        detail: String,
    },
    /// No connection.
    #[error("cannot reach {host}")]
    Unreachable {
        /// Host and port.
        host: String,
        /// The connection's error.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection to {host} broke")]
    Broken {
        /// Host and port.
        host: String,
        /// The connection's error.
        source: io::Error,
    },
    /// Nothing was received in time.
    #[error("{host} does not answer: no data for {seconds} s while {phase}")]
    Timeout {
        /// Host and port.
        host: String,
        /// What was being done.
        phase: &'static str,
        /// How long, in seconds.
        seconds: u64,
    },
    /// TLS.
    #[error("TLS with {host} failed{hint}")]
    Tls {
        /// Host and port.
        host: String,
        /// What may help.
        hint: &'static str,
        /// The TLS library's error.
        source: Box<rustls::Error>,
    },
    /// Plain HTTP where only TLS is accepted.
    #[error(
        "{0} would be asked by plain HTTP, which only loopback addresses may be: use --tls-verify=false to allow it"
    )]
    PlainHttp(String),
    /// The server answered with a status that is not expected.
    #[error("{what}: {host} answered {status}: {detail}")]
    Status {
        /// What was asked for.
        what: String,
        /// Host and port.
        host: String,
        /// The HTTP status.
        status: u16,
        /// The server's words.
        detail: String,
    },
    /// Content does not have the digest it was asked by.
    #[error("{what}: digest mismatch: expected {expected}, received {received}")]
    Digest {
        /// What was asked for.
        what: String,
        /// The digest it should have.
        expected: Digest,
        /// The digest it has.
        received: Digest,
    },
    /// Content is shorter or longer than its descriptor says.
    #[error("{what}: expected {expected} bytes, the registry has {received}")]
    Size {
        /// What was asked for.
        what: String,
        /// Size in the descriptor, in bytes.
        expected: u64,
        /// Size at the registry, in bytes.
        received: u64,
    },
    /// A part was asked for, and all of it came.
    #[error("{0}: the registry sends no parts")]
    NoParts(String),
    /// An answer that is read into memory is too large.
    #[error("{what} is larger than the limit of {limit} bytes")]
    TooLarge {
        /// What was asked for.
        what: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// Docker image manifest, schema 1.
    #[error(
        "{0} is a Docker schema 1 image, a format without content digests that is no longer supported: push it again with a current tool"
    )]
    Schema1(String),
    /// Not an image manifest or index.
    #[error("{what} has the unsupported media type {media_type:?}")]
    MediaType {
        /// What was asked for.
        what: String,
        /// What it is.
        media_type: String,
    },
    /// The JSON of an answer is not valid.
    #[error("{what}: invalid JSON")]
    Json {
        /// What was asked for.
        what: String,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// An answer that does not follow the protocol.
    #[error("{host}: {detail}")]
    Protocol {
        /// Host and port.
        host: String,
        /// What is wrong.
        detail: String,
    },
    /// The HTTP library's other errors.
    #[error("request to {host} failed")]
    Http {
        /// Host and port.
        host: String,
        /// The library's error.
        source: Box<ureq::Error>,
    },
    /// registries.conf forbids it.
    #[error("{what}: registry {prefix} is blocked by registries.conf")]
    Blocked {
        /// What was asked for.
        what: String,
        /// The rule's prefix.
        prefix: String,
    },
    /// A hosts.toml says that nobody is asked this.
    #[error("{what}: hosts.toml does not give {host} the capability for it")]
    Incapable {
        /// What was asked for.
        what: String,
        /// The last host.
        host: String,
    },
    /// A certificate or key of this user's cannot be used.
    #[error("certificate {}: {why}", path.display())]
    Certificate {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A proxy setting is not valid.
    #[error("invalid proxy {0:?}: expected http://[user:password@]host:port")]
    Proxy(String),
    /// What is to be sent cannot be read.
    #[error("read what is to be pushed")]
    Source(#[source] io::Error),
    /// Credentials could not be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The transfer was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::During { source, .. } => source.kind(),
            Error::NotFound { .. } => ErrorKind::NotFound,
            Error::Denied { .. } | Error::BadCredentials { .. } => ErrorKind::Unauthorized,
            Error::Unreachable { .. } | Error::Broken { .. } | Error::Timeout { .. } => ErrorKind::Unavailable,
            Error::Tls { .. } | Error::PlainHttp(_) => ErrorKind::Tls,
            Error::Status { status: 408 | 429 | 500.., .. } => ErrorKind::Unavailable,
            Error::Digest { .. } | Error::Size { .. } => ErrorKind::Integrity,
            Error::Schema1(_) | Error::MediaType { .. } | Error::NoParts(_) => ErrorKind::Unsupported,
            Error::Proxy(_)
            | Error::Credentials(_)
            | Error::Source(_)
            | Error::Blocked { .. }
            | Error::Incapable { .. }
            | Error::Certificate { .. } => ErrorKind::Invalid,
            Error::Cancelled => ErrorKind::Cancelled,
            Error::Status { .. }
            | Error::TooLarge { .. }
            | Error::Json { .. }
            | Error::Protocol { .. }
            | Error::Http { .. } => ErrorKind::Protocol,
        }
    }

    /// Of an answer to a manifest that was sent: whether another kind of manifest might be taken. Registries that know only Docker's kind, or only
    /// the OCI's, say so in several ways.
    pub fn refuses_kind(&self) -> bool {
        match self {
            Error::During { source, .. } => source.refuses_kind(),
            other => matches!(other, Error::Status { status: 400 | 406 | 415 | 422, .. }),
        }
    }

    /// Names what was asked for, where the error does not.
    pub(crate) fn during(self, what: &str) -> Self {
        match self {
            Error::Unreachable { .. }
            | Error::Broken { .. }
            | Error::Timeout { .. }
            | Error::Tls { .. }
            | Error::PlainHttp(_)
            | Error::Protocol { .. }
            | Error::Http { .. } => Error::During { what: what.to_owned(), source: Box::new(self) },
            other => other,
        }
    }

    /// In few words, of this host.
    pub(crate) fn at(&self, host: &str) -> String {
        match self {
            Error::NotFound { detail, .. } => format!("{host}: not found: {detail}"),
            Error::Denied { detail, .. } => format!("{host}: access denied: {detail}"),
            Error::Status { status, detail, .. } => format!("{host}: status {status}: {detail}"),
            other => {
                let (mut text, mut cause) = (other.to_string(), std::error::Error::source(other));
                while let Some(error) = cause {
                    text = format!("{text}: {error}");
                    cause = error.source();
                }
                text
            }
        }
    }

    /// Tells what went wrong with the mirrors, where it is the registry's failure that counts.
    pub(crate) fn after_mirrors(mut self, failed: &[String]) -> Self {
        if let Error::During { what: text, .. }
        | Error::NotFound { detail: text, .. }
        | Error::Denied { detail: text, .. }
        | Error::Status { detail: text, .. } = &mut self
            && !failed.is_empty()
        {
            *text = format!("{text} (mirrors failed too: {})", failed.join("; "));
        }
        self
    }

    /// Whether a server may have refused because only a part was asked for. Some that stand before registries do.
    pub(crate) fn may_be_about_range(&self) -> bool {
        matches!(self, Error::Denied { .. } | Error::Status { status: 400 | 401 | 403 | 405 | 416 | 501, .. })
    }

    /// Whether what came is not what it should be, whoever sent it.
    pub(crate) fn is_about_content(&self) -> bool {
        matches!(self.kind(), ErrorKind::Integrity | ErrorKind::Protocol | ErrorKind::Unsupported)
    }

    /// Whether there was no connection.
    pub(crate) fn is_unreachable(&self) -> bool {
        match self {
            Error::During { source, .. } => source.is_unreachable(),
            other => matches!(other, Error::Unreachable { .. }),
        }
    }

    /// Whether the same request may succeed a moment later. A refused connection is not such a case: waiting for a registry
    /// that does not run helps nobody.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Error::Broken { .. } | Error::Timeout { .. })
    }
}
