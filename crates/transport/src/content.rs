//! What places have in common: manifests and blobs that are read, and places that take them.

use crate::Error;
use carboy_distribution::Manifest as Document;
use carboy_oci::image::{Descriptor, Manifest};
use carboy_oci::{Digest, Reference};
use carboy_store::Hasher;
use std::io::{self, Read};

/// One image, or a list of images, in some place.
pub trait Source: Sync {
    /// For messages.
    fn describe(&self) -> String;

    /// The manifest or index that the place's name means.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    fn root(&self) -> Result<Document, Error>;

    /// The digest that the root had before layers of it had to be compressed anew to be copied at all.
    fn digest_before(&self) -> Option<&Digest> {
        None
    }

    /// A manifest or index that the root names, its digest checked.
    ///
    /// # Errors
    /// If it is not there.
    fn manifest(&self, entry: &Descriptor) -> Result<Document, Error>;

    /// Opens a blob. Its digest is not checked: see [`verified`].
    ///
    /// # Errors
    /// If it is not there.
    fn blob(&self, blob: &Descriptor) -> Result<Box<dyn Read + '_>, Error>;

    /// Where a registry could take blobs from without their being sent: its host, and the repository.
    fn repository(&self) -> Option<&Reference> {
        None
    }
}

/// A blob on its way.
#[derive(Debug, Clone, Copy)]
pub struct Blob<'a> {
    /// Digest, size and type.
    pub descriptor: &'a Descriptor,
    /// The digest of the uncompressed layer, if the blob is one of an image.
    pub diff_id: Option<&'a Digest>,
}

/// What became of a blob or a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It is being copied.
    Copying,
    /// It was there.
    Exists,
    /// It was copied.
    Done,
}

/// A place that takes an image, or a list of images. Shared by the threads that copy its blobs.
pub trait Destination: Sync {
    /// Whether it can hold a manifest of this media type.
    fn accepts(&self, media_type: &str) -> bool;

    /// How many blobs it takes at once.
    fn parallel(&self) -> usize {
        4
    }

    /// Takes a blob, unless it has it; checks its digest. `progress` is told the bytes that were read so far.
    ///
    /// # Errors
    /// If it cannot be read or written, or is not what it should be. Nothing of it is visible then.
    fn put_blob(&self, blob: Blob<'_>, source: &dyn Source, progress: &dyn Fn(u64)) -> Result<Phase, Error>;

    /// Takes a manifest, all of whose blobs are there; the root comes last, after what it names. `parsed` is given for images.
    ///
    /// # Errors
    /// If it cannot be written.
    fn put_manifest(&self, document: &Document, parsed: Option<&Manifest>, is_root: bool) -> Result<(), Error>;

    /// Gives everything its name.
    ///
    /// # Errors
    /// If it cannot be written. Nothing has its name then.
    fn finish(self: Box<Self>) -> Result<(), Error>;
}

/// Told what happens during a copy, from several threads.
pub trait Observer: Sync {
    /// Something happened.
    fn event(&self, event: Event<'_>);
}

/// What happens during a copy. Numbers of blobs are positions in the last [`Event::Blobs`].
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// One image of several is begun: its number from 1, how many there are, and its manifest.
    Image(usize, usize, &'a Digest),
    /// The blobs of the image that is copied now.
    Blobs(&'a [Descriptor]),
    /// A blob entered a phase.
    Blob(usize, Phase),
    /// So many bytes of it were read.
    Bytes(usize, u64),
    /// A manifest is written.
    Manifest(&'a Digest),
    /// A manifest had to be changed, so that its digest is another.
    Converted(&'a Digest, &'a Digest),
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _: Event<'_>) {}
}

/// Reads all of a small blob and checks it.
pub(crate) fn whole(source: &dyn Source, blob: &Descriptor) -> Result<Vec<u8>, Error> {
    const LIMIT: u64 = 32 << 20;
    if blob.size > LIMIT {
        return Err(Error::Unsupported(format!(
            "blob {} is larger than 32 MiB, which no configuration is",
            blob.digest
        )));
    }
    let mut bytes = Vec::new();
    let mut reader = verified(source.blob(blob)?, blob, &|_| {});
    reader.read_to_end(&mut bytes).map_err(unwrap(&blob.digest))?;
    Ok(bytes)
}

/// An error of a [`verified`] reader as what it is.
pub(crate) fn unwrap(digest: &Digest) -> impl FnOnce(io::Error) -> Error + use<> {
    let digest = digest.clone();
    move |error| match error.downcast::<Error>() {
        Ok(ours) => ours,
        Err(error) => match error.downcast::<carboy_distribution::Error>() {
            Ok(registry) => Error::Registry(registry),
            Err(source) => Error::Blob { digest, source: source.into() },
        },
    }
}

/// A blob's content, which ends with an error unless it has the blob's size and digest.
pub(crate) fn verified<'a>(
    reader: Box<dyn Read + 'a>,
    blob: &'a Descriptor,
    progress: &'a dyn Fn(u64),
) -> Verified<'a> {
    Verified { reader, hasher: Some(Hasher::like(&blob.digest)), blob, read: 0, progress }
}

pub(crate) struct Verified<'a> {
    reader: Box<dyn Read + 'a>,
    /// `None` once it was checked.
    hasher: Option<Hasher>,
    blob: &'a Descriptor,
    read: u64,
    progress: &'a dyn Fn(u64),
}

impl Read for Verified<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(target)?;
        self.read += count as u64;
        let (digest, expected) = (&self.blob.digest, self.blob.size);
        if self.read > expected || (count == 0 && !target.is_empty() && self.read < expected) {
            let actual = self.read;
            return Err(io::Error::other(Error::Size { digest: digest.clone(), expected, actual }));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&target[..count]);
        }
        (self.progress)(self.read);
        // Checked with the last byte: who knows the size need not read on to the end.
        if self.read == expected
            && let Some(hasher) = self.hasher.take()
        {
            let actual = hasher.finish();
            if actual != *digest {
                return Err(io::Error::other(Error::Digest { expected: digest.clone(), actual }));
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_compared_with_its_descriptor() {
        let digest = Hasher::digest_of(b"abc");
        let blob = |size: u64, digest: &Digest| -> Descriptor {
            serde_json::from_value(serde_json::json!({"mediaType": "x", "digest": digest, "size": size})).unwrap()
        };
        let read = |blob: &Descriptor| {
            let mut bytes = Vec::new();
            verified(Box::new(&b"abc"[..]), blob, &|_| {})
                .read_to_end(&mut bytes)
                .map(|_| bytes)
                .map_err(|e| e.to_string())
        };
        assert_eq!(read(&blob(3, &digest)).unwrap(), b"abc");
        assert!(read(&blob(2, &digest)).unwrap_err().contains("size mismatch"));
        assert!(read(&blob(4, &digest)).unwrap_err().contains("size mismatch"));
        assert!(read(&blob(3, &Hasher::digest_of(b"x"))).unwrap_err().contains("digest mismatch"));
    }
}
