//! Pushes to Debian's docker-registry, read back by skopeo and by pulls of our own.

#![allow(clippy::unwrap_used)]

mod common;
mod registry;

use carboy_distribution::{Client, Credential, Credentials, Settings};
use carboy_image::SnapshotterChoice;
use carboy_image::pull::{NoProgress, PullErrorKind, PullOptions, Pulled, pull};
use carboy_image::push::{Event, LayerPhase, Progress, PushError, PushOptions, PushedImage, push};
use carboy_oci::Reference;
use common::Sandbox;
use registry::Registry;
use std::sync::Mutex;

fn pulled(sandbox: &Sandbox, reference: &Reference) -> Pulled {
    pull(&sandbox.images, &Client::default(), reference, &PullOptions::default(), &NoProgress).unwrap()
}

fn pushed(sandbox: &Sandbox, source: &Pulled, to: &Reference) -> Result<PushedImage, PushError> {
    let (options, manifest) = (PushOptions::default(), &source.image.manifest);
    push(&sandbox.images, &Client::default(), manifest, to, &options, &NoProgress)
}

/// The last phase of each layer, in words.
#[derive(Default)]
struct Phases(Mutex<Vec<(usize, String)>>);

impl Progress for Phases {
    fn event(&self, event: Event<'_>) {
        if let Event::Phase(number, phase) = event {
            self.0.lock().unwrap().push((number, format!("{phase:?}")));
        }
    }
}

#[test]
#[ignore = "needs docker-registry, skopeo and umoci"]
fn the_digest_stays_in_every_form() {
    let (from, to) = (Registry::start(), Registry::start());
    from.fill();
    let sandbox = Sandbox::new(SnapshotterChoice::Auto);
    for tag in ["oci", "v2", "plain", "zstd"] {
        let source = pulled(&sandbox, &from.reference(&format!("t:{tag}")));
        let sent = pushed(&sandbox, &source, &to.reference(&format!("a/b:{tag}"))).unwrap();
        assert_eq!(sent.digest, source.digest, "{tag}");
        let here = to.skopeo(&format!("inspect --raw --tls-verify=false docker://HOST/a/b:{tag}"));
        assert_eq!(here, from.skopeo(&format!("inspect --raw --tls-verify=false docker://HOST/t:{tag}")), "{tag}");
        assert_eq!(sent.size, here.len() as u64);
        // What another store makes of it.
        let other = Sandbox::new(SnapshotterChoice::Auto);
        assert_eq!(pulled(&other, &to.reference(&format!("a/b:{tag}"))).image.id, source.image.id, "{tag}");
    }
}

#[test]
#[ignore = "needs docker-registry, skopeo and umoci"]
fn only_what_is_missing_is_sent() {
    let registry = Registry::start();
    registry.fill();
    let sandbox = Sandbox::new(SnapshotterChoice::Auto);
    let source = pulled(&sandbox, &registry.reference("t:oci"));
    let send = |name: &str| {
        let (before, phases) = (registry.our_requests().len(), Phases::default());
        let (to, options) = (registry.reference(name), PushOptions::default());
        push(&sandbox.images, &Client::default(), &source.image.manifest, &to, &options, &phases).unwrap();
        let mut requests = registry.our_requests()[before..].to_vec();
        requests.retain(|line| !line.starts_with("HEAD "));
        (requests, phases.0.into_inner().unwrap())
    };
    let (requests, phases) = send("t:again");
    assert_eq!(requests, ["PUT /v2/t/manifests/again"], "everything is there");
    assert!(phases.contains(&(0, "Exists".to_owned())) && phases.contains(&(1, "Exists".to_owned())));

    let (requests, phases) = send("other:1");
    let mounts = requests.iter().filter(|line| line.starts_with("POST /v2/other/blobs/uploads/?mount=sha256:")).count();
    assert_eq!((mounts, requests.len()), (3, 4), "two layers, the configuration, the manifest: {requests:?}");
    assert!(phases.contains(&(0, format!("{:?}", LayerPhase::Mounted("t")))), "{phases:?}");

    // The same layer twice in one image, as the hello image may be: each blob is sent once.
    let (requests, _) = send("other:2");
    assert_eq!(requests, ["PUT /v2/other/manifests/2"]);
}

