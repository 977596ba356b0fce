//! One request to a token server: GET with basic authentication, or an OAuth2 refresh by POST.

use crate::auth::basic;
use crate::challenge::Challenge;
use crate::credentials::Credential;
use crate::endpoint::{display_host, encode_query};
use crate::error::{Error, Result};
use crate::host::retried;
use crate::response::{read_again, words};
use crate::scope::Scopes;
use crate::transport::{Call, Payload, Transport};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;
use ureq::http::{HeaderValue, Method, Uri};

/// The largest answer of a token server, in bytes. Tokens with many grants reach some ten kilobytes.
const TOKEN_LIMIT: u64 = 1024 * 1024;

/// What is asked for.
pub(crate) struct TokenRequest<'r> {
    pub(crate) challenge: &'r Challenge,
    pub(crate) scopes: &'r Scopes,
    pub(crate) credential: Option<&'r Credential>,
    /// Whether a token to log in with later (an identity token) is wanted too.
    pub(crate) offline: bool,
    pub(crate) what: String,
}

#[derive(Deserialize)]
pub(crate) struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    pub(crate) refresh_token: Option<String>,
    /// Not always a number, and 0 or less for no word about it.
    expires_in: Option<Value>,
}

impl TokenAnswer {
    /// The token, under either of its names.
    pub(crate) fn token(&self) -> Option<&str> {
        [&self.token, &self.access_token].into_iter().filter_map(Option::as_deref).find(|token| !token.is_empty())
    }

    /// How long it is good for, if the server says so.
    pub(crate) fn life(&self) -> Option<Duration> {
        let seconds = match self.expires_in.as_ref()? {
            Value::Number(number) => number.as_f64()?,
            Value::String(text) => text.trim().parse().ok()?,
            _ => return None,
        };
        // A cast keeps to the bounds.
        (seconds >= 1.0).then(|| Duration::from_secs(seconds as u64))
    }
}

/// Asks for a token. [`Error::BadCredentials`] if there were credentials and they were refused, [`Error::Denied`] if there were none.
pub(crate) fn fetch(transport: &Transport, request: &TokenRequest<'_>) -> Result<TokenAnswer> {
    let realm = realm(transport, request.challenge)?;
    let query = query(request);
    let mut call = Call::get(realm.clone());
    let form;
    if let Some(Credential::IdentityToken(token)) = request.credential {
        form = format!("grant_type=refresh_token&refresh_token={}&{query}", encode_query(token));
        call.method = Method::POST;
        call.payload = Payload::Secret(&form);
        call.headers.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
    } else {
        let joint = if realm.query().is_some() { '&' } else { '?' };
        call.uri = format!("{realm}{joint}{query}").parse().map_err(|_| Error::Protocol {
            host: display_host(&realm),
            detail: format!("invalid token server {realm}"),
        })?;
    }
    if let Some(Credential::Basic { user, password }) = request.credential {
        call.authorization = Some(basic(user, password)?);
    }
    let host = display_host(&realm);
    let what = request.what.clone();
    let mut status = 0;
    let (_, _, body) = read_again(transport, TOKEN_LIMIT, &what, || {
        let response = retried(transport, || transport.send(&call))?;
        status = response.status().as_u16();
        Ok((realm.clone(), response))
    })?;
    if (200..300).contains(&status) {
        return serde_json::from_slice(&body).map_err(|source| Error::Json { what, source });
    }
    let detail = words(&body).unwrap_or_else(|| format!("status {status}"));
    Err(match (status, request.credential) {
        (400 | 401 | 403, Some(_)) => Error::BadCredentials { host, detail },
        (401 | 403, None) => Error::Denied { access: "", repository: String::new(), detail },
        _ => Error::Status { what, host, status, detail },
    })
}

/// The token server that a challenge names; secrets are not sent to it in the clear.
fn realm(transport: &Transport, challenge: &Challenge) -> Result<Uri> {
    let realm = challenge.param("realm").unwrap_or("");
    let bad = || Error::Protocol { host: realm.to_owned(), detail: "not a valid token server".to_owned() };
    let uri: Uri = realm.parse().map_err(|_| bad())?;
    let host = uri.authority().map(|authority| authority.as_str()).ok_or_else(bad)?;
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if transport.may_be_plain(host) => Ok(uri),
        Some("http") => Err(Error::PlainHttp(display_host(&uri))),
        _ => Err(bad()),
    }
}

fn query(request: &TokenRequest<'_>) -> String {
    let mut parts = Vec::new();
    if let Some(service) = request.challenge.param("service") {
        parts.push(format!("service={}", encode_query(service)));
    }
    let posts = matches!(request.credential, Some(Credential::IdentityToken(_)));
    let scopes: Vec<String> = request.scopes.each().collect();
    if posts && !scopes.is_empty() {
        // OAuth2 knows one parameter with spaces, the older form one for each.
        parts.push(format!("scope={}", encode_query(&scopes.join(" "))));
    } else {
        parts.extend(scopes.iter().map(|scope| format!("scope={}", encode_query(scope))));
    }
    if request.offline {
        parts.push("offline_token=true".to_owned());
    }
    if let Some(Credential::Basic { user, .. }) = request.credential {
        parts.push(format!("account={}", encode_query(user)));
    }
    parts.push("client_id=carboy".to_owned());
    parts.join("&")
}
