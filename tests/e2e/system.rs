//! `system df`, `system prune`, `system check`, `image prune`: what is said is what is on the disk.

use crate::common::{Call, Env, images};

/// Bytes on the disk below these folders, by du(1), which counts a file of two names once.
fn du<const N: usize>(env: &Env, folders: [&str; N]) -> u64 {
    let mut call = env.call("du").args(["-sc", "--block-size=1"]);
    for folder in folders {
        call = call.arg(env.root().join(folder));
    }
    let out = call.ok();
    out.lines().last().unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

/// `1.234MB` as bytes.
fn bytes(text: &str) -> f64 {
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap();
    let unit = match &text[end..] {
        "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        other => panic!("{other}"),
    };
    text[..end].parse::<f64>().unwrap() * unit
}

fn last_sum(out: &str) -> f64 {
    bytes(out.trim_end().rsplit_once("Total reclaimed space: ").unwrap().1)
}

#[test]
#[ignore = "needs root"]
fn disk_usage_is_what_du_says() {
    let env = Env::new();
    env.load_busybox();
    env.carboy(["run", "--name", "one", "-v", "vol:/v", "busybox", "sh", "-c", "head -c 100000 /dev/zero >/v/x"]).ok();
    let df = env
        .carboy(["system", "df", "--format", "{{.Type}}|{{.TotalCount}}|{{.Active}}|{{.Size}}|{{.Reclaimable}}"])
        .ok();
    let rows: Vec<Vec<&str>> = df.lines().map(|line| line.split('|').collect()).collect();
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), ["Images", "Containers", "Local Volumes"]);
    assert_eq!((rows[0][1], rows[0][2]), ("1", "1"), "{df}");
    assert_eq!((rows[1][1], rows[1][2], rows[2][1], rows[2][2]), ("1", "0", "1", "1"), "{df}");
    let on_disk = du(&env, ["blobs", "layers"]) as f64;
    let said = bytes(rows[0][3]);
    assert!((said - on_disk).abs() < 40_000.0, "said {said}, on disk {on_disk}");
    assert!(rows[0][4].starts_with("0B"), "a container is of the image: {df}");
    assert!(bytes(rows[2][3]) >= 100_000.0);
    let table = env.carboy(["system", "df"]).ok();
    assert!(table.starts_with("TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE\n"), "{table}");
    let verbose = env.carboy(["system", "df", "-v"]).ok();
    for part in
        ["Images space usage:", "busybox", "Containers space usage:", "one", "Local Volumes space usage:", "vol"]
    {
        assert!(verbose.contains(part), "{part}: {verbose}");
    }
    env.carboy(["rm", "one"]).ok();
    let free = env.carboy(["system", "df", "--format", "{{.Reclaimable}}"]).ok();
    assert!(free.lines().next().unwrap().ends_with("(100%)"), "{free}");
}

#[test]
#[ignore = "needs root"]
fn pruning_asks_and_says_what_it_gave_back() {
    let env = Env::new();
    env.load_busybox();
    env.carboy(["run", "--name", "stopped", "--label", "a=b", "busybox", "true"]).ok();
    env.carboy(["run", "-d", "--name", "running", "busybox", "sleep", "1000"]).ok();
    let asked = env.carboy(["system", "prune", "-a"]).stdin("n\n").fails(1);
    assert!(asked.contains("system prune has been cancelled"), "{asked}");
    let kept = env.carboy(["system", "prune", "-f", "--filter", "label!=a"]).ok();
    assert_eq!(kept, "Total reclaimed space: 0B\n");
    let out = env.carboy(["system", "prune", "-a"]).stdin("y\n").ok();
    assert!(out.contains("WARNING! This will remove:\n  - all stopped containers\n"), "{out}");
    assert!(out.contains("Are you sure you want to continue? [y/N] Deleted Containers:\n"), "{out}");
    assert!(!out.contains("Deleted Images"), "a container of it runs: {out}");
    assert_eq!(env.carboy(["ps", "-a", "--format", "{{.Names}}"]).ok(), "running\n");
    env.carboy(["rm", "-f", "running"]).ok();
    // It has a name: without --all it stays.
    assert_eq!(env.carboy(["image", "prune", "-f"]).ok(), "Total reclaimed space: 0B\n");
    assert_eq!(env.carboy(["image", "prune", "-af", "--filter", "until=86400"]).ok(), "Total reclaimed space: 0B\n");
    let before = du(&env, ["blobs", "layers"]) as f64;
    let out = env.carboy(["image", "prune", "-af"]).ok();
    assert!(out.starts_with("Deleted Images:\nuntagged: busybox:latest\ndeleted: sha256:"), "{out}");
    let after = du(&env, ["blobs", "layers"]) as f64;
    let said = last_sum(&out);
    assert!((said - (before - after)).abs() < 10_000.0, "said {said}, du says {}", before - after);
    assert_eq!(env.files(), [""; 0]);
    assert!(env.carboy(["image", "prune", "--filter", "nonsense=1"]).fails(1).contains("invalid filter 'nonsense'"));
}

