//! Pulls from a registry that lies, cuts and withholds: each a clear error, and nothing left behind.

#![allow(clippy::unwrap_used)]

#[path = "../../distribution/tests/common/mod.rs"]
mod common;

use carboy_distribution::Credentials;
use carboy_image::pull::{Event, NoProgress, Progress, PullError, PullErrorKind, PullOptions, pull};
use carboy_image::{Images, SnapshotterChoice};
use common::*;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;

/// What a registry serves, by the last component of the path.
#[derive(Default, Clone)]
struct Shelf(HashMap<String, Vec<u8>>);

impl Shelf {
    fn put(&mut self, bytes: &[u8]) -> String {
        self.0.insert(digest(bytes).to_string(), bytes.to_vec());
        format!(r#""digest":"{}","size":{}"#, digest(bytes), bytes.len())
    }

    /// An image of plain layers under the tag `latest`; returns the layers' digests.
    fn image(&mut self, layers: &[&[u8]]) -> Vec<String> {
        let ids = layers.iter().map(|layer| format!("\"{}\"", digest(layer))).collect::<Vec<_>>().join(",");
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":[{ids}]}}}}"#
        );
        self.image_with(&config, layers)
    }

    fn image_with(&mut self, config: &str, layers: &[&[u8]]) -> Vec<String> {
        let config = self.put(config.as_bytes());
        let kind = r#""mediaType":"application/vnd.oci.image.layer.v1.tar""#;
        let entries: Vec<String> = layers.iter().map(|layer| format!("{{{kind},{}}}", self.put(layer))).collect();
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
                "config":{{"mediaType":"application/vnd.oci.image.config.v1+json",{config}}},"layers":[{}]}}"#,
            entries.join(",")
        );
        self.0.insert("latest".to_owned(), manifest.into_bytes());
        layers.iter().map(|layer| digest(layer).to_string()).collect()
    }

    fn serve(self) -> Server {
        self.serve_but(|_, _| None)
    }

    /// `twist` may answer in the shelf's place.
    fn serve_but(self, twist: impl Fn(&str, &Request) -> Option<Reply> + Send + Sync + 'static) -> Server {
        Server::start(move |request| {
            let name = request.path.rsplit('/').next().unwrap();
            twist(name, request).unwrap_or_else(|| match self.0.get(name) {
                Some(bytes) => body(bytes.clone()),
                None => with(404, &[], r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry"}]}"#),
            })
        })
    }
}

/// A tar of one file.
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..107].copy_from_slice(b"0000644");
    header[108..115].copy_from_slice(b"0000000");
    header[116..123].copy_from_slice(b"0000000");
    header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    header[136..147].copy_from_slice(b"00000000000");
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let mut tar = header.to_vec();
    tar.extend(content);
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    tar
}

struct Sandbox {
    images: Images,
    dir: tempfile::TempDir,
}

impl Sandbox {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let open = Images::open(&dir.path().join("root"), &dir.path().join("run"), SnapshotterChoice::Auto);
        Sandbox { images: open.unwrap(), dir }
    }

    fn pull(&self, server: &Server, progress: &dyn Progress) -> Result<(), PullError> {
        let client = client(Credentials::none());
        pull(&self.images, &client, &server.reference("x"), &PullOptions::default(), progress).map(|_| ())
    }

    /// The pull fails, and after a collection the store is as empty as it was.
    fn fails(&self, server: &Server) -> PullError {
        let error = self.pull(server, &NoProgress).unwrap_err();
        self.images.collect().unwrap();
        let root = self.dir.path().join("root");
        assert_eq!(files_below(&root.join("ingest")), 0, "{error}");
        assert_eq!(files_below(&root.join("blobs")), 0, "{error}");
        for folder in ["layers", "refs", "images", "trash"] {
            assert_eq!(files_below(&root.join(folder)), 0, "{folder}: {error}");
        }
        error
    }
}

fn files_below(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { files_below(&entry.path()) } else { 1 }).sum()
}

