//! A registry client: OCI distribution-spec 1.1 and Docker's registry API v2, blocking, over TLS by rustls.
//!
//! Owns the protocol: how a reference's host is reached (TLS, plain HTTP on loopback, proxies), authentication (bearer tokens and basic),
//! redirects, retries, and downloads that go on where a cut connection left them. Refuses to know what is done with the content:
//! nothing here opens the store, and the environment and the home folder are read by the caller only, who passes
//! [`Settings`]. The one thing it reads by itself is the system's certificate folder, when the first TLS connection is made.
//!
//! What callers may trust:
//! - manifests and [`Repository::blob_bytes`] were compared with the digest they were asked by and with the registry's
//!   `Docker-Content-Digest`; [`BlobReader`] compares nothing but the length, its reader must hash what it reads;
//! - credentials are sent to the registry's own host, and to the token server it names over TLS, never to where a redirect leads;
//! - no answer of a registry is held in memory beyond a stated limit.
//!
//! ```text
//! Client ──repository(reference)──► Repository ──manifest()──► Manifest
//! (settings, roots)                 (host, scheme, token,      blob_bytes(), blob() ──► BlobReader: Read
//!                                    connections; cancel())
//! ```
#![forbid(unsafe_code)]

mod auth;
mod authfile;
mod blob;
mod certificates;
mod challenge;
mod client;
mod credentials;
mod endpoint;
mod error;
mod fetch;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod helper;
mod host;
mod login;
mod manifest;
mod parallel;
mod proxy;
mod referrers;
mod registries;
mod repository;
mod response;
mod scope;
mod search;
mod session;
mod tags;
mod tls;
mod token;
mod transport;
mod upload;

pub use authfile::{AuthFile, Kept};
pub use blob::BlobReader;
pub use client::{Client, Limits, Settings};
pub use credentials::{Credential, Credentials, CredentialsError};
pub use error::{Error, ErrorKind, Result};
pub use manifest::{MANIFEST_LIMIT, Manifest, ManifestHead, Target};
pub use proxy::Proxies;
pub use registries::{Registries, RegistriesError};
pub use repository::Repository;
pub use scope::Access;
pub use search::Found;
pub use upload::{Content, Pushed, Upload};
