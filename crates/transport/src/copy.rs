//! Copying an image, or a list of images, from one place to another.

use crate::content::{Blob, Destination, Event, Observer, Source, whole};
use crate::convert::{self, Format};
use crate::{Error, Phase};
use carboy_distribution::Manifest as Document;
use carboy_image::pull::Wanted;
use carboy_oci::Digest;
use carboy_oci::image::{Descriptor, ImageConfig, Index, Manifest, media_type};
use serde_json::Value;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Lists within lists that are followed.
const DEPTH_LIMIT: usize = 4;

/// Which of a list's images are copied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Instances {
    /// The one for this platform, or this machine's.
    #[default]
    One,
    /// All, and the list.
    All,
    /// The list alone; the images are there already.
    ListOnly,
}

/// How to copy.
#[derive(Debug, Clone, Default)]
pub struct CopyOptions {
    /// Which of a list's images.
    pub instances: Instances,
    /// The platform for [`Instances::One`]; this machine's if `None`.
    pub platform: Option<Wanted>,
    /// The kind of manifests to write, if not the source's.
    pub format: Option<Format>,
    /// Rather fail than change a manifest.
    pub preserve_digests: bool,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Digest of the manifest or list that the destination's name means.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
}

impl From<Document> for Copied {
    fn from(written: Document) -> Self {
        Copied { digest: written.digest, media_type: written.media_type, size: written.bytes.len() as u64 }
    }
}

/// Copies what the source's name means. The caller calls [`Destination::finish`] afterwards.
///
/// # Errors
/// If anything cannot be read, written or converted. The destination may then have blobs that nothing names.
pub fn copy(
    source: &dyn Source,
    destination: &dyn Destination,
    options: &CopyOptions,
    observer: &dyn Observer,
) -> Result<Copied, Error> {
    let root = source.root()?;
    if let Some(before) = source.digest_before() {
        if options.preserve_digests {
            return Err(Error::Unsupported(format!(
                "blobs of {} were dropped: compressed anew its digest is {}, not {before}, which --preserve-digests forbids",
                source.describe(),
                root.digest
            )));
        }
        observer.event(Event::Converted(before, &root.digest));
    }
    let holds_lists = [media_type::OCI_INDEX, media_type::DOCKER_LIST].iter().any(|kind| destination.accepts(kind));
    if root.is_index() && options.instances != Instances::One && !holds_lists {
        return Err(Error::Unsupported(
            "the destination holds images of one platform, not lists of images: copy without --all, or to another place".to_owned(),
        ));
    }
    let copier = Copier { source, destination, options, observer };
    let written = match (root.is_index(), &options.instances) {
        (true, Instances::One) => copier.image(&image_manifest(source, root, options.platform.as_ref())?, true)?,
        (true, _) => copier.list(&root, true, 0)?,
        (false, _) => copier.image(&root, true)?,
    };
    Ok(written.into())
}

/// Copies one image of a source that is not its root: an entry of a list that is made elsewhere.
///
/// # Errors
/// As [`copy`].
pub fn copy_instance(
    source: &dyn Source,
    entry: &Descriptor,
    destination: &dyn Destination,
    options: &CopyOptions,
    observer: &dyn Observer,
) -> Result<Copied, Error> {
    let document = source.manifest(entry)?;
    Ok(Copier { source, destination, options, observer }.image(&document, false)?.into())
}

/// Descends from a list to the manifest for a platform.
///
/// # Errors
/// If the list has none for it.
pub fn image_manifest(source: &dyn Source, root: Document, platform: Option<&Wanted>) -> Result<Document, Error> {
    let wanted = platform.cloned().unwrap_or_else(Wanted::host);
    let mut document = root;
    for _ in 0..DEPTH_LIMIT {
        if !document.is_index() {
            return Ok(document);
        }
        let index: Index = parse(&document)?;
        let best = wanted
            .best(&index.manifests)
            .ok_or_else(|| Error::NotFound(format!("{} has no image for {wanted}", source.describe())))?;
        document = source.manifest(best)?;
    }
    Err(nested())
}