#[test]
fn a_sound_image_for_comparison() {
    let (one, two) = (tar("a", &[1; 5000]), tar("b", &[2; 700_000]));
    let mut shelf = Shelf::default();
    // The same layer twice is fetched once.
    let digests = shelf.image(&[&one, &two, &one]);
    let server = shelf.serve();
    let sandbox = Sandbox::new();
    sandbox.pull(&server, &NoProgress).unwrap();
    let fetched = server.log().iter().filter(|line| line.ends_with(&digests[0])).count();
    assert_eq!(fetched, 1);
    assert_eq!(sandbox.images.list().unwrap().len(), 1);
}

/// The image whose layer holds this, as what a registry has of it.
fn shelf_of(content: &[u8]) -> Shelf {
    let mut shelf = Shelf::default();
    shelf.image(&[&tar("a", content)]);
    shelf
}

#[test]
fn a_tag_that_moves_between_head_and_get() {
    let (first, second, third) = (shelf_of(b"first"), shelf_of(b"second"), shelf_of(b"third"));
    let digest_of = |shelf: &Shelf| digest(&shelf.0["latest"]).to_string();
    let (looked_up, moved) = (digest_of(&second), digest_of(&third));
    // What the tag means to GET, and whether the manifest that HEAD named is still there.
    let now = std::sync::Arc::new(Mutex::new((first.clone(), true)));
    let (shown, announced) = (now.clone(), looked_up.clone());
    let server = Server::start(move |request| {
        let name = request.path.rsplit('/').next().unwrap();
        let (current, kept) = &*shown.lock().unwrap();
        if request.method == "HEAD" {
            return with(200, &[("Docker-Content-Digest", &announced)], "");
        }
        let found = current.0.get(name).or_else(|| second.0.get(name).filter(|_| *kept && name != "latest"));
        let manifest =
            found.cloned().or_else(|| second.0.get("latest").filter(|_| *kept && name == announced).cloned());
        manifest.map_or_else(|| status(404), body)
    });
    let sandbox = Sandbox::new();
    let reference = server.reference("x");
    let means = || sandbox.images.find(&reference.to_string()).unwrap().unwrap();
    sandbox.pull(&server, &NoProgress).unwrap();
    assert_eq!(means().manifest.digest.to_string(), digest_of(&first));
    // HEAD says the second, then the tag moves to the third: the second is what is pulled, whole.
    *now.lock().unwrap() = (third.clone(), true);
    sandbox.pull(&server, &NoProgress).unwrap();
    assert_eq!(means().manifest.digest.to_string(), looked_up);
    // The same again, and the second is deleted meanwhile: the third is pulled.
    let sandbox = Sandbox::new();
    let means = || sandbox.images.find(&reference.to_string()).unwrap().unwrap();
    *now.lock().unwrap() = (first, true);
    sandbox.pull(&server, &NoProgress).unwrap();
    *now.lock().unwrap() = (third, false);
    sandbox.pull(&server, &NoProgress).unwrap();
    assert_eq!(means().manifest.digest.to_string(), moved);
    let names = sandbox.images.list().unwrap().into_iter().flat_map(|image| image.names).collect::<Vec<_>>();
    assert!(!names.iter().any(|name| name.to_string().ends_with(&looked_up)), "{names:?}");
}

#[test]
fn more_layers_and_larger_documents_than_there_are() {
    let layer = tar("a", b"x");
    let mut shelf = Shelf::default();
    shelf.image(&vec![&layer[..]; 501]);
    let error = chain(&Sandbox::new().fails(&shelf.serve()));
    assert!(error.contains("501 layers, more than the 500"), "{error}");
    let mut shelf = Shelf::default();
    shelf.0.insert("latest".to_owned(), vec![b' '; (4 << 20) + 1]);
    let error = chain(&Sandbox::new().fails(&shelf.serve()));
    assert!(error.contains("4194304"), "{error}");
    let mut shelf = Shelf::default();
    shelf.image_with(&" ".repeat((8 << 20) + 1), &[&layer]);
    let error = chain(&Sandbox::new().fails(&shelf.serve()));
    assert!(error.contains("8388608"), "{error}");
}

