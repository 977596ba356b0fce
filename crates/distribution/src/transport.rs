//! HTTP agents: certificates, time limits, proxies, and redirects that do not carry credentials elsewhere.

use crate::client::Client;
use crate::endpoint::{self, display_host, is_loopback, same_origin};
use crate::error::{Error, Result};
use crate::registries::{Endpoint, Place};
use crate::tls::{self, TlsConnector, Trust};
use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use ureq::http::header::{AUTHORIZATION, CONTENT_LENGTH, LOCATION};
use ureq::http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, SocksConnector, TcpConnector};
use ureq::{Agent, AsSendBody, Body, SendBody};

/// Redirects followed for one request.
const MAX_REDIRECTS: usize = 10;

/// Which agent: for TLS or not, through which proxy, and for which host if that one has certificates or a rule of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct AgentKey {
    tls: bool,
    proxy: Option<String>,
    host: Option<String>,
}

/// The connections of one [`crate::Repository`].
#[derive(Debug)]
pub(crate) struct Transport {
    client: Client,
    /// What is said of single hosts, by host and port.
    hosts: HashMap<String, HostRules>,
    /// `None` once shut down.
    agents: Mutex<Option<HashMap<AgentKey, Agent>>>,
}

/// What the files say of one host.
#[derive(Debug, Default)]
struct HostRules {
    insecure: bool,
    endpoint: Option<Arc<Endpoint>>,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Call<'c> {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    /// Sent to the origin of `uri` only.
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) payload: Payload<'c>,
}

/// What a request carries.
#[derive(Clone, Copy)]
pub(crate) enum Payload<'c> {
    None,
    Bytes(&'c [u8]),
    /// A form with a secret: it is sent where it was meant for, or nowhere.
    Secret(&'c str),
    /// So many bytes, opened anew for each time they are sent.
    Stream(u64, &'c dyn Fn() -> io::Result<Box<dyn Read + 'c>>),
}

impl std::fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Payload::None => f.write_str("None"),
            Payload::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Payload::Secret(_) => f.write_str("Secret(…)"),
            Payload::Stream(length, _) => write!(f, "Stream({length})"),
        }
    }
}

impl Call<'_> {
    pub(crate) fn get(uri: Uri) -> Self {
        Call { method: Method::GET, uri, headers: HeaderMap::new(), authorization: None, payload: Payload::None }
    }
}

