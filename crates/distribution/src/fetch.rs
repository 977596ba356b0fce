//! A plain download, of what is no registry's: the tar of `import`.

use crate::client::Client;
use crate::endpoint::display_host;
use crate::error::{Error, Result};
use crate::transport::{Call, Transport};
use std::io::Read;
use ureq::http::Uri;

impl Client {
    /// Opens what is at an address, following redirects, with this client's proxies and certificates.
    ///
    /// # Errors
    /// If it is no address of the web, cannot be reached, or the server refuses.
    pub fn fetch(&self, url: &str) -> Result<Box<dyn Read + Send>> {
        let bad = |detail: String| Error::Protocol { host: url.to_owned(), detail };
        let uri: Uri = url.parse().map_err(|_| bad("it is not a valid address".to_owned()))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(bad("only http and https are understood".to_owned()));
        }
        let transport = Transport::new(self.clone(), std::iter::empty());
        let response = transport.send(&Call::get(uri.clone()))?;
        let status = response.status();
        if !status.is_success() {
            return Err(Error::Protocol { host: display_host(&uri), detail: format!("the server answers {status}") });
        }
        Ok(Box::new(response.into_body().into_reader()))
    }
}
