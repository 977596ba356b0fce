//! One repository of one registry: what it is called, who serves it, and what its refusals mean.

use crate::auth::Auth;
use crate::client::{Client, Limits};
use crate::endpoint;
use crate::error::{Error, Result};
use crate::host::{Answer, Ask, Host};
use crate::response::refusal;
use crate::scope::Access;
use crate::transport::Transport;
use carboy_oci::Reference;
use ureq::Body;
use ureq::http::{HeaderMap, Method, Response, Uri};

/// A conversation with one repository. Usable by many threads at once.
#[derive(Debug)]
pub struct Repository {
    transport: Transport,
    /// The registry itself.
    host: Host,
    /// As messages name it.
    familiar: String,
    domain: String,
    path: String,
    access: Access,
}

impl Repository {
    pub(crate) fn new(client: Client, reference: &Reference, access: Access) -> Self {
        let (domain, path) = (reference.domain(), reference.path());
        let host = Host::new(Auth::new(domain, path, access), endpoint::authority(domain), format!("/v2/{path}/"));
        Repository {
            transport: Transport::new(client),
            host,
            familiar: reference.familiar_repository(),
            domain: domain.to_owned(),
            path: path.to_owned(),
            access,
        }
    }

    /// The repository as Docker shows it.
    pub fn name(&self) -> &str {
        &self.familiar
    }

    /// The registry's host with its port, as references name it.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository within the registry.
    pub fn path(&self) -> &str {
        &self.path
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

    pub(crate) fn host(&self) -> &Host {
        &self.host
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
        self.ask(&Ask { headers, ..Ask::new(method, rest) }, what)
    }

    /// The same, for what carries something.
    pub(crate) fn ask(&self, ask: &Ask<'_>, what: &str) -> Result<Answer> {
        let (uri, response) = self.host.ask(&self.transport, ask)?;
        self.accept(uri, response, what)
    }

    /// A success, or what the registry says.
    pub(crate) fn accept(&self, uri: Uri, response: Response<Body>, what: &str) -> Result<Answer> {
        if response.status().is_success() {
            return Ok((uri, response));
        }
        Err(self.refused(&uri, response, what))
    }

    pub(crate) fn refused(&self, uri: &Uri, response: Response<Body>, what: &str) -> Error {
        refusal(&self.transport, uri, response, what, (self.access, &self.familiar))
    }
}
