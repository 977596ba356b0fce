//! Archives by other programs: skopeo, umoci, gzip, zstd, xz, bzip2; loaded, removed, and nothing left.
#![allow(clippy::unwrap_used)]

mod common;

use carboy_image::{Image, ImageError, ImageUser, LoadSource, Loaded, SnapshotterChoice};
use carboy_oci::Reference;
use common::*;
use std::fs;
use std::path::Path;

/// An OCI layout by umoci with two layers, the second of which changes the first.
fn layout(dir: &Path) {
    shell(
        dir,
        "umoci init --layout oci; umoci new --image oci:v1; umoci unpack --image oci:v1 bundle
         mkdir -p bundle/rootfs/etc bundle/rootfs/gone; echo one > bundle/rootfs/etc/a; echo x > bundle/rootfs/gone/x
         head -c 3000000 /dev/urandom > bundle/rootfs/big
         umoci repack --refresh-bundle --image oci:v1 bundle
         echo two > bundle/rootfs/etc/b; rm -r bundle/rootfs/gone; umoci repack --image oci:v1 bundle
         umoci config --image oci:v1 --config.cmd sh --config.env A=b",
    );
}

fn load(sandbox: &Sandbox, path: &Path) -> Result<Vec<Loaded>, ImageError> {
    sandbox.images.load(LoadSource::Path(path), &|_, done, all| assert!(done <= all))
}

fn check_content(sandbox: &Sandbox, image: &Image) {
    assert_eq!(image.config.config.env, ["A=b"]);
    assert!(image.size > 3_000_000);
    sandbox.with_root(image, |root| {
        assert_eq!(fs::read_to_string(root.join("etc/a")).unwrap(), "one\n");
        assert_eq!(fs::read_to_string(root.join("etc/b")).unwrap(), "two\n");
        assert!(!root.join("gone").exists());
    });
    fs::remove_dir_all(sandbox.path("root/containers")).unwrap();
}

#[test]
#[ignore = "needs root: mounts; needs umoci, skopeo, zstd, xz, bzip2"]
fn every_kind_of_archive_is_loaded_and_removed() {
    let sandbox = Sandbox::new(SnapshotterChoice::Auto);
    let dir = sandbox.folder("work");
    layout(&dir);
    shell(
        &dir,
        "skopeo copy -q oci:oci:v1 docker-archive:docker.tar:test/app:1.0
         skopeo copy -q oci:oci:v1 oci-archive:oci.tar:test/app:1.0
         gzip -k docker.tar; zstd -q oci.tar; bzip2 -k docker.tar; xz -k docker.tar
         half=$(($(stat -c %s oci.tar) / 2)); (head -c $half oci.tar | xz -9; tail -c +$((half + 1)) oci.tar | xz -0) > oci.tar.xz
         (head -c $half oci.tar | bzip2; tail -c +$((half + 1)) oci.tar | bzip2 -1) > oci.tar.bz2",
    );
    for (file, name) in [
        ("docker.tar", Some("test/app:1.0")),
        ("docker.tar.gz", Some("test/app:1.0")),
        ("oci.tar", Some("test/app:1.0")),
        ("oci.tar.zst", Some("test/app:1.0")),
        ("docker.tar.bz2", Some("test/app:1.0")),
        ("docker.tar.xz", Some("test/app:1.0")),
        // Of two streams each, with other settings.
        ("oci.tar.bz2", Some("test/app:1.0")),
        ("oci.tar.xz", Some("test/app:1.0")),
        ("oci", Some("v1:latest")),
    ] {
        let loaded = load(&sandbox, &dir.join(file)).unwrap();
        let names: Vec<String> = loaded[0].names.iter().map(Reference::familiar).collect();
        assert_eq!((loaded.len(), names.first().map(String::as_str)), (1, name), "{file}");
        let image = sandbox.images.find(name.unwrap()).unwrap().unwrap();
        assert_eq!(image, loaded[0].image);
        check_content(&sandbox, &image);
        let mut stream = fs::File::open(dir.join(if file == "oci" { "oci.tar" } else { file })).unwrap();
        let again = sandbox.images.load(LoadSource::Stream(&mut stream), &|_, _, _| {}).unwrap();
        assert_eq!(again[0].image.id, image.id);
        for image in sandbox.images.list().unwrap() {
            sandbox.images.remove(image.id.as_str(), true, &|_| None).unwrap();
        }
        assert_empty(&sandbox);
    }
}

/// No blob, no layer, no mount, no name is left.
fn assert_empty(sandbox: &Sandbox) {
    sandbox.assert_nothing_left();
    for folder in ["blobs/sha256", "layers", "refs", "images"] {
        assert_eq!(fs::read_dir(sandbox.path("root").join(folder)).unwrap().count(), 0, "{folder}");
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(sandbox.dir.path().to_str().unwrap()), "mounts left");
}