#[test]
#[ignore = "needs root"]
fn a_damaged_store_is_repaired() {
    let env = Env::new();
    env.load_busybox();
    assert_eq!(
        env.carboy(["system", "check", "--deep"]).ok(),
        "The store is whole; every blob and layer has its digest.\n"
    );
    let layer = std::fs::read_dir(env.root().join("layers")).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_dir_all(&layer).unwrap();
    let found = env.carboy(["system", "check"]).output();
    let text = found.text();
    assert!(found.code == 1 && text.contains("is missing") && text.contains("1 problem."), "{found}");
    let repaired = env.carboy(["system", "check", "--repair"]).ok();
    assert!(repaired.contains("made again from its blob"), "{repaired}");
    assert_eq!(env.carboy(["run", "--rm", "busybox", "echo", "ran"]).ok(), "ran\n");
    assert_eq!(env.carboy(["system", "check"]).ok(), "The store is whole.\n");
}

#[test]
#[ignore = "needs root, mmdebstrap, umoci, skopeo"]
fn a_big_image_is_removed_in_the_background() {
    let env = Env::new();
    env.carboy(["load", "-q", "-i", images::file("debian.oci.tar").to_str().unwrap()]).ok();
    let id = env.carboy(["images", "-q"]).ok();
    env.carboy(["rmi", id.lines().next().unwrap()]).ok();
    assert_eq!(env.carboy(["images", "-q"]).ok(), "");
    // What is said of the disk is true at any time: it waits for what is on its way.
    let df = env.carboy(["system", "df", "--format", "{{.Size}}"]).ok();
    assert_eq!(df.lines().next(), Some("0B"));
    assert_eq!(env.files(), [""; 0]);
    env.carboy(["load", "-q", "-i", images::file("debian.oci.tar").to_str().unwrap()]).ok();
    env.carboy(["rmi", id.lines().next().unwrap()]).ok();
    assert_eq!(env.files(), [""; 0]);
}

/// An image whose blobs were dropped can be saved and copied all the same: docker's archive gets the plain tars, other places get
/// layers that are compressed anew.
fn saved_without_blobs(env: &Env) {
    std::fs::write(env.root().join("store.conf"), "drop-blobs = yes\n").unwrap();
    let layout = format!("oci:{}:latest", images::file("busybox").display());
    env.carboy(["copy", "-q", &layout, "carboy:busybox"]).ok();
    let id = env.carboy(["images", "-q", "--no-trunc", "busybox"]).ok();
    let before = du(env, ["blobs"]);
    assert!(before < 40_000);
    let (docker, oci) = (env.path("plain.tar"), env.path("layout"));
    let words = env.carboy(["save", "-o", docker.to_str().unwrap(), "busybox"]).output();
    assert_eq!(words.code, 0, "{words}");
    let place = format!("oci:{}:box", oci.display());
    let words = env.carboy(["copy", "carboy:busybox", &place]).output();
    assert!(words.code == 0, "{words}");
    assert!(format!("{words}").contains("Converted manifest sha256:"), "{words}");
    let kept = env.carboy(["copy", "--preserve-digests", "carboy:busybox", &place]).fails(1);
    assert!(kept.contains("which --preserve-digests forbids"), "{kept}");
    let docker_place = format!("docker-archive:{}", docker.display());
    for place in [&docker_place, &place] {
        let config = Call::new("skopeo").args(["--insecure-policy", "inspect", "--config", "--raw", place]).output();
        assert_eq!(images::digest(&config.stdout), id.trim(), "{config}");
        // skopeo checks every layer against its digest and diff ID.
        let checked = format!("dir:{}", env.path("checked").display());
        Call::new("skopeo").args(["--insecure-policy", "copy", "-q", place, &checked]).ok();
    }
    assert!(du(env, ["blobs"]) < before + 8192, "what was made for it goes with it");
    assert_eq!(env.carboy(["system", "check"]).ok(), "The store is whole.\n");
}

#[test]
#[ignore = "needs root"]
fn blobs_are_dropped_where_the_space_is_wanted() {
    let env = Env::new();
    let archive = images::file("busybox.docker.tar");
    env.load_busybox();
    let kept = du(&env, ["blobs"]);
    env.carboy(["rmi", "busybox"]).ok();
    env.carboy(["load", "--drop-blobs", "-i", archive.to_str().unwrap()]).ok();
    assert!(du(&env, ["blobs"]) < 40_000, "{} of {kept}", du(&env, ["blobs"]));
    assert_eq!(env.carboy(["run", "--rm", "busybox", "echo", "ran"]).ok(), "ran\n");
    assert_eq!(env.carboy(["system", "check"]).ok(), "The store is whole.\n");
    env.carboy(["rmi", "busybox"]).ok();
    saved_without_blobs(&env);
    env.carboy(["rmi", "busybox"]).ok();
    // As a setting of the store.
    std::fs::write(env.root().join("store.conf"), "drop-blobs = yes\nsnapshotter = overlay\n").unwrap();
    env.load_busybox();
    assert!(du(&env, ["blobs"]) < 40_000);
    assert!(env.files().iter().any(|name| name.contains("/fs/")), "the setting's snapshotter");
    std::fs::write(env.root().join("store.conf"), "drop-blob = yes\n").unwrap();
    assert!(env.carboy(["images"]).fails(1).contains("line 1: \"drop-blob = yes\" is not understood"));
    std::fs::remove_file(env.root().join("store.conf")).unwrap();
}
