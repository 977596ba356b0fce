//! An image made of one tar, which becomes its only layer.

use crate::archive::unpacked;
use crate::{Image, ImageError, Images};
use carboy_oci::image::{ContainerConfig, Descriptor, History, ImageConfig, Manifest, media_type};
use carboy_oci::{Digest, Reference};
use carboy_state::file::FileError;
use carboy_store::Hasher;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// What is said of an imported image.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Its name, if it gets one.
    pub name: Option<Reference>,
    /// Defaults for containers.
    pub config: ContainerConfig,
    /// GOOS name.
    pub os: String,
    /// GOARCH name.
    pub architecture: String,
    /// Variant of the architecture.
    pub variant: Option<String>,
    /// Told in its history.
    pub comment: String,
    /// When it was made, RFC 3339.
    pub created: String,
}

impl Images {
    /// Makes an image of a tar, which may be compressed with gzip, zstd, xz or bzip2. `what` is its name in messages.
    ///
    /// # Errors
    /// If it cannot be read, or holds what no layer may hold.
    pub fn import(&self, tar: &mut dyn Read, what: &str, options: &ImportOptions) -> Result<Image, ImageError> {
        let imported = self.import_layer(tar, what, options);
        match &imported {
            // The tar's own error is the one to report.
            Err(_) => drop(self.collect()),
            Ok(_) => self.clear_up_after_the_dead()?,
        }
        imported
    }

    fn import_layer(&self, tar: &mut dyn Read, what: &str, options: &ImportOptions) -> Result<Image, ImageError> {
        // Its digest is its name in the store, so that it must be read once before it can be taken in.
        let mut file = unpacked(&self.store.root().join("ingest"), tar, what, self.limits)?;
        let (digest, size) = hash(&mut file)?;
        let config = serde_json::to_vec(&configuration(options, &digest))
            .map_err(|e| ImageError::invalid("image configuration", e))?;
        let layer = descriptor(media_type::OCI_LAYER, digest.clone(), size);
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media_type::OCI_MANIFEST.to_owned()),
            artifact_type: None,
            config: descriptor(media_type::OCI_CONFIG, Hasher::digest_of(&config), config.len() as u64),
            layers: vec![layer.clone()],
            subject: None,
            annotations: Default::default(),
        };
        let bytes = serde_json::to_vec(&manifest).map_err(|e| ImageError::invalid("manifest", e))?;
        let intake = self.intake()?;
        intake
            .ingest_layer(&layer, &digest, &mut file, &|_| {})
            .map_err(|source| ImageError::Layer { digest: digest.clone(), source })?;
        let names: Vec<Reference> = options.name.iter().cloned().collect();
        intake.finish(&names, media_type::OCI_MANIFEST, &bytes, &config)
    }
}

fn configuration(options: &ImportOptions, layer: &Digest) -> ImageConfig {
    let mut config = ImageConfig {
        created: Some(options.created.clone()),
        architecture: options.architecture.clone(),
        os: options.os.clone(),
        variant: options.variant.clone(),
        config: options.config.clone(),
        history: vec![History {
            created: Some(options.created.clone()),
            comment: Some(options.comment.clone()),
            ..History::default()
        }],
        ..ImageConfig::default()
    };
    config.rootfs.kind = "layers".to_owned();
    config.rootfs.diff_ids = vec![layer.clone()];
    config
}

fn descriptor(kind: &str, digest: Digest, size: u64) -> Descriptor {
    Descriptor {
        media_type: kind.to_owned(),
        digest,
        size,
        urls: Vec::new(),
        annotations: Default::default(),
        platform: None,
        artifact_type: None,
    }
}

/// Reads a file from its beginning, and leaves it there.
fn hash(file: &mut File) -> Result<(Digest, u64), ImageError> {
    let path = Path::new("(the tar)");
    let rewind = |file: &mut File| file.seek(SeekFrom::Start(0)).map_err(FileError::at("seek in", path));
    rewind(file)?;
    let (mut hasher, mut size) = (Hasher::sha256(), 0);
    let mut buffer = vec![0; 256 << 10];
    loop {
        let count = file.read(&mut buffer).map_err(FileError::at("read", path))?;
        if count == 0 {
            rewind(file)?;
            return Ok((hasher.finish(), size));
        }
        hasher.update(&buffer[..count]);
        size += count as u64;
    }
}