impl Transport {
    /// For talking with the hosts of these places.
    pub(crate) fn new<'p>(client: Client, places: impl Iterator<Item = &'p Place>) -> Self {
        let mut hosts: HashMap<String, HostRules> = HashMap::new();
        for place in places.filter(|place| place.insecure || place.endpoint.is_some()) {
            let rules = hosts.entry(endpoint::authority(&place.domain).to_owned()).or_default();
            rules.insecure |= place.insecure;
            rules.endpoint = rules.endpoint.take().or_else(|| place.endpoint.clone());
        }
        Transport { client, hosts, agents: Mutex::new(Some(HashMap::new())) }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Whether certificates of this host and port are verified.
    pub(crate) fn verifies(&self, authority: &str) -> bool {
        let by_rule = || !self.hosts.get(authority).is_some_and(|rules| rules.insecure);
        self.client.settings().tls_verify.unwrap_or_else(by_rule)
    }

    /// Whether this host may be asked by plain HTTP.
    pub(crate) fn may_be_plain(&self, authority: &str) -> bool {
        is_loopback(authority) || !self.verifies(authority)
    }

    /// Breaks every connection; what is in flight ends with [`Error::Cancelled`], as does everything later.
    pub(crate) fn shut_down(&self) {
        let agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner).take();
        for agent in agents.into_iter().flat_map(HashMap::into_values) {
            agent.shutdown();
        }
    }

    pub(crate) fn is_shut_down(&self) -> bool {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Sends a call and follows redirects.
    pub(crate) fn send(&self, call: &Call<'_>) -> Result<Response<Body>> {
        let mut uri = call.uri.clone();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send_once(call, &uri)?;
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let Some(location) = location.filter(|_| call.follows(response.status().as_u16())) else {
                return Ok(response);
            };
            let next = endpoint::resolve(&uri, location)?;
            self.check_scheme(&uri, &next)?;
            uri = next;
        }
        let detail = format!("more than {MAX_REDIRECTS} redirects");
        Err(Error::Protocol { host: display_host(&call.uri), detail })
    }

    /// A redirect must not lead from TLS to plain HTTP, where anybody could answer.
    pub(crate) fn check_scheme(&self, from: &Uri, to: &Uri) -> Result<()> {
        let plain = to.scheme_str() == Some("http");
        let host = to.authority().map_or("", |authority| authority.as_str());
        let downgrade = plain && (from.scheme_str() == Some("https") || !is_loopback(host));
        if downgrade && self.verifies(host) {
            return Err(Error::PlainHttp(display_host(to)));
        }
        Ok(())
    }

    fn send_once(&self, call: &Call<'_>, uri: &Uri) -> Result<Response<Body>> {
        let agent = self.agent(uri)?;
        let mut builder = Request::builder().method(call.method.clone()).uri(uri.clone());
        if let Some(headers) = builder.headers_mut() {
            headers.extend(call.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
            let own = self.endpoint(uri).map(|endpoint| endpoint.headers.clone());
            headers.extend(own.unwrap_or_default());
            if let Some(value) = call.authorization.as_ref().filter(|_| same_origin(&call.uri, uri)) {
                headers.insert(AUTHORIZATION, value.clone());
            }
        }
        let built = |error: ureq::http::Error| self.failure(uri, error.into());
        let sent = match call.payload {
            Payload::None => agent.run(builder.body(()).map_err(built)?),
            Payload::Bytes(bytes) => agent.run(self.patient(&agent, builder.body(bytes).map_err(built)?)),
            Payload::Secret(form) => agent.run(builder.body(form).map_err(built)?),
            Payload::Stream(length, open) => {
                let mut content = Exactly { inner: open().map_err(Error::Source)?, left: length, failure: None };
                let builder = builder.header(CONTENT_LENGTH, length);
                let request = builder.body(SendBody::from_reader(&mut content)).map_err(built)?;
                let sent = agent.run(self.patient(&agent, request));
                if let Some(failure) = content.failure {
                    return Err(Error::Source(failure));
                }
                sent
            }
        };
        sent.map_err(|error| self.failure(uri, error))
    }

    /// A registry that has received everything may take its time to put it where it belongs.
    fn patient<B: AsSendBody>(&self, agent: &Agent, request: Request<B>) -> Request<B> {
        agent.configure_request(request).timeout_recv_response(Some(self.client.settings().limits.commit)).build()
    }

    /// What a hosts.toml says of the host of this address.
    fn endpoint(&self, uri: &Uri) -> Option<&Endpoint> {
        let rules = self.hosts.get(uri.authority().map_or("", |authority| authority.as_str()))?;
        let endpoint = rules.endpoint.as_deref()?;
        endpoint.scheme.is_none_or(|scheme| uri.scheme_str() == Some(scheme)).then_some(endpoint)
    }

    fn agent(&self, uri: &Uri) -> Result<Agent> {
        let tls = uri.scheme_str() == Some("https");
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let proxies = &self.client.settings().proxies;
        let proxy = proxies.find(uri.scheme_str().unwrap_or("https"), authority).map(str::to_owned);
        let is_special =
            self.hosts.contains_key(authority) || (tls && self.client.certificates_for(authority)?.is_some());
        let key = AgentKey { tls, proxy, host: is_special.then(|| authority.to_owned()) };
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        let agents = agents.as_mut().ok_or(Error::Cancelled)?;
        if let Some(agent) = agents.get(&key) {
            return Ok(agent.clone());
        }
        let agent = self.make_agent(&key)?;
        agents.insert(key, agent.clone());
        Ok(agent)
    }

    fn make_agent(&self, AgentKey { tls, proxy, host }: &AgentKey) -> Result<Agent> {
        let settings = self.client.settings();
        let limits = &settings.limits;
        let proxy = match proxy {
            Some(text) => {
                Some(ureq::Proxy::new(&with_far_names(text)).map_err(|_| Error::Proxy(without_password(text)))?)
            }
            None => None,
        };
        let endpoint = host.as_ref().and_then(|host| self.hosts.get(host)?.endpoint.as_deref());
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(proxy)
            .user_agent(settings.user_agent.as_str())
            .accept_encoding("identity")
            .timeout_connect(Some(endpoint.and_then(|endpoint| endpoint.connect).unwrap_or(limits.connect)))
            .timeout_recv_response(Some(limits.answer))
            .timeout_per_read(Some(limits.stall))
            .timeout_per_write(Some(limits.stall))
            .max_idle_connections_per_host(8)
            .build();
        if !*tls {
            return Ok(config.new_agent());
        }
        let secured = TlsConnector(self.tls(host.as_deref(), endpoint)?);
        // The HTTP library's own chain, but for the last link.
        let proxies = ().chain(SocksConnector::default()).chain(ConnectProxyConnector::default());
        let chain = proxies.chain(TcpConnector::default()).chain(secured);
        Ok(Agent::with_parts(config, chain, DefaultResolver::default()))
    }

    fn tls(&self, host: Option<&str>, endpoint: Option<&Endpoint>) -> Result<Arc<rustls::ClientConfig>> {
        let authority = host.unwrap_or_default();
        let own = host.map(|host| self.client.certificates_for(host)).transpose()?.flatten().unwrap_or_default();
        let own = endpoint.map_or_else(|| Ok(own.clone()), |endpoint| own.clone().with(endpoint))?;
        let trust = if self.verifies(authority) {
            let system = self.client.roots().certificates.iter().cloned();
            Trust::Roots(system.chain(own.authorities).collect())
        } else {
            Trust::Everybody
        };
        let failed = |source| self.tls_failure(authority.to_owned(), source);
        tls::config(trust, own.client.as_deref()).map_err(failed)
    }

    /// Says what an HTTP library's error means to the user.
    pub(crate) fn failure(&self, uri: &Uri, error: ureq::Error) -> Error {
        if self.is_shut_down() {
            return Error::Cancelled;
        }
        let host = display_host(uri);
        match error {
            ureq::Error::Io(error) => self.io_failure(host, error),
            ureq::Error::HostNotFound => {
                Error::Unreachable { host, source: io::Error::new(io::ErrorKind::NotFound, "the name has no address") }
            }
            ureq::Error::Rustls(source) => self.tls_failure(host, source),
            ureq::Error::Timeout(reason) => self.timeout(host, reason),
            ureq::Error::ConnectProxyFailed(reason) => {
                Error::Unreachable { host, source: io::Error::other(format!("the proxy refused: {reason}")) }
            }
            other => Error::Http { host, source: Box::new(other) },
        }
    }

    pub(crate) fn io_failure(&self, host: String, error: io::Error) -> Error {
        use io::ErrorKind as Kind;
        if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return self.tls_failure(host, tls.clone());
        }
        match error.kind() {
            Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe | Kind::UnexpectedEof => {
                Error::Broken { host, source: error }
            }
            _ => Error::Unreachable { host, source: error },
        }
    }

    fn tls_failure(&self, host: String, source: rustls::Error) -> Error {
        use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage};
        use rustls::{AlertDescription as Alert, CertificateError};
        let hint = match source {
            InvalidMessage(_) if self.verifies(&host) => {
                " (it seems to speak plain HTTP, which --tls-verify=false allows)"
            }
            AlertReceived(Alert::CertificateRequired) => {
                " (it wants a client's certificate: NAME.cert and NAME.key in certs.d)"
            }
            InvalidCertificate(CertificateError::UnknownIssuer) if self.verifies(&host) => {
                match self.client.roots().certificates.is_empty() {
                    true => " (this system has no root certificates: install ca-certificates)",
                    false => " (a CA's certificate belongs into certs.d; --tls-verify=false accepts any)",
                }
            }
            _ => "",
        };
        Error::Tls { host, hint, source: Box::new(source) }
    }

    fn timeout(&self, host: String, reason: ureq::Timeout) -> Error {
        let limits = &self.client.settings().limits;
        let (phase, limit) = match reason {
            ureq::Timeout::Resolve | ureq::Timeout::Connect => ("connecting", limits.connect),
            ureq::Timeout::RecvResponse => ("waiting for the answer", limits.answer),
            _ => ("transferring", limits.stall),
        };
        Error::Timeout { host, phase, seconds: limit.as_secs() }
    }
}

