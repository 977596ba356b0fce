//! One host that serves a repository: which scheme it speaks, requests with authentication and retries.

use crate::auth::Auth;
use crate::client::Limits;
use crate::endpoint::{self, has_port, same_origin};
use crate::error::{Error, Result};
use crate::registries::Place;
use crate::response::{is_transient, retry_after};
use crate::transport::{Call, Payload, Transport};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use ureq::http::{HeaderMap, Method, Response, Uri};
use ureq::{Body, ResponseExt};

/// A host as it serves one repository.
#[derive(Debug)]
pub(crate) struct Host {
    auth: Auth,
    /// Host and port of the API.
    authority: String,
    /// What stands before the paths of requests: `/v2/<repository>/`.
    prefix: String,
    /// `http` or `https`, once an answer has come, or if hosts.toml says it.
    scheme: Mutex<Option<&'static str>>,
    /// See [`Place::namespace`].
    namespace: Option<String>,
}

/// What is asked of a host, whichever it is.
#[derive(Debug, Clone)]
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    /// The path below `/v2/<repository>/`, with its query.
    pub(crate) rest: &'a str,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload<'a>,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(method: Method, rest: &'a str) -> Self {
        Ask { method, rest, headers: HeaderMap::new(), payload: Payload::None }
    }
}

/// An answer, and the address it came from after redirects.
pub(crate) type Answer = (Uri, Response<Body>);

impl Host {
    /// The API at a place.
    pub(crate) fn new(place: &Place, auth: Auth) -> Self {
        let root = place.endpoint.as_ref().map_or("/v2", |endpoint| endpoint.root.as_str());
        let slash = if place.path.is_empty() { "" } else { "/" };
        let prefix = format!("{root}/{}{slash}", place.path);
        let scheme = place.endpoint.as_ref().and_then(|endpoint| endpoint.scheme);
        let (authority, namespace) = (endpoint::authority(&place.domain).to_owned(), place.namespace.clone());
        Host { auth, authority, prefix, scheme: Mutex::new(scheme), namespace }
    }

    /// What is not the API of images, at another host or below another path.
    pub(crate) fn elsewhere(auth: Auth, authority: &str, prefix: &str) -> Self {
        let (authority, prefix) = (authority.to_owned(), prefix.to_owned());
        Host { auth, authority, prefix, scheme: Mutex::new(None), namespace: None }
    }

    /// Host and port.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    pub(crate) fn auth(&self) -> &Auth {
        &self.auth
    }

    /// Sends a request and returns the answer, whatever it is.
    pub(crate) fn ask(&self, transport: &Transport, ask: &Ask<'_>) -> Result<Answer> {
        let send = |scheme, again| self.ask_by(transport, scheme, again, ask);
        let known = *self.scheme.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(scheme) = known {
            return send(scheme, true);
        }
        let may_be_plain = transport.may_be_plain(&self.authority);
        // Until the scheme is known a broken connection is a sign, not a mishap to try again.
        let tls = send("https", !may_be_plain);
        let scheme = match &tls {
            Err(error) if may_be_plain && self.speaks_no_tls(error) => "http",
            Err(_) => return tls,
            Ok(_) => "https",
        };
        let result = match tls {
            Ok((_, response)) if is_transient(response.status().as_u16()) => send("https", true),
            Ok(answer) => Ok(answer),
            Err(_) => send("http", true),
        };
        if result.is_ok() {
            *self.scheme.lock().unwrap_or_else(PoisonError::into_inner) = Some(scheme);
        }
        result
    }

    /// Whether a failed TLS request leaves it open that the server speaks plain HTTP. A refused certificate does not.
    fn speaks_no_tls(&self, error: &Error) -> bool {
        match error {
            Error::Tls { source, .. } => matches!(**source, rustls::Error::InvalidMessage(_)),
            Error::Broken { .. } | Error::Timeout { .. } => true,
            // Without a port the two schemes are two servers.
            Error::Unreachable { .. } => !has_port(&self.authority),
            _ => false,
        }
    }

    fn ask_by(&self, transport: &Transport, scheme: &'static str, again: bool, ask: &Ask<'_>) -> Result<Answer> {
        let uri = self.address(scheme, ask.rest)?;
        let mut call = Call {
            method: ask.method.clone(),
            headers: ask.headers.clone(),
            payload: ask.payload,
            authorization: None,
            uri: uri.clone(),
        };
        let mut attempt = || self.authenticated(transport, &mut call);
        let response = if again { retried(transport, attempt) } else { attempt() }?;
        let from = response.get_uri();
        Ok((if from.host().is_some() { from.clone() } else { uri }, response))
    }

    fn address(&self, scheme: &str, rest: &str) -> Result<Uri> {
        let mut text = format!("{scheme}://{}{}{rest}", self.authority, self.prefix);
        if let Some(namespace) = &self.namespace {
            text.push(if rest.contains('?') { '&' } else { '?' });
            text = format!("{text}ns={}", endpoint::encode_query(namespace));
        }
        text.parse().map_err(|_| Error::Protocol {
            host: self.authority.clone(),
            detail: format!("{text:?} is not a valid address"),
        })
    }

    /// Sends a call that the host named itself, such as the next piece of an upload: with what authenticates here only if it stays here.
    /// Once, but for the renewal of a token.
    pub(crate) fn call(&self, transport: &Transport, call: &mut Call<'_>) -> Result<Answer> {
        let scheme = self.scheme.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or("https");
        let response = if same_origin(&self.address(scheme, "")?, &call.uri) {
            self.authenticated(transport, call)?
        } else {
            transport.send(call)?
        };
        Ok((response.get_uri().clone(), response))
    }

    /// The same for what only reads: tried again while that may help.
    pub(crate) fn call_again(&self, transport: &Transport, call: &mut Call<'_>) -> Result<Answer> {
        let uri = call.uri.clone();
        let response = retried(transport, || self.call(transport, call).map(|(_, response)| response))?;
        Ok((uri, response))
    }

    /// Sends a call with what is known to authenticate it, and once more if the registry challenges that.
    fn authenticated(&self, transport: &Transport, call: &mut Call<'_>) -> Result<Response<Body>> {
        call.authorization = self.auth.header(transport)?;
        let response = transport.send(call)?;
        if response.status().as_u16() != 401 {
            return Ok(response);
        }
        let answer = self.auth.answer(transport, response.headers(), call.authorization.as_ref())?;
        if answer.is_none() {
            return Ok(response);
        }
        // The connection can be used again once its answer is read; a large one is not worth it.
        drain(response);
        call.authorization = answer;
        transport.send(call)
    }
}

