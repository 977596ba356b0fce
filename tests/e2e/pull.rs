//! Real images from a real registry, and programs in them.

use crate::common::images::{self, Entry};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::common::registry::{PASSWORD, USER};
use crate::common::{Call, Env, Registry};

/// Pulls Debian into a new environment. The registry may go afterwards.
fn debian() -> (Env, String) {
    let registry = Registry::start();
    let reference = registry.push("debian", "test/debian:12", &[]);
    let env = Env::new();
    env.carboy(["pull", &reference]).ok();
    (env, reference)
}

#[test]
#[ignore = "needs root, mmdebstrap, umoci, skopeo, docker-registry"]
fn programs_of_a_pulled_debian() {
    let (env, image) = debian();
    let pipeline = "dpkg-query -W -f '${Package}\\n' | sort -r | grep '^lib' | head -3 | wc -l; ls /usr/share/doc 2>&1 | grep -c .";
    assert_eq!(env.carboy(["run", "--rm", &image, "bash", "-c", pipeline]).ok(), "3\n1\n");
    let python = "import hashlib, os, platform, sqlite3; print(platform.libc_ver()[0], os.getpid(), hashlib.sha256(b'x').hexdigest()[:8])";
    assert_eq!(env.carboy(["run", "--rm", &image, "python3", "-c", python]).ok(), "glibc 1 2d711642\n");
    // Many small writes, renames and deletes in the writable layer, over files of the lower ones. A hard link of a lower layer is a file of
    // its own once written to, as overlayfs has it everywhere.
    let work = "set -e; cp -a /usr/lib/python3 /srv/p; rm -r /usr/lib/python3; mv /srv/p /usr/lib/python3; rm /srv/up; echo y >>/srv/one
        cat /srv/one /srv/two; python3 -c 'import json; print(json.dumps({\"a\": 1}))'; apt-get --version | head -1 | cut -d' ' -f1";
    assert_eq!(env.carboy(["run", "--rm", &image, "bash", "-c", work]).ok(), "linked\ny\nlinked\n{\"a\": 1}\napt\n");
    let config = env
        .carboy([
            "run",
            "--rm",
            &image,
            "bash",
            "-c",
            "echo $LANG; id -nu app; stat -c '%a %u:%g' /usr/bin/passwd /home",
        ])
        .ok();
    assert_eq!(config, "C.UTF-8\napp\n4750 0:0\n755 1000:1001\n");
}

#[test]
#[ignore = "needs root, mmdebstrap, umoci, skopeo, docker-registry"]
fn every_file_is_as_it_was_packed() {
    let (env, image) = debian();
    let script = "find . -xdev -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum";
    let inside =
        env.carboy(["run", "--rm", "--network", "none", "-w", "/", &image, "sh", "-c", script]).limit(120).ok();
    let packed = std::fs::read_to_string(images::file("debian.rootfs.sha256")).unwrap();
    // Files that every container has of its own.
    let own = ["./etc/hosts", "./etc/hostname", "./etc/resolv.conf"];
    let compared = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !own.iter().any(|name| line.ends_with(name))).map(str::to_owned).collect()
    };
    let (inside, packed) = (compared(&inside), compared(&packed));
    assert!(packed.len() > 4000, "{}", packed.len());
    let missing: Vec<_> = packed.iter().filter(|line| !inside.contains(line)).take(10).collect();
    let extra: Vec<_> = inside.iter().filter(|line| !packed.contains(line)).take(10).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing {missing:#?}\nextra {extra:#?}");
}

#[test]
#[ignore = "needs root, umoci, skopeo, docker-registry"]
fn manifests_and_compressions() {
    let oci = "vnd.oci.image.manifest.v1";
    pulled_and_run("oci", "layer.v1.tar+gzip", |registry| registry.push("busybox", "kinds/oci:1", &[]));
    let docker = ["--format", "v2s2"];
    pulled_and_run("docker", "vnd.docker.distribution", |registry| registry.push("busybox", "kinds/docker:1", &docker));
    let dir = tempfile::tempdir().unwrap();
    let unpacked = format!("dir:{}", dir.path().join("unpacked").display());
    let from = format!("oci:{}:latest", images::file("busybox").display());
    Call::new("skopeo").args(["--insecure-policy", "copy", "-q", "--dest-decompress", &from, &unpacked]).ok();
    let zstd = ["--dest-compress-format", "zstd"];
    pulled_and_run("zstd", "layer.v1.tar+zstd", |registry| registry.push_uri(&unpacked, "kinds/zstd:1", &zstd));
    // With a table of contents after the layer, which whoever does not know it skips.
    let chunked = ["--dest-compress-format", "zstd:chunked"];
    let position = "io.containers.zstd-chunked.manifest-position";
    pulled_and_run("zstd:chunked", position, |registry| registry.push_uri(&unpacked, "kinds/chunked:1", &chunked));
    let busybox = std::fs::read("/bin/busybox").unwrap();
    let layer = images::tar(&[Entry::Program("bin/echo", &busybox)]);
    pulled_and_run("plain", oci, |registry| registry.push_plain(&layer, "kinds/plain"));
}

