//! Layers that hide things of others, beside what umoci and podman make of the same image.

#![allow(clippy::unwrap_used)]

mod common;

use carboy_image::SnapshotterChoice;
use carboy_oci::image::media_type::{OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST};
use carboy_store::Hasher;
use common::*;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Every way in which a layer hides something of those below it. Directories are described, as every program that writes layers does:
/// what those that are not look like, each peer decides for itself.
fn hiding_layers() -> [Vec<u8>; 3] {
    let mut base = TarBuilder::default();
    base.directory("./", 0o755).directory("gone", 0o750).file("gone/x", b"1").file("file", b"1");
    base.directory("part", 0o700).file("part/kept", b"1").file("part/gone", b"1").directory("part/sub", 0o711);
    base.file("part/sub/x", b"1").directory("opaque", 0o755).file("opaque/x", b"1").directory("opaque/sub", 0o755);
    base.file("opaque/sub/x", b"1").symlink("link", "part").file("linked", b"1").hard_link("other", "linked");
    base.directory("to-file", 0o755).file("to-file/x", b"1").file("to-directory", b"1").directory("twice", 0o755);
    base.file("twice/x", b"1").directory("again", 0o755).file("again/x", b"1");
    let mut middle = TarBuilder::default();
    middle.directory("./", 0o711).file(".wh.gone", b"").file(".wh.file", b"").file(".wh.nothing", b"");
    middle.directory("part", 0o750).file("part/.wh.gone", b"").file("part/.wh.sub", b"").file("part/new", b"2");
    middle.directory("opaque", 0o700).file("opaque/.wh..wh..opq", b"").file("opaque/new", b"2");
    middle.file(".wh.link", b"").file(".wh.linked", b"").file(".wh.to-file", b"").file("to-file", b"2");
    middle.file(".wh.to-directory", b"").directory("to-directory", 0o755).file("to-directory/y", b"2");
    middle.directory("twice", 0o755).file("twice/.wh.x", b"").directory("again", 0o755);
    middle.file("again/.wh..wh..opq", b"").file("again/y", b"2");
    let mut top = TarBuilder::default();
    // What one layer has taken away the next one brings back, and the other way round.
    top.directory("./", 0o755).directory("gone", 0o755).file("gone/back", b"3").file("file", b"3");
    top.directory("twice", 0o755).file("twice/x", b"3").directory("again", 0o755).file("again/.wh..wh..opq", b"");
    top.directory("again/sub", 0o755).file("again/sub/z", b"3").file(".wh.to-directory", b"");
    [base.finish(), middle.finish(), top.finish()]
}

/// Writes the image as an OCI layout.
fn layout(dir: &Path, layers: &[Vec<u8>]) {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| fs::write(blobs.join(Hasher::digest_of(bytes).hex()), bytes).unwrap();
    let compressed: Vec<Vec<u8>> = layers.iter().map(|tar| gzip(tar)).collect();
    compressed.iter().for_each(|blob| put(blob));
    let descriptors: Vec<_> = compressed.iter().map(|blob| descriptor(blob, OCI_LAYER_GZIP)).collect();
    let diff_ids: Vec<_> = layers.iter().map(|tar| Hasher::digest_of(tar)).collect();
    let (manifest, config) = manifest_and_config(&descriptors, &diff_ids);
    put(&manifest);
    put(&config);
    let mut manifest = serde_json::to_value(descriptor(&manifest, OCI_MANIFEST)).unwrap();
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": "x" });
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [manifest] });
    fs::write(dir.join("index.json"), index.to_string()).unwrap();
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

/// What umoci makes of a layout.
fn by_umoci(dir: &Path) -> BTreeMap<PathBuf, String> {
    shell(dir, "umoci --log error unpack --image layout:x bundle");
    listing(&dir.join("bundle/rootfs"))
}

/// What podman makes of a layout.
fn by_podman(dir: &Path) -> BTreeMap<PathBuf, String> {
    const PODMAN: &str = "podman --root $PWD/podman --runroot $PWD/podman-run --storage-driver overlay";
    shell(dir, &format!("{PODMAN} pull -q oci:layout:x >id; {PODMAN} image mount $(cat id) >mounted"));
    let mounted = fs::read_to_string(dir.join("mounted")).unwrap();
    let seen = listing(Path::new(mounted.trim()));
    shell(dir, &format!("{PODMAN} image unmount -a >/dev/null; {PODMAN} rmi -af >/dev/null 2>&1"));
    seen
}

/// A directory's own times are the unpacker's business: putting things into it changes them.
fn without_times(mut listed: BTreeMap<PathBuf, String>) -> BTreeMap<PathBuf, String> {
    for line in listed.values_mut().filter(|line| line.starts_with('4')) {
        *line =
            line.split(' ').enumerate().filter(|(at, _)| *at != 2).map(|(_, word)| word).collect::<Vec<_>>().join(" ");
    }
    listed
}

fn seen_here(choice: SnapshotterChoice, layers: &[Vec<u8>]) -> BTreeMap<PathBuf, String> {
    let sandbox = Sandbox::new(choice);
    let image = sandbox.image("hiding", layers);
    without_times(sandbox.with_root(&image, listing))
}

#[test]
#[ignore = "needs root: mounts"]
fn what_layers_hide_is_hidden_as_by_umoci_and_podman() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let layers = hiding_layers();
    layout(&dir.path().join("layout"), &layers);
    let (umoci, mut podman) = (without_times(by_umoci(dir.path())), without_times(by_podman(dir.path())));
    // podman takes no notice of the root's own entry: 0555, always.
    podman.insert(PathBuf::new(), umoci[Path::new("")].clone());
    assert!(umoci.contains_key(Path::new("again/sub/z")) && !umoci.contains_key(Path::new("opaque/x")), "{umoci:#?}");
    for choice in [SnapshotterChoice::Erofs, SnapshotterChoice::Overlay] {
        let seen = seen_here(choice, &layers);
        assert_same(&seen, &podman);
        // umoci deletes what an overlay only hides, so that a file that keeps one of two names has one link there.
        let count = |links: &str| seen[Path::new("other")].contains(links);
        assert!(count("links 2") && umoci[Path::new("other")].contains("links 1"));
        let mut alike = seen.clone();
        alike.insert("other".into(), seen[Path::new("other")].replace("links 2", "links 1"));
        assert_same(&alike, &umoci);
    }
}

/// podman leaves an opaque root at what overlayfs makes of it, which is nothing; umoci has it as the image-spec.
#[test]
#[ignore = "needs root: mounts"]
fn an_opaque_root_hides_what_it_hides_for_umoci() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let mut top = TarBuilder::default();
    top.directory("./", 0o755).file(".wh..wh..opq", b"").directory("part", 0o700).file("part/only", b"4");
    let [base, middle, _] = hiding_layers();
    let layers = [base, middle, top.finish()];
    layout(&dir.path().join("layout"), &layers);
    let umoci = without_times(by_umoci(dir.path()));
    assert_eq!(umoci.len(), 3, "{umoci:#?}");
    for choice in [SnapshotterChoice::Erofs, SnapshotterChoice::Overlay] {
        assert_same(&seen_here(choice, &layers), &umoci);
    }
}
