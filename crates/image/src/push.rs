//! Pushing: an image of the store to a registry, with the very bytes that it came in, so that its digest stays.
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

use crate::{Images, pull::PullErrorKind};
use carboy_distribution::{Access, Client, Pushed, Repository, Target, Upload};
use carboy_oci::image::{Descriptor, Manifest};
use carboy_oci::{Digest, Reference};
use carboy_store::Lease;
use known::Known;
use std::collections::HashSet;
use std::io::{Read, Seek, SeekFrom};
use std::sync::{Mutex, PoisonError};

/// Blobs sent at once unless the caller says otherwise.
const PARALLEL: usize = 5;

/// How to push.
#[derive(Debug, Clone, Default)]
pub struct PushOptions {
    /// Blobs sent at once; the default if `None`.
    pub parallel: Option<usize>,
    /// Sends blobs in pieces of so many bytes; in one if `None`.
    pub piece: Option<u64>,
}

/// What was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedImage {
    /// The manifest's digest.
    pub digest: Digest,
    /// The manifest's size in bytes.
    pub size: u64,
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
    let store = images.store();
    // What is being sent stays, whatever is removed meanwhile.
    let lease = store.lease()?;
    lease.protect(&manifest.digest)?;
    let bytes = store.read_blob(&manifest.digest)?;
    let invalid = |source| PushError::Manifest { digest: manifest.digest.clone(), source };
    let parsed: Manifest = serde_json::from_slice(&bytes).map_err(invalid)?;
    let repository = registry.repository_for(destination, Access::Push);
    let known = Known::of(images, destination)?;
    repository.mount_from(known.paths());
    let blobs = blobs(images, &lease, &parsed)?;
    progress.event(Event::Started(destination));
    send_blobs(images, &repository, &known, blobs, (&parsed, options), progress)?;
    let target = match destination.digest() {
        Some(digest) => Target::Digest(digest.clone()),
        None => Target::of(destination),
    };
    repository.put_manifest(&target, &manifest.media_type, &bytes)?;
    Ok(PushedImage { digest: manifest.digest.clone(), size: bytes.len() as u64 })
}

/// Something to send: its number among the layers, if it is one.
struct Blob<'b> {
    number: Option<usize>,
    descriptor: &'b Descriptor,
}

/// What has to be there before the manifest, each once; all of it is in the store.
fn blobs<'m>(images: &Images, lease: &Lease, manifest: &'m Manifest) -> Result<Vec<Blob<'m>>, PushError> {
    let mut seen = HashSet::new();
    let layers = manifest.layers.iter().enumerate().map(|(number, layer)| (Some(number), layer));
    let mut blobs = Vec::new();
    for (number, descriptor) in layers.chain([(None, &manifest.config)]) {
        if !seen.insert(&descriptor.digest) {
            continue;
        }
        lease.protect(&descriptor.digest)?;
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
    todo: Mutex<Vec<Blob<'w>>>,
    failed: Mutex<Option<PushError>>,
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
    let threads = options.parallel.unwrap_or(PARALLEL).clamp(1, blobs.len());
    let piece = options.piece;
    let (todo, failed) = (Mutex::new(blobs), Mutex::new(None));
    let work = Work { images, repository, known, piece, progress, todo, failed };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            let spawned = std::thread::Builder::new().name("push-blob".to_owned()).spawn_scoped(scope, || work.run());
            if let Err(error) = spawned {
                work.fail(PushError::Thread(error));
                break;
            }
        }
        work.run();
    });
    match work.failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

impl Work<'_> {
    fn run(&self) {
        loop {
            let next = self.todo.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(blob) = next.filter(|_| !self.repository.is_cancelled()) else { return };
            if let Err(error) = self.send(&blob) {
                self.fail(error);
                return;
            }
        }
    }

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

    /// Keeps the first error and ends the other transfers; the errors that follow from that are not told.
    fn fail(&self, error: PushError) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_none() {
            *failed = Some(error);
            self.repository.cancel();
        }
    }
}

impl PushError {
    /// What kind of failure this is.
    pub fn kind(&self) -> PullErrorKind {
        match self {
            PushError::Registry(error) => crate::pull::kind_of(error),
            PushError::Manifest { .. } => PullErrorKind::BadContent,
            PushError::Store(_) | PushError::Missing(_) | PushError::Image(_) | PushError::Thread(_) => {
                PullErrorKind::Local
            }
        }
    }
}
