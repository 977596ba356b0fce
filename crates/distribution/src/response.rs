//! Reading answers: bounded bodies, and the registry's own words for an error.

use crate::endpoint::display_host;
use crate::error::{Error, Result};
use crate::scope::Access;
use crate::transport::Transport;
use serde::Deserialize;
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

/// The error that an unexpected answer is.
pub(crate) fn refusal(
    transport: &Transport,
    uri: &Uri,
    response: Response<Body>,
    what: &str,
    (access, repository): (Access, &str),
) -> Error {
    let status = response.status();
    let reason = status.canonical_reason().unwrap_or("no reason given").to_ascii_lowercase();
    let body = read_bounded(transport, uri, response, ERROR_LIMIT, what).unwrap_or_default();
    let detail = words(&body).unwrap_or(reason);
    let what = what.to_owned();
    match status.as_u16() {
        404 => Error::NotFound { what, detail },
        401 | 403 => Error::Denied { access: access.word(), repository: repository.to_owned(), detail },
        status => Error::Status { what, host: display_host(uri), status, detail },
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

/// The distribution-spec's error body as one line: `manifest unknown`, or `toomanyrequests: You have reached …`.
pub(crate) fn words(body: &[u8]) -> Option<String> {
    let parsed: Errors = serde_json::from_slice(body).ok()?;
    let lines = parsed.errors.iter().map(|error| {
        let code = error.code.to_ascii_lowercase().replace('_', " ");
        match (code.is_empty(), error.message.trim()) {
            (_, "") => code,
            (true, message) => message.to_owned(),
            (false, message) if message.eq_ignore_ascii_case(&code) => code,
            (false, message) => format!("{code}: {message}"),
        }
    });
    let line = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    // A registry's words go to a terminal: no control characters, and not without end.
    let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(1000).collect();
    (!line.is_empty()).then_some(line)
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
        ] {
            assert_eq!(words(body.as_bytes()).as_deref(), expected, "{body}");
        }
    }
}
