//! Authentication: what to answer to a registry's challenge, and the token that came of it.
//!
//! Docker's token flow (distribution, "Token Authentication Specification" and its OAuth2 variant): the registry names a token server in its
//! 401 answer; a token for one repository is fetched there, with the user's credentials if there are any, and sent from then on. A
//! token is renewed a little before it expires, and whenever the registry refuses it.

use crate::challenge::{self, Challenge};
use crate::credentials::Credential;
use crate::error::{Error, Result};
use crate::scope::{Access, Scopes};
use crate::token::{self, TokenAnswer, TokenRequest};
use crate::transport::Transport;
use base64::Engine;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use ureq::http::header::WWW_AUTHENTICATE;
use ureq::http::{HeaderMap, HeaderValue};

/// What a token is good for if its server does not say (the token specification's default).
const DEFAULT_LIFE: Duration = Duration::from_secs(60);

/// The state of one repository's authentication.
#[derive(Debug)]
pub(crate) struct Auth {
    /// The registry as references name it.
    domain: String,
    /// The repository's path; empty for the registry as a whole.
    repository: String,
    access: Access,
    /// What tokens are asked for: grows with what the registry asks for.
    scopes: Mutex<Scopes>,
    state: Mutex<State>,
    /// Whether a token to log in with later is asked for, and the one that came.
    offline: bool,
    identity: Mutex<Option<String>>,
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

impl Auth {
    pub(crate) fn new(domain: &str, repository: &str, access: Access) -> Self {
        let scopes = if repository.is_empty() { Scopes::default() } else { Scopes::repository(repository, access) };
        let (domain, repository) = (domain.to_owned(), repository.to_owned());
        let (scopes, state, identity) = (Mutex::new(scopes), Mutex::default(), Mutex::default());
        Auth { domain, repository, access, scopes, state, offline: false, identity }
    }

    /// Asks for an identity token too.
    pub(crate) fn for_later(self) -> Self {
        Auth { offline: true, ..self }
    }

    /// The identity token that came.
    pub(crate) fn identity_token(&self) -> Option<String> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on tokens shall be good for this too.
    pub(crate) fn also(&self, scope: &str) {
        let is_new = self.scopes().add(scope);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let (true, State::Bearer { renew_at, .. }) = (is_new, &mut *state) {
            *renew_at = Instant::now();
        }
    }

    fn scopes(&self) -> MutexGuard<'_, Scopes> {
        self.scopes.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// The credentials for the repository.
    fn credential(&self, transport: &Transport) -> Result<Option<Credential>> {
        Ok(transport.client().settings().credentials.find(&self.domain, &self.repository)?)
    }

    fn fetch_token(&self, transport: &Transport, challenge: &Challenge) -> Result<State> {
        self.scopes().add(challenge.param("scope").unwrap_or(""));
        let scopes = self.scopes().clone();
        let answer = match self.ask(transport, challenge, &scopes) {
            // Some servers refuse all if one repository of several is not for this user: what is asked for beyond this repository is a mount.
            Err(Error::Denied { .. } | Error::BadCredentials { .. })
                if !self.repository.is_empty() && scopes.is_several() =>
            {
                let own = Scopes::repository(&self.repository, self.access);
                let answer = self.ask(transport, challenge, &own)?;
                *self.scopes() = own;
                answer
            }
            other => other?,
        };
        if self.offline {
            let identity = answer.refresh_token.clone().filter(|token| !token.is_empty());
            *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = identity;
        }
        let header = answer.token().and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok());
        let mut header = header.ok_or_else(|| {
            let host = challenge.param("realm").unwrap_or("").to_owned();
            Error::Protocol { host, detail: "the token server sent no token".to_owned() }
        })?;
        header.set_sensitive(true);
        let life = answer.life().unwrap_or(DEFAULT_LIFE);
        // Renewed a little early, so that no request is on its way when the token ends.
        let renew_at = Instant::now() + life.saturating_sub(Duration::from_secs(10).min(life / 4)).min(DAY);
        Ok(State::Bearer { header, renew_at, source: challenge.clone() })
    }

    fn ask(&self, transport: &Transport, challenge: &Challenge, scopes: &Scopes) -> Result<TokenAnswer> {
        let credential = self.credential(transport)?;
        let what = match self.repository.as_str() {
            "" => format!("token for {}", self.domain),
            repository => format!("token for {}/{repository}", self.domain),
        };
        let request = TokenRequest { challenge, scopes, credential: credential.as_ref(), offline: self.offline, what };
        token::fetch(transport, &request).map_err(|error| match error {
            Error::Denied { detail, .. } => Error::Denied {
                access: self.access.word(),
                repository: format!("{}/{}", self.domain, self.repository).trim_end_matches('/').to_owned(),
                detail,
            },
            other => other,
        })
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

pub(crate) fn basic(user: &str, password: &str) -> Result<HeaderValue> {
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    let mut header = HeaderValue::from_str(&format!("Basic {text}"))
        .map_err(|_| Error::Protocol { host: String::new(), detail: "credentials do not fit a header".to_owned() })?;
    header.set_sensitive(true);
    Ok(header)
}
