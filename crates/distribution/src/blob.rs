//! Blobs: a reader that goes on where a cut connection left off.

use crate::endpoint::display_host;
use crate::error::{Error, Result};
use crate::host::{backoff, pause};
use crate::manifest::verify;
use crate::repository::Repository;
use carboy_oci::Digest;
use carboy_oci::image::Descriptor;
use std::io::{self, Read};
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use ureq::http::{HeaderMap, HeaderValue, Method, Response, Uri};
use ureq::{Body, BodyReader};

/// Reads a blob of known size. When the connection is cut or stalls, it connects again and asks for the rest; a server without
/// range requests is read from the start again and what is known is skipped. It ends with an error unless it has yielded exactly
/// as many bytes as the descriptor says. Nothing is hashed here: whoever reads must compare the digest.
///
/// Errors are [`io::Error`]s around [`Error`].
#[derive(Debug)]
pub struct BlobReader<'r> {
    repository: &'r Repository,
    digest: Digest,
    size: u64,
    offset: u64,
    /// Where reading ends: the blob's end, or a part's.
    end: u64,
    is_part: bool,
    body: Option<Source>,
    /// Reconnections since the last byte.
    failures: u32,
}

struct Source {
    uri: Uri,
    reader: BodyReader<'static>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Source({})", self.uri)
    }
}

impl Repository {
    /// A reader for the blob that `descriptor` names. Nothing is requested before the first read.
    pub fn blob(&self, descriptor: &Descriptor) -> BlobReader<'_> {
        BlobReader {
            repository: self,
            digest: descriptor.digest.clone(),
            size: descriptor.size,
            offset: 0,
            end: descriptor.size,
            is_part: false,
            body: None,
            failures: 0,
        }
    }

    /// A reader for the blob from one of its bytes on.
    pub fn blob_from(&self, descriptor: &Descriptor, offset: u64) -> BlobReader<'_> {
        BlobReader { offset: offset.min(descriptor.size), ..self.blob(descriptor) }
    }

    /// A reader for a part of the blob. It fails with [`Error::NoParts`] if the registry sends none.
    pub(crate) fn blob_part(&self, descriptor: &Descriptor, offset: u64, length: u64) -> BlobReader<'_> {
        BlobReader { offset, end: offset + length, is_part: true, ..self.blob(descriptor) }
    }

    /// A whole blob of at most `limit` bytes, its digest verified.
    pub fn blob_bytes(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>> {
        let what = self.blob_name(&descriptor.digest);
        if descriptor.size > limit {
            return Err(Error::TooLarge { what, limit });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(descriptor.size).unwrap_or(0));
        self.blob(descriptor).read_to_end(&mut bytes).map_err(|error| self.unwrap_io(error))?;
        verify(&bytes, &descriptor.digest, &what)?;
        Ok(bytes)
    }

    pub(crate) fn blob_name(&self, digest: &Digest) -> String {
        format!("blob {digest} of {}", self.name())
    }

    pub(crate) fn unwrap_io(&self, error: io::Error) -> Error {
        match error.downcast::<Error>() {
            Ok(ours) => ours,
            Err(source) => Error::Broken { host: self.name().to_owned(), source },
        }
    }
}

impl Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.repository.is_cancelled() {
                return Err(io::Error::other(Error::Cancelled));
            }
            if self.offset == self.end {
                return Ok(self.finish());
            }
            if self.body.is_none() {
                match self.open() {
                    Ok(source) => self.body = Some(source),
                    Err(error) => {
                        // What may pass was tried again already; but a registry that was there a moment ago may just be restarting.
                        let may_pass = self.offset > 0 && error.is_unreachable();
                        self.recover(error, may_pass).map_err(io::Error::other)?;
                        continue;
                    }
                }
            }
            let left = usize::try_from(self.end - self.offset).unwrap_or(usize::MAX);
            let length = left.min(buffer.len());
            match self.try_read(&mut buffer[..length]) {
                Ok(0) if length == 0 => return Ok(0),
                Ok(count) => {
                    self.failures = 0;
                    self.offset += count as u64;
                    return Ok(count);
                }
                Err(error) => {
                    let may_pass = error.is_transient();
                    self.recover(error, may_pass).map_err(io::Error::other)?;
                }
            }
        }
    }
}

