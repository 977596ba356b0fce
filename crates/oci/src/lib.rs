//! The OCI's data: runtime configuration and state, image manifests and configurations, digests, references.
//!
//! Pure data: nothing here opens a file, and nothing depends on another Carboy crate. Field names and optionality follow
//! runtime-spec 1.3, image-spec 1.1 and distribution-spec 1.1; unknown properties are ignored, as the runtime-spec asks
//! ("Extensibility").
#![forbid(unsafe_code)]

pub mod capabilities;
pub mod defaults;
pub mod digest;
pub mod image;
pub mod reference;
pub mod runtime;
pub mod state;

pub use digest::{Digest, DigestError};
pub use reference::{Reference, ReferenceError};
