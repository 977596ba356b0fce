//! Reading answers: bounded bodies, and the registry's own words for an error.

use crate::endpoint::display_host;
use crate::error::{Error, Result};
use crate::host::{Answer, backoff, pause};
use crate::scope::Access;
use crate::transport::Transport;
use serde::Deserialize;
use serde_json::Value;
use std::io::Read;
use std::time::Duration;
use ureq::Body;
use ureq::http::{HeaderMap, Response, Uri};

/// How much of an error's body is read.
const ERROR_LIMIT: u64 = 64 * 1024;

/// Reads a body of at most `limit` bytes.
pub(crate) fn read_bounded(
    transport: &Transport,
    uri: &Uri,
    response: Response<Body>,
    limit: u64,
    what: &str,
) -> Result<Vec<u8>> {
    let too_large = || Error::TooLarge { what: what.to_owned(), limit };
    let announced = response.body().content_length();
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(announced.unwrap_or(0)).unwrap_or(0));
    let mut body = response.into_body().into_reader().take(limit + 1);
    body.read_to_end(&mut bytes).map_err(|error| transport.failure(uri, ureq::Error::from(error)))?;
    if bytes.len() as u64 > limit { Err(too_large()) } else { Ok(bytes) }
}

/// Asks, and reads the answer's body of at most `limit` bytes; all of it again while the connection breaks underway.
pub(crate) fn read_again(
    transport: &Transport,
    limit: u64,
    what: &str,
    mut ask: impl FnMut() -> Result<Answer>,
) -> Result<(Uri, HeaderMap, Vec<u8>)> {
    let limits = transport.client().settings().limits;
    let mut tried = 0;
    loop {
        let (uri, response) = ask()?;
        let headers = response.headers().clone();
        tried += 1;
        match read_bounded(transport, &uri, response, limit, what) {
            Err(error) if error.is_transient() && tried < limits.tries => pause(transport, backoff(&limits, tried))?,
            other => return other.map(|bytes| (uri, headers, bytes)),
        }
    }
}

/// Who was asked for what, as refusals name it.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// Host and port; another one's answer came by a redirect.
    pub(crate) authority: &'a str,
    pub(crate) access: Access,
    pub(crate) repository: &'a str,
}

/// The error that an unexpected answer is.
pub(crate) fn refusal(
    transport: &Transport,
    uri: &Uri,
    response: Response<Body>,
    what: &str,
    asked: Asked<'_>,
) -> Error {
    let status = response.status();
    let reason = status.canonical_reason().unwrap_or("no reason given").to_ascii_lowercase();
    let body = read_bounded(transport, uri, response, ERROR_LIMIT, what).unwrap_or_default();
    let (what, host) = (what.to_owned(), display_host(uri));
    match (status.as_u16(), words(&body)) {
        (404, said) => Error::NotFound { what, detail: said.unwrap_or_else(|| format!("{host} answered 404")) },
        // Where a redirect led, a login would not help.
        (401 | 403, said) if host == asked.authority => {
            let (access, repository) = (asked.access.word(), asked.repository.to_owned());
            Error::Denied { access, repository, detail: said.unwrap_or(reason) }
        }
        (status, said) => Error::Status { what, host, status, detail: said.unwrap_or(reason) },
    }
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<OneError>,
}

#[derive(Deserialize)]
struct OneError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// What a server says of an error as one line: the distribution-spec's body (`manifest unknown`, `toomanyrequests: You have reached …`),
/// those of token servers (`details` is Docker Hub's, `error_description` OAuth2's), or a short plain text.
pub(crate) fn words(body: &[u8]) -> Option<String> {
    let line = match serde_json::from_slice::<Value>(body) {
        Ok(value) => match serde_json::from_value::<Errors>(value.clone()) {
            Ok(errors) => errors.line(),
            Err(_) => ["details", "message", "error_description", "error"]
                .into_iter()
                .find_map(|name| value.get(name)?.as_str())
                .unwrap_or_default()
                .to_owned(),
        },
        Err(_) => plain(body).unwrap_or_default().to_owned(),
    };
    // A registry's words go to a terminal: no control characters, and not without end.
    let line: String = line.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(1000).collect();
    (!line.is_empty()).then_some(line)
}

/// A text of one line; pages for browsers are none.
fn plain(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?.trim();
    (text.len() <= 200 && !text.contains(['\n', '<', '{'])).then_some(text)
}

impl Errors {
    fn line(&self) -> String {
        let lines = self.errors.iter().map(OneError::line);
        lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
    }
}

impl OneError {
    fn line(&self) -> String {
        let code = self.code.to_ascii_lowercase().replace('_', " ");
        match (code.is_empty(), self.message.trim()) {
            (_, "") => code,
            (true, message) => message.to_owned(),
            (false, message) if message.eq_ignore_ascii_case(&code) => code,
            (false, message) => format!("{code}: {message}"),
        }
    }
}

/// Whether the same request may succeed a moment later.
pub(crate) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// `Retry-After` in seconds. Its other form, a date, is not used by registries and is read as absent.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(ureq::http::header::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_words() {
        for (body, expected) in [
            (
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{}}]}"#,
                Some("manifest unknown"),
            ),
            (r#"{"errors":[{"code":"DENIED","message":"no\nway"}]}"#, Some("denied: no way")),
            (r#"{"errors":[{"code":"A","message":""},{"message":"b"}]}"#, Some("a; b")),
            (r#"{"errors":[]}"#, None),
            ("<html>", None),
            (r#"{"details":"incorrect username or password"}"#, Some("incorrect username or password")),
            (r#"{"error":"invalid_grant","error_description":"token expired"}"#, Some("token expired")),
            ("404 page not found\n", Some("404 page not found")),
            ("two\nlines", None),
            (r#"{"x":1}"#, None),
            ("3", None),
        ] {
            assert_eq!(words(body.as_bytes()).as_deref(), expected, "{body}");
        }
    }
}
