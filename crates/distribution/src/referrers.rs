//! What refers to a manifest (distribution-spec 1.1, "Listing Referrers"): signatures, attestations, SBOMs. Where the registry does not have that
//! list, the tag that older clients keep it under (`sha256-<hex>`) is read.

use crate::error::{Error, Result};
use crate::host::Ask;
use crate::manifest::Target;
use crate::repository::Repository;
use carboy_oci::Digest;
use carboy_oci::image::{Descriptor, Index, media_type};
use ureq::http::header::ACCEPT;
use ureq::http::{HeaderValue, Method};

impl Repository {
    /// The manifests whose subject is `digest`, of one artifact type or of all.
    pub fn referrers(&self, digest: &Digest, artifact_type: Option<&str>) -> Result<Vec<Descriptor>> {
        let what = format!("referrers of {}@{digest}", self.name());
        let query = artifact_type
            .map_or_else(String::new, |kind| format!("?artifactType={}", crate::endpoint::encode_query(kind)));
        let rest = format!("referrers/{digest}{query}");
        let mut ask = Ask::new(Method::GET, &rest);
        ask.headers.insert(ACCEPT, HeaderValue::from_static(media_type::OCI_INDEX));
        let mut found = Vec::new();
        match self.pages(&ask, &what, |page: Index, _| found.extend(page.manifests)) {
            Ok(()) => {}
            Err(Error::NotFound { .. }) => found = self.referrers_by_tag(digest, &what)?,
            Err(error) => return Err(error),
        }
        // The registry may filter, and need not.
        if let Some(kind) = artifact_type {
            found.retain(|entry| entry.artifact_type.as_deref() == Some(kind));
        }
        Ok(found)
    }

    fn referrers_by_tag(&self, digest: &Digest, what: &str) -> Result<Vec<Descriptor>> {
        let manifest = match self.manifest(&Target::Tag(fallback_tag(digest))) {
            Ok(manifest) => manifest,
            Err(Error::NotFound { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let index: Index =
            serde_json::from_slice(&manifest.bytes).map_err(|source| Error::Json { what: what.to_owned(), source })?;
        Ok(index.manifests)
    }
}

/// `algorithm-hex`, each part cut to what a tag may have.
fn fallback_tag(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("{}-{}", digest.algorithm(), &hex[..hex.len().min(64)])
}
