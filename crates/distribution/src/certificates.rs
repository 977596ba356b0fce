//! Certificates for one registry, from this user's folders (docker's and podman's `certs.d`): CAs in `*.crt`, which count beside the system's,
//! and a client's `*.cert` with the `*.key` of the same name.

use crate::client::Settings;
use crate::endpoint::DOCKER_HUB;
use crate::error::{Error, Result};
use crate::registries::Endpoint;
use crate::tls::ClientPair;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What was found for a host.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostCertificates {
    pub(crate) authorities: Vec<CertificateDer<'static>>,
    pub(crate) client: Option<Arc<ClientPair>>,
}

impl HostCertificates {
    /// Looks through the folders; `None` if there is nothing for this host.
    pub(crate) fn find(settings: &Settings, authority: &str) -> Result<Option<Self>> {
        // docker's folder for its own registry is called by the short name; containerd's may do without a colon.
        let name = if authority == DOCKER_HUB { "docker.io" } else { authority };
        let names = [without_colon(name), name.to_owned(), authority.to_owned()];
        let mut folders: Vec<PathBuf> = settings.certificates_for_all.iter().cloned().collect();
        for root in &settings.certificates {
            let mut own: Vec<PathBuf> = names.iter().map(|name| root.join(name)).filter(|path| path.is_dir()).collect();
            own.dedup();
            // containerd's: for the registries that have no folder.
            folders.extend(if own.is_empty() { vec![root.join("_default")] } else { own });
        }
        let mut found = HostCertificates::default();
        for folder in folders {
            found.read(&folder)?;
        }
        let is_empty = found.authorities.is_empty() && found.client.is_none();
        Ok((!is_empty).then_some(found))
    }

    /// Adds the files that a hosts.toml names, whose client goes before any other.
    pub(crate) fn with(mut self, endpoint: &Endpoint) -> Result<Self> {
        for file in &endpoint.authorities {
            self.authorities.extend(certificates(file)?);
        }
        if let Some((certificate, key)) = &endpoint.client {
            self.client = Some(pair(certificate, key)?);
        }
        Ok(self)
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
                    self.client = Some(pair(file, &key)?);
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

/// containerd's name of a folder for `host:5000`: `host_5000_`.
fn without_colon(name: &str) -> String {
    name.rsplit_once(':').map_or_else(|| name.to_owned(), |(host, port)| format!("{host}_{port}_"))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::Certificate { path: path.to_owned(), why: error.to_string() })
}

fn pair(certificate: &Path, key: &Path) -> Result<Arc<ClientPair>> {
    let pair = ClientPair { chain: certificates(certificate)?, key: private_key(key)? };
    if !pair.fits() {
        let why = format!("{} is the key of another certificate", key.display());
        return Err(Error::Certificate { path: certificate.to_owned(), why });
    }
    Ok(Arc::new(pair))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = read(path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes).filter_map(std::result::Result::ok).collect();
    if found.is_empty() {
        return Err(Error::Certificate { path: path.to_owned(), why: "it holds no certificate in PEM".to_owned() });
    }
    Ok(found)
}

/// In the first line of an encrypted key, or below it.
const ENCRYPTED: &[u8] = b"ENCRYPTED";

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let bytes = read(path)?;
    let is_encrypted = bytes.windows(ENCRYPTED.len()).any(|part| part == ENCRYPTED);
    let why = match is_encrypted {
        true => "the key is encrypted: it must be given without a password",
        false => "it holds no private key in PEM",
    };
    let bad = || Error::Certificate { path: path.to_owned(), why: why.to_owned() };
    if is_encrypted { Err(bad()) } else { PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| bad()) }
}
