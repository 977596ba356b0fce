//! Everything that writes and lists, against Debian's docker-registry.

#![allow(clippy::unwrap_used)]

#[path = "../../image/tests/registry/mod.rs"]
mod registry;

use carboy_distribution::{Access, Client, Error, ErrorKind, Pushed, Repository, Target, Upload};
use carboy_oci::Digest;
use carboy_oci::image::Descriptor;
use carboy_oci::image::media_type::OCI_MANIFEST;
use registry::Registry;
use sha2::Digest as _;
use std::io::Read;

fn digest(bytes: &[u8]) -> Digest {
    Digest::sha256(&sha2::Sha256::digest(bytes).into())
}

fn noise(length: usize) -> Vec<u8> {
    (0..length as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn repository(registry: &Registry, name: &str) -> Repository {
    Client::default().repository_for(&registry.reference(name), Access::Push)
}

fn push(repository: &Repository, bytes: &[u8], from: &[&str], piece: Option<u64>) -> Pushed {
    let open = |offset: u64| Ok(Box::new(&bytes[usize::try_from(offset).unwrap()..]) as Box<dyn Read>);
    let from: Vec<String> = from.iter().map(|path| (*path).to_owned()).collect();
    let (digest, size) = (digest(bytes), bytes.len() as u64);
    let upload = Upload { digest: &digest, size, content: &open, mount_from: &from, piece, progress: &|_| {} };
    repository.push_blob(&upload).unwrap()
}

fn descriptor(bytes: &[u8]) -> Descriptor {
    serde_json::from_str(&format!(r#"{{"digest":"{}","size":{}}}"#, digest(bytes), bytes.len())).unwrap()
}

#[test]
#[ignore = "needs docker-registry"]
fn blobs_at_once_in_pieces_and_mounted() {
    let registry = Registry::start();
    let (one, two) = (repository(&registry, "one"), repository(&registry, "a/two"));
    let (large, pieces) = (noise(5_000_000), noise(2_500_001));
    assert_eq!(push(&one, &large, &[], None), Pushed::Uploaded);
    assert_eq!(push(&one, &large, &[], None), Pushed::Existed);
    assert_eq!(push(&one, &pieces, &[], Some(1_000_000)), Pushed::Uploaded);
    assert_eq!(push(&one, b"", &[], None), Pushed::Uploaded);
    let before = registry.our_requests().len();
    assert_eq!(push(&two, &large, &["none", "one"], None), Pushed::Uploaded, "an unknown repository lends nothing");
    assert_eq!(push(&two, &pieces, &["one"], None), Pushed::Mounted("one".to_owned()));
    assert_eq!(registry.our_requests().len() - before, 3 + 2);
    assert_eq!(two.blob_size(&digest(&pieces)).unwrap(), Some(2_500_001));
    for bytes in [&large, &pieces] {
        let mut back = Vec::new();
        two.blob_from(&descriptor(bytes), 7).read_to_end(&mut back).unwrap();
        assert!(back == bytes[7..]);
    }
    one.delete_blob(&digest(&pieces)).unwrap();
    assert_eq!(one.blob_size(&digest(&pieces)).unwrap(), None);
}

#[test]
#[ignore = "needs docker-registry"]
fn manifests_tags_and_their_end() {
    let registry = Registry::start();
    let repository = repository(&registry, "x");
    let config = b"{}".as_slice();
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":2}},"layers":[]}}"#,
        digest(config)
    );
    let tag = |name: &str| Target::Tag(name.to_owned());
    let error = repository.put_manifest(&tag("a"), OCI_MANIFEST, manifest.as_bytes()).unwrap_err();
    assert!(error.to_string().contains("blob unknown"), "{error}");
    push(&repository, config, &[], None);
    for name in ["c", "a", "b"] {
        let put = repository.put_manifest(&tag(name), OCI_MANIFEST, manifest.as_bytes()).unwrap();
        assert_eq!(put, digest(manifest.as_bytes()));
    }
    // Whatever this registry makes of order and pages.
    for page in [None, Some(2)] {
        let mut tags = repository.tags(page).unwrap();
        tags.sort();
        assert_eq!(tags, ["a", "b", "c"]);
    }
    assert_eq!(repository.manifest(&tag("b")).unwrap().bytes, manifest.as_bytes());
    assert_eq!(
        repository.referrers(&digest(manifest.as_bytes()), None).unwrap(),
        [],
        "this registry has no list of them"
    );
    repository.delete_manifest(&Target::Digest(digest(manifest.as_bytes()))).unwrap();
    let error = repository.manifest(&tag("b")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(matches!(repository.delete_manifest(&Target::Digest(digest(b"none"))), Err(Error::NotFound { .. })));
}
