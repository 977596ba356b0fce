//! `push`, `login` and `logout`, with real registries and with docker's and podman's files.

use crate::common::http::Server;
use crate::common::images;
use crate::common::registry::{PASSWORD, USER};
use crate::common::{Call, Env, Registry};

#[test]
#[ignore = "needs root, umoci, skopeo, docker-registry"]
fn what_is_pushed_is_what_was_pulled() {
    let (from, to) = (Registry::start(), Registry::start());
    let source = from.push("busybox", "some/busybox:1", &[]);
    let env = Env::new();
    env.carboy(["pull", "-q", &source]).ok();
    let target = format!("{}/copy/busybox:2", to.address);
    let said = env.carboy(["push", &source, &target]).ok();
    let manifest = to.manifest("copy/busybox:2");
    assert_eq!(manifest, from.manifest("some/busybox:1"), "the very bytes");
    let mut lines = said.lines();
    assert_eq!(lines.next().unwrap(), format!("The push refers to repository [{}/copy/busybox]", to.address));
    let digest = crate::common::images::digest(manifest.as_bytes());
    assert_eq!(lines.next_back().unwrap(), format!("2: digest: {digest} size: {}", manifest.len()));
    assert!(lines.any(|line| line.ends_with(": Pushed")), "{said}");
    let again = env.carboy(["push", &source, &target]).ok();
    assert!(again.contains(": Layer already exists") && !again.contains(": Pushed"), "{again}");

    let file = env.path("digest");
    let quiet = env.carboy(["push", "-q", "--digestfile", file.to_str().unwrap(), &source, &target]).ok();
    assert_eq!(quiet, format!("{target}@{digest}\n"));
    assert_eq!(std::fs::read_to_string(file).unwrap(), digest);
    let here = Call::new("skopeo").args(["inspect", "--tls-verify=false", &format!("docker://{target}")]).ok();
    assert!(here.contains(&digest), "{here}");
    // A name of its own, all tags of it, and back again under both.
    let name = format!("{}/all/busybox", to.address);
    for tag in ["a", "b"] {
        env.carboy(["tag", &source, &format!("{name}:{tag}")]).ok();
    }
    env.carboy(["push", "--all-tags", &name]).ok();
    env.carboy(["rmi", &format!("{name}:a"), &format!("{name}:b")]).ok();
    assert_eq!(env.carboy(["pull", "-q", "--all-tags", &name]).ok(), format!("{name}\n"));
    let names = env.carboy(["images", "--sort=tag", "--format", "{{.Repository}}:{{.Tag}}", &name]).ok();
    assert_eq!(names, format!("{name}:a\n{name}:b\n"));
}

#[test]
#[ignore = "needs root, umoci, skopeo, docker-registry"]
fn what_cannot_be_pushed_is_said() {
    let registry = Registry::start();
    let source = registry.push("busybox", "some/busybox:1", &[]);
    let env = Env::new();
    env.carboy(["pull", "-q", &source]).ok();
    let line = env.carboy(["push", "127.0.0.1:1/no/such"]).fails(1);
    assert_eq!(line, "Error: An image does not exist locally with the tag: 127.0.0.1:1/no/such");
    let other = source.replace(":1", ":2");
    assert_eq!(env.carboy(["push", &other]).fails(1), format!("Error: tag does not exist: {other}"));
    let line = env.carboy(["push", &source, "127.0.0.1:1/x:1"]).fails(1);
    assert!(line.contains("127.0.0.1:1") && line.contains("Connection refused"), "{line}");
    let line = env.carboy(["push", "--format=v2s1", &source]).fails(125);
    assert!(line.contains("use v2s2 or oci"), "{line}");
    let line = env.carboy(["push", "--compression-format=zstd", "--format=v2s2", &source]).fails(125);
    assert!(line.contains("has no zstd: use --format oci"), "{line}");
    env.carboy(["push", "--compression-format=gzip", "--format=oci", &source]).ok();
    let line = env.carboy(["push", &source, "oci:/tmp/x"]).fails(125);
    assert!(line.contains("carboy copy"), "{line}");
    let line = env.carboy(["push", "--platform=linux/s390x", &source]).fails(1);
    assert!(line.contains("does not match the specified platform: wanted linux/s390x"), "{line}");
}