#[test]
#[ignore = "needs umoci, skopeo, xz, bzip2"]
fn damaged_archives_are_refused_and_leave_nothing() {
    let sandbox = Sandbox::new(SnapshotterChoice::Overlay);
    let dir = sandbox.folder("work");
    layout(&dir);
    shell(
        &dir,
        "skopeo copy -q oci:oci:v1 docker-archive:docker.tar:a:1; skopeo copy -q oci:oci:v1 oci-archive:oci.tar:a:1
         head -c 2000000 docker.tar > cut.tar; gzip -c docker.tar | head -c 1000000 > cut.tar.gz
         xz -c docker.tar | head -c 300000 > cut.tar.xz; bzip2 -c docker.tar | head -c 300000 > cut.tar.bz2
         xz -c docker.tar > bad.tar.xz; printf damaged | dd of=bad.tar.xz bs=1 seek=200000 conv=notrunc status=none
         bzip2 -c docker.tar > bad.tar.bz2; printf damaged | dd of=bad.tar.bz2 bs=1 seek=200000 conv=notrunc status=none
         head -c 1000 docker.tar | xz --lzma2=dict=256MiB > greedy.tar.xz
         mkdir other; echo hello > other/x; tar cf other.tar other; head -c 100000 /dev/urandom > noise; : > empty
         mkdir swap; cd swap; tar xf ../docker.tar; f=$(ls -S | head -1); printf damaged | dd of=$f bs=1 seek=1000000 conv=notrunc status=none
         tar cf ../swapped.tar *",
    );
    for (file, causes) in [
        ("missing.tar", &["open ", "No such file"][..]),
        ("cut.tar", &["cut.tar is not valid", "truncated"]),
        ("cut.tar.gz", &["cut.tar.gz is not valid", "incomplete deflate stream"]),
        ("cut.tar.xz", &["cut.tar.xz is not valid"]),
        ("cut.tar.bz2", &["cut.tar.bz2 is not valid"]),
        ("bad.tar.xz", &["bad.tar.xz is not valid"]),
        ("bad.tar.bz2", &["bad.tar.bz2 is not valid"]),
        ("greedy.tar.xz", &["greedy.tar.xz is not valid", "needed memory too big"]),
        ("other.tar", &["not an image archive"]),
        ("noise", &["noise is not valid", "not a tar"]),
        ("empty", &["not an image archive"]),
        ("swapped.tar", &["layer sha256:", "digest mismatch"]),
    ] {
        let error = chain(&load(&sandbox, &dir.join(file)).unwrap_err());
        for cause in causes {
            assert!(error.contains(cause), "{file}: {error}");
        }
        assert!(!error.contains('\n'));
        assert!(sandbox.images.list().unwrap().is_empty());
        sandbox.images.collect().unwrap();
        assert_empty(&sandbox);
    }
}

#[test]
#[ignore = "needs umoci, skopeo"]
fn names_and_conflicts_are_dockers() {
    let sandbox = Sandbox::new(SnapshotterChoice::Overlay);
    let dir = sandbox.folder("work");
    layout(&dir);
    shell(&dir, "skopeo copy -q oci:oci:v1 docker-archive:docker.tar:test/app:1.0");
    let image = load(&sandbox, &dir.join("docker.tar")).unwrap().remove(0).image;
    let store = sandbox.images.store();
    let name = |text: &str| Reference::parse(text).unwrap();
    let digest_name = name("test/app").with_digest(image.manifest.digest.clone());
    for other in ["test/app:2.0", "q.io/x:y", &digest_name.to_string()] {
        store.set_ref(&name(other), &image.manifest).unwrap();
    }
    let id = image.id.short().to_owned();
    let used = |running| move |_: &Image| Some(ImageUser { container: "c0ffee".repeat(8), running });
    let free = |_: &Image| None;
    let remove = |what: &str, force, user: &dyn Fn(&Image) -> Option<ImageUser>| {
        let removed = sandbox.images.remove(what, force, user);
        removed.map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>()).map_err(|e| e.to_string())
    };
    assert_eq!(remove("nothing", false, &free).unwrap_err(), "No such image: nothing");
    assert_eq!(
        remove(&id, false, &free).unwrap_err(),
        format!("conflict: unable to delete {id} (must be forced) - image is referenced in multiple repositories")
    );
    assert_eq!(remove("q.io/x:y", false, &used(true)).unwrap(), ["Untagged: q.io/x:y"]);
    assert_eq!(remove("test/app:2.0", false, &used(true)).unwrap(), ["Untagged: test/app:2.0"]);
    assert_eq!(
        remove("test/app:1.0", false, &used(false)).unwrap_err(),
        format!(
            "conflict: unable to remove repository reference \"test/app:1.0\" (must force) - container c0ffeec0ffee is using its \
             referenced image {id}"
        )
    );
    assert_eq!(
        remove(&id, true, &used(true)).unwrap_err(),
        format!(
            "conflict: unable to delete {id} (cannot be forced) - image is being used by running container c0ffeec0ffee"
        )
    );
    assert_eq!(
        remove(&id, false, &used(false)).unwrap_err(),
        format!(
            "conflict: unable to delete {id} (must be forced) - image is being used by stopped container c0ffeec0ffee"
        )
    );
    let removed = remove("test/app:1.0", false, &free).unwrap();
    assert_eq!(removed[..2], ["Untagged: test/app:1.0".to_owned(), format!("Untagged: {}", digest_name.familiar())]);
    assert_eq!(removed[2], format!("Deleted: {}", image.id));
    assert_eq!(removed.len(), 3 + image.layers().len());
    assert_eq!(removed.last().unwrap(), &format!("Deleted: {}", image.layers()[0]));
    assert_empty(&sandbox);
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
