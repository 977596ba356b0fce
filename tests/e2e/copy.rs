//! `copy` and its relatives over all transports, with skopeo on the other side: digests stay what they are.

use crate::common::{Call, Env, Registry, images};

fn skopeo<const N: usize>(args: [&str; N]) -> Call {
    Call::new("skopeo").arg("--insecure-policy").args(args)
}

fn raw_digest(place: &str) -> String {
    let raw = skopeo(["inspect", "--tls-verify=false", "--raw", place]).output();
    assert_eq!(raw.code, 0, "{raw}");
    images::digest(&raw.stdout)
}

#[test]
#[ignore = "needs root"]
fn around_all_places_and_the_same_bytes() {
    let (env, registry) = (Env::new(), Registry::start());
    let at = |name: &str| env.path(name).display().to_string();
    let first = format!("oci:{}:latest", images::file("busybox").display());
    let places = [
        format!("docker://{}/a/box:1", registry.address),
        format!("dir:{}", at("dir")),
        format!("oci-archive:{}:x", at("o.tar")),
        "carboy:here/box:1".to_owned(),
        format!("docker-archive:{}:box:2", at("d.tar")),
        format!("docker://{}/b/box:2", registry.address),
        format!("oci:{}:again", at("oci")),
    ];
    let original = raw_digest(&first);
    let mut from = first;
    for to in &places {
        let out = env.carboy(["copy", "-q", &from, to]).ok();
        assert_eq!(out.trim(), original, "{from} to {to}");
        if !to.starts_with("carboy:") && !to.starts_with("docker-archive:") {
            assert_eq!(raw_digest(to), original, "skopeo reads {to}");
        }
        let raw = env.carboy(["inspect", "--raw", to]).output();
        assert_eq!(images::digest(&raw.stdout), original, "{to}: {raw}");
        from.clone_from(to);
    }
    let line = env.carboy(["copy", &from, &places[4]]).fails(1);
    assert!(line.contains("d.tar: docker-archive doesn't support modifying existing images"), "{line}");
    assert_eq!(env.carboy(["run", "--rm", "here/box:1", "echo", "ran"]).ok(), "ran\n");
    // The other way round: what skopeo writes.
    let theirs = format!("dir:{}", at("theirs"));
    skopeo(["copy", "-q", "--src-tls-verify=false", &places[5], &theirs]).ok();
    assert_eq!(env.carboy(["copy", "-q", &theirs, &format!("oci:{}:theirs", at("oci"))]).ok().trim(), original);
    let tags = env.carboy(["list-tags", &format!("oci:{}", at("oci"))]).ok();
    assert!(tags.contains("\"again\"") && tags.contains("\"theirs\""), "{tags}");
    env.carboy(["delete", &format!("oci:{}:again", at("oci"))]).ok();
    assert_eq!(raw_digest(&format!("oci:{}:theirs", at("oci"))), original);
    Call::new("umoci").args(["stat", "--image", &format!("{}:theirs", at("oci"))]).ok();
}

#[test]
#[ignore = "needs root"]
fn kinds_of_manifests() {
    let (env, registry) = (Env::new(), Registry::start());
    let at = |name: &str| env.path(name).display().to_string();
    let docker = format!("docker-archive:{}", images::file("busybox.docker.tar").display());
    let dir = format!("dir:{}", at("dir"));
    let digest = env.carboy(["copy", "-q", &docker, &dir]).ok();
    assert!(skopeo(["inspect", "--raw", &dir]).ok().contains("docker.distribution.manifest.v2"));
    // A layout holds OCI manifests, unless the digest is what matters.
    let oci = format!("oci:{}:x", at("oci"));
    let out = env.carboy(["copy", &dir, &oci]).ok();
    assert!(out.contains(&format!("Converted manifest {}", digest.trim())), "{out}");
    assert!(skopeo(["inspect", "--raw", &oci]).ok().contains("application/vnd.oci.image.manifest.v1+json"));
    let back = format!("docker://{}/x:1", registry.address);
    assert_eq!(env.carboy(["copy", "-q", "-f", "v2s2", &oci, &back]).ok(), digest, "there and back again");
    let kept = format!("oci:{}:kept", at("oci"));
    assert_eq!(env.carboy(["copy", "-q", "--preserve-digests", &dir, &kept]).ok(), digest);
    let refused = env.carboy(["copy", "--preserve-digests", "-f", "oci", &dir, &oci]).output();
    assert!(refused.code == 1 && refused.error().contains("--preserve-digests forbids"), "{refused}");
}