fn nested() -> Error {
    Error::Unsupported(format!("lists of images are nested more than {DEPTH_LIMIT} deep"))
}

fn parse<T: serde::de::DeserializeOwned>(document: &Document) -> Result<T, Error> {
    serde_json::from_slice(&document.bytes).map_err(Error::json(format!("manifest {}", document.digest)))
}

struct Copier<'a> {
    source: &'a dyn Source,
    destination: &'a dyn Destination,
    options: &'a CopyOptions,
    observer: &'a dyn Observer,
}

impl Copier<'_> {
    /// The manifest as the destination gets it.
    fn adapt(&self, document: &Document) -> Result<Option<Format>, Error> {
        let kind = document.media_type.as_str();
        if self.options.preserve_digests && self.options.format.is_none_or(|format| format.is(kind)) {
            return Ok(None);
        }
        let to = match self.options.format {
            Some(format) if !format.is(kind) => Some(format),
            Some(_) => None,
            None if self.destination.accepts(kind) => None,
            None if Format::Oci.is(kind) => Some(Format::Docker),
            None => Some(Format::Oci),
        };
        match to {
            Some(_) if self.options.preserve_digests => Err(Error::Unsupported(format!(
                "manifest {} is of type {kind}: to convert it would change its digest, which --preserve-digests forbids",
                document.digest
            ))),
            other => Ok(other),
        }
    }

    fn list(&self, root: &Document, is_root: bool, depth: usize) -> Result<Document, Error> {
        if depth >= DEPTH_LIMIT {
            return Err(nested());
        }
        let index: Index = parse(root)?;
        let mut changed = Vec::new();
        if self.options.instances == Instances::All {
            for (number, entry) in index.manifests.iter().enumerate() {
                let document = self.source.manifest(entry)?;
                self.observer.event(Event::Image(number + 1, index.manifests.len(), &document.digest));
                let written = match document.is_index() {
                    true => self.list(&document, false, depth + 1)?,
                    false => self.image(&document, false)?,
                };
                if written.digest != document.digest {
                    changed.push((entry.digest.clone(), written));
                }
            }
        }
        let to = self.adapt(root)?;
        let written = if to.is_none() && changed.is_empty() { root.clone() } else { rebuilt(root, to, &changed)? };
        self.written(root, &written, None, is_root)
    }

    fn image(&self, document: &Document, is_root: bool) -> Result<Document, Error> {
        let to = self.adapt(document)?;
        let written = to.map_or_else(|| Ok(document.clone()), |to| convert::manifest(document, to))?;
        let manifest: Manifest = parse(&written)?;
        self.blobs(&manifest)?;
        self.written(document, &written, Some(&manifest), is_root)
    }

    fn written(
        &self,
        before: &Document,
        written: &Document,
        manifest: Option<&Manifest>,
        is_root: bool,
    ) -> Result<Document, Error> {
        let say = |written: &Document| {
            if before.digest != written.digest {
                self.observer.event(Event::Converted(&before.digest, &written.digest));
            }
            self.observer.event(Event::Manifest(&written.digest));
        };
        say(written);
        let refused = match self.destination.put_manifest(written, manifest, is_root) {
            Err(Error::Registry(error)) if error.refuses_kind() && self.may_fall_back() => error,
            other => return other.map(|()| written.clone()),
        };
        // What the registry said of the first kind is what counts if the other does not pass either.
        let own = if Format::Oci.is(&written.media_type) { Format::Oci } else { Format::Docker };
        let to = own.other();
        let converted = match manifest {
            Some(_) => convert::manifest(written, to),
            None => rebuilt(written, Some(to), &[]),
        };
        let Ok(other) = converted else { return Err(refused.into()) };
        if self.destination.put_manifest(&other, manifest, is_root).is_err() {
            return Err(refused.into());
        }
        say(&other);
        Ok(other)
    }

    /// Whether a registry that refuses a manifest may get another kind of it.
    fn may_fall_back(&self) -> bool {
        self.options.format.is_none() && !self.options.preserve_digests
    }

    /// Configuration first, as it says what the layers must be; then the layers, several at once.
    fn blobs(&self, manifest: &Manifest) -> Result<(), Error> {
        let diff_ids = self.diff_ids(manifest)?;
        let mut seen = HashSet::new();
        let mut blobs: Vec<Blob<'_>> = vec![Blob { descriptor: &manifest.config, diff_id: None }];
        for (number, layer) in manifest.layers.iter().enumerate() {
            blobs.push(Blob { descriptor: layer, diff_id: diff_ids.get(number) });
        }
        blobs.retain(|blob| seen.insert(&blob.descriptor.digest));
        let descriptors: Vec<Descriptor> = blobs.iter().map(|blob| blob.descriptor.clone()).collect();
        self.observer.event(Event::Blobs(&descriptors));
        let (config, layers) = blobs.split_at(1);
        self.one(0, config[0])?;
        let queue = Mutex::new(layers.iter().enumerate());
        let failed: Mutex<Option<Error>> = Mutex::new(None);
        let work = || {
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((number, blob)) = next else { return };
                if failed.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                    return;
                }
                if let Err(error) = self.one(number + 1, *blob) {
                    failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            }
        };
        let threads = self.destination.parallel().min(layers.len());
        std::thread::scope(|scope| -> Result<(), Error> {
            for _ in 1..threads {
                let builder = std::thread::Builder::new().name("copy-blob".to_owned());
                builder.spawn_scoped(scope, work).map_err(Error::Thread)?;
            }
            work();
            Ok(())
        })?;
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    fn one(&self, number: usize, blob: Blob<'_>) -> Result<(), Error> {
        self.observer.event(Event::Blob(number, Phase::Copying));
        let progress = |bytes| self.observer.event(Event::Bytes(number, bytes));
        let phase = self.destination.put_blob(blob, self.source, &progress)?;
        self.observer.event(Event::Blob(number, phase));
        Ok(())
    }

    /// The digests of the uncompressed layers, if this is a container image.
    fn diff_ids(&self, manifest: &Manifest) -> Result<Vec<Digest>, Error> {
        let kind = manifest.config.media_type.as_str();
        if !matches!(kind, media_type::OCI_CONFIG | media_type::DOCKER_CONFIG) {
            return Ok(Vec::new());
        }
        let bytes = whole(self.source, &manifest.config)?;
        let config: ImageConfig = serde_json::from_slice(&bytes)
            .map_err(Error::json(format!("image configuration {}", manifest.config.digest)))?;
        Ok(config.rootfs.diff_ids)
    }
}

/// A list whose entries, or whose kind, are others.
fn rebuilt(root: &Document, to: Option<Format>, changed: &[(Digest, Document)]) -> Result<Document, Error> {
    let what = format!("list {}", root.digest);
    let mut value: Value = serde_json::from_slice(&root.bytes).map_err(Error::json(&what))?;
    let mut kind = root.media_type.clone();
    if let Some(to) = to {
        kind = convert::translate(&kind, to)?;
    }
    value["mediaType"] = kind.clone().into();
    for entry in value["manifests"].as_array_mut().into_iter().flatten() {
        let digest = entry["digest"].as_str().unwrap_or_default().to_owned();
        if let Some((_, written)) = changed.iter().find(|(before, _)| before.as_str() == digest) {
            entry["digest"] = written.digest.to_string().into();
            entry["size"] = written.bytes.len().into();
            entry["mediaType"] = written.media_type.clone().into();
        }
    }
    let bytes = serde_json::to_vec(&value).map_err(Error::json(&what))?;
    Ok(Document::from_bytes(bytes, &kind, &what)?)
}
