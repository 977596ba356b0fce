//! `sync` between registries and folders, and from skopeo's list in a file, with skopeo doing the same beside it.

use crate::common::{Call, Env, Registry, images};
use std::path::Path;

/// Paths of images below a folder, sorted, with the digests of their manifests.
fn tree(root: &Path) -> Vec<(String, String)> {
    let found = Call::new("find").arg(root).args(["-name", "manifest.json", "-printf", "%P\n"]).ok();
    let mut all: Vec<(String, String)> = found
        .lines()
        .map(|line| {
            let digest = images::digest(&std::fs::read(root.join(line)).unwrap());
            (line.trim_end_matches("/manifest.json").to_owned(), digest)
        })
        .collect();
    all.sort();
    all
}

fn registry() -> Registry {
    let registry = Registry::start();
    for name in ["team/box:1.0", "team/box:1.10", "team/box:2.0", "other/box:1.0"] {
        registry.push("busybox", name, &[]);
    }
    registry
}

/// The same by skopeo.
fn skopeo(args: &[&str], from: &str, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    let call = Call::new("skopeo").args(["--insecure-policy", "sync", "--src-tls-verify=false", "--dest", "dir"]);
    call.args(args).arg(from).arg(to).limit(180).ok();
}

#[test]
#[ignore = "needs root, umoci, skopeo, docker-registry"]
fn from_registry_to_folder_and_on() {
    let (env, registry) = (Env::new(), registry());
    let (ours, theirs) = (env.path("ours"), env.path("theirs"));
    let team = format!("{}/team/box", registry.address);
    for options in [&[][..], &["--scoped"]] {
        let all = [&["--src", "docker"], options].concat();
        let out = env.carboy(["sync", "--dest", "dir"]).args(&all).arg(&team).arg(&ours).ok();
        assert!(out.ends_with("Synced 3 images from 1 sources\n"), "{out}");
        skopeo(&all, &team, &theirs);
        assert_eq!(tree(&ours), tree(&theirs));
    }
    assert_eq!(tree(&ours).len(), 6);
    std::fs::remove_dir_all(&ours).unwrap();
    let one = format!("{team}:1.10");
    let dry = env.carboy(["sync", "--dry-run", "--src", "docker", "--dest", "dir", &one]).arg(&ours).ok();
    assert!(dry.ends_with("Would have synced 1 images from 1 sources\n") && !ours.exists(), "{dry}");
    // From a folder to a registry, and from a registry to a registry.
    let second = Registry::start();
    let to = format!("{}/copy", second.address);
    let from = theirs.join(&registry.address);
    env.carboy(["sync", "-s", "dir", "-d", "docker"]).arg(&from).arg(&to).ok();
    assert_eq!(second.manifest("copy/box:1.10"), registry.manifest("team/box:1.10"));
    env.carboy(["sync", "-s", "docker", "-d", "docker", &team, &format!("{}/again", second.address)]).ok();
    assert_eq!(second.manifest("again/box:2.0"), registry.manifest("team/box:2.0"));
    // A port has no place within a repository's name: neither skopeo can do this.
    let line = env.carboy(["sync", "--scoped", "-s", "docker", "-d", "docker", &team, &second.address]).fails(125);
    assert!(line.contains("invalid reference format"), "{line}");
    let both = env.carboy(["sync", "-s", "dir", "-d", "dir", "/x", "/y"]).fails(125);
    assert!(both.contains("rsync"), "{both}");
}

