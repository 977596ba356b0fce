//! Pulls from Debian's docker-registry, of images that other tools made and pushed.

#![allow(clippy::unwrap_used)]

mod common;
mod registry;

use carboy_distribution::{Client, Credential, Credentials, Settings};
use carboy_image::SnapshotterChoice;
use carboy_image::pull::{Event, LayerPhase, NoProgress, Progress, PullErrorKind, PullOptions, Pulled, pull};
use carboy_oci::{Digest, Reference};
use common::Sandbox;
use registry::Registry;
use std::path::Path;
use std::sync::Mutex;

fn pull_default(sandbox: &Sandbox, reference: &Reference) -> Pulled {
    pull(&sandbox.images, &Client::default(), reference, &PullOptions::default(), &NoProgress).unwrap()
}

fn sandbox() -> Sandbox {
    Sandbox::new(SnapshotterChoice::Auto)
}

/// Nothing in progress, and nothing of a failed pull under a name.
fn assert_clean(root: &Path) {
    for folder in ["ingest", "trash", "refs"] {
        let left: Vec<_> =
            std::fs::read_dir(root.join(folder)).into_iter().flatten().flatten().map(|e| e.path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn sha256(path: &Path) -> String {
    let output = registry::run(std::process::Command::new("sha256sum").arg(path));
    output.split_whitespace().next().unwrap().to_owned()
}

fn digest_at(registry: &Registry, tag: &str) -> Digest {
    registry.digest(tag).parse().unwrap()
}

#[test]
#[ignore = "needs docker-registry, skopeo and umoci"]
fn every_media_type_and_compression() {
    let registry = Registry::start();
    registry.fill();
    for tag in ["oci", "v2", "plain", "zstd"] {
        let sandbox = sandbox();
        let reference = registry.reference(&format!("t:{tag}"));
        let pulled = pull_default(&sandbox, &reference);
        assert_eq!(pulled.digest, digest_at(&registry, tag), "{tag}");
        assert!(pulled.is_new);
        let config = &pulled.image.config;
        assert_eq!((config.architecture.as_str(), &config.config.env), ("amd64", &vec!["WHICH=amd64".to_owned()]));
        assert_eq!(config.rootfs.diff_ids.len(), 2);
        for (blob, diff_id) in pulled.image.manifest_data.layers.iter().zip(pulled.image.layers()) {
            assert!(sandbox.images.has_layer(diff_id), "{tag}");
            let path = sandbox.images.store().blob_path(&blob.digest);
            assert_eq!(sha256(&path), blob.digest.hex(), "{tag}: blobs are kept as received");
        }
        let mut names: Vec<String> = pulled.image.names.iter().map(Reference::to_string).collect();
        names.sort();
        assert_eq!(names, [reference.to_string(), reference.with_digest(pulled.digest).to_string()]);
    }
}

#[test]
#[ignore = "needs root, docker-registry, skopeo and umoci"]
fn what_was_pulled_is_seen() {
    let registry = Registry::start();
    registry.fill();
    let noise = std::fs::read(registry.dir.path().join("layer0/noise")).unwrap();
    for tag in ["oci", "plain", "zstd"] {
        for choice in [SnapshotterChoice::Erofs, SnapshotterChoice::Overlay] {
            let sandbox = Sandbox::new(choice);
            let pulled = pull_default(&sandbox, &registry.reference(&format!("t:{tag}")));
            sandbox.with_root(&pulled.image, |root| {
                assert!(std::fs::read(root.join("zero/noise")).unwrap() == noise, "{tag}");
                // umoci leaves out the padding behind the last file: the tar ends within a block.
                assert_eq!(std::fs::read_to_string(root.join("one/text")).unwrap(), "hello\n", "{tag}");
            });
        }
    }
}

#[test]
#[ignore = "needs docker-registry, skopeo and umoci"]
fn an_index_by_platform_and_shared_layers() {
    let registry = Registry::start();
    registry.fill();
    let sandbox = sandbox();
    let reference = registry.reference("t:multi");
    let options = |platform: &str| PullOptions { platform: Some(platform.parse().unwrap()), ..PullOptions::default() };
    let client = Client::default();
    let amd = pull(&sandbox.images, &client, &reference, &options("linux/amd64"), &NoProgress).unwrap();
    assert_eq!(amd.image.config.config.env, ["WHICH=amd64"]);
    assert_eq!(amd.digest.to_string(), {
        let raw = registry.skopeo("inspect --raw --tls-verify=false docker://HOST/t:multi");
        let file = registry.dir.path().join("raw");
        std::fs::write(&file, raw).unwrap();
        format!("sha256:{}", sha256(&file))
    });

    let before = registry.our_requests().len();
    let phases = Phases::default();
    let arm = pull(&sandbox.images, &client, &reference, &options("linux/arm64"), &phases).unwrap();
    assert_eq!(arm.image.config.config.env, ["WHICH=arm64"]);
    assert!(arm.is_new && arm.digest == amd.digest);
    assert_eq!(phases.final_of(3), [LayerPhase::Exists, LayerPhase::Exists, LayerPhase::Done]);
    let blobs = registry.our_requests()[before..].iter().filter(|line| line.contains("/blobs/")).count();
    assert_eq!(blobs, 2, "the configuration and the one layer that is not shared");

    let error = pull(&sandbox.images, &client, &reference, &options("linux/s390x"), &NoProgress).unwrap_err();
    assert_eq!(error.kind(), PullErrorKind::NotFound);
    assert!(
        error.to_string().contains("no matching manifest for linux/s390x")
            && error.to_string().contains("linux/arm64/v8"),
        "{error}"
    );
    // What is no list has one platform, and is taken whatever was asked for.
    let single = registry.reference("t:oci");
    let other = pull(&sandbox.images, &client, &single, &options("linux/arm64"), &NoProgress).unwrap();
    assert_eq!(other.image.config.architecture, "amd64");
}

/// The last phase of each layer.
#[derive(Default)]
struct Phases(Mutex<Vec<(usize, LayerPhase)>>);

impl Progress for Phases {
    fn event(&self, event: Event<'_>) {
        if let Event::Phase(number, phase) = event {
            self.0.lock().unwrap().push((number, phase));
        }
    }
}

impl Phases {
    fn final_of(&self, layers: usize) -> Vec<LayerPhase> {
        let all = self.0.lock().unwrap();
        (0..layers).map(|layer| all.iter().rev().find(|(number, _)| *number == layer).unwrap().1).collect()
    }
}

#[test]
#[ignore = "needs docker-registry, skopeo and umoci"]
fn a_second_pull_costs_one_head() {
    let registry = Registry::start();
    registry.fill();
    let sandbox = sandbox();
    for tag in ["oci", "multi"] {
        let reference = registry.reference(&format!("t:{tag}"));
        let first = pull_default(&sandbox, &reference);
        let before = registry.our_requests().len();
        let second = pull_default(&sandbox, &reference);
        assert!(!second.is_new);
        assert_eq!((&second.image.id, &second.digest), (&first.image.id, &first.digest));
        assert_eq!(registry.our_requests()[before..], [format!("HEAD /v2/t/manifests/{tag}")]);
        pull_default(&sandbox, &reference.with_digest(first.digest));
        assert_eq!(registry.our_requests().len(), before + 1, "a digest that is here needs no request");
    }
    // The tag moves: the new image is fetched, its shared layers are not.
    registry.skopeo("copy -q --src-tls-verify=false --dest-tls-verify=false oci:DIR/layout:arm docker://HOST/t:oci");
    let moved = pull_default(&sandbox, &registry.reference("t:oci"));
    assert!(moved.is_new);
    assert_eq!(
        moved.image.config.config.env,
        ["WHICH=arm64"],
        "another platform is pulled, with a warning, if there is no other"
    );
}

#[test]
#[ignore = "needs docker-registry, skopeo and umoci"]
fn one_image_in_two_compressions_keeps_both_names() {
    let registry = Registry::start();
    registry.fill();
    let sandbox = sandbox();
    let tags = ["plain", "zstd"].map(|tag| registry.reference(&format!("t:{tag}")));
    let pulled = tags.clone().map(|tag| pull_default(&sandbox, &tag));
    assert_eq!(pulled[0].image.id, pulled[1].image.id);
    assert_ne!(pulled[0].digest, pulled[1].digest);
    let listed = sandbox.images.list().unwrap();
    assert_eq!(listed.len(), 1);
    assert!(tags.iter().all(|tag| listed[0].names.contains(tag)), "{:?}", listed[0].names);
    for tag in &tags {
        assert!(!pull_default(&sandbox, tag).is_new, "{tag}");
    }
}

#[test]
#[ignore = "needs docker-registry, skopeo and umoci"]
fn a_password_is_asked_for_and_found_in_dockers_file() {
    let registry = Registry::with_password();
    let sandbox = sandbox();
    registry.skopeo("login --tls-verify=false --authfile DIR/auth.json -u me -p s3cret HOST");
    let layout = {
        std::fs::create_dir(registry.dir.path().join("l")).unwrap();
        let dir = registry.dir.path().join("l/image");
        registry::run(std::process::Command::new("umoci").args(["init", "--layout"]).arg(&dir));
        let image = format!("{}:x", dir.display());
        registry::run(std::process::Command::new("umoci").args(["new", "--image", &image]));
        image
    };
    registry.skopeo(&format!(
        "copy -q --dest-tls-verify=false --authfile DIR/auth.json oci:{layout} docker://HOST/private/x:1"
    ));
    let reference = registry.reference("private/x:1");
    let with = |credentials| {
        let client = Client::new(Settings { credentials, ..Settings::default() });
        pull(&sandbox.images, &client, &reference, &PullOptions::default(), &NoProgress)
    };
    let error = with(Credentials::none()).unwrap_err();
    assert_eq!(error.kind(), PullErrorKind::Unauthorized);
    assert!(error.to_string().starts_with("pull access denied for "), "{error}");
    let wrong = Credential::Basic { user: "me".to_owned(), password: "wrong".to_owned() };
    assert_eq!(with(Credentials::given(wrong)).unwrap_err().kind(), PullErrorKind::Unauthorized);
    assert_clean(&sandbox.path("root"));
    with(Credentials::in_files(vec![registry.dir.path().join("auth.json")])).unwrap();
}

#[test]
#[ignore = "needs docker-registry, skopeo and umoci"]
fn what_is_not_there_is_said() {
    let registry = Registry::start();
    let sandbox = sandbox();
    let reference = registry.reference("no/such:image");
    let options = PullOptions::default();
    let error = pull(&sandbox.images, &Client::default(), &reference, &options, &NoProgress).unwrap_err();
    assert_eq!(error.kind(), PullErrorKind::NotFound);
    let expected = format!("manifest for {}/no/such:image not found: manifest unknown", registry.host());
    assert!(error.to_string().starts_with(&expected), "{error}");
    assert_clean(&sandbox.path("root"));
}

#[test]
#[ignore = "needs docker-registry, skopeo and umoci"]
fn two_at_once_download_once() {
    let registry = Registry::start();
    registry.fill();
    let sandbox = sandbox();
    let reference = registry.reference("t:oci");
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| pull_default(&sandbox, &reference).image.id)).collect();
        let ids: Vec<Digest> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(ids.iter().all(|id| *id == ids[0]));
    });
    let manifest = pull_default(&sandbox, &reference).image.manifest_data;
    for layer in manifest.layers {
        let path = format!("GET /v2/t/blobs/{}", layer.digest);
        let count = registry.our_requests().iter().filter(|line| **line == path).count();
        assert_eq!(count, 1, "{path}");
    }
}
