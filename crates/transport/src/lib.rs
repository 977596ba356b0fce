//! The places images can be in, and copying between them: registries, OCI layouts and archives, docker-archives, plain directories,
//! and the store.
//!
//! Owns the names of these places ([`Location`]), how each is read ([`Source`]) and written ([`Destination`]), and the conversion of
//! manifests between Docker's kind and the OCI's. Content is copied as it is: no layer is inflated or compressed on the way, and a manifest
//! changes only where its place cannot hold it or another kind was asked for. It knows nothing of terminals, home folders and environment
//! variables.
//!
//! ```text
//! Location ─ open ─▶ dyn Source ──┐                     ┌─▶ dyn Destination ─ finish ─▶ visible under its name
//!                                 └─ copy: manifest(s), blobs several at once, then the manifests that name them
//! ```
//!
//! What callers may trust: every digest is checked on the way; nothing has a name at the destination before everything it names is there;
//! memory does not grow with the size of a layer.
#![forbid(unsafe_code)]

mod archive;
mod content;
mod convert;
mod copy;
mod directory;
mod docker_archive;
mod error;
mod layout;
mod list;
mod location;
mod registry;
mod store;

pub use archive::{ArchiveDestination, ArchiveKind, Compression};
pub use content::{Blob, Destination, Event, Observer, Phase, Silent, Source};
pub use convert::{Format, manifest as convert_manifest};
pub use copy::{Copied, CopyOptions, Instances, copy, copy_instance, image_manifest};
pub use directory::{DirectoryDestination, DirectorySource};
pub use docker_archive::DockerArchiveSource;
pub use error::Error;
pub use layout::{LayoutDestination, LayoutSource, delete_from_layout};
pub use list::{List, ListEntry, Lists, Opener};
pub use location::{Location, LocationError};
pub use registry::{RegistryDestination, RegistrySource};
pub use store::{StoreDestination, StoreSource};