pub(crate) fn drain(response: Response<Body>) {
    use std::io::Read;
    let _ = std::io::copy(&mut response.into_body().into_reader().take(64 * 1024), &mut std::io::sink());
}

/// Repeats a request while it fails in a way that may pass, with a growing wait, or the one that the server asks for. The last answer or
/// error is returned as it is.
pub(crate) fn retried(
    transport: &Transport,
    mut attempt: impl FnMut() -> Result<Response<Body>>,
) -> Result<Response<Body>> {
    let limits = transport.client().settings().limits;
    let mut tried = 0;
    loop {
        let result = attempt();
        tried += 1;
        let asked = match &result {
            Ok(response) if is_transient(response.status().as_u16()) => retry_after(response.headers()),
            Err(error) if error.is_transient() => None,
            _ => return result,
        };
        // A server that takes connections and says nothing has had its time already.
        let tries = if matches!(result, Err(Error::Timeout { .. })) { limits.tries.min(2) } else { limits.tries };
        if tried >= tries || asked.is_some_and(|wait| wait > limits.longest_wait) {
            return result;
        }
        match result {
            Ok(response) => {
                if let Some(wait) = asked {
                    tell_wait(transport, &endpoint::display_host(response.get_uri()), response.status().as_u16(), wait);
                }
                drain(response);
            }
            Err(error @ Error::Timeout { .. }) => tell(transport, &format!("{error}; trying again")),
            Err(_) => {}
        }
        pause(transport, asked.unwrap_or_else(|| backoff(&limits, tried)))?;
    }
}

/// Says that a server asked for a wait, so that nobody takes it for a hang.
pub(crate) fn tell_wait(transport: &Transport, host: &str, status: u16, wait: Duration) {
    if wait >= Duration::from_secs(1) {
        let seconds = wait.as_secs();
        tell(transport, &format!("{host} answered {status} and asks to wait: trying again in {seconds} s"));
    }
}

fn tell(transport: &Transport, text: &str) {
    if let Some(notice) = transport.client().settings().notice {
        notice(text);
    }
}

/// The wait after `tried` tries: doubled each time, up to ten seconds, less a random part so that parallel transfers do not come back
/// together.
pub(crate) fn backoff(limits: &Limits, tried: u32) -> Duration {
    let full = limits.backoff.saturating_mul(1 << tried.saturating_sub(1).min(10)).min(Duration::from_secs(10));
    let noise = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), tried) % 256;
    full - full.mul_f64(0.25 * noise as f64 / 256.0)
}

/// Sleeps, but not on when the transfer is cancelled.
pub(crate) fn pause(transport: &Transport, wait: Duration) -> Result<()> {
    let until = std::time::Instant::now() + wait;
    loop {
        if transport.is_shut_down() {
            return Err(Error::Cancelled);
        }
        let left = until.saturating_duration_since(std::time::Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
}
