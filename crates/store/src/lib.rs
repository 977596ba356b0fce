//! The content store: blobs named by their digest, references, images, leases, and garbage collection.
//!
//! Owns `<root>/{version,lock,blobs,ingest,layers,refs,images,leases,trash}`. It knows nothing of what is inside a layer, of mounts,
//! of registries; a layer is a folder that somebody else fills and that is published by a rename.
//!
//! Invariants callers may trust:
//! - what has a digest's name has that digest: nothing is visible before it was checked;
//! - what is protected by a [`Lease`], or reachable from an image or a reference, is not removed by [`Store::collect`];
//! - any number of processes may use one store at once; one that dies at any instruction leaves only what the next
//!   [`Store::clean_ingest`] or [`Store::empty_trash`] removes.
//!
//! ```text
//! version                     "carboy-store 1"
//! lock                        shared: may add; exclusive: marking in a collection, unmounting layers
//! blobs/<algorithm>/<hex>     as received, read-only
//! ingest/<hex>/               work in progress on one digest, under ingest/<hex>/lock; renamed from here when complete
//! layers/<hex>/               one folder for each diff ID
//! refs/<escaped name>.json    name → descriptor of a manifest
//! images/<hex>.json           image ID (config digest) → descriptor of its manifest
//! leases/<pid>-<n>            digests in use by a living process, which holds the file's lock
//! trash/                      renamed here, then deleted by whoever has the folder's lock
//! ```
#![forbid(unsafe_code)]

mod blob;
mod error;
mod gc;
mod hash;
mod ingest;
mod lease;
mod open;
mod refs;
mod scan;
mod space;
mod trash;

pub use blob::BlobWriter;
pub use error::StoreError;
pub use gc::{Collected, Marks};
pub use hash::Hasher;
pub use ingest::Ingest;
pub use lease::Lease;
pub use open::Store;
pub use refs::Ref;
pub use scan::Scanned;
pub use space::{Space, tree_length, tree_size, tree_size_unseen};