#[test]
fn a_layer_with_other_content() {
    let layer = tar("a", &[1; 5000]);
    let mut shelf = Shelf::default();
    let name = shelf.image(&[&layer])[0].clone();
    shelf.0.insert(name, tar("a", &[2; 5000]));
    let error = Sandbox::new().fails(&shelf.serve());
    assert_eq!(error.kind(), PullErrorKind::BadContent);
    assert!(chain(&error).contains("digest"), "{}", chain(&error));
}

#[test]
fn a_layer_that_is_truncated_or_too_long() {
    let layer = tar("a", &[1; 5000]);
    let mut shelf = Shelf::default();
    let name = shelf.image(&[&layer])[0].clone();
    for length in [layer.len() - 600, layer.len() + 512] {
        let mut changed = layer.clone();
        changed.resize(length, 0);
        shelf.0.insert(name.clone(), changed);
        let error = Sandbox::new().fails(&shelf.clone().serve());
        assert_eq!(error.kind(), PullErrorKind::BadContent, "{}", chain(&error));
        assert!(chain(&error).contains(&format!("the registry has {length}")), "{}", chain(&error));
    }
    let cut = layer.clone();
    let server = shelf.serve_but(move |path, _| {
        (path == name).then(|| Reply::Cut {
            status: 200,
            headers: Vec::new(),
            length: cut.len(),
            sent: cut[..900].to_vec(),
        })
    });
    let error = Sandbox::new().fails(&server);
    assert_eq!(error.kind(), PullErrorKind::Unavailable, "{}", chain(&error));
}

#[test]
fn a_diff_id_that_is_not_the_layers() {
    let layer = tar("a", &[1; 5000]);
    let mut shelf = Shelf::default();
    let other = digest(b"other");
    let config =
        format!(r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{other}"]}}}}"#);
    shelf.image_with(&config, &[&layer]);
    let error = Sandbox::new().fails(&shelf.serve());
    assert_eq!(error.kind(), PullErrorKind::BadContent);
    assert!(chain(&error).contains("digest mismatch of the uncompressed layer"), "{}", chain(&error));
}

#[test]
fn more_diff_ids_than_layers() {
    let mut shelf = Shelf::default();
    let config = format!(
        r#"{{"os":"linux","architecture":"amd64","rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        digest(b"")
    );
    shelf.image_with(&config, &[]);
    let error = Sandbox::new().fails(&shelf.serve());
    assert!(error.to_string().contains("0 layers, its configuration names 1"), "{error}");
}

#[test]
fn an_index_that_leads_in_circles() {
    let entry = |digest: &str, size: usize| {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[
                {{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"{digest}","size":{size}}}]}}"#
        )
    };
    // No index can hold its own digest; a chain that is long is the nearest thing.
    let mut shelf = Shelf::default();
    let mut inner = entry(digest(b"end").as_str(), 3);
    for _ in 0..10 {
        shelf.put(inner.as_bytes());
        inner = entry(digest(inner.as_bytes()).as_str(), inner.len());
    }
    shelf.0.insert("latest".to_owned(), inner.into_bytes());
    let error = Sandbox::new().fails(&shelf.serve());
    assert!(matches!(error, PullError::Nested(_)), "{error}");
}

#[test]
fn a_missing_layer_ends_the_others() {
    let layers: Vec<Vec<u8>> = (0..6_u8).map(|n| tar("f", &vec![n; 400_000])).collect();
    let mut shelf = Shelf::default();
    let names = shelf.image(&layers.iter().map(Vec::as_slice).collect::<Vec<_>>());
    shelf.0.remove(&names[0]);
    let stalled = names[1].clone();
    let server = shelf.serve_but(move |name, _| {
        (name == stalled).then(|| Reply::Stall {
            length: 401_920,
            sent: vec![1; 1000],
            pause: std::time::Duration::from_secs(30),
        })
    });
    let begun = std::time::Instant::now();
    let error = Sandbox::new().fails(&server);
    assert_eq!(error.kind(), PullErrorKind::NotFound, "{}", chain(&error));
    assert!(chain(&error).contains(&names[0]) && chain(&error).contains("blob unknown"), "{}", chain(&error));
    assert!(begun.elapsed() < std::time::Duration::from_secs(10));
}

