//! One upload in progress: where the next piece goes, and how far it is. The registry's word counts, in its `Location` and `Range`.

use crate::endpoint::{display_host, resolve};
use crate::error::{Error, Result};
use crate::host::Answer;
use crate::repository::Repository;
use crate::response::retry_after;
use crate::transport::{Call, Payload};
use crate::upload::Upload;
use std::cell::Cell;
use std::io::{self, Read};
use std::time::Duration;
use ureq::http::header::{CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use ureq::http::{HeaderMap, HeaderValue, Method, Uri};

/// An upload in progress.
pub(crate) struct Session {
    location: Uri,
    /// Bytes that the registry has.
    offset: u64,
    what: String,
}

/// Why a piece was not taken.
pub(crate) enum Failed {
    /// No answer came.
    Error(Error),
    /// The answer was no success; it may say how long to wait.
    Refused { status: u16, wait: Option<Duration>, error: Error },
}

impl Failed {
    pub(crate) fn into_error(self) -> Error {
        match self {
            Failed::Error(error) | Failed::Refused { error, .. } => error,
        }
    }
}

impl Session {
    /// A new upload at the location that the answer from `base` named.
    pub(crate) fn at(repository: &Repository, location: Uri, base: &Uri, what: String) -> Result<Self> {
        repository.transport().check_scheme(base, &location)?;
        Ok(Session { location, offset: 0, what })
    }

    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Sends what the registry does not have, and ends the upload.
    pub(crate) fn send(&mut self, repository: &Repository, upload: &Upload<'_>) -> std::result::Result<(), Failed> {
        let whole = self.offset == 0 && upload.piece.is_none_or(|piece| piece >= upload.size);
        if !whole {
            while self.offset < upload.size {
                self.send_piece(repository, upload)?;
            }
        }
        let separator = if self.location.query().is_some() { '&' } else { '?' };
        let digest = upload.digest.as_str().replace(':', "%3A");
        let target = format!("{}{separator}digest={digest}", self.location);
        let target: Uri = target.parse().map_err(|_| Failed::Error(self.odd(&target)))?;
        let length = if whole { upload.size } else { 0 };
        self.put(repository, upload, (Method::PUT, target), length).map(drop)
    }

    fn send_piece(&mut self, repository: &Repository, upload: &Upload<'_>) -> std::result::Result<(), Failed> {
        let length = upload.piece.unwrap_or(u64::MAX).min(upload.size - self.offset);
        let (uri, response) = self.put(repository, upload, (Method::PATCH, self.location.clone()), length)?;
        let sent = self.offset + length;
        self.follow(repository, &uri, response.headers()).map_err(Failed::Error)?;
        // A registry that says nothing has all of it.
        self.offset = received(response.headers()).unwrap_or(sent);
        if self.offset > sent { Err(Failed::Error(self.odd("more was received than sent"))) } else { Ok(()) }
    }

    /// Sends `length` bytes from where the upload is.
    fn put(
        &self,
        repository: &Repository,
        upload: &Upload<'_>,
        (method, uri): (Method, Uri),
        length: u64,
    ) -> std::result::Result<Answer, Failed> {
        let sent = Cell::new(self.offset);
        let open = || {
            sent.set(self.offset);
            let inner = (upload.content)(self.offset)?;
            Ok(Box::new(Counted { inner, sent: &sent, progress: upload.progress }) as Box<dyn Read>)
        };
        let payload = if length > 0 { Payload::Stream(length, &open) } else { Payload::Bytes(&[]) };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        if method == Method::PATCH
            && let Ok(range) = HeaderValue::from_str(&format!("{}-{}", self.offset, self.offset + length - 1))
        {
            headers.insert(CONTENT_RANGE, range);
        }
        let mut call = Call { method, headers, payload, ..Call::get(uri) };
        let answer = repository.host().call(repository.transport(), &mut call);
        let (uri, response) = answer.map_err(Failed::Error)?;
        if response.status().is_success() {
            return Ok((uri, response));
        }
        let (status, wait) = (response.status().as_u16(), retry_after(response.headers()));
        let mut error = repository.refused(&uri, response, &self.what);
        if let Error::Status { status: 413, detail, .. } = &mut error {
            detail.push_str(" (push --chunk-size=MIB sends smaller pieces)");
        }
        Err(Failed::Refused { status, wait, error })
    }

    /// Asks how far the upload is. `None`: the registry does not know it any more.
    pub(crate) fn resume(mut self, repository: &Repository) -> Result<Option<Self>> {
        let mut call = Call::get(self.location.clone());
        let (uri, response) = repository.host().call_again(repository.transport(), &mut call)?;
        if !response.status().is_success() {
            return Ok(None);
        }
        let Some(offset) = received(response.headers()) else { return Ok(None) };
        self.follow(repository, &uri, response.headers())?;
        self.offset = offset;
        Ok(Some(self))
    }

    /// Each answer names the place for what comes next; it may hold the state of the upload.
    fn follow(&mut self, repository: &Repository, base: &Uri, headers: &HeaderMap) -> Result<()> {
        if let Some(location) = headers.get(LOCATION).and_then(|value| value.to_str().ok()) {
            let location = resolve(base, location)?;
            repository.transport().check_scheme(base, &location)?;
            self.location = location;
        }
        Ok(())
    }

    fn odd(&self, detail: &str) -> Error {
        Error::Protocol { host: display_host(&self.location), detail: format!("{}: {detail}", self.what) }
    }
}

/// `Range: 0-N`, or `bytes=0-N`: N + 1 bytes are there. Docker's registry says `0-0` for nothing as for one byte; nothing is then assumed.
fn received(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(RANGE)?.to_str().ok()?.trim();
    let (start, end) = text.strip_prefix("bytes=").unwrap_or(text).split_once('-')?;
    let end: u64 = end.trim().parse().ok().filter(|_| start.trim() == "0")?;
    Some(if end == 0 { 0 } else { end.checked_add(1)? })
}

/// Tells how far the sending is.
struct Counted<'c> {
    inner: Box<dyn Read + 'c>,
    sent: &'c Cell<u64>,
    progress: &'c dyn Fn(u64),
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.sent.set(self.sent.get() + count as u64);
        (self.progress)(self.sent.get());
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_much_a_registry_has() {
        for (range, expected) in [
            ("0-99", Some(100)),
            ("bytes=0-99", Some(100)),
            ("0-0", Some(0)),
            ("5-9", None),
            ("x", None),
            ("0-18446744073709551615", None),
        ] {
            let headers = HeaderMap::from_iter([(RANGE, HeaderValue::from_static(range))]);
            assert_eq!(received(&headers), expected, "{range}");
        }
        assert_eq!(received(&HeaderMap::new()), None);
    }
}
