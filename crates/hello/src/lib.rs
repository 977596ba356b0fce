//! The embedded image `hello`: a real OCI image as bytes, made at build time, whose program reports from the inside what isolates it.
//!
//! Knows nothing of stores and engines; it hands out bytes with their digests. What the program cannot find out inside, it is told
//! through the environment variable [`VARIABLE`], which [`Context`] writes and `program/` reads:
//!
//! ```text
//! CARBOY_HELLO = word (' ' word)*            word = key '=' value; unknown keys are ignored
//!   v=1                                      version of this format
//!   start=NANOSECONDS                        CLOCK_REALTIME when the command started
//!   ns.KIND=INODE                            the host's namespace, KIND as in /proc/PID/ns
//!   calls=ALLOWED,CONDITIONAL,REFUSED        what the system call filter does with the kernel's calls
//!   limit.NAME=VALUE                         a limit that was asked for, as it was written: limit.memory=64m
//!   rootless=1                               started by an ordinary user
//! ```
//!
//! Only images with the label [`LABEL`] should be given the variable.
#![forbid(unsafe_code)]

use carboy_oci::image::{Descriptor, media_type};
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

include!(concat!(env!("OUT_DIR"), "/digests.rs"));

/// The image's name in a store.
pub const NAME: &str = "hello";
/// Images with this label want [`VARIABLE`].
pub const LABEL: &str = "org.carboy.report";
/// Name of the environment variable.
pub const VARIABLE: &str = "CARBOY_HELLO";

/// An embedded image, ready to be put into a store.
#[derive(Debug, Clone)]
pub struct HelloImage {
    /// Describes the manifest.
    pub manifest: Descriptor,
    /// The manifest's bytes.
    pub manifest_bytes: &'static [u8],
    /// Describes the configuration, whose digest is the image's ID.
    pub config: Descriptor,
    /// The configuration's bytes.
    pub config_bytes: &'static [u8],
    /// The layers, base first.
    pub layers: Vec<HelloLayer>,
}

/// A layer: an uncompressed tar, so its digest is also its diff ID.
#[derive(Debug, Clone)]
pub struct HelloLayer {
    /// Describes the blob.
    pub descriptor: Descriptor,
    /// Digest of the uncompressed tar.
    pub diff_id: carboy_oci::Digest,
    /// The tar.
    pub bytes: &'static [u8],
}

/// The image.
///
/// # Errors
/// Never, unless the build made a digest that is none.
pub fn image() -> Result<HelloImage, carboy_oci::DigestError> {
    static MANIFEST: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/manifest.json"));
    static CONFIG: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/config.json"));
    static LAYER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/layer.tar"));
    let descriptor = |media_type: &str, digest: &str, bytes: &[u8]| {
        Ok::<_, carboy_oci::DigestError>(Descriptor {
            media_type: media_type.to_owned(),
            digest: digest.parse()?,
            size: bytes.len() as u64,
            urls: Vec::new(),
            annotations: Default::default(),
            platform: None,
            artifact_type: None,
        })
    };
    let layer = descriptor(media_type::OCI_LAYER, LAYER_DIGEST, LAYER)?;
    Ok(HelloImage {
        manifest: descriptor(media_type::OCI_MANIFEST, MANIFEST_DIGEST, MANIFEST)?,
        manifest_bytes: MANIFEST,
        config: descriptor(media_type::OCI_CONFIG, CONFIG_DIGEST, CONFIG)?,
        config_bytes: CONFIG,
        layers: vec![HelloLayer { diff_id: layer.digest.clone(), descriptor: layer, bytes: LAYER }],
    })
}

/// What the program is told.
#[derive(Debug, Clone)]
pub struct Context {
    text: String,
}

impl Context {
    /// The namespaces of the calling process, which is on the host, and when its command started.
    pub fn of_this_process(started: SystemTime) -> Self {
        let mut context = Context { text: "v=1".to_owned() };
        if let Ok(since) = started.duration_since(UNIX_EPOCH) {
            context.put("start", since.as_nanos());
        }
        for kind in ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"] {
            // `pid:[4026531836]`; a kernel without that kind has no such link.
            let link = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap_or_default();
            let link = link.to_string_lossy();
            if let Some(inode) = link.split_once('[').and_then(|(_, rest)| rest.strip_suffix(']')) {
                context.put(&format!("ns.{kind}"), inode);
            }
        }
        context
    }

    /// How many of the kernel's system calls the filter allows, decides by arguments, and refuses.
    pub fn calls(mut self, allowed: usize, conditional: usize, refused: usize) -> Self {
        self.put("calls", format_args!("{allowed},{conditional},{refused}"));
        self
    }

    /// A limit that was asked for, such as `memory` and `64m`.
    pub fn limit(mut self, name: &str, value: &str) -> Self {
        self.put(&format!("limit.{name}"), value.replace(char::is_whitespace, ""));
        self
    }

    /// An ordinary user started it.
    pub fn rootless(mut self) -> Self {
        self.put("rootless", 1);
        self
    }

    fn put(&mut self, key: &str, value: impl std::fmt::Display) {
        let _ = write!(self.text, " {key}={value}");
    }

    /// For the container's environment: `CARBOY_HELLO=…`.
    pub fn environment(&self) -> String {
        format!("{VARIABLE}={}", self.text)
    }

    /// The variable's value.
    pub fn value(&self) -> &str {
        &self.text
    }
}
