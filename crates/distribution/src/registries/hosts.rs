//! `hosts.toml`, as containerd reads it (its docs/hosts.md): one file in a folder for each registry, or `_default`, with the hosts that are
//! asked before the registry's own, and how each is reached.

use super::file::{RegistriesError, read_text};
use super::place::{Can, Endpoint, Place};
use carboy_oci::Reference;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Uri};

/// The hosts of one registry, in the order in which they are asked.
#[derive(Debug, Clone)]
pub(super) struct Hosts {
    /// The registry as references name it, `host[:port]`; `None` for `_default`.
    pub(super) registry: Option<String>,
    hosts: Vec<Entry>,
    server: Entry,
}

/// An entry with its address; without one it is the registry itself.
#[derive(Debug, Clone)]
struct Entry {
    /// Host and port.
    address: Option<String>,
    endpoint: Arc<Endpoint>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    server: String,
    /// In the order of the file.
    host: toml::Table,
    #[serde(flatten)]
    own: Fields,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Fields {
    capabilities: Vec<String>,
    ca: Option<Paths>,
    client: Option<Pairs>,
    skip_verify: bool,
    header: toml::Table,
    override_path: bool,
    dial_timeout: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Paths {
    One(PathBuf),
    Several(Vec<PathBuf>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Pairs {
    One(PathBuf),
    Several(Vec<Pair>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Pair {
    /// Certificates and key in one file.
    Both(PathBuf),
    Apart([PathBuf; 2]),
}

impl Hosts {
    /// Reads `FOLDER/*/hosts.toml`.
    pub(super) fn read_all(folder: &Path) -> Result<Vec<Hosts>, RegistriesError> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        // `host_5000_` goes before `host:5000`, as in containerd.
        names.sort_by_key(|name| (name.contains(':'), name.clone()));
        let mut all: Vec<Hosts> = Vec::new();
        for name in names {
            let registry = (name != "_default").then(|| with_port(&name));
            if all.iter().any(|known| known.registry == registry) {
                continue;
            }
            let own = folder.join(&name);
            let path = own.join("hosts.toml");
            if let Some(text) = read_text(&path)?.filter(|text| !text.trim().is_empty()) {
                all.push(Hosts::parse(&text, &path, &own, registry)?);
            }
        }
        Ok(all)
    }

    fn parse(text: &str, path: &Path, folder: &Path, registry: Option<String>) -> Result<Self, RegistriesError> {
        let toml = |source| RegistriesError::Toml { path: path.to_owned(), source: Box::new(source) };
        let rule = |why| RegistriesError::Rule { path: path.to_owned(), why };
        let file: File = toml::from_str(text).map_err(toml)?;
        let mut hosts = Vec::new();
        for (address, fields) in file.host {
            let fields: Fields = fields.try_into().map_err(toml)?;
            let entry = Entry::of(&address, fields, folder).map_err(|why| rule(format!("host {address:?}: {why}")))?;
            hosts.push(entry);
        }
        let server = Entry::of(&file.server, file.own, folder);
        let server = server.map_err(|why| rule(format!("server {:?}: {why}", file.server)))?;
        Ok(Hosts { registry, hosts, server })
    }

    /// The places of a repository: the hosts that may be asked first, and the last word.
    pub(super) fn places(&self, reference: &Reference) -> (Vec<Place>, Place) {
        let place = |entry: &Entry| entry.place(reference);
        (self.hosts.iter().map(place).collect(), place(&self.server))
    }

    /// The registry itself, as a whole.
    pub(super) fn server(&self, domain: &str) -> Place {
        self.server.at(domain, "")
    }
}

/// containerd's folder for `host:5000` may be called `host_5000_`, as not every file system has colons.
fn with_port(name: &str) -> String {
    let port = name.strip_suffix('_').and_then(|front| front.rsplit_once('_'));
    match port.filter(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())) {
        Some((host, port)) => format!("{host}:{port}"),
        None => name.to_owned(),
    }
}

impl Entry {
    fn of(address: &str, fields: Fields, folder: &Path) -> Result<Self, String> {
        let (address, scheme, root) = match address {
            "" => (None, None, "/v2".to_owned()),
            text => {
                let (scheme, authority, root) = split(text, fields.override_path)?;
                (Some(authority), Some(scheme), root)
            }
        };
        let absolute = |path: PathBuf| folder.join(path);
        let authorities = match fields.ca {
            None => Vec::new(),
            Some(Paths::One(path)) => vec![absolute(path)],
            Some(Paths::Several(paths)) => paths.into_iter().map(absolute).collect(),
        };
        let mut pairs = match fields.client {
            None => Vec::new(),
            Some(Pairs::One(path)) => vec![Pair::Both(path)],
            Some(Pairs::Several(pairs)) => pairs,
        };
        if pairs.len() > 1 {
            return Err("client: several pairs are not supported, only one".to_owned());
        }
        let client = pairs.pop().map(|pair| match pair {
            Pair::Both(path) => (absolute(path.clone()), absolute(path)),
            Pair::Apart([certificate, key]) => (absolute(certificate), absolute(key)),
        });
        let endpoint = Endpoint {
            scheme,
            root,
            can: Can::of(&fields.capabilities)?,
            authorities,
            client,
            skip_verify: fields.skip_verify,
            headers: headers(&fields.header)?,
            connect: fields.dial_timeout.as_deref().map(go_duration).transpose()?,
        };
        Ok(Entry { address, endpoint: Arc::new(endpoint) })
    }

    fn place(&self, reference: &Reference) -> Place {
        self.at(reference.domain(), reference.path())
    }

    fn at(&self, registry: &str, path: &str) -> Place {
        let address = self.address.as_deref().unwrap_or(registry);
        let domain = if address == crate::endpoint::DOCKER_HUB { "docker.io" } else { address };
        // A host that serves several registries is told which is meant, as by containerd.
        let namespace = (domain != registry).then(|| registry.to_owned());
        Place {
            domain: domain.to_owned(),
            path: path.to_owned(),
            insecure: self.endpoint.skip_verify || self.endpoint.scheme == Some("http"),
            endpoint: Some(self.endpoint.clone()),
            namespace,
        }
    }
}

/// Scheme, host and port, and the path of the API's root.
fn split(text: &str, override_path: bool) -> Result<(&'static str, String, String), String> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let uri: Uri = whole.parse().map_err(|_| "it is no address".to_owned())?;
    let scheme = match uri.scheme_str() {
        Some("https") => "https",
        Some("http") => "http",
        _ => return Err("only http:// and https:// are known".to_owned()),
    };
    let authority = uri.authority().ok_or("it names no host")?;
    if authority.as_str().contains('@') {
        return Err("credentials belong into the files that `login` writes".to_owned());
    }
    let path = uri.path().trim_end_matches('/');
    let root = if override_path || path.ends_with("/v2") { path.to_owned() } else { format!("{path}/v2") };
    Ok((scheme, authority.to_string(), root))
}

fn headers(table: &toml::Table) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in table {
        let bad = || format!("header {name:?} is neither a text nor a list of texts");
        let texts: Vec<&str> = match value {
            toml::Value::String(text) => vec![text],
            toml::Value::Array(list) => {
                list.iter().map(|one| one.as_str().ok_or_else(bad)).collect::<Result<_, _>>()?
            }
            _ => return Err(bad()),
        };
        let key: HeaderName = name.parse().map_err(|_| format!("{name:?} is no name of a header"))?;
        for text in texts {
            let mut value = HeaderValue::from_str(text).map_err(|_| format!("header {name:?} has an invalid value"))?;
            value.set_sensitive(true);
            headers.append(key.clone(), value);
        }
    }
    Ok(headers)
}

/// A duration as Go writes it: `1m30s`, `500ms`.
fn go_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("dial_timeout {text:?} is no duration such as \"10s\"");
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
        let behind = &rest[digits..];
        let units = [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
        let (unit, factor) = units.into_iter().find(|(unit, _)| behind.starts_with(unit)).ok_or_else(bad)?;
        seconds += number * factor;
        rest = &behind[unit.len()..];
    }
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| bad())?;
    if duration.is_zero() { Err(bad()) } else { Ok(duration) }
}