#[test]
#[ignore = "needs root"]
fn lists_of_images() {
    let (env, registry) = (Env::new(), Registry::start());
    let at = |name: &str| env.path(name).display().to_string();
    registry.push("busybox", "multi:a", &[]);
    registry.push("busybox", "multi:b", &["--format", "v2s2"]);
    registry.put_index("multi", "1", &[("amd64", "a"), ("arm64", "b")]);
    let list = raw_digest(&format!("docker://{}/multi:1", registry.address));
    let from = format!("docker://{}/multi:1", registry.address);
    let copy = format!("docker://{}/copied:1", registry.address);
    assert_eq!(env.carboy(["copy", "-q", "--all", &from, &copy]).ok().trim(), list);
    assert_eq!(raw_digest(&copy), list);
    let oci = format!("oci-archive:{}:m", at("m.tar"));
    assert_eq!(env.carboy(["copy", "-q", "-a", "--preserve-digests", &from, &oci]).ok().trim(), list);
    let dir = format!("dir:{}", at("dir"));
    assert_eq!(env.carboy(["copy", "-q", "--multi-arch=all", &oci, &dir]).ok().trim(), list);
    skopeo(["copy", "-q", "--all", &dir, &format!("dir:{}", at("theirs"))]).ok();
    assert_eq!(raw_digest(&format!("dir:{}", at("theirs"))), list);
    // A layout holds OCI manifests only, so that the list changes with the image that is made one.
    let other = env.carboy(["copy", "-q", "-a", &from, &format!("oci:{}:m", at("oci"))]).ok();
    assert_ne!(other.trim(), list);
    assert_eq!(raw_digest(&format!("oci:{}:m", at("oci"))), other.trim());
    // One platform of it.
    env.carboy(["copy", "-q", "--platform", "linux/arm64", &from, &format!("dir:{}", at("arm"))]).ok();
    let second = raw_digest(&format!("docker://{}/multi:b", registry.address));
    assert_eq!(raw_digest(&format!("dir:{}", at("arm"))), second);
    let store = env.carboy(["copy", "-q", "--all", &from, "carboy:x"]).output();
    assert!(store.code == 1 && store.error().contains("copy without --all"), "{store}");
    let none = env.carboy(["copy", "--platform", "linux/s390x", &from, &dir]).output();
    assert!(none.code == 1 && none.error().contains("has no image for linux/s390x"), "{none}");
    assert_eq!(env.files(), [""; 0], "what failed leaves nothing");
}

#[test]
#[ignore = "needs root"]
fn a_registry_is_looked_at_and_tidied() {
    let (env, registry) = (Env::new(), Registry::with_password());
    let creds = format!("{}:{}", crate::common::registry::USER, crate::common::registry::PASSWORD);
    let place = format!("docker://{}/team/box", registry.address);
    let from = format!("oci:{}:latest", images::file("busybox").display());
    let denied = env.carboy(["copy", &from, &place]).output();
    assert!(denied.code == 1 && denied.error().contains("denied"), "{denied}");
    for tag in ["1", "2"] {
        env.carboy(["copy", "-q", "--dest-creds", &creds, &from, &format!("{place}:{tag}")]).ok();
    }
    let tags = env.carboy(["list-tags", "--creds", &creds, &place]).ok();
    let expected = format!(
        "{{\n    \"Repository\": \"{}/team/box\",\n    \"Tags\": [\n        \"1\",\n        \"2\"\n    ]\n}}\n",
        registry.address
    );
    assert_eq!(tags, expected);
    let name = format!("{place}:1");
    let theirs = skopeo(["inspect", "--tls-verify=false", "--creds", &creds, &name]).ok();
    let sorted = |value: &mut serde_json::Value| {
        let tags = value["RepoTags"].as_array_mut().unwrap();
        tags.sort_by_key(ToString::to_string);
    };
    let mut ours: serde_json::Value =
        serde_json::from_str(&env.carboy(["inspect", "--creds", &creds, &name]).ok()).unwrap();
    let mut theirs: serde_json::Value = serde_json::from_str(&theirs).unwrap();
    // Older skopeos do not tell it.
    for value in [&mut ours, &mut theirs] {
        value.as_object_mut().unwrap().shift_remove("LayersData");
        sorted(value);
    }
    assert_eq!(ours.to_string(), theirs.to_string());
    for (options, format) in [
        (
            &[][..],
            "{{.Name}} {{.Digest}} {{.Created}} {{.DockerVersion}} {{.Labels}} {{.Env}} {{range .Layers}}{{.}},{{end}}",
        ),
        (&["--config"], "{{.Architecture}} {{.OS}} {{.Config.Env}} {{.RootFS.DiffIDs}} {{.Created}}"),
        (&["--config"], "{{range .History}}{{.CreatedBy}} {{.EmptyLayer}} {{.Created}};{{end}}"),
    ] {
        let theirs =
            skopeo(["inspect", "--tls-verify=false", "--creds", &creds, "--format", format, &name]).args(options);
        let ours = env.carboy(["inspect", "--creds", &creds, "--format", format, &name]).args(options).ok();
        assert_eq!(ours, theirs.ok(), "{options:?} {format}");
    }
    let config = skopeo(["inspect", "--tls-verify=false", "--config", "--raw", "--creds", &creds, &name]).ok();
    assert_eq!(env.carboy(["inspect", "--config", "--raw", "--creds", &creds, &name]).ok(), config);
    let out = env
        .carboy(["sync", "--src", "docker", "--dest", "dir", "--src-creds", &creds])
        .args([&place["docker://".len()..], env.path("all").to_str().unwrap()])
        .ok();
    assert!(out.ends_with("Synced 2 images from 1 sources\n"), "{out}");
    assert_eq!(raw_digest(&format!("dir:{}", env.path("all/box:2").display())), raw_digest(&from));
    let folder = format!("dir:{}", env.path("all/box:2").display());
    for format in ["{{.Name}}|{{.Tag}}|{{.Digest}}", "{{.RepoTags}} {{.Os}}"] {
        let theirs = skopeo(["inspect", "--format", format, &folder]).ok();
        assert_eq!(env.carboy(["inspect", "--format", format, &folder]).ok(), theirs, "{format}");
    }
    let gone = env.carboy(["delete", "--creds", &creds, &name]).output();
    // Debian's registry deletes only where its configuration says so.
    assert!(gone.code == 0 || gone.error().contains("unsupported"), "{gone}");
    for (place, words) in [
        ("containers-storage:x", "podman save"),
        ("docker-daemon:x", "docker save"),
        ("nothing", "expected TRANSPORT:DETAILS"),
    ] {
        let line = env.carboy(["copy", place, "dir:x"]).fails(125);
        assert!(line.contains(words), "{line}");
    }
}