impl Call<'_> {
    /// Whether a redirect of this status is followed. What changes something is only ever sent again as it was (307, 308).
    fn follows(&self, status: u16) -> bool {
        let reads = matches!(self.method, Method::GET | Method::HEAD);
        match (self.payload, status) {
            (Payload::Secret(_), _) => false,
            (_, 307 | 308) => true,
            (_, status) => reads && matches!(status, 301..=303),
        }
    }
}

/// Yields exactly as many bytes as were announced, and remembers why if it cannot.
struct Exactly<'c> {
    inner: Box<dyn Read + 'c>,
    left: u64,
    failure: Option<io::Error>,
}

impl Read for Exactly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if length == 0 {
            return Ok(0);
        }
        let error = match self.inner.read(&mut buffer[..length]) {
            Ok(0) => io::Error::new(io::ErrorKind::UnexpectedEof, format!("it ends {} bytes too early", self.left)),
            Ok(count) => {
                self.left -= count as u64;
                return Ok(count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => error,
        };
        let shown = io::Error::new(error.kind(), "the content to send");
        self.failure = Some(error);
        Err(shown)
    }
}

/// As in Go, a SOCKS5 proxy is given the registry's name: its addresses need not be known here.
fn with_far_names(proxy: &str) -> String {
    match proxy.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("socks5") => format!("socks5h://{rest}"),
        _ => proxy.to_owned(),
    }
}

fn without_password(proxy: &str) -> String {
    match (proxy.split_once("://"), proxy.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        _ => proxy.to_owned(),
    }
}