#[test]
#[ignore = "needs root, umoci, skopeo, docker-registry"]
fn from_a_list_in_a_file() {
    let (env, registry) = (Env::new(), registry());
    let digest = images::digest(registry.manifest("other/box:1.0").as_bytes());
    let list = env.path("list.yaml");
    let at = &registry.address;
    let text = format!(
        "{at}:\n  tls-verify: false\n  images:\n    team/box:\n      - \"1.0\"\n      - 1.10\n    other/box: [{digest}]\n  \
         images-by-tag-regex:\n    team/box: ^2\\.[0-9]$\n"
    );
    std::fs::write(&list, text).unwrap();
    let (ours, theirs) = (env.path("ours"), env.path("theirs"));
    let out = env.carboy(["sync", "--scoped", "--src", "yaml", "--dest", "dir"]).arg(&list).arg(&ours).ok();
    assert!(out.ends_with("Synced 4 images from 1 sources\n"), "{out}");
    skopeo(&["--scoped", "--src", "yaml"], list.to_str().unwrap(), &theirs);
    assert_eq!(tree(&ours), tree(&theirs));
    let second = Registry::start();
    let to = format!("{}/m", second.address);
    env.carboy(["sync", "--src", "yaml", "--dest", "docker"]).arg(&list).arg(&to).ok();
    assert_eq!(second.manifest("m/box:2.0"), registry.manifest("team/box:2.0"));

    // The same, with what is said twice written once.
    let text =
        format!("{at}:\n  <<: {{tls-verify: false}}\n  images:\n    team/box: &tags ['1.0']\n    other/box: *tags\n");
    std::fs::write(&list, text).unwrap();
    let (ours, theirs) = (env.path("ours2"), env.path("theirs2"));
    env.carboy(["sync", "--scoped", "--src", "yaml", "--dest", "dir"]).arg(&list).arg(&ours).ok();
    skopeo(&["--scoped", "--src", "yaml"], list.to_str().unwrap(), &theirs);
    assert_eq!((tree(&ours), tree(&ours).len()), (tree(&theirs), 2));

    // What is not there ends it, or is passed over.
    let text = format!("{at}:\n  images:\n    team/none: []\n    team/box: ['9', '1.0']\n");
    std::fs::write(&list, text).unwrap();
    let third = env.path("third");
    let out = env.carboy(["sync", "--src", "yaml", "--dest", "dir"]).arg(&list).arg(&third).output();
    assert!(out.code == 1 && !third.exists(), "{out}");
    let out = env.carboy(["sync", "--keep-going", "--src", "yaml", "--dest", "dir"]).arg(&list).arg(&third).output();
    assert!(out.code == 1 && out.error().contains("team/none") && out.error().contains("box:9"), "{out}");
    assert_eq!(tree(&third).len(), 1, "the rest is there");
    // Versions, as later skopeos have them.
    std::fs::write(&list, format!("{at}:\n  images-by-semver: {{team/box: '>=1.5, <3 || 0.x', other/box: '^2'}}\n"))
        .unwrap();
    let fourth = env.path("fourth");
    let out = env.carboy(["sync", "--src", "yaml", "--dest", "dir"]).arg(&list).arg(&fourth).ok();
    let names: Vec<String> = tree(&fourth).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["box:1.10", "box:2.0"], "{out}");
    std::fs::write(&list, "x:\n  images-by-semver: {a: '>=one'}\n").unwrap();
    let line = env.carboy(["sync", "--src", "yaml", "--dest", "dir"]).arg(&list).arg(&third).fails(125);
    assert!(line.contains("list.yaml: x: images-by-semver: a: \">=one\" is no range"), "{line}");
    let line = env.carboy(["sync", "--src", "dir", "--dest", "yaml", "/x", "/y"]).fails(125);
    assert!(line.contains("kind of source"), "{line}");
}

#[test]
#[ignore = "needs root, umoci, skopeo, docker-registry"]
fn lists_of_images_whole() {
    let (env, registry) = (Env::new(), Registry::start());
    registry.push("busybox", "team/box:a", &[]);
    registry.push("busybox", "team/box:b", &["--format", "v2s2"]);
    registry.put_index("team/box", "both", &[("amd64", "a"), ("arm64", "b")]);
    let team = format!("{}/team/box", registry.address);
    let (ours, theirs) = (env.path("ours"), env.path("theirs"));
    env.carboy(["sync", "--all", "--src", "docker", "--dest", "dir", &team]).arg(&ours).ok();
    skopeo(&["--all", "--src", "docker"], &team, &theirs);
    assert_eq!(tree(&ours), tree(&theirs));
    // Every file of the list's folder: the list, its manifests, and their blobs.
    let files = |root: &Path| {
        let sums = "find . -type f -exec sha256sum {} +";
        Call::new("sh").arg("-c").arg(format!("cd {} && {sums}", root.display())).ok()
    };
    let sorted = |text: String| text.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(sorted(files(&ours.join("box:both"))), sorted(files(&theirs.join("box:both"))));
    // And on: the list at another registry has both images.
    let second = Registry::start();
    let to = format!("{}/m", second.address);
    env.carboy(["sync", "--all", "--src", "dir", "--dest", "docker"]).arg(&ours).arg(&to).ok();
    for tag in ["a", "b"] {
        assert_eq!(second.manifest(&format!("m/box:{tag}")), registry.manifest(&format!("team/box:{tag}")));
    }
    let raw = |at: &str| {
        let place = format!("docker://{at}");
        Call::new("skopeo").args(["--insecure-policy", "inspect", "--tls-verify=false", "--raw", &place]).ok()
    };
    assert_eq!(raw(&format!("{to}/box:both")), raw(&format!("{team}:both")));
}
