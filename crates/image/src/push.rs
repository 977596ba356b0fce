//! Pushing: an image of the store to a registry, with the very bytes that it came in, so that its digest stays. Only where blobs were
//! dropped, and the registry does not have them either, or where it is asked for, are layers compressed anew.
//!
//! ```text
//! manifest ─▶ layers and configuration, several at once ─▶ manifest, under the tag
//!             HEAD: there already │ mounted from where the image is known to be too │ sent, resumed after a cut
//! ```

mod error;
mod known;
mod progress;

pub use error::PushError;
pub use progress::{Event, LayerPhase, Progress};

use crate::workers::Workers;
use crate::{Compression, Images, Packing, pull::PullErrorKind};
use carboy_distribution::{Access, Client, Pushed, Repository, Target, Upload};
use carboy_oci::image::{Descriptor, Manifest};
use carboy_oci::{Digest, Reference};
use carboy_store::Lease;
use known::Known;
use std::collections::HashSet;
use std::io::{Read, Seek, SeekFrom};

/// Blobs sent at once unless the caller says otherwise.
const PARALLEL: usize = 5;

/// How to push.
#[derive(Debug, Clone, Default)]
pub struct PushOptions {
    /// Blobs sent at once; the default if `None`.
    pub parallel: Option<usize>,
    /// Sends blobs in pieces of so many bytes; in one if `None`.
    pub piece: Option<u64>,
    /// Which kind of manifest is sent.
    pub kind: Kind,
    /// Compresses layers like this that are not; they are sent as they are if `None`.
    pub compression: Option<Compression>,
}

/// Makes a manifest of the other kind, Docker's or the OCI's, which names the same blobs.
pub type Convert = fn(&Form) -> Result<Form, Box<dyn std::error::Error + Send + Sync>>;

/// Which kind of manifest is sent.
#[derive(Debug, Clone, Copy, Default)]
pub enum Kind {
    /// The image's own, in the very bytes.
    #[default]
    Own,
    /// The other.
    Other(Convert),
    /// The image's own, and the other if the registry refuses that.
    OwnOrOther(Convert),
}

/// A manifest as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// Its media type.
    pub media_type: String,
    /// The document.
    pub bytes: Vec<u8>,
}

/// What was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedImage {
    /// The manifest's digest.
    pub digest: Digest,
    /// The manifest's size in bytes.
    pub size: u64,
    /// The manifest's media type.
    pub media_type: String,
}

/// Sends the image whose manifest is `manifest` to `destination`, whose digest, if it has one, must be the manifest's.
///
/// # Errors
/// See [`PushError`]. The tag then means what it meant before.
pub fn push(
    images: &Images,
    registry: &Client,
    manifest: &Descriptor,
    destination: &Reference,
    options: &PushOptions,
    progress: &dyn Progress,
) -> Result<PushedImage, PushError> {
    let repository = registry.repository_for(destination, Access::Push);
    let known = Known::of(images, destination)?;
    repository.mount_from(known.paths());
    // Made for this push, and gone with it: after the lease of what is sent.
    let mut repacked = None;
    let mut sent = Sent::of(images, manifest)?;
    let unlike =
        |wanted: &Compression| sent.parsed.layers.iter().any(|layer| Compression::of(&layer.media_type) != *wanted);
    let compression = options.compression.filter(unlike);
    let there = match compression {
        Some(_) => None,
        None => there_already(images, &repository, &sent.parsed)?,
    };
    if there.is_none() {
        repacked = images.repack(manifest, compression.map_or(Packing::AsBefore, Packing::All))?;
    }
    if let Some(repacked) = repacked.as_ref().filter(|made| made.manifest().digest != manifest.digest) {
        let (before, after) = (&manifest.digest, &repacked.manifest().digest);
        if destination.digest().is_some() {
            return Err(PushError::Repacked { before: before.clone(), after: after.clone() });
        }
        progress.event(Event::Repacked(before, after));
        sent = Sent::of(images, repacked.manifest())?;
    }
    let blobs = blobs(images, &sent, &there.unwrap_or_default())?;
    progress.event(Event::Started(destination));
    send_blobs(images, &repository, &known, blobs, (&sent.parsed, options), progress)?;
    let target = match destination.digest() {
        Some(digest) => Target::Digest(digest.clone()),
        None => Target::of(destination),
    };
    let own = Form { media_type: manifest.media_type.clone(), bytes: sent.bytes };
    let send = |form: &Form| send_manifest(&repository, &target, form);
    match options.kind {
        Kind::Own => Ok(send(&own)?),
        Kind::Other(convert) => Ok(send(&convert(&own).map_err(PushError::Convert)?)?),
        Kind::OwnOrOther(convert) => match send(&own) {
            // What the registry said of the image's own kind is what counts if the other does not pass either.
            Err(error) if error.refuses_kind() => match convert(&own).ok().and_then(|other| send(&other).ok()) {
                Some(pushed) => Ok(pushed),
                None => Err(error.into()),
            },
            pushed => Ok(pushed?),
        },
    }
}

fn send_manifest(
    repository: &Repository,
    target: &Target,
    form: &Form,
) -> Result<PushedImage, carboy_distribution::Error> {
    let digest = repository.put_manifest(target, &form.media_type, &form.bytes)?;
    Ok(PushedImage { digest, size: form.bytes.len() as u64, media_type: form.media_type.clone() })
}

