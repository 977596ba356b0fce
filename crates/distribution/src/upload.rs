//! Uploads of blobs: what is there is not sent, what another repository of the registry has is mounted, and what was cut goes on where
//! it was.
//!
//! ```text
//! HEAD blob ─ is there ─────────────────────────────────▶ Existed
//!   └─ POST uploads/[?mount=&from=] ─ 201 ──────────────▶ Mounted
//!        └─ 202: PUT location?digest= with everything ──▶ Uploaded      (or PATCH in pieces, then PUT without content)
//!             └─ cut: GET location says how far it is; PATCH the rest; a registry that forgot it begins again
//! ```

use crate::endpoint::{self, encode_query};
use crate::error::{Error, Result};
use crate::host::{Ask, backoff, pause, tell_wait};
use crate::repository::Repository;
use crate::response::is_transient;
use crate::session::{Failed, Session};
use crate::transport::Payload;
use carboy_oci::Digest;
use std::io::{self, Read};
use std::time::Duration;
use ureq::http::header::{CONTENT_LENGTH, LOCATION};
use ureq::http::{HeaderMap, Method};

/// Opens what is to be sent from this byte on. Called again when something has to be sent again.
pub type Content<'c> = dyn Fn(u64) -> io::Result<Box<dyn Read + 'c>> + 'c;

/// A blob to be sent.
pub struct Upload<'u> {
    /// Its digest, which the registry verifies.
    pub digest: &'u Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its content.
    pub content: &'u Content<'u>,
    /// Repositories of the same registry that have it, see [`Repository::mount_from`]; the first one that the registry accepts is used.
    pub mount_from: &'u [String],
    /// Sends pieces of this size in bytes, for registries behind something that limits requests. `None`: all at once.
    pub piece: Option<u64>,
    /// Is told how many bytes were sent so far; the number goes back when something has to be sent again.
    pub progress: &'u dyn Fn(u64),
}

/// How a blob came to be in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// It was there.
    Existed,
    /// The registry took it from this repository.
    Mounted(String),
    /// It was sent.
    Uploaded,
}

impl Repository {
    /// The size of a blob if it is here.
    pub fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        let rest = format!("blobs/{digest}");
        match self.request(Method::HEAD, &rest, HeaderMap::new(), &self.blob_name(digest)) {
            Ok((_, response)) => {
                let length = response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
                Ok(Some(length.and_then(|text| text.parse().ok()).unwrap_or(0)))
            }
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Says beforehand which repositories blobs will be mounted from, so that one token is good for all.
    pub fn mount_from<'p>(&self, paths: impl IntoIterator<Item = &'p str>) {
        for path in paths {
            self.host().auth().also(&format!("repository:{path}:pull"));
        }
    }

    /// Puts a blob into the repository, in the cheapest way there is.
    ///
    /// # Errors
    /// What the registry says; [`Error::Source`] if the content cannot be read.
    pub fn push_blob(&self, upload: &Upload<'_>) -> Result<Pushed> {
        if self.blob_size(upload.digest)?.is_some() {
            (upload.progress)(upload.size);
            return Ok(Pushed::Existed);
        }
        let mut session = match self.begin_upload(upload)? {
            Begun::Mounted(from) => {
                (upload.progress)(upload.size);
                return Ok(Pushed::Mounted(from));
            }
            Begun::Session(session) => session,
        };
        let (mut failures, mut best) = (0, 0);
        loop {
            let failed = match session.send(self, upload) {
                Ok(()) => return Ok(Pushed::Uploaded),
                Err(failed) => failed,
            };
            failures += 1;
            self.wait_after(failed, failures)
                .map_err(|error| error.during(&format!("upload of {}", self.blob_name(upload.digest))))?;
            session = match session.resume(self)? {
                Some(session) => session,
                // The last answer may have been lost, not the upload.
                None if self.blob_size(upload.digest)?.is_some() => return Ok(Pushed::Uploaded),
                None => self.new_session(upload.digest)?,
            };
            if session.offset() > best {
                (best, failures) = (session.offset(), 0);
            }
        }
    }

    /// Waits before an upload goes on, or gives its failure back if that would help nobody.
    fn wait_after(&self, failed: Failed, failures: u32) -> Result<()> {
        let limits = self.limits();
        let (may_pass, asked) = match &failed {
            Failed::Error(error) => (error.is_transient() || error.is_unreachable(), None),
            Failed::Refused { status, wait, .. } => match status {
                // The registry disagrees about how far it is, or has forgotten the upload.
                404 | 416 => (true, Some(Duration::ZERO)),
                status => (is_transient(*status), *wait),
            },
        };
        if !may_pass || failures >= limits.tries || asked.is_some_and(|wait| wait > limits.longest_wait) {
            return Err(failed.into_error());
        }
        if let (Failed::Refused { status, .. }, Some(wait)) = (&failed, asked) {
            tell_wait(self.transport(), self.host().authority(), *status, wait);
        }
        pause(self.transport(), asked.unwrap_or_else(|| backoff(limits, failures)))
    }

    fn begin_upload(&self, upload: &Upload<'_>) -> Result<Begun> {
        for from in upload.mount_from {
            let rest = format!("blobs/uploads/?mount={}&from={}", upload.digest, encode_query(from));
            match self.begin(&rest, upload.digest) {
                Ok(None) => return Ok(Begun::Mounted(from.clone())),
                Ok(Some(session)) => return Ok(Begun::Session(session)),
                // Not allowed to read there, or no such thing here: it is sent instead.
                Err(Error::Denied { .. } | Error::NotFound { .. } | Error::Status { status: 400..=499, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.new_session(upload.digest).map(Begun::Session)
    }

    fn new_session(&self, digest: &Digest) -> Result<Session> {
        self.begin("blobs/uploads/", digest)?.ok_or_else(|| Error::Protocol {
            host: self.domain().to_owned(),
            detail: format!("upload of {}: the registry answered 201 before anything was sent", self.blob_name(digest)),
        })
    }

    /// `None`: the blob is there now (201).
    fn begin(&self, rest: &str, digest: &Digest) -> Result<Option<Session>> {
        let what = format!("upload of {}", self.blob_name(digest));
        let ask = Ask { payload: Payload::Bytes(&[]), ..Ask::new(Method::POST, rest) };
        let (uri, response) = self.ask(&ask, &what)?;
        if response.status().as_u16() == 201 {
            return Ok(None);
        }
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let location = location.ok_or_else(|| Error::Protocol {
            host: endpoint::display_host(&uri),
            detail: format!("{what}: the registry does not say where to (no Location)"),
        })?;
        Session::at(self, endpoint::resolve(&uri, location)?, &uri, what).map(Some)
    }
}

enum Begun {
    Mounted(String),
    Session(Session),
}
