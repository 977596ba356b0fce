//! One repository of one registry: which scheme it speaks, requests with authentication and retries.

use crate::auth::Auth;
use crate::client::{Client, Limits};
use crate::endpoint::{self, has_port, is_loopback};
use crate::error::{Error, Result};
use crate::response::{is_transient, refusal, retry_after};
use crate::transport::{Call, Transport};
use carboy_oci::Reference;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use ureq::Body;
use ureq::http::{HeaderMap, Method, Response, Uri};

/// A conversation with one repository. Usable by many threads at once.
#[derive(Debug)]
pub struct Repository {
    transport: Transport,
    auth: Auth,
    /// Host and port of the API.
    authority: String,
    /// The repository's path.
    path: String,
    /// As messages name it.
    familiar: String,
    /// `http` or `https`, once an answer has come.
    scheme: Mutex<Option<&'static str>>,
}

impl Repository {
    pub(crate) fn new(client: Client, reference: &Reference) -> Self {
        Repository {
            transport: Transport::new(client),
            auth: Auth::new(reference.domain(), reference.path()),
            authority: endpoint::authority(reference.domain()).to_owned(),
            path: reference.path().to_owned(),
            familiar: reference.familiar_repository(),
            scheme: Mutex::new(None),
        }
    }

    /// The repository as Docker shows it.
    pub fn name(&self) -> &str {
        &self.familiar
    }

    /// Ends all requests and transfers of this conversation at once, from any thread; they fail with [`Error::Cancelled`], and so does
    /// whatever is asked later.
    pub fn cancel(&self) {
        self.transport.shut_down();
    }

    /// Whether [`Repository::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.transport.is_shut_down()
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.transport.client().settings().limits
    }

    /// Sends a request for `<repository>/<rest>` and returns the answer if it is a success, or what the registry says.
    pub(crate) fn request(
        &self,
        method: Method,
        rest: &str,
        headers: HeaderMap,
        what: &str,
    ) -> Result<(Uri, Response<Body>)> {
        let (uri, response) = self.try_request(method, rest, headers)?;
        if response.status().is_success() {
            return Ok((uri, response));
        }
        Err(refusal(&self.transport, &uri, response, what, &self.familiar))
    }

    fn try_request(&self, method: Method, rest: &str, headers: HeaderMap) -> Result<(Uri, Response<Body>)> {
        let send = |scheme, again| self.request_by(scheme, again, method.clone(), rest, headers.clone());
        let known = *self.scheme.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(scheme) = known {
            return send(scheme, true);
        }
        // Until the scheme is known a broken connection is a sign, not a mishap to try again.
        let tls = send("https", !self.may_be_plain());
        let scheme = match &tls {
            Err(error) if self.may_be_plain() && self.speaks_no_tls(error) => "http",
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

    fn may_be_plain(&self) -> bool {
        is_loopback(&self.authority) || !self.transport.client().settings().tls_verify
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

    fn request_by(
        &self,
        scheme: &'static str,
        again: bool,
        method: Method,
        rest: &str,
        headers: HeaderMap,
    ) -> Result<(Uri, Response<Body>)> {
        let text = format!("{scheme}://{}/v2/{}/{rest}", self.authority, self.path);
        let uri: Uri = text.parse().map_err(|_| Error::Protocol {
            host: self.authority.clone(),
            detail: format!("{text:?} is not a valid address"),
        })?;
        let mut call = Call { method, headers, ..Call::get(uri.clone()) };
        let mut attempt = || self.authenticated(&mut call);
        let response = if again { retried(&self.transport, attempt) } else { attempt() }?;
        Ok((uri, response))
    }

    /// Sends a call with what is known to authenticate it, and once more if the registry challenges that.
    fn authenticated(&self, call: &mut Call<'_>) -> Result<Response<Body>> {
        call.authorization = self.auth.header(&self.transport)?;
        let response = self.transport.send(call)?;
        if response.status().as_u16() != 401 {
            return Ok(response);
        }
        let answer = self.auth.answer(&self.transport, response.headers(), call.authorization.as_ref())?;
        if answer.is_none() {
            return Ok(response);
        }
        // The connection can be used again once its answer is read; a large one is not worth it.
        drain(response);
        call.authorization = answer;
        self.transport.send(call)
    }
}

impl Call<'_> {
    pub(crate) fn get(uri: Uri) -> Self {
        Call { method: Method::GET, uri, headers: HeaderMap::new(), authorization: None, form: None }
    }
}

fn drain(response: Response<Body>) {
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
        if let Ok(response) = result {
            drain(response);
        }
        pause(transport, asked.unwrap_or_else(|| backoff(&limits, tried)))?;
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
