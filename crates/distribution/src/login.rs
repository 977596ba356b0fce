//! Logging in: credentials are good if the registry's API lets them in (distribution-spec, "Determining Support").

use crate::auth::Auth;
use crate::client::{Client, Settings};
use crate::credentials::{Credential, Credentials};
use crate::endpoint;
use crate::error::{Error, Result};
use crate::host::{Ask, Host};
use crate::response::{read_bounded, words};
use crate::scope::Access;
use crate::transport::Transport;
use ureq::http::Method;

/// How much of a refusal is read.
const REFUSAL_LIMIT: u64 = 64 * 1024;

impl Client {
    /// Tries credentials at a registry, by its name in references. Answers what is to be kept: an identity token if the registry gives one,
    /// else the credentials themselves.
    ///
    /// # Errors
    /// [`Error::BadCredentials`] if they are refused.
    pub fn log_in(&self, registry: &str, credential: &Credential) -> Result<Credential> {
        // A part of a registry (`host/team`) is asked at the registry.
        let domain = registry.split('/').next().unwrap_or(registry);
        let credentials = Credentials::given(credential.clone());
        let client = self.with_settings(Settings { credentials, ..self.settings().clone() });
        let place = self.settings().registries.whole(domain);
        let auth = Auth::new(domain, "", Access::Pull).for_later();
        let transport = Transport::new(client, [&place].into_iter());
        let host = Host::new(&place, auth);
        let (uri, response) = host.ask(&transport, &Ask::new(Method::GET, ""))?;
        let status = response.status();
        if status.is_success() {
            let token = host.auth().identity_token();
            return Ok(token.map_or_else(|| credential.clone(), Credential::IdentityToken));
        }
        let what = format!("login to {registry}");
        let reason = status.canonical_reason().unwrap_or("no reason given").to_ascii_lowercase();
        let body = read_bounded(&transport, &uri, response, REFUSAL_LIMIT, &what).unwrap_or_default();
        let (host, detail) = (endpoint::display_host(&uri), words(&body).unwrap_or(reason));
        Err(match status.as_u16() {
            401 | 403 => Error::BadCredentials { host, detail },
            404 => Error::Protocol { host, detail: "there is no registry (no /v2/)".to_owned() },
            status => Error::Status { what, host, status, detail },
        })
    }
}
