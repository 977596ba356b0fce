//! Authentication: what to answer to a registry's challenge, and the token that came of it.
//!
//! Docker's token flow (distribution, "Token Authentication Specification" and its OAuth2 variant): the registry names a token server in its
//! 401 answer; a token for one repository is fetched there, with the user's credentials if there are any, and sent from then on. A
//! token is renewed a little before it expires, and whenever the registry refuses it.

use crate::challenge::{self, Challenge};
use crate::credentials::Credential;
use crate::endpoint::{display_host, encode_query, is_loopback};
use crate::error::{Error, Result};
use crate::response::{read_bounded, words};
use crate::transport::{Call, Transport};
use base64::Engine;
use serde::Deserialize;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use ureq::http::header::WWW_AUTHENTICATE;
use ureq::http::{HeaderMap, HeaderValue, Method, Uri};

/// The largest answer of a token server, in bytes. Tokens with many grants reach some ten kilobytes.
const TOKEN_LIMIT: u64 = 1024 * 1024;

/// What a token is good for if its server does not say (the token specification's default).
const DEFAULT_LIFE: Duration = Duration::from_secs(60);

/// The state of one repository's authentication.
#[derive(Debug)]
pub(crate) struct Auth {
    /// The registry as references name it.
    domain: String,
    /// The repository's path.
    repository: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Nothing,
    Basic(HeaderValue),
    Bearer {
        header: HeaderValue,
        renew_at: Instant,
        source: Challenge,
    },
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    expires_in: Option<u64>,
}

impl Auth {
    pub(crate) fn new(domain: &str, repository: &str) -> Self {
        Auth { domain: domain.to_owned(), repository: repository.to_owned(), state: Mutex::default() }
    }