/// As `podman push --compression-format`; the image stays what it is here, and is the same one there.
#[test]
#[ignore = "needs root, umoci, skopeo, docker-registry"]
fn layers_are_compressed_as_asked() {
    let registry = Registry::start();
    let source = registry.push("busybox", "some/busybox:1", &["--format", "v2s2"]);
    for snapshotter in ["auto", "overlay"] {
        let (env, other) = (Env::new(), Env::new());
        let ours = |args: &[&str]| env.carboy(["--snapshotter", snapshotter]).args(args);
        ours(&["pull", "-q", &source]).ok();
        let (id, files) = (ours(&["images", "-q", "--no-trunc"]).ok(), env.files());
        for (format, kind) in [
            ("zstd", "application/vnd.oci.image.layer.v1.tar+zstd"),
            ("none", "application/vnd.docker.image.rootfs.diff.tar"),
            ("gzip", "application/vnd.docker.image.rootfs.diff.tar.gzip"),
        ] {
            let name = format!("{}/made/{snapshotter}:{format}", registry.address);
            let said = ours(&["push", "--compression-format", format, &source, &name]).ok();
            assert_eq!(said.contains("Layers are compressed anew"), format != "gzip", "{said}");
            let manifest = registry.manifest(&format!("made/{snapshotter}:{format}"));
            assert!(manifest.contains(&format!("\"{kind}\"")), "{manifest}");
            assert!(said.contains(&images::digest(manifest.as_bytes()).to_string()), "{said}");
            assert_eq!(env.files(), files, "something was left by it");
            other.carboy(["pull", "-q", &name]).ok();
            assert_eq!(other.carboy(["images", "-q", "--no-trunc"]).ok(), id, "{format}");
            assert_eq!(other.carboy(["run", "--rm", &name, "echo", format]).ok(), format!("{format}\n"));
        }
        // And back from zstd, of an image that is one.
        let zstd = format!("{}/made/{snapshotter}:zstd", registry.address);
        let again = zstd.replace(":zstd", ":again");
        ours(&["pull", "-q", &zstd]).ok();
        ours(&["push", "-q", "--compression-format=gzip", &zstd, &again]).ok();
        let manifest = registry.manifest(&format!("made/{snapshotter}:again"));
        assert!(manifest.contains("layer.v1.tar+gzip"), "{manifest}");
        let digest = images::digest(registry.manifest(&format!("made/{snapshotter}:zstd")).as_bytes());
        let pinned = format!("{}/made/{snapshotter}@{digest}", registry.address);
        let line = ours(&["push", "--compression-format=gzip", &zstd, &pinned]).fails(1);
        assert!(line.contains("push it without a digest"), "{line}");
    }
}

#[test]
#[ignore = "needs root, umoci, skopeo, docker-registry"]
fn a_login_for_docker_and_podman() {
    let registry = Registry::with_password();
    let source = registry.push("busybox", "private/busybox:1", &[]);
    let address = registry.address.as_str();
    let env = Env::new();
    let config = env.dir().join("h/.docker/config.json");
    let wrong = env.carboy(["login", "-u", USER, "--password-stdin", address]).stdin("wrong-secret\n").fails(1);
    assert!(wrong.contains("unauthorized") && !wrong.contains("wrong-secret"), "{wrong}");
    assert!(!config.exists());
    let line = env.carboy(["login", "--password-stdin", address]).stdin("x").fails(125);
    assert!(line.contains("Must provide --username with --password-stdin"), "{line}");
    let line = env.carboy(["login", address]).fails(1);
    assert!(line.contains("Cannot perform an interactive login from a non TTY device"), "{line}");
    assert_eq!(
        env.carboy(["login", "-u", USER, "--password-stdin", address]).stdin(PASSWORD).ok(),
        "Login Succeeded\n"
    );
    assert_eq!(env.carboy(["login", "--get-login", address]).ok(), format!("{USER}\n"));
    env.carboy(["pull", "-q", &source]).ok();
    env.carboy(["push", "-q", &source, &format!("{address}/private/copy:1")]).ok();
    // The files of Podman and its relatives are the same to us: one that they wrote, and one that they read.
    let auth = env.path("auth.json");
    let file = auth.to_str().unwrap();
    let login = ["login", "--tls-verify=false", "--authfile", file, "-u", USER, "-p", PASSWORD, address];
    Call::new("skopeo").args(login).ok();
    env.carboy(["pull", "-q", "--authfile", file, &source]).ok();
    std::fs::remove_file(&auth).unwrap();
    env.carboy(["login", "--authfile", file, "-u", USER, "-p", PASSWORD, address]).ok();
    let known = Call::new("skopeo").args(["login", "--authfile", file, "--get-login", address]).ok();
    assert_eq!(known.trim(), USER);

    assert_eq!(env.carboy(["logout", address]).ok(), format!("Removing login credentials for {address}\n"));
    assert_eq!(env.carboy(["logout", address]).ok(), format!("Not logged in to {address}\n"));
    let refused = env.carboy(["pull", &source]).fails(1);
    assert!(refused.contains("unauthorized"), "{refused}");
    env.carboy(["logout", "--authfile", file, address]).ok();
    assert!(!std::fs::read_to_string(&auth).unwrap().contains(address));
}