/// Pulls what `push` pushed, whose manifest must contain `marker`, and runs `echo` in it.
fn pulled_and_run(kind: &str, marker: &str, push: impl Fn(&Registry) -> String) {
    let registry = Registry::start();
    let reference = push(&registry);
    let (repository, tag) = reference.rsplit_once(':').unwrap();
    let manifest = registry.manifest(reference.split_once('/').unwrap().1);
    assert!(manifest.contains(marker), "{manifest}");
    let env = Env::new();
    let out = env.carboy(["pull", &reference]).output();
    assert_eq!(out.code, 0, "{manifest}\n{out}");
    assert!(!out.error().contains('\r') && !out.error().contains('\x1b'), "a progress bar without a terminal: {out}");
    assert_eq!(env.carboy(["run", "--rm", &reference, "/bin/echo", kind]).ok(), format!("{kind}\n"), "{manifest}");
    let list = env.carboy(["images"]).ok();
    let words: Vec<&str> = list.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(words[..2], [repository, tag], "{list}");
    env.carboy(["rmi", &reference]).ok();
    assert_eq!(env.files(), [""; 0], "{kind}");
}

#[test]
#[ignore = "needs root, umoci, skopeo, docker-registry"]
fn the_manifest_list_has_one_for_this_machine() {
    let registry = Registry::start();
    // The other architecture's image says so in what it prints.
    let other = tempfile::tempdir().unwrap();
    let layout = other.path().join("other");
    let copy = |from: &std::path::Path| Call::new("cp").arg("-a").arg(from).arg(&layout).ok();
    copy(&images::file("busybox"));
    let image = format!("{}:latest", layout.display());
    let config = ["config", "--image", &image, "--architecture", "s390x", "--config.env", "GREETING=foreign"];
    Call::new("umoci").args(config).ok();
    registry.push("busybox", "multi/busybox:ours", &[]);
    registry.push_from(&layout, "multi/busybox:theirs", &[]);
    let here = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let list = registry.put_index("multi/busybox", "both", &[("s390x", "theirs"), (here, "ours")]);
    let env = Env::new();
    // Without a pull before: run does it.
    assert_eq!(env.carboy(["run", "--rm", &list, "sh", "-c", "echo $GREETING"]).ok(), "hello\n");
    let foreign = registry.put_index("multi/busybox", "foreign", &[("s390x", "theirs")]);
    let line = env.carboy(["pull", &foreign]).fails(1);
    assert!(line.contains(here) && line.contains("s390x"), "says what is wanted and what there is: {line}");
    // By digest.
    let digest = images::digest(registry.manifest("multi/busybox:ours").as_bytes());
    let pinned = format!("{}/multi/busybox@{digest}", registry.address);
    env.carboy(["pull", &pinned]).ok();
    assert_eq!(env.carboy(["run", "--rm", &pinned, "echo", "pinned"]).ok(), "pinned\n");
}

/// Puts a password where docker login does.
fn log_in(env: &Env, registry: &Registry, password: &str) {
    let config = env.dir().join("h/.docker/config.json");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    let auth = STANDARD.encode(format!("{USER}:{password}"));
    let auths = serde_json::json!({"auths": {registry.address.as_str(): {"auth": auth}}});
    std::fs::write(config, auths.to_string()).unwrap();
}

#[test]
#[ignore = "needs root, umoci, skopeo, docker-registry"]
fn a_registry_with_a_password() {
    let registry = Registry::with_password();
    let reference = registry.push("busybox", "private/busybox:1", &[]);
    let env = Env::new();
    let refused = env.carboy(["pull", &reference]).fails(1);
    assert!(refused.contains("/private/busybox") && refused.contains("unauthorized"), "{refused}");
    assert_eq!(env.files(), [""; 0]);
    log_in(&env, &registry, PASSWORD);
    env.carboy(["pull", &reference]).ok();
    env.carboy(["rmi", &reference]).ok();
    log_in(&env, &registry, "wrong-secret");
    let wrong = env.carboy(["pull", &reference]).fails(1);
    assert!(wrong.contains("unauthorized") && !wrong.contains("wrong-secret"), "{wrong}");
}

