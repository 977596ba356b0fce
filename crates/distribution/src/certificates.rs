//! Certificates for one registry, from this user's folders (docker's and podman's `certs.d`): CAs in `*.crt`, which count beside the system's,
//! and a client's `*.cert` with the `*.key` of the same name.

use crate::client::Settings;
use crate::endpoint::DOCKER_HUB;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, parse_pem};

/// What was found for a host.
#[derive(Debug, Clone)]
pub(crate) struct HostCertificates {
    pub(crate) authorities: Vec<Certificate<'static>>,
    pub(crate) client: Option<ClientCert>,
}

impl HostCertificates {
    /// Looks through the folders; `None` if there is nothing for this host.
    pub(crate) fn find(settings: &Settings, authority: &str) -> Result<Option<Self>> {
        // docker's folder for its own registry is called by the short name.
        let names = [authority, if authority == DOCKER_HUB { "docker.io" } else { authority }];
        let of_hosts = settings.certificates.iter().flat_map(|folder| names.map(|name| folder.join(name)));
        let folders: Vec<PathBuf> = settings.certificates_for_all.iter().cloned().chain(of_hosts).collect();
        let mut found = HostCertificates { authorities: Vec::new(), client: None };
        for folder in folders {
            found.read(&folder)?;
        }
        let is_empty = found.authorities.is_empty() && found.client.is_none();
        Ok((!is_empty).then_some(found))
    }

    fn read(&mut self, folder: &Path) -> Result<()> {
        // A folder that is not there, or not for this user, has nothing to say.
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        files.sort();
        for file in &files {
            match file.extension().and_then(|kind| kind.to_str()) {
                Some("crt") => self.authorities.extend(certificates(file)?),
                Some("cert") if self.client.is_none() => {
                    let key = file.with_extension("key");
                    if !files.contains(&key) {
                        let why = format!("there is no {} with its key (a CA's name ends in .crt)", key.display());
                        return Err(Error::Certificate { path: file.clone(), why });
                    }
                    self.client = Some(ClientCert::new_with_certs(&certificates(file)?, private_key(&key)?));
                }
                Some("key") if !files.contains(&file.with_extension("cert")) => {
                    let why = format!("there is no {} for this key", file.with_extension("cert").display());
                    return Err(Error::Certificate { path: file.clone(), why });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::Certificate { path: path.to_owned(), why: error.to_string() })
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>> {
    let bytes = read(path)?;
    let items = parse_pem(&bytes).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let found: Vec<_> = items.collect();
    if found.is_empty() {
        return Err(Error::Certificate { path: path.to_owned(), why: "it holds no certificate in PEM".to_owned() });
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKey<'static>> {
    let why = || Error::Certificate { path: path.to_owned(), why: "it holds no private key in PEM".to_owned() };
    PrivateKey::from_pem(&read(path)?).map_err(|_| why())
}