#[test]
#[ignore = "needs root, umoci, skopeo, docker-registry, openssl"]
fn a_push_with_tokens() {
    let registry = Registry::with_tokens();
    let source = registry.push("busybox", "public/busybox:1", &[]);
    let env = Env::new();
    env.carboy(["pull", "-q", &source]).ok();
    let target = format!("{}/mine/busybox:1", registry.address);
    let refused = env.carboy(["push", &source, &target]).fails(1);
    assert!(refused.contains("push access denied for") && refused.contains("denied"), "{refused}");
    let creds = format!("{USER}:{PASSWORD}");
    env.carboy(["push", "--creds", &creds, &source, &target]).ok();
    env.carboy(["pull", "-q", "--creds", &creds, &target]).ok();
}

#[test]
#[ignore = "needs root, umoci, skopeo, docker-registry"]
fn manifests_of_the_other_kind() {
    let registry = Registry::start();
    let source = registry.push("busybox", "some/busybox:1", &[]);
    let env = Env::new();
    env.carboy(["pull", "-q", &source]).ok();
    let other = format!("{}/docker/busybox:1", registry.address);
    let said = env.carboy(["push", "--format=v2s2", &source, &other]).ok();
    let manifest = registry.manifest("docker/busybox:1");
    assert!(manifest.contains("docker.distribution.manifest.v2") && !manifest.contains("vnd.oci"), "{manifest}");
    assert!(said.contains(&crate::common::images::digest(manifest.as_bytes())), "{said}");
    let theirs = Call::new("skopeo").args(["inspect", "--tls-verify=false", "--config", &format!("docker://{other}")]);
    assert!(theirs.ok().contains("\"rootfs\""));
    // And back: the same image.
    env.carboy(["pull", "-q", &other]).ok();
    env.carboy(["push", "-q", "-f", "oci", &other, &format!("{}/back:1", registry.address)]).ok();
    assert_eq!(registry.layers("back:1"), registry.layers("some/busybox:1"));
    assert!(registry.manifest("back:1").contains("vnd.oci.image.manifest"));
}