impl BlobReader<'_> {
    /// The number of bytes in the whole blob.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads from the open connection, which is given up if that fails.
    fn try_read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let Some(mut source) = self.body.take() else { return Ok(0) };
        let transport = self.repository.transport();
        let count =
            source.reader.read(buffer).map_err(|error| transport.failure(&source.uri, ureq::Error::from(error)))?;
        if count == 0 && !buffer.is_empty() {
            let text = format!("it ended after {} of {} bytes", self.offset, self.size);
            let source_error = io::Error::new(io::ErrorKind::UnexpectedEof, text);
            return Err(Error::Broken { host: display_host(&source.uri), source: source_error });
        }
        self.body = Some(source);
        Ok(count)
    }

    /// Waits and lets the next read connect again, or gives up.
    fn recover(&mut self, error: Error, may_pass: bool) -> Result<()> {
        self.failures += 1;
        let limits = self.repository.limits();
        if !may_pass || self.failures >= limits.tries {
            return Err(error);
        }
        pause(self.repository.transport(), backoff(limits, self.failures))
    }

    /// Lets the HTTP library see the end of the body, so that the connection is used again.
    fn finish(&mut self) -> usize {
        if let Some(mut source) = self.body.take() {
            let _ = source.reader.read(&mut [0]);
        }
        0
    }

    fn open(&self) -> Result<Source> {
        let what = self.repository.blob_name(&self.digest);
        let mut headers = HeaderMap::new();
        let range = match self.is_part {
            true => Some(format!("bytes={}-{}", self.offset, self.end - 1)),
            false => (self.offset > 0).then(|| format!("bytes={}-", self.offset)),
        };
        headers.extend(range.and_then(|range| Some((RANGE, HeaderValue::from_str(&range).ok()?))));
        let rest = format!("blobs/{}", self.digest);
        let is_ranged = !headers.is_empty();
        let (uri, response) = match self.repository.request(Method::GET, &rest, headers, &what) {
            Err(error) if is_ranged && error.may_be_about_range() => match self.is_part {
                true => return Err(Error::NoParts(what)),
                false => self.repository.request(Method::GET, &rest, HeaderMap::new(), &what)?,
            },
            other => other?,
        };
        let skip = self.check_extent(&uri, &response, &what)?;
        let mut reader = response.into_body().into_reader();
        let skipped = io::copy(&mut (&mut reader).take(skip), &mut io::sink())
            .map_err(|error| self.repository.transport().failure(&uri, ureq::Error::from(error)))?;
        if skipped < skip {
            let text = format!("it ended after {skipped} of {} bytes", self.size);
            let source = io::Error::new(io::ErrorKind::UnexpectedEof, text);
            return Err(Error::Broken { host: display_host(&uri), source });
        }
        Ok(Source { uri, reader })
    }

    /// Compares the answer's extent with what was asked for; returns how many bytes are to be skipped.
    fn check_extent(&self, uri: &Uri, response: &Response<Body>, what: &str) -> Result<u64> {
        let header = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        if response.status().as_u16() != 206 && self.is_part {
            return Err(Error::NoParts(what.to_owned()));
        }
        if response.status().as_u16() != 206 {
            let received = header(CONTENT_LENGTH).and_then(|text| text.parse().ok()).unwrap_or(self.size);
            if received != self.size {
                return Err(Error::Size { what: what.to_owned(), expected: self.size, received });
            }
            return Ok(self.offset);
        }
        let range = header(CONTENT_RANGE).unwrap_or("");
        let parsed = parse_range(range);
        if parsed.is_none_or(|(start, _)| start != self.offset) {
            let detail = format!("{what}: asked from byte {}, the answer is {range:?}", self.offset);
            return Err(Error::Protocol { host: display_host(uri), detail });
        }
        match parsed.and_then(|(_, total)| total) {
            Some(received) if received != self.size => {
                Err(Error::Size { what: what.to_owned(), expected: self.size, received })
            }
            _ => Ok(0),
        }
    }
}

/// `bytes START-END/TOTAL`: start and total.
fn parse_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.trim().parse().ok()?, total.trim().parse().ok()))
}