#[test]
#[ignore = "needs docker-registry, skopeo and umoci"]
fn a_push_needs_the_password_and_what_it_sends() {
    let (from, to) = (Registry::start(), Registry::with_password());
    from.fill();
    let sandbox = Sandbox::new(SnapshotterChoice::Auto);
    let source = pulled(&sandbox, &from.reference("t:oci"));
    let target = to.reference("p:1");
    let error = pushed(&sandbox, &source, &target).unwrap_err();
    assert_eq!(error.kind(), PullErrorKind::Unauthorized);
    let expected = format!("push access denied for {}, ", target.familiar_repository());
    assert!(error.to_string().starts_with(&expected), "{error}");
    let user = Credential::Basic { user: "me".to_owned(), password: "s3cret".to_owned() };
    let client = Client::new(Settings { credentials: Credentials::given(user), ..Settings::default() });
    let options = PushOptions { parallel: Some(1), piece: Some(100_000), ..PushOptions::default() };
    push(&sandbox.images, &client, &source.image.manifest, &target, &options, &NoProgress).unwrap();

    let blob = &source.image.manifest_data.layers[0].digest;
    std::fs::remove_file(sandbox.images.store().blob_path(blob)).unwrap();
    let before = from.our_requests().len();
    let error = pushed(&sandbox, &source, &from.reference("q:1")).unwrap_err();
    assert!(matches!(&error, PushError::Missing(digest) if digest == blob), "{error}");
    assert_eq!(from.our_requests().len(), before, "nothing is sent of what is not whole");
}

fn pulled_without_blobs(sandbox: &Sandbox, reference: &Reference) -> Pulled {
    let options = PullOptions { drop_blobs: Some(true), ..PullOptions::default() };
    pull(&sandbox.images, &Client::default(), reference, &options, &NoProgress).unwrap()
}

fn blobs(sandbox: &Sandbox) -> usize {
    std::fs::read_dir(sandbox.path("root/blobs/sha256")).unwrap().count()
}

#[test]
#[ignore = "needs root, docker-registry, skopeo and umoci"]
fn dropped_blobs_are_made_anew() {
    let (from, to) = (Registry::start(), Registry::start());
    from.fill();
    for tag in ["oci", "v2", "plain", "zstd"] {
        let sandbox = Sandbox::new(SnapshotterChoice::Erofs);
        let source = pulled_without_blobs(&sandbox, &from.reference(&format!("t:{tag}")));
        assert_eq!(blobs(&sandbox), 2, "{tag}: configuration and manifest");
        // The registry that it came from has the blobs.
        assert_eq!(pushed(&sandbox, &source, &from.reference("t:again")).unwrap().digest, source.digest, "{tag}");

        let target = to.reference(&format!("a/b:{tag}"));
        let sent = pushed(&sandbox, &source, &target).unwrap();
        assert_eq!(sent.digest == source.digest, tag == "plain", "{tag}: what was not compressed is what it was");
        let other = Sandbox::new(SnapshotterChoice::Auto);
        let back = pulled(&other, &target);
        assert_eq!((&back.digest, &back.image.id), (&sent.digest, &source.image.id), "{tag}");
        let kinds = |pulled: &Pulled| {
            pulled.image.manifest_data.layers.iter().map(|layer| layer.media_type.clone()).collect::<Vec<_>>()
        };
        assert_eq!(kinds(&back), kinds(&source), "{tag}: compressed as before");
        to.skopeo(&format!("copy -q --src-tls-verify=false docker://HOST/a/b:{tag} dir:DIR/checked-{tag}"));
        if tag != "plain" {
            assert_eq!(blobs(&sandbox), 2, "{tag}: what was made for the push goes with it");
            let digest = to.reference("a/b").with_digest(source.digest.clone());
            // Now the registry has the new blobs, not the old ones.
            let error = pushed(&sandbox, &source, &digest).unwrap_err();
            assert!(matches!(&error, PushError::Repacked { before, .. } if *before == source.digest), "{error}");
        }
        sandbox.assert_nothing_left();
        assert_eq!(sandbox.images.check(carboy_image::CheckOptions::default()).unwrap().len(), 0, "{tag}");
    }
    // Directories are no tar.
    let sandbox = Sandbox::new(SnapshotterChoice::Overlay);
    let source = pulled_without_blobs(&sandbox, &from.reference("t:oci"));
    let error = pushed(&sandbox, &source, &to.reference("c:1")).unwrap_err();
    assert!(error.to_string().contains("the overlay snapshotter keeps no tar"), "{error}");
    sandbox.assert_nothing_left();
}
