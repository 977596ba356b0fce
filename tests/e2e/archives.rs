//! `save` and `load`, read and written by docker's friends: podman's skopeo and umoci read what is written here, and the same bytes come back.

use crate::common::{Call, Env, images};
use std::path::Path;

/// What skopeo says is the digest of the manifest there.
fn digest_by_skopeo(place: &str) -> String {
    let raw = Call::new("skopeo").args(["--insecure-policy", "inspect", "--tls-verify=false", "--raw", place]).output();
    assert_eq!(raw.code, 0, "{raw}");
    images::digest(&raw.stdout)
}

fn manifest(env: &Env, name: &str) -> String {
    env.carboy(["image", "inspect", "-f", "{{.Digest}}", name]).ok().trim().to_owned()
}

fn members(archive: &Path) -> Vec<String> {
    let list = Call::new("tar").arg("-tf").arg(archive).ok();
    list.lines().map(str::to_owned).collect()
}

#[test]
#[ignore = "needs root"]
fn what_is_saved_is_read_by_others_and_loaded_again() {
    let env = Env::new();
    let layout = images::file("busybox");
    env.carboy(["copy", "-q", &format!("oci:{}:latest", layout.display()), "carboy:team/box:1"]).ok();
    env.carboy(["tag", "team/box:1", "box"]).ok();
    let original = digest_by_skopeo(&format!("oci:{}:latest", layout.display()));
    assert_eq!(manifest(&env, "box"), original, "the layout's manifest is kept as it is");
    let id = env.carboy(["images", "-q", "--no-trunc", "box"]).ok();

    let (docker, oci) = (env.path("d.tar"), env.path("o.tar"));
    let save = |file: &Path, format: &str| {
        let file = file.to_str().unwrap();
        env.carboy(["save", "-o", file, "--format", format, "team/box:1", "box"]).ok()
    };
    assert_eq!(save(&docker, "docker-archive"), "");
    save(&oci, "oci-archive");
    let listed = members(&docker);
    assert!(listed.contains(&"manifest.json".to_owned()) && listed.contains(&"index.json".to_owned()), "{listed:?}");
    assert_eq!(listed.iter().filter(|name| name.starts_with("blobs/sha256/") && name.len() > 70).count(), 3);
    // By name, in both kinds; skopeo makes a manifest of its own of a docker-archive, of the same configuration.
    let config = Call::new("skopeo")
        .args(["--insecure-policy", "inspect", "--config", "--raw"])
        .arg(format!("docker-archive:{}:box:latest", docker.display()))
        .output();
    assert_eq!(images::digest(&config.stdout), id.trim(), "{config}");
    let place = format!("oci-archive:{}:docker.io/team/box:1", oci.display());
    assert_eq!(digest_by_skopeo(&place), original);
    // Twice the same is the same to the byte.
    let again = env.path("again.tar");
    save(&again, "docker-archive");
    assert_eq!(std::fs::read(&docker).unwrap(), std::fs::read(&again).unwrap());

    for (file, names) in [(&docker, 2), (&oci, 2)] {
        env.carboy(["rmi", "-f", id.trim()]).ok();
        assert_eq!(env.files(), [""; 0]);
        let out = env.carboy(["load", "-i", file.to_str().unwrap()]).ok();
        assert_eq!(out.lines().filter(|line| line.starts_with("Loaded image: ")).count(), names, "{out}");
        assert_eq!(manifest(&env, "team/box:1"), original, "{out}");
        assert_eq!(env.carboy(["run", "--rm", "box", "echo", "ran"]).ok(), "ran\n");
    }
}

#[test]
#[ignore = "needs root"]
fn archives_in_streams_and_compressed() {
    let env = Env::new();
    env.load_busybox();
    let whole = manifest(&env, "busybox");
    for compression in ["none", "gzip", "zstd"] {
        let bytes = env.carboy(["save", "--compression", compression, "busybox"]).output();
        assert_eq!((bytes.code, bytes.error().as_str()), (0, ""));
        env.carboy(["rmi", "busybox"]).ok();
        let out = env.carboy(["load"]).stdin(bytes.stdout).ok();
        assert_eq!(out, "Loaded image: busybox:latest\n", "{compression}");
        assert_eq!(manifest(&env, "busybox"), whole);
    }
    let damaged = env.carboy(["load"]).stdin(b"\xfd7zXZ\0rest".to_vec()).fails(1);
    assert!(damaged.contains("archive from a stream is not valid"), "{damaged}");
    let none = env.carboy(["save", "nosuch"]).fails(1);
    assert!(none.contains("No such image: nosuch"), "{none}");
    let full = env.carboy(["save", "-o", "/dev/full", "busybox"]).fails(1);
    assert!(full.contains("/dev/full") && full.contains("No space left"), "{full}");
}

#[test]
#[ignore = "needs root"]
fn folders() {
    let env = Env::new();
    env.load_busybox();
    let (oci, dir) = (env.path("oci"), env.path("dir"));
    env.carboy(["save", "--format", "oci-dir", "-o", oci.to_str().unwrap(), "busybox"]).ok();
    env.carboy(["save", "--format", "docker-dir", "-o", dir.to_str().unwrap(), "busybox"]).ok();
    // umoci is strict about layouts.
    let bundle = env.path("bundle");
    let image = format!("{}:docker.io/library/busybox:latest", oci.display());
    Call::new("umoci").args(["unpack", "--image", &image]).arg(&bundle).ok();
    assert!(bundle.join("rootfs/bin/busybox").exists());
    let kind =
        Call::new("skopeo").args(["--insecure-policy", "inspect", "--raw"]).arg(format!("dir:{}", dir.display())).ok();
    assert!(kind.contains("application/vnd.docker.distribution.manifest.v2+json"), "{kind}");
    let id = env.carboy(["images", "-q", "--no-trunc"]).ok();
    assert!(kind.contains(id.trim()), "the configuration is the same: {kind}");
    env.carboy(["rmi", "busybox"]).ok();
    assert_eq!(env.carboy(["load", "-i", oci.to_str().unwrap()]).ok(), "Loaded image: busybox:latest\n");
}