/// A manifest that is being sent. It stays in the store meanwhile, with what it names, whatever is removed.
struct Sent {
    bytes: Vec<u8>,
    parsed: Manifest,
    lease: Lease,
}

impl Sent {
    fn of(images: &Images, manifest: &Descriptor) -> Result<Self, PushError> {
        let lease = images.store().lease()?;
        lease.protect(&manifest.digest)?;
        let bytes = images.store().read_blob(&manifest.digest)?;
        let invalid = |source| PushError::Manifest { digest: manifest.digest.clone(), source };
        let parsed = serde_json::from_slice(&bytes).map_err(invalid)?;
        Ok(Sent { bytes, parsed, lease })
    }
}

/// The layers whose blobs were dropped, if the repository has them all: then it needs none of them.
fn there_already(
    images: &Images,
    repository: &Repository,
    manifest: &Manifest,
) -> Result<Option<HashSet<Digest>>, PushError> {
    let mut there = HashSet::new();
    for (layer, _) in images.dropped_layers(manifest)? {
        if repository.blob_size(&layer.digest)?.is_none() {
            return Ok(None);
        }
        there.insert(layer.digest.clone());
    }
    Ok(Some(there))
}

/// Something to send: its number among the layers, if it is one.
struct Blob<'b> {
    number: Option<usize>,
    descriptor: &'b Descriptor,
}

/// What has to be there before the manifest, each once; all of it is in the store, but what is `there`.
fn blobs<'m>(images: &Images, sent: &'m Sent, there: &HashSet<Digest>) -> Result<Vec<Blob<'m>>, PushError> {
    let (mut seen, manifest) = (HashSet::new(), &sent.parsed);
    let layers = manifest.layers.iter().enumerate().map(|(number, layer)| (Some(number), layer));
    let mut blobs = Vec::new();
    for (number, descriptor) in layers.chain([(None, &manifest.config)]) {
        if there.contains(&descriptor.digest) || !seen.insert(&descriptor.digest) {
            continue;
        }
        sent.lease.protect(&descriptor.digest)?;
        if !images.store().has(&descriptor.digest) {
            return Err(PushError::Missing(descriptor.digest.clone()));
        }
        blobs.push(Blob { number, descriptor });
    }
    // Taken from the end: the largest first, as it is what the others are waited for with.
    blobs.sort_by_key(|blob| (blob.descriptor.size, std::cmp::Reverse(blob.number)));
    Ok(blobs)
}

/// What the threads share.
struct Work<'w> {
    images: &'w Images,
    repository: &'w Repository,
    known: &'w Known,
    piece: Option<u64>,
    progress: &'w dyn Progress,
}

fn send_blobs(
    images: &Images,
    repository: &Repository,
    known: &Known,
    blobs: Vec<Blob<'_>>,
    (manifest, options): (&Manifest, &PushOptions),
    progress: &dyn Progress,
) -> Result<(), PushError> {
    progress.event(Event::Layers(&manifest.layers));
    let numbers: HashSet<usize> = blobs.iter().filter_map(|blob| blob.number).collect();
    for number in 0..manifest.layers.len() {
        let phase = if numbers.contains(&number) { LayerPhase::Waiting } else { LayerPhase::Exists };
        progress.event(Event::Phase(number, phase));
    }
    let threads = options.parallel.unwrap_or(PARALLEL).clamp(1, blobs.len().max(1));
    let work = Work { images, repository, known, piece: options.piece, progress };
    let cancel = || repository.cancel();
    Workers::new(blobs, &cancel).run(("push-blob", threads), PushError::Thread, |blob| work.send(&blob))
}

impl Work<'_> {
    fn send(&self, blob: &Blob<'_>) -> Result<(), PushError> {
        let Descriptor { digest, size, .. } = blob.descriptor;
        let tell = |phase| {
            if let Some(number) = blob.number {
                self.progress.event(Event::Phase(number, phase));
            }
        };
        let store = self.images.store();
        let content = |offset: u64| {
            tell(LayerPhase::Pushing);
            let mut file = store.open_blob(digest).map_err(std::io::Error::other)?;
            file.seek(SeekFrom::Start(offset))?;
            Ok(Box::new(file) as Box<dyn Read>)
        };
        let sent = |bytes| {
            if let Some(number) = blob.number {
                self.progress.event(Event::Sent(number, bytes));
            }
        };
        let pushed = self.repository.push_blob(&Upload {
            digest,
            size: *size,
            content: &content,
            mount_from: self.known.holders(digest),
            piece: self.piece,
            progress: &sent,
        })?;
        tell(match &pushed {
            Pushed::Existed => LayerPhase::Exists,
            Pushed::Mounted(from) => LayerPhase::Mounted(from),
            Pushed::Uploaded => LayerPhase::Done,
        });
        Ok(())
    }
}

impl PushError {
    /// What kind of failure this is.
    pub fn kind(&self) -> PullErrorKind {
        match self {
            PushError::Registry(error) => crate::pull::kind_of(error),
            PushError::Manifest { .. } => PullErrorKind::BadContent,
            PushError::Repacked { .. } | PushError::Convert(_) => PullErrorKind::Local,
            PushError::Store(_) | PushError::Missing(_) | PushError::Image(_) | PushError::Thread(_) => {
                PullErrorKind::Local
            }
        }
    }
}
