//! Images that mean harm, beyond those of the snapshotters' own suite: each is refused in one line, or harmless.

#![allow(clippy::unwrap_used)]

mod common;

use carboy_image::SnapshotterChoice::{self, Erofs, Overlay};
use carboy_image::{ImageError, LoadSource};
use carboy_oci::image::media_type::{OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST};
use carboy_store::Hasher;
use common::*;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Both snapshotters, each test.
macro_rules! suite {
    ($($name:ident),* $(,)?) => {
        mod erofs { $(#[test] #[ignore = "needs root: mounts"] fn $name() { super::$name(super::Erofs) })* }
        mod overlay { $(#[test] #[ignore = "needs root: mounts"] fn $name() { super::$name(super::Overlay) })* }
    };
}

suite!(
    numbers_that_lie,
    names_that_lead_elsewhere,
    whiteouts_that_lead_elsewhere,
    directories_as_deep_as_a_path_can_be
);

/// A header whose field is replaced, with its right checksum.
fn with_field(tar: &TarBuilder, at: usize, field: &[u8]) -> Vec<u8> {
    let mut bytes = tar.finish();
    bytes[at..at + field.len()].copy_from_slice(field);
    bytes[148..156].fill(b' ');
    let sum: u32 = bytes[..512].iter().map(|&byte| u32::from(byte)).sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    bytes
}

fn numbers_that_lie(choice: SnapshotterChoice) {
    let sandbox = Sandbox::new(choice);
    let plain = TarBuilder::default().file("x", b"content").take();
    let pax = |key: &str, value: &str| TarBuilder::default().pax(&[(key, value)]).file("x", b"content").finish();
    let sparse = |map: &str, size: &str| {
        let records =
            [("GNU.sparse.major", "0"), ("GNU.sparse.minor", "1"), ("GNU.sparse.map", map), ("GNU.sparse.size", size)];
        TarBuilder::default().pax(&records).file("x", b"content").finish()
    };
    let ones = [0xff; 12];
    let refused: Vec<(&str, Vec<u8>)> = vec![
        ("size", with_field(&plain, 124, &ones)),
        ("size", with_field(&plain, 124, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff")),
        ("size", with_field(&plain, 124, b"-0000000001\0")),
        ("truncated", with_field(&plain, 124, b"77777777777\0")),
        ("checksum", with_field(&plain, 124, b"00000000000\0")),
        ("uid", with_field(&plain, 108, &ones[..8])),
        ("size", pax("size", "-1")),
        ("size", pax("size", "18446744073709551616")),
        ("size", pax("size", "18446744073709551615")),
        ("size", pax("size", "9223372036854775807")),
        ("truncated", pax("size", "1000000000000")),
        ("checksum", pax("size", "0")),
        ("uid", pax("uid", "4294967296")),
        ("uid", pax("uid", "-1")),
        ("mtime", pax("mtime", "nan")),
        ("sparse", sparse("0,7", "3")),
        ("sparse", sparse("18446744073709551615,7", "18446744073709551615")),
        ("sparse", sparse("5,7,1,0", "100")),
        ("sparse", sparse("0,6", "100")),
    ];
    for (cause, tar) in refused {
        let error = sandbox.layer(&tar).unwrap_err().to_string();
        assert!(error.contains(cause) && !error.contains('\n'), "{cause}: {error}");
        sandbox.assert_nothing_left();
    }
    // Of all the bytes that a file claims to have, holes cost nothing, or cannot be had.
    for size in ["10000000000", "4611686018427387903"] {
        let tar = sparse("0,7", size);
        if let Err(error) = sandbox.layer(&tar) {
            assert!(size.len() > 12, "{error}");
            sandbox.assert_nothing_left();
            continue;
        }
        let image = sandbox.image("holes", &[tar]);
        sandbox.with_root(&image, |root| {
            let meta = fs::metadata(root.join("x")).unwrap();
            assert_eq!(meta.len().to_string(), size);
            assert!(std::os::unix::fs::MetadataExt::blocks(&meta) < 100_000_000);
        });
        fs::remove_dir_all(sandbox.path("root/containers")).unwrap();
    }
}

fn names_that_lead_elsewhere(choice: SnapshotterChoice) {
    let sandbox = Sandbox::new(choice);
    let outside = sandbox.folder("outside");
    fs::write(outside.join("file"), "untouched").unwrap();
    let link = outside.to_str().unwrap();
    let file = format!("{link}/file");
    let mut tar = TarBuilder::default();
    // Through a link, through a hard link to a link, and through a link that replaces a directory with things in it.
    tar.symlink("a", link).file("a/file", b"x").symlink("l", &file).hard_link("h", "l").file("h", b"x").file("l", b"x");
    tar.directory("d", 0o755).file("d/sub", b"x").symlink("d", link).file("d/file", b"x");
    // What a PAX header says, against what stands in the entry.
    tar.pax(&[("path", "p/q")]).file("../../escape", b"x").pax(&[("linkpath", &file)]).symlink("s", "harmless");
    // Letters of either case are different names.
    tar.file("ETC/passwd", b"upper").file("etc/passwd", b"lower").file("Etc/passwd", b"mixed");
    let image = sandbox.image("links", &[tar.finish()]);
    sandbox.with_root(&image, |root| {
        for name in ["a/file", "h", "l", "d/file", "p/q"] {
            let path = root.join(name);
            assert!(
                path.symlink_metadata().unwrap().is_file()
                    && path.parent().unwrap().symlink_metadata().unwrap().is_dir(),
                "{name}"
            );
        }
        assert!(!root.join("d/sub").exists());
        for (name, text) in [("ETC", "upper"), ("etc", "lower"), ("Etc", "mixed")] {
            assert_eq!(fs::read_to_string(root.join(name).join("passwd")).unwrap(), text);
        }
        assert_eq!(fs::read_link(root.join("s")).unwrap(), Path::new(&file));
    });
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "untouched");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    for (cause, tar) in [
        ("leads out of the root", TarBuilder::default().pax(&[("path", "../x")]).file("x", b"").take()),
        ("leads out of the root", TarBuilder::default().pax(&[("linkpath", "../../x")]).hard_link("h", "x").take()),
        ("NUL", TarBuilder::default().pax(&[("path", "a\0/../../x")]).file("x", b"").take()),
        ("its own parent", TarBuilder::default().file("a", b"").hard_link("a/b", "a").take()),
        ("larger than 1 MiB", TarBuilder::default().pax(&[("path", &"x".repeat(2 << 20))]).file("x", b"").take()),
    ] {
        let error = sandbox.layer(&tar.finish()).unwrap_err().to_string();
        assert!(error.contains(cause), "{cause}: {error}");
        sandbox.assert_nothing_left();
    }
}

fn whiteouts_that_lead_elsewhere(choice: SnapshotterChoice) {
    let sandbox = Sandbox::new(choice);
    let mut base = TarBuilder::default();
    base.file("keep/x", b"x").file("gone/x", b"x").symlink("link", "keep").file("file", b"x");
    for (cause, name) in [
        ("leads out of the root", "../.wh.x"),
        ("leads out of the root", "a/../../.wh..wh..opq"),
        ("whiteout", "keep/.wh..."),
        ("whiteout", "keep/.wh../x"),
        ("whiteout", ".wh."),
    ] {
        let error = sandbox.layer(&TarBuilder::default().file(name, b"").finish()).unwrap_err().to_string();
        assert!(error.contains(cause), "{name}: {error}");
    }
    let mut top = TarBuilder::default();
    // Through the lower layer's link, below a file, of the root as a whole, and one that is a directory or a device itself.
    top.file("link/.wh.x", b"").file("file/.wh.y", b"").file(".wh.gone", b"").directory("keep/.wh.none", 0o755).device(
        "keep/.wh.dev",
        1,
        3,
    );
    let image = sandbox.image("whiteouts", &[base.finish(), top.finish()]);
    sandbox.with_root(&image, |root| {
        assert_eq!(fs::read(root.join("keep/x")).unwrap(), b"x");
        assert!(!root.join("gone").exists());
        let names: Vec<_> = fs::read_dir(root.join("keep")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["x"]);
    });
}

fn directories_as_deep_as_a_path_can_be(choice: SnapshotterChoice) {
    // Fewer descriptors than levels, as a user's shell gives.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(1024), ..limit }).unwrap();
    let sandbox = Sandbox::new(choice);
    let mut tar = TarBuilder::default();
    tar.file(&format!("{}end", "d/".repeat(2040)), b"deep").file(&format!("{}x", "e/".repeat(1000)), b"");
    let image = sandbox.image("deep", &[tar.finish()]);
    sandbox.with_root(&image, |root| assert!(root.join("e/e/e/e").is_dir()));
    fs::remove_dir_all(sandbox.path("root/containers")).unwrap();
    sandbox.images.remove(image.id.as_str(), true, &|_| None).unwrap();
    sandbox.images.collect().unwrap();
    sandbox.assert_nothing_left();
    assert_eq!(fs::read_dir(sandbox.path("root/layers")).unwrap().count(), 0);
}

/// An OCI layout that is written by hand.
struct Layout(PathBuf);

impl Layout {
    fn new(sandbox: &Sandbox, name: &str) -> Layout {
        let folder = sandbox.folder(name);
        fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Layout(folder)
    }

    /// Stores bytes and describes them.
    fn put(&self, bytes: &[u8], media_type: &str) -> Value {
        let digest = Hasher::digest_of(bytes);
        fs::write(self.0.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    fn document(&self, value: &Value, media_type: &str) -> Value {
        self.put(value.to_string().as_bytes(), media_type)
    }

    /// An image of these layers.
    fn image(&self, layers: &[Value]) -> Value {
        let ids: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
        let config = json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": ids } });
        let config = self.document(&config, OCI_CONFIG);
        self.document(
            &json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers }),
            OCI_MANIFEST,
        )
    }

    fn layer(&self) -> Value {
        self.put(&TarBuilder::default().file("x", b"content").finish(), OCI_LAYER)
    }

    fn index(&self, manifests: &[Value]) {
        fs::write(self.0.join("index.json"), json!({ "schemaVersion": 2, "manifests": manifests }).to_string())
            .unwrap();
    }
}

fn chain(error: &ImageError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

#[test]
#[ignore = "needs root: unpacks"]
fn layouts_that_lie() {
    let sandbox = Sandbox::new(Overlay);
    let refused = |name: &str, cause: &str, make: &dyn Fn(&Layout) -> Vec<Value>| {
        let layout = Layout::new(&sandbox, name);
        let entries = make(&layout);
        layout.index(&entries);
        let error = chain(&sandbox.images.load(LoadSource::Path(&layout.0), &|_, _, _| {}).unwrap_err());
        assert!(error.contains(cause) && !error.contains('\n'), "{name}: {error}");
        assert!(sandbox.images.list().unwrap().is_empty());
        sandbox.images.collect().unwrap();
        sandbox.assert_nothing_left();
    };
    let with = |mut value: Value, key: &str, new: Value| {
        value[key] = new;
        value
    };
    refused("smaller", "bytes", &|l| vec![l.image(&[with(l.layer(), "size", json!(5))])]);
    refused("larger", "bytes", &|l| vec![l.image(&[with(l.layer(), "size", json!(1u64 << 60))])]);
    refused("negative", "not valid", &|l| vec![l.image(&[with(l.layer(), "size", json!(-1))])]);
    refused("no-digest", "not valid", &|l| {
        vec![l.image(&[with(l.layer(), "digest", json!("sha256:../../etc/passwd"))])]
    });
    refused("bad-algorithm", "not valid", &|l| {
        vec![l.image(&[with(l.layer(), "digest", json!(format!("md5:{}", "0".repeat(32))))])]
    });
    refused("other-content", "digest mismatch", &|l| {
        let layer = l.layer();
        let hex = layer["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
        let manifest = l.image(&[layer]);
        fs::write(l.0.join("blobs/sha256").join(hex), TarBuilder::default().file("x", b"CONTENT").finish()).unwrap();
        vec![manifest]
    });
    refused("config-is-a-layer", "not valid", &|l| {
        let layer = l.layer();
        vec![l.document(&json!({ "schemaVersion": 2, "config": layer, "layers": [layer] }), OCI_MANIFEST)]
    });
    refused("manifest-is-an-index", "", &|l| {
        vec![with(
            l.document(&json!({ "schemaVersion": 2, "manifests": [] }), OCI_INDEX),
            "mediaType",
            json!(OCI_MANIFEST),
        )]
    });
    refused("index-is-a-manifest", "", &|l| vec![with(l.image(&[l.layer()]), "mediaType", json!(OCI_INDEX))]);
    refused("unknown-type", "unknown type", &|l| vec![with(l.image(&[l.layer()]), "mediaType", json!("text/plain"))]);
    refused("points-to-itself", "digest mismatch", &|l| {
        // No content can name its own digest; one that is stored under the digest that it names can.
        let digest = format!("sha256:{}", "ab".repeat(32));
        let index =
            json!({ "schemaVersion": 2, "manifests": [{ "mediaType": OCI_INDEX, "digest": digest, "size": 100 }] });
        fs::write(l.0.join("blobs/sha256").join("ab".repeat(32)), index.to_string()).unwrap();
        vec![json!({ "mediaType": OCI_INDEX, "digest": digest, "size": 100 })]
    });
    refused("nested", "nested more than", &|l| {
        let mut entry = l.image(&[l.layer()]);
        for _ in 0..10 {
            entry = l.document(&json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry] }), OCI_INDEX);
        }
        vec![entry]
    });
    refused("many-layers", "more than the 500", &|l| vec![l.image(&vec![l.layer(); 501])]);
    refused("many-images", "more than the 4096", &|l| vec![l.image(&[l.layer()]); 5000]);
    refused("deep-json", "not valid", &|l| vec![l.put("[".repeat(1 << 20).as_bytes(), OCI_MANIFEST)]);
    refused("large-manifest", "larger than 32 MiB", &|l| vec![l.put(&vec![b' '; 33 << 20], OCI_MANIFEST)]);
    // A layer twice is no lie.
    let layout = Layout::new(&sandbox, "twice");
    let layer = layout.layer();
    layout.index(&[layout.image(&[layer.clone(), layer])]);
    assert_eq!(sandbox.images.load(LoadSource::Path(&layout.0), &|_, _, _| {}).unwrap().len(), 1);
}

#[test]
#[ignore = "needs root: unpacks"]
fn archives_whose_members_lead_elsewhere() {
    let sandbox = Sandbox::new(Overlay);
    fs::write(sandbox.path("secret"), "{}").unwrap();
    let secret = sandbox.path("secret").display().to_string();
    let manifest = |config: &str, layers: &[&str]| {
        json!([{ "Config": config, "Layers": layers, "RepoTags": ["a:b"] }]).to_string()
    };
    for (name, tar) in [
        ("absolute", TarBuilder::default().file("manifest.json", manifest(&secret, &[]).as_bytes()).take()),
        (
            "up",
            TarBuilder::default()
                .file("manifest.json", manifest(&format!("../../../../../..{secret}"), &[]).as_bytes())
                .take(),
        ),
        (
            "link",
            TarBuilder::default().symlink("c", &secret).file("manifest.json", manifest("c", &[]).as_bytes()).take(),
        ),
        (
            "links",
            TarBuilder::default()
                .symlink("a", "b")
                .symlink("b", "a")
                .file("manifest.json", manifest("a", &[]).as_bytes())
                .take(),
        ),
        ("manifest", TarBuilder::default().symlink("manifest.json", "manifest.json").take()),
    ] {
        let path = sandbox.path(name);
        fs::write(&path, tar.finish()).unwrap();
        let error = chain(&sandbox.images.load(LoadSource::Path(&path), &|_, _, _| {}).unwrap_err());
        assert!(!error.contains('\n'), "{error}");
        assert!(error.contains("has no member") || error.contains("not an image archive"), "{name}: {error}");
    }
    // In a directory, links are the file system's: they must not lead out of it either.
    let layout = Layout::new(&sandbox, "layout");
    let manifest = layout.image(&[layout.layer()]);
    let hex = manifest["digest"].as_str().unwrap().trim_start_matches("sha256:");
    let blob = layout.0.join("blobs/sha256").join(hex);
    fs::rename(&blob, sandbox.path("moved")).unwrap();
    std::os::unix::fs::symlink(sandbox.path("moved"), &blob).unwrap();
    layout.index(&[manifest]);
    // What is there is checked by its digest, so that a link gives away nothing; following it is what skopeo does.
    assert!(sandbox.images.load(LoadSource::Path(&layout.0), &|_, _, _| {}).is_ok());
}
