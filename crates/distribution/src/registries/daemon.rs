//! What docker's daemon.json says of registries: mirrors of Docker Hub, and who may be spoken to without TLS.

use super::file::{RegistriesError, read_text};
use super::place::Place;
use crate::endpoint::host_of;
use serde::Deserialize;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;

#[derive(Debug, Clone, Default)]
pub(super) struct Daemon {
    mirrors: Vec<Mirror>,
    /// `host[:port]` or a network in CIDR notation.
    insecure: Vec<String>,
}

#[derive(Debug, Clone)]
struct Mirror {
    domain: String,
    /// In front of the repository's own.
    path: String,
    insecure: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[derive(Default)]
struct File {
    registry_mirrors: Option<Vec<String>>,
    insecure_registries: Vec<String>,
}

impl Daemon {
    /// Adds what a file says: its mirrors go before those that are known, where it has any.
    pub(super) fn add(&mut self, path: &Path) -> Result<(), RegistriesError> {
        let Some(text) = read_text(path)?.filter(|text| !text.trim().is_empty()) else { return Ok(()) };
        let json = |source| RegistriesError::Json { path: path.to_owned(), source };
        let file: File = serde_json::from_str(&text).map_err(json)?;
        self.insecure.extend(file.insecure_registries.iter().map(|entry| bare(entry)));
        if let Some(mirrors) = file.registry_mirrors {
            let rule = |why| RegistriesError::Rule { path: path.to_owned(), why };
            self.mirrors = mirrors.iter().map(|text| mirror(text)).collect::<Result<_, _>>().map_err(rule)?;
        }
        Ok(())
    }

    /// The mirrors of Docker Hub, with this repository's path.
    pub(super) fn mirrors(&self, path: &str) -> Vec<Place> {
        let place = |mirror: &Mirror| {
            let insecure = mirror.insecure || self.is_insecure(&mirror.domain);
            Place::new(mirror.domain.clone(), format!("{}{path}", mirror.path), insecure)
        };
        self.mirrors.iter().map(place).collect()
    }

    /// As docker: the name itself, or an address of it in one of the networks.
    pub(super) fn is_insecure(&self, domain: &str) -> bool {
        let (networks, names): (Vec<&String>, Vec<&String>) =
            self.insecure.iter().partition(|entry| entry.contains('/'));
        if names.into_iter().any(|name| name == domain || name == host_of(domain)) {
            return true;
        }
        !networks.is_empty()
            && addresses(domain)
                .into_iter()
                .any(|ip| networks.iter().any(|network| crate::proxy::contains(network, ip)))
    }
}

/// Of an address itself, or as the name is looked up.
fn addresses(domain: &str) -> Vec<IpAddr> {
    let host = host_of(domain).trim_start_matches('[').trim_end_matches(']');
    match host.parse() {
        Ok(ip) => vec![ip],
        Err(_) => (host, 0).to_socket_addrs().into_iter().flatten().map(|address| address.ip()).collect(),
    }
}

/// dockerd takes addresses too, and warns of them.
fn bare(entry: &str) -> String {
    let host = entry.strip_prefix("http://").or_else(|| entry.strip_prefix("https://")).unwrap_or(entry);
    host.trim_end_matches('/').to_ascii_lowercase()
}

fn mirror(text: &str) -> Result<Mirror, String> {
    let bad = || format!("registry-mirrors: {text:?} is not http://HOST[:PORT][/PATH] or https://…");
    let (rest, insecure) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (rest, false),
        (_, Some(rest)) => (rest, true),
        _ => return Err(bad()),
    };
    let (domain, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.trim_end_matches('/');
    if domain.is_empty() || rest.contains(['?', '#', '@', ' ']) {
        return Err(bad());
    }
    let path = if path.is_empty() { String::new() } else { format!("{path}/") };
    Ok(Mirror { domain: domain.to_owned(), path, insecure })
}
