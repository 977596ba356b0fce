//! One repository of one registry: what it is called, who serves it, and what its refusals mean.

use crate::auth::Auth;
use crate::client::{Client, Limits};
use crate::endpoint;
use crate::error::{Error, Result};
use crate::host::{Answer, Ask, Host};
use crate::registries::{Can, Place, Places};
use crate::response::{Asked, refusal};
use crate::scope::Access;
use crate::transport::Transport;
use carboy_oci::Reference;
use std::sync::OnceLock;
use ureq::Body;
use ureq::http::{HeaderMap, Method, Response, Uri};

/// A conversation with one repository. Usable by many threads at once.
#[derive(Debug)]
pub struct Repository {
    transport: Transport,
    /// Asked before the registry, for what only reads.
    mirrors: Vec<Mirror>,
    /// The registry itself.
    host: Host,
    can: Can,
    /// As messages name it.
    familiar: String,
    domain: String,
    path: String,
    access: Access,
    /// The prefix of the rule that forbids to ask.
    blocked: Option<String>,
}

#[derive(Debug)]
struct Mirror {
    host: Host,
    can: Can,
    /// It could not be reached, and why: it is not asked again.
    gone: OnceLock<String>,
}

impl Repository {
    pub(crate) fn new(client: Client, reference: &Reference, access: Access) -> Self {
        let Places { mirrors, mut origin, blocked } = client.settings().registries.places(reference);
        let transport = Transport::new(client, mirrors.iter().chain([&origin]));
        // Only a hosts.toml lets others than the registry itself be written to.
        let writable = mirrors.iter().find(|place| place.endpoint.is_some() && place.can().push);
        if let (Some(place), true) = (writable, access != Access::Pull) {
            origin = place.clone();
        }
        let host = |place: &Place, access| Host::new(place, Auth::new(&place.domain, &place.path, access));
        let mirror =
            |place: &Place| Mirror { host: host(place, Access::Pull), can: place.can(), gone: OnceLock::new() };
        Repository {
            transport,
            mirrors: mirrors.iter().map(mirror).collect(),
            host: host(&origin, access),
            can: origin.can(),
            familiar: reference.familiar_repository(),
            domain: reference.domain().to_owned(),
            path: reference.path().to_owned(),
            access,
            blocked,
        }
    }

    /// A registry as a whole, asked through this host.
    pub(crate) fn whole(client: Client, domain: &str, place: &Place, host: Host) -> Self {
        Repository {
            transport: Transport::new(client, [place].into_iter()),
            mirrors: Vec::new(),
            host,
            can: Can::ALL,
            familiar: domain.to_owned(),
            domain: domain.to_owned(),
            path: String::new(),
            access: Access::Pull,
            blocked: None,
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

    /// Whether the registry is on this machine.
    pub fn is_local(&self) -> bool {
        endpoint::is_loopback(self.host.authority())
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
        self.check_blocked(what)?;
        let mut failed = Vec::new();
        if matches!(ask.method, Method::GET | Method::HEAD) && self.asks_mirrors() {
            for mirror in self.mirrors.iter().filter(|mirror| may(mirror.can, ask, Access::Pull)) {
                if let Some(why) = mirror.gone.get() {
                    failed.push(why.clone());
                    continue;
                }
                match self.ask_mirror(mirror, ask, what) {
                    Ok(answer) => return Ok(answer),
                    // A file that was named and cannot be used is this user's to mend.
                    Err(error @ (Error::Cancelled | Error::Certificate { .. })) => return Err(error),
                    // Whatever else is wrong with a mirror, the registry itself decides.
                    Err(error) => failed.push(error.at(mirror.host.authority())),
                }
            }
        }
        self.ask_origin(ask, what).map_err(|error| error.after_mirrors(&failed))
    }

    /// Whether others are asked before the registry itself.
    pub(crate) fn asks_mirrors(&self) -> bool {
        self.access == Access::Pull && !self.mirrors.is_empty()
    }

    /// Asks the registry itself, whatever mirrors it has.
    pub(crate) fn ask_origin(&self, ask: &Ask<'_>, what: &str) -> Result<Answer> {
        self.check_blocked(what)?;
        if !may(self.can, ask, self.access) {
            return Err(Error::Incapable { what: what.to_owned(), host: self.host.authority().to_owned() });
        }
        let answer = self.host.ask(&self.transport, ask);
        let (uri, response) = answer.map_err(|error| error.during(what))?;
        self.accept(uri, response, what)
    }

    fn check_blocked(&self, what: &str) -> Result<()> {
        match &self.blocked {
            Some(prefix) => Err(Error::Blocked { what: what.to_owned(), prefix: prefix.clone() }),
            None => Ok(()),
        }
    }

    fn ask_mirror(&self, mirror: &Mirror, ask: &Ask<'_>, what: &str) -> Result<Answer> {
        let answer = mirror.host.ask(&self.transport, ask);
        if let Err(error @ (Error::Unreachable { .. } | Error::Timeout { .. } | Error::Tls { .. })) = &answer {
            let _ = mirror.gone.set(error.at(mirror.host.authority()));
        }
        let (uri, response) = answer?;
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
        let asked = Asked { authority: self.host.authority(), access: self.access, repository: &self.familiar };
        refusal(&self.transport, uri, response, what, asked)
    }
}

/// Whether a host with these capabilities is asked this. To read where one writes is part of the writing.
fn may(can: Can, ask: &Ask<'_>, access: Access) -> bool {
    if access != Access::Pull {
        return can.push;
    }
    let by_tag = ask.rest.strip_prefix("manifests/").is_some_and(|name| !name.contains(':'));
    if by_tag || ask.rest.starts_with("tags/") { can.resolve } else { can.pull }
}