#[test]
#[ignore = "needs root, umoci, skopeo, docker-registry, openssl"]
fn a_registry_with_tokens() {
    let registry = Registry::with_tokens();
    let open = registry.push("busybox", "public/busybox:1", &[]);
    let closed = registry.push("busybox", "private/busybox:1", &[]);
    let tokens = registry.tokens.as_ref().unwrap();
    let given = tokens.given();
    let env = Env::new();
    env.carboy(["pull", &open]).ok();
    assert!(tokens.given() > given, "pulled without a token");
    env.carboy(["rmi", &open]).ok();
    let refused = env.carboy(["pull", &closed]).fails(1);
    assert!(refused.contains("/private/busybox") && refused.contains("denied"), "{refused}");
    assert_eq!(env.files(), [""; 0]);
    log_in(&env, &registry, PASSWORD);
    env.carboy(["pull", &closed]).ok();
    assert_eq!(env.carboy(["run", "--rm", &closed, "echo", "let in"]).ok(), "let in\n");
    log_in(&env, &registry, "wrong-secret");
    let wrong = env.carboy(["pull", &open]).fails(1);
    assert!(wrong.contains("wrong user name or password") && !wrong.contains("wrong-secret"), "{wrong}");
}

#[test]
#[ignore = "needs root, mmdebstrap, umoci, skopeo, docker-registry"]
fn several_pulls_of_one_image_at_once() {
    let registry = Registry::start();
    let reference = registry.push("debian", "test/debian:12", &[]);
    let env = Env::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| env.carboy(["pull", &reference]).limit(120).ok());
        }
    });
    let together = env.files();
    assert_eq!(env.carboy(["run", "--rm", &reference, "cat", "/srv/two"]).ok(), "linked\n");
    env.carboy(["rmi", &reference]).ok();
    assert_eq!(env.files(), [""; 0]);
    env.carboy(["pull", &reference]).ok();
    assert_eq!(env.files(), together, "four pulls at once store something else than one");
}

/// Without a terminal. What docker 20.10 and 28 print of the same pulls, but for the phases of layers.
#[test]
#[ignore = "needs root, umoci, skopeo, docker-registry"]
fn a_pull_says_what_dockers_says() {
    let (env, registry) = (Env::new(), Registry::start());
    let name = registry.push("busybox", "team/box:latest", &[]);
    let repository = name.trim_end_matches(":latest");
    let digest = images::digest(registry.manifest("team/box:latest").as_bytes());
    let layer = registry.layers("team/box:latest")[0]["sha256:".len()..][..12].to_owned();
    let said = env.carboy(["pull", repository]).ok();
    let plain = format!(
        "Using default tag: latest\nlatest: Pulling from team/box\n{layer}: Pulling fs layer\n{layer}: Downloading\n\
         {layer}: Pull complete\nDigest: {digest}\nStatus: Downloaded newer image for {name}\n{name}\n"
    );
    assert_eq!(said, plain);
    let said = env.carboy(["pull", &name]).ok();
    let known = format!("Digest: {digest}\nStatus: Image is up to date for {name}\n{name}\n");
    assert_eq!(said, format!("latest: Pulling from team/box\n{known}"));
    let quiet = env.carboy(["pull", "--quiet", repository]).ok();
    assert_eq!(quiet, format!("{name}@{digest}\n"));
    assert_eq!(
        env.carboy(["run", "--rm", "--pull=never", quiet.trim(), "echo", "by name and digest"]).ok(),
        "by name and digest\n"
    );
    let by_digest = format!("{repository}@{digest}");
    let said = env.carboy(["pull", &by_digest]).ok();
    assert_eq!(said.lines().next(), Some(&*format!("{by_digest}: Pulling from team/box")));
    registry.push("busybox", "team/box:two", &[]);
    let said = env.carboy(["pull", "--all-tags", repository]).ok();
    // Tags come in no order.
    let mut ends: Vec<&str> = said.lines().filter(|line| !line.contains(": Pulling from ")).collect();
    ends[..3].sort_unstable();
    let (each, status) = (format!("Digest: {digest}"), format!("Status: Downloaded newer image for {repository}"));
    // A layer's digest may begin with a digit or a letter.
    let mut layers = [&*format!("{layer}: Already exists"), &each, &each];
    layers.sort_unstable();
    assert_eq!(ends, [&layers[..], &[&status, repository]].concat(), "{said}");
    let said = env.carboy(["push", repository]).ok();
    let words = format!("Using default tag: latest\nThe push refers to repository [{repository}]\n");
    assert!(said.starts_with(&words), "{said}");
}
