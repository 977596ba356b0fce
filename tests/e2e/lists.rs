//! `manifest …`: lists of images, made here and read by skopeo.

use crate::common::{Call, Env, Registry, images};

#[test]
#[ignore = "needs root"]
fn a_list_is_made_annotated_pushed_and_pulled() {
    let (env, registry) = (Env::new(), Registry::start());
    env.load_busybox();
    let remote = registry.push("busybox", "parts:one", &[]);
    let list = format!("{}/whole:1", registry.address);
    let made = env.carboy(["manifest", "create", &list, "busybox"]).ok();
    assert_eq!(made, format!("Created manifest list {list}\n"));
    let again = env.carboy(["manifest", "create", &list]).fails(1);
    assert!(again.contains("--amend"), "{again}");
    let added = env
        .carboy(["manifest", "add", "--arch", "arm64", "--variant", "v8", &list, &format!("docker://{remote}")])
        .ok();
    let digest = added.trim().rsplit(' ').next().unwrap().to_owned();
    assert_eq!(digest, images::digest(registry.manifest("parts:one").as_bytes()));
    let more = ["--os-version", "7", "--os-features", "x,y"];
    env.carboy(["manifest", "annotate", "--annotation", "a.b=c"]).args(more).args([&list, &digest]).ok();
    let shown: serde_json::Value = serde_json::from_str(&env.carboy(["manifest", "inspect", &list]).ok()).unwrap();
    let second = &shown["manifests"][1];
    assert_eq!(
        second["platform"],
        serde_json::json!({"architecture": "arm64", "os": "linux", "variant": "v8", "os.version": "7", "os.features": ["x", "y"]})
    );
    // Who has not got these is not given the image.
    for (wanted, code) in [("linux(+y+x)/arm64", 0), ("linux(+x)/arm64", 1)] {
        let list = format!("docker://{}/features:1", registry.address);
        env.carboy(["manifest", "push", "-q", "--insecure", &format!("{}/whole:1", registry.address), &list]).ok();
        let to = format!("dir:{}", env.path("features").display());
        assert_eq!(env.carboy(["copy", "-q", "--platform", wanted, &list, &to]).output().code, code, "{wanted}");
    }
    assert_eq!(second["annotations"]["a.b"], "c");
    assert_eq!(shown["manifests"].as_array().unwrap().len(), 2);

    let pushed = env.carboy(["manifest", "push", "-q", "--purge", &list]).ok();
    let raw = Call::new("skopeo")
        .args(["--insecure-policy", "inspect", "--tls-verify=false", "--raw", &format!("docker://{list}")])
        .output();
    assert_eq!(images::digest(&raw.stdout), pushed.trim(), "{raw}");
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&raw.stdout).unwrap(), shown, "what was shown was pushed");
    assert_eq!(env.carboy(["manifest", "exists", &list]).output().code, 1, "purged");
    let theirs = Call::new("skopeo")
        .args(["--insecure-policy", "--override-arch=arm64", "--override-variant=v8"])
        .args(["copy", "-q", "--src-tls-verify=false", &format!("docker://{list}")])
        .arg(format!("dir:{}", env.path("arm").display()));
    theirs.ok();
    assert_eq!(images::digest(&std::fs::read(env.path("arm/manifest.json")).unwrap()), digest);
    let id = env.carboy(["images", "-q", "--no-trunc", "busybox"]).ok();
    env.carboy(["rmi", "busybox"]).ok();
    env.carboy(["pull", "-q", &list]).ok();
    assert_eq!(env.carboy(["images", "-q", "--no-trunc"]).ok(), id, "this machine's image is the one that was here");
}

#[test]
#[ignore = "needs root"]
fn lists_are_changed_and_removed() {
    let env = Env::new();
    env.load_busybox();
    let layout = format!("oci:{}:latest", images::file("busybox").display());
    env.carboy(["manifest", "create", "both", &layout]).ok();
    env.carboy(["manifest", "create", "--amend", "both", "busybox"]).ok();
    let inspect =
        || -> serde_json::Value { serde_json::from_str(&env.carboy(["manifest", "inspect", "both"]).ok()).unwrap() };
    let first = inspect()["manifests"][0]["digest"].as_str().unwrap().to_owned();
    assert_eq!(inspect()["manifests"].as_array().unwrap().len(), 2);
    env.carboy(["manifest", "remove", "both", &first]).ok();
    assert_eq!(inspect()["manifests"].as_array().unwrap().len(), 1);
    let place = format!("oci:{}:both", env.path("layout").display());
    let digest = env.carboy(["manifest", "push", "-q", "both", &place]).ok();
    let raw = Call::new("skopeo").args(["--insecure-policy", "inspect", "--raw", &place]).output();
    assert_eq!(images::digest(&raw.stdout), digest.trim(), "{raw}");
    assert_eq!(env.carboy(["manifest", "rm", "both"]).ok(), "Untagged: both:latest\n");
    let gone = env.carboy(["manifest", "rm", "both"]).fails(1);
    assert!(gone.contains("No such manifest: both:latest"), "{gone}");
}

#[test]
#[ignore = "needs root, docker, docker-registry, skopeo"]
fn manifests_are_looked_at_where_they_are() {
    let (env, registry) = (Env::new(), Registry::start());
    let at = &registry.address;
    registry.push("busybox", "team/box:a", &[]);
    registry.push("busybox", "team/box:b", &["--format", "v2s2"]);
    registry.put_index("team/box", "both", &[("amd64", "a"), ("arm64", "b")]);
    let name = |tag: &str| format!("{at}/team/box:{tag}");
    // Docker reads its own lists, and else the registry; no daemon is asked.
    let json = |call: Call| -> serde_json::Value { serde_json::from_str(&call.ok()).unwrap() };
    for tag in ["a", "b", "both"] {
        for options in [&["--insecure"][..], &["--insecure", "--verbose"]] {
            let theirs = json(env.call("docker").args(["manifest", "inspect"]).args(options).arg(name(tag)));
            let ours = json(env.carboy(["manifest", "inspect"]).args(options).arg(name(tag)));
            assert_eq!(ours, theirs, "{options:?} {tag}");
        }
    }
    // An image that is here is one of the list there.
    let both = name("both");
    env.carboy(["pull", "-q", "--platform", "linux/amd64", &both]).ok();
    let shown = json(env.carboy(["manifest", "inspect", &both]));
    assert_eq!(shown["manifests"].as_array().map(Vec::len), Some(2), "{shown}");
    let id = env.carboy(["images", "-q", &both]).ok();
    drop(registry);
    for text in [id.trim(), &both] {
        let shown = json(env.carboy(["manifest", "inspect", text]));
        assert!(shown["layers"].is_array(), "what is here is all that is known: {shown}");
    }
    let said = env.carboy(["manifest", "inspect", "-v", &both]).output();
    assert!(said.error().contains("cannot reach") && said.text().contains("OCIManifest"), "{said}");
    env.carboy(["manifest", "create", "made", id.trim()]).ok();
    let made = json(env.carboy(["manifest", "inspect", "-v", "made"]));
    assert_eq!(made[0]["Descriptor"]["platform"]["os"], "linux", "{made}");
    assert_eq!(made[0]["OCIManifest"]["schemaVersion"], 2, "{made}");
}
