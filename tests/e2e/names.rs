//! Names without a registry, for images that are here under another: aliases, and the registries that are searched. And options of others.

use crate::common::{Env, Registry};

#[test]
#[ignore = "needs root"]
fn a_short_name_means_what_it_means_to_podman() {
    let env = Env::new();
    env.load_busybox();
    let conf = env.dir().join("h/.config/containers");
    std::fs::create_dir_all(&conf).unwrap();
    let text = "unqualified-search-registries = ['s.example']\n[aliases]\n'box' = 'r.example/team/box'\n";
    std::fs::write(conf.join("registries.conf"), text).unwrap();
    for name in ["r.example/team/box:1", "s.example/found:1"] {
        env.carboy(["tag", "busybox", name]).ok();
    }
    let id = env.carboy(["inspect", "--format", "{{.Id}}", "busybox"]).ok();
    for name in ["box:1", "found:1"] {
        assert_eq!(env.carboy(["inspect", "--format", "{{.Id}}", name]).ok(), id, "{name}");
        assert_eq!(env.carboy(["image", "inspect", "--format", "{{.Id}}", name]).ok(), id, "{name}");
        env.carboy(["image", "exists", name]).ok();
        env.carboy(["history", "-q", name]).ok();
        env.carboy(["image", "tree", name]).ok();
        let saved = env.carboy(["save", name]).output();
        assert_eq!(saved.code, 0, "{}", saved.error());
        env.carboy(["copy", "-q", &format!("carboy:{name}"), &format!("dir:{}", env.path(name).display())]).ok();
        assert_eq!(env.carboy(["run", "--rm", "--pull=never", name, "echo", "ran"]).ok(), "ran\n", "{name}");
    }
    env.carboy(["tag", "box:1", "localhost/new"]).ok();
    assert_eq!(env.carboy(["inspect", "--format", "{{.Id}}", "localhost/new"]).ok(), id);
    env.carboy(["untag", "found:1", "s.example/found:1"]).ok();
    assert_eq!(env.carboy(["image", "exists", "found:1"]).output().code, 1);
    env.carboy(["tag", "busybox", "r.example/team/box:2"]).ok();
    assert_eq!(env.carboy(["rmi", "box:2"]).ok().trim(), "Untagged: r.example/team/box:2");
    // An image of that very name goes before the alias.
    env.carboy(["tag", "busybox", "box:1"]).ok();
    assert_eq!(env.carboy(["rmi", "box:1"]).ok().trim(), "Untagged: box:1");
    env.carboy(["image", "exists", "r.example/team/box:1"]).ok();
    let line = env.carboy(["rmi", "none:1"]).fails(1);
    assert!(line.contains("none:1"), "{line}");
}

/// Of registries that are searched, only those before the one that has it failed, and that is no failure.
#[test]
#[ignore = "needs root, umoci, skopeo, docker-registry"]
fn a_search_that_finds_says_nothing_of_where_it_did_not() {
    let (env, registry) = (Env::new(), Registry::start());
    let name = registry.push("busybox", "team/box:1", &[]);
    let conf = env.dir().join("h/.config/containers");
    std::fs::create_dir_all(&conf).unwrap();
    let text = format!("unqualified-search-registries = ['127.0.0.1:1', '{}']\n", registry.address);
    std::fs::write(conf.join("registries.conf"), text).unwrap();
    let out = env.carboy(["pull", "-q", "team/box:1"]).output();
    assert_eq!((out.code, out.error()), (0, String::new()), "{out}");
    assert!(out.text().starts_with(&name), "{out}");
    let out = env.carboy(["pull", "-q", "team/none:1"]).output();
    let error = out.error();
    let lines: Vec<&str> = error.lines().collect();
    assert!(out.code == 1 && lines.len() == 2 && lines[0].contains("127.0.0.1:1/team/none"), "{out}");
}

#[test]
fn options_that_are_not_there_say_what_to_do() {
    let env = Env::new();
    for (args, words) in [
        (&["copy", "--dest-compress-format=zstd", "a", "b"][..], "skopeo copy"),
        (&["copy", "--sign-by", "me", "a", "b"], "cosign"),
        (&["push", "--compression-level=3", "x"], "usual level"),
        (&["inspect", "--registry-token=x", "docker://x"], "carboy login"),
        (&["rmi", "--platform=linux/amd64", "x"], "one platform"),
        (&["sync", "--override-arch=arm64", "a", "b"], "--platform OS/ARCH"),
    ] {
        let line = env.carboy([]).args(args).fails(125);
        assert!(line.contains("is not supported: ") && line.contains(words), "{line}");
    }
    let line = env.carboy(["rmi", "--nonsense"]).fails(125);
    assert!(line.contains("see 'carboy rmi --help'"), "{line}");
}