#[test]
fn foreign_layers_are_refused_before_anything_is_fetched() {
    let mut shelf = Shelf::default();
    shelf.image(&[&tar("a", b"x")]);
    let manifest = String::from_utf8(shelf.0["latest"].clone()).unwrap();
    let foreign = manifest.replace("image.layer.v1.tar", "image.layer.nondistributable.v1.tar+gzip");
    shelf.0.insert("latest".to_owned(), foreign.into_bytes());
    let server = shelf.serve();
    let error = Sandbox::new().fails(&server);
    assert!(error.to_string().contains("foreign layer"), "{error}");
    assert_eq!(server.log(), ["GET /v2/x/manifests/latest"]);
}

#[test]
fn another_platform_is_pulled_with_a_warning() {
    struct Warnings(Mutex<Vec<String>>);
    impl Progress for Warnings {
        fn event(&self, event: Event<'_>) {
            if let Event::Warning(text) = event {
                self.0.lock().unwrap().push(text.to_owned());
            }
        }
    }
    let mut shelf = Shelf::default();
    shelf.image_with(r#"{"os":"plan9","architecture":"mips","rootfs":{"type":"layers","diff_ids":[]}}"#, &[]);
    let warnings = Warnings(Mutex::default());
    let server = shelf.serve();
    Sandbox::new().pull(&server, &warnings).unwrap();
    let options = PullOptions { platform: Some("linux/arm64".parse().unwrap()), ..PullOptions::default() };
    let sandbox = Sandbox::new();
    let (client, reference) = (client(Credentials::none()), server.reference("x"));
    pull(&sandbox.images, &client, &reference, &options, &warnings).unwrap();
    let warnings = warnings.0.into_inner().unwrap();
    assert!(
        warnings.len() == 2 && warnings[0].contains("(plan9/mips) does not match the detected host"),
        "{warnings:?}"
    );
    assert!(warnings[1].ends_with("the specified platform: wanted linux/arm64, actual: plan9/mips"), "{warnings:?}");
}

#[test]
fn a_large_layer_over_several_connections() {
    let (large, small) = (tar("large", &vec![3; 13_000_000]), tar("small", b"x"));
    let mut shelf = Shelf::default();
    let name = shelf.image(&[&large, &small])[0].clone();
    let (served, part) = (large.clone(), name.clone());
    let server = shelf.clone().serve_but(move |name, request| {
        let (start, end) = request.header("range").filter(|_| name == part)?.strip_prefix("bytes=")?.split_once('-')?;
        let (start, end): (usize, usize) = (start.parse().ok()?, end.parse().unwrap_or(served.len() - 1));
        let range = format!("bytes {start}-{end}/{}", served.len());
        Some(with(206, &[("Content-Range", &range)], served[start..=end].to_vec()))
    });
    let pull_by_four = |sandbox: &Sandbox, server: &Server| {
        let options = PullOptions { connections: Some(4), ..PullOptions::default() };
        let client = client(Credentials::none());
        pull(&sandbox.images, &client, &server.reference("x"), &options, &NoProgress).map(drop)
    };
    let sandbox = Sandbox::new();
    pull_by_four(&sandbox, &server).unwrap();
    let parts = server.requests().iter().filter(|request| request.header("range").is_some()).count();
    assert_eq!(parts, 4, "pieces of 4 MiB");

    // One byte that is not as it was ends it all.
    let mut other = large;
    other[9_000_000] ^= 1;
    shelf.0.insert(name, other);
    let sandbox = Sandbox::new();
    let error = pull_by_four(&sandbox, &shelf.serve()).unwrap_err();
    assert_eq!(error.kind(), PullErrorKind::BadContent, "{}", chain(&error));
    assert_eq!(files_below(&sandbox.dir.path().join("root/refs")), 0);
}
