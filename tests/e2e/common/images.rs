//! The images that other tools made (see `dev/test-images`, which makes them once), and hostile ones that no tool would make.

use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A file or folder of `target/test-images`, such as `busybox` (an OCI layout) or `debian.oci.tar`.
pub(crate) fn file(name: &str) -> PathBuf {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    let dir = DIR.get_or_init(|| if super::vm::is_guest() { super::vm::given() } else { make(&[]) });
    let path = dir.join(name);
    if !path.exists() && name.starts_with("debian") {
        make(&["debian"]);
    }
    assert!(path.exists(), "{} is missing: see dev/test-images", path.display());
    path
}

fn make(args: &[&str]) -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/dev/test-images");
    let made = super::Call::new(script).args(args).limit(600).ok();
    PathBuf::from(made.trim_end())
}

/// A tar entry that [`archive`] writes as it is, however hostile.
pub(crate) enum Entry<'a> {
    File(&'a str, &'a [u8]),
    /// Executable.
    Program(&'a str, &'a [u8]),
    Symlink(&'a str, &'a str),
    Hardlink(&'a str, &'a str),
}

/// A tar of these entries.
pub(crate) fn tar(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        let (name, kind, link, data): (_, _, _, &[u8]) = match entry {
            Entry::File(name, data) | Entry::Program(name, data) => (name, b'0', "", data),
            Entry::Symlink(name, target) => (name, b'2', *target, b""),
            Entry::Hardlink(name, target) => (name, b'1', *target, b""),
        };
        let mut header = [0_u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        let mode = if matches!(entry, Entry::Program(..)) { b"0000755\0" } else { b"0000644\0" };
        header[100..108].copy_from_slice(mode);
        header[108..116].copy_from_slice(b"0000000\0");
        header[116..124].copy_from_slice(b"0000000\0");
        header[124..136].copy_from_slice(format!("{:011o}\0", data.len()).as_bytes());
        header[136..148].copy_from_slice(b"00000000000\0");
        header[148..156].copy_from_slice(b"        ");
        header[156] = kind;
        header[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        out.extend_from_slice(&header);
        out.extend_from_slice(data);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

/// `sha256:…` of bytes.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Writes an oci-archive `path` of one uncompressed layer, all digests right; `layer` need not be a tar at all.
pub(crate) fn archive(path: &Path, name: &str, layer: &[u8]) {
    archive_with(path, name, layer, layer);
}

/// Likewise, but the blob that is stored in the layer's place is `stored`.
pub(crate) fn archive_with(path: &Path, name: &str, layer: &[u8], stored: &[u8]) {
    let dir = path.with_extension("layout");
    let blobs = dir.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let put = |digest: &str, bytes: &[u8]| std::fs::write(blobs.join(&digest["sha256:".len()..]), bytes).unwrap();
    let layer_digest = digest(layer);
    put(&layer_digest, stored);
    let config = config(layer);
    put(&digest(config.as_bytes()), config.as_bytes());
    let manifest = manifest(&config, layer);
    put(&digest(manifest.as_bytes()), manifest.as_bytes());
    let index = serde_json::json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest(manifest.as_bytes()), "size": manifest.len(),
            "annotations": {"org.opencontainers.image.ref.name": name},
        }],
    });
    std::fs::write(dir.join("index.json"), index.to_string()).unwrap();
    std::fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    super::Call::new("tar").arg("-C").arg(&dir).arg("-cf").arg(path).arg(".").ok();
}

/// An image's configuration: this machine's architecture, one layer, which is stored as it is.
pub(crate) fn config(layer: &[u8]) -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = serde_json::json!({
        "architecture": architecture, "os": "linux", "config": {"Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
    });
    config.to_string()
}

/// The manifest of that configuration and that layer.
pub(crate) fn manifest(config: &str, layer: &[u8]) -> String {
    let part = |kind: &str, bytes: &[u8]| {
        let kind = format!("application/vnd.oci.image.{kind}");
        serde_json::json!({"mediaType": kind, "digest": digest(bytes), "size": bytes.len()})
    };
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": part("config.v1+json", config.as_bytes()), "layers": [part("layer.v1.tar", layer)],
    });
    manifest.to_string()
}