    /// The `Authorization` for the next request, renewed if it is about to expire.
    pub(crate) fn header(&self, transport: &Transport) -> Result<Option<HeaderValue>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Nothing => Ok(None),
            State::Basic(header) => Ok(Some(header.clone())),
            State::Bearer { header, renew_at, .. } if Instant::now() < *renew_at => Ok(Some(header.clone())),
            State::Bearer { source, .. } => {
                *state = self.fetch_token(transport, source)?;
                Ok(state.header())
            }
        }
    }

    /// Answers the challenges of a 401 that was given to a request with `sent`. `None`: there is nothing (more) to offer.
    /// When another thread has already renewed what was sent, its result is used.
    pub(crate) fn answer(
        &self,
        transport: &Transport,
        headers: &HeaderMap,
        sent: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let current = state.header();
        if current.is_some() && current.as_ref() != sent {
            return Ok(current);
        }
        let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let challenges: Vec<Challenge> = values.flat_map(challenge::parse).collect();
        if let Some(bearer) = challenges.iter().find(|c| c.scheme == "bearer" && c.param("realm").is_some()) {
            *state = self.fetch_token(transport, bearer)?;
            return Ok(state.header().filter(|header| Some(header) != sent));
        }
        if challenges.iter().any(|c| c.scheme == "basic")
            && let Some(Credential::Basic { user, password }) = self.credential(transport)?
        {
            let header = basic(&user, &password)?;
            *state = State::Basic(header.clone());
            return Ok(Some(header).filter(|header| Some(header) != sent));
        }
        Ok(None)
    }

    /// Whether there are credentials for the repository.
    pub(crate) fn credential(&self, transport: &Transport) -> Result<Option<Credential>> {
        Ok(transport.client().settings().credentials.find(&self.domain, &self.repository)?)
    }

    fn fetch_token(&self, transport: &Transport, challenge: &Challenge) -> Result<State> {
        let realm = challenge.param("realm").unwrap_or("");
        let bad = || Error::Protocol { host: self.domain.clone(), detail: format!("invalid token server {realm:?}") };
        let realm_uri: Uri = realm.parse().map_err(|_| bad())?;
        let host = realm_uri.authority().map(|authority| authority.as_str()).ok_or_else(bad)?;
        let may_be_plain = is_loopback(host) || !transport.client().settings().tls_verify;
        match realm_uri.scheme_str() {
            Some("https") => {}
            Some("http") if may_be_plain => {}
            Some("http") => return Err(Error::PlainHttp(display_host(&realm_uri))),
            _ => return Err(bad()),
        }
        let scope =
            challenge.param("scope").map_or_else(|| format!("repository:{}:pull", self.repository), str::to_owned);
        let credential = self.credential(transport)?;
        let mut query = String::new();
        if let Some(service) = challenge.param("service") {
            query.push_str(&format!("service={}&", encode_query(service)));
        }
        query.push_str(&format!("scope={}&client_id=carboy", encode_query(&scope)));
        let answer = self.ask(transport, &realm_uri, &query, credential.as_ref())?;
        let token = if answer.token.is_empty() { answer.access_token } else { answer.token };
        let mut header =
            HeaderValue::from_str(&format!("Bearer {token}")).ok().filter(|_| !token.is_empty()).ok_or_else(|| {
                Error::Protocol { host: host.to_owned(), detail: "the token server sent no token".to_owned() }
            })?;
        header.set_sensitive(true);
        let life = answer.expires_in.map_or(DEFAULT_LIFE, Duration::from_secs);
        // Renewed a little early, so that no request is on its way when the token ends.
        let renew_at = Instant::now() + life.saturating_sub(Duration::from_secs(10).min(life / 4)).min(DAY);
        Ok(State::Bearer { header, renew_at, source: challenge.clone() })
    }

    /// One request to the token server: GET with basic authentication, or an OAuth2 refresh by POST.
    fn ask(
        &self,
        transport: &Transport,
        realm: &Uri,
        query: &str,
        credential: Option<&Credential>,
    ) -> Result<TokenAnswer> {
        let what = format!("token for {}/{}", self.domain, self.repository);
        let mut call = Call::get(realm.clone());
        let form;
        if let Some(Credential::IdentityToken(token)) = credential {
            form = format!("grant_type=refresh_token&refresh_token={}&{query}", encode_query(token));
            call.method = Method::POST;
            call.form = Some(&form);
            call.headers.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
        } else {
            let joint = if realm.query().is_some() { '&' } else { '?' };
            call.uri = format!("{realm}{joint}{query}").parse().map_err(|_| Error::Protocol {
                host: display_host(realm),
                detail: format!("invalid token server {realm}"),
            })?;
        }
        if let Some(Credential::Basic { user, password }) = credential {
            call.authorization = Some(basic(user, password)?);
        }
        let response = crate::repository::retried(transport, || transport.send(&call))?;
        let status = response.status().as_u16();
        let host = display_host(realm);
        let body = read_bounded(transport, realm, response, TOKEN_LIMIT, &what)?;
        match status {
            200..=299 => serde_json::from_slice(&body).map_err(|source| Error::Json { what, source }),
            _ => {
                let detail = words(&body).unwrap_or_else(|| format!("status {status}"));
                Err(match (status, credential) {
                    (400 | 401 | 403, Some(_)) => Error::BadCredentials { host, detail },
                    (401 | 403, None) => {
                        Error::Denied { repository: format!("{}/{}", self.domain, self.repository), detail }
                    }
                    _ => Error::Status { what, host, status, detail },
                })
            }
        }
    }
}

/// No token is trusted to live longer than this; it also keeps `Instant` arithmetic in range.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl State {
    fn header(&self) -> Option<HeaderValue> {
        match self {
            State::Nothing => None,
            State::Basic(header) | State::Bearer { header, .. } => Some(header.clone()),
        }
    }
}

fn basic(user: &str, password: &str) -> Result<HeaderValue> {
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    let mut header = HeaderValue::from_str(&format!("Basic {text}"))
        .map_err(|_| Error::Protocol { host: String::new(), detail: "credentials do not fit a header".to_owned() })?;
    header.set_sensitive(true);
    Ok(header)
}