/// Has every blob, and takes manifests of one kind only.
fn old_registry(refusal: u16) -> Server {
    Server::start(move |request| match request.method.as_str() {
        "PUT" if request.content_type.contains("vnd.oci") => {
            (refusal, String::new(), br#"{"errors":[{"code":"MANIFEST_INVALID","message":"no OCI here"}]}"#.to_vec())
        }
        "PUT" => (201, String::new(), Vec::new()),
        _ => (200, String::new(), Vec::new()),
    })
}

#[test]
#[ignore = "needs root, umoci, skopeo, docker-registry"]
fn a_registry_that_refuses_a_kind_gets_the_other() {
    let env = Env::new();
    let layout = format!("oci:{}:latest", crate::common::images::file("busybox").display());
    env.carboy(["copy", "-q", &layout, "carboy:box:1"]).ok();
    let sent = |server: &Server| -> Vec<String> {
        server.requests().into_iter().filter(|r| r.method == "PUT").map(|r| r.content_type).collect()
    };
    for status in [400, 415] {
        let server = old_registry(status);
        let out = env.carboy(["push", "box:1", &format!("{}/x:1", server.address)]).output();
        assert!(out.code == 0 && out.error().contains("was sent as application/vnd.docker"), "{out}");
        let kinds = sent(&server);
        assert!(kinds.len() == 2 && kinds[0].contains("oci") && kinds[1].contains("docker"), "{kinds:?}");
        let digest = crate::common::images::digest(&server.requests().last().unwrap().body);
        assert!(out.text().contains(&digest), "{out}");
    }
    let server = old_registry(400);
    let to = format!("docker://{}/x:1", server.address);
    let out = env.carboy(["copy", &layout, &to]).ok();
    assert!(out.contains("Converted manifest") && sent(&server).len() == 2, "{out}");
    // Who asks for a kind gets that or nothing, and so does who wants the digest.
    for option in ["--format=oci", "--preserve-digests"] {
        let line = env.carboy(["copy", "-q", option, &layout, &to]).fails(1);
        assert!(line.contains("no OCI here"), "{line}");
    }
    let line = env.carboy(["push", "-q", "--format=oci", "box:1", &to]).fails(1);
    assert!(line.contains("no OCI here"), "{line}");
}

/// A helper as docker calls it, which keeps its secrets in a folder and writes down what it was asked.
const HELPER: &str = r#"#!/bin/sh
dir=$(dirname "$0")
echo "$1" >>"$dir/asked"
case $1 in
    store)
        secret=$(cat)
        printf %s "$secret" >"$dir/$(printf %s "$secret" | sed 's/.*"ServerURL":"\([^"]*\)".*/\1/')" ;;
    get) cat "$dir/$(cat)" 2>/dev/null || { echo "credentials not found in native keychain"; exit 1; } ;;
    erase) rm -f "$dir/$(cat)" ;;
esac
"#;

#[test]
#[ignore = "needs root, umoci, skopeo, docker, docker-registry"]
fn a_login_that_a_helper_keeps() {
    use std::os::unix::fs::PermissionsExt;
    let (env, registry) = (Env::new(), Registry::with_password());
    let source = registry.push("busybox", "team/box:1", &[]);
    let at = &registry.address;
    let (folder, config) = (env.path("helper"), env.dir().join("h/.docker/config.json"));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    let helper = folder.join("docker-credential-ours");
    std::fs::write(&helper, HELPER).unwrap();
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(&config, "{\"credsStore\": \"ours\"}").unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let login = env.carboy(["login", "-u", USER, "--password-stdin", at]).env("PATH", &path).stdin(PASSWORD);
    assert_eq!(login.ok(), "Login Succeeded\n");
    let secret = std::fs::read_to_string(folder.join(at)).unwrap();
    assert!(secret.contains(PASSWORD) && secret.contains(USER), "{secret}");
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    assert_eq!(kept, serde_json::json!({"credsStore": "ours", "auths": {at.as_str(): {}}}), "as docker leaves it");
    env.carboy(["pull", "-q", &source]).env("PATH", &path).ok();
    // Of this registry alone, by another helper's name in the file.
    std::fs::write(&config, format!("{{\"credHelpers\": {{\"{at}\": \"ours\"}}}}")).unwrap();
    env.carboy(["push", "-q", &source, &format!("{at}/team/box:2")]).env("PATH", &path).ok();
    let out = env.carboy(["logout", at]).env("PATH", &path).ok();
    assert_eq!(out, format!("Removing login credentials for {at}\n"));
    assert!(!folder.join(at).exists(), "the helper was told");
    let line = env.carboy(["pull", "-q", &format!("{at}/team/box:2")]).env("PATH", &path).fails(1);
    assert!(line.contains("unauthorized") || line.contains("denied"), "{line}");
    let asked = std::fs::read_to_string(folder.join("asked")).unwrap();
    assert!(asked.starts_with("store\n") && asked.contains("get\n") && asked.contains("erase\n"), "{asked}");
}
