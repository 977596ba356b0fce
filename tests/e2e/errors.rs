//! Bad input: one clear line with the cause, the right exit code, nothing left behind.

use crate::common::images::{self, Entry};
use crate::common::{Call, Env, Registry};
use std::path::{Path, PathBuf};

/// Asserts that a message names all of these.
fn says(line: &str, words: &[&str]) {
    for word in words {
        assert!(line.to_lowercase().contains(&word.to_lowercase()), "no {word:?} in: {line}");
    }
}

#[test]
fn wrong_flags_are_usage_errors() {
    let env = Env::new();
    for (args, words) in [
        (&["run", "--no-such-flag", "hello"][..], &["--no-such-flag"][..]),
        (&["run"], &["image"]),
        (&["run", "-m", "lots", "hello"], &["lots", "memory"]),
        (&["run", "--cpus", "-1", "hello"], &["-1", "cpus"]),
        (&["run", "--network", "moon", "hello"], &["moon"]),
        (&["run", "--cap-add", "FLY", "hello"], &["FLY"]),
        (&["run", "-v", "a:b:c:d", "hello"], &["a:b:c:d"]),
        (&["run", "--name", "a/b", "hello"], &["a/b"]),
        (&["run", "Not A Reference"], &["Not A Reference"]),
        (&["no-such-command"], &["no-such-command"]),
        (&["pull", "--no-such-flag", "x"], &["--no-such-flag"]),
    ] {
        let line = env.call(env!("CARGO_BIN_EXE_carboy")).args(args).fails(125);
        says(&line, words);
    }
    assert_eq!(env.carboy(["ps", "-aq"]).ok(), "");
}

#[test]
#[ignore = "needs root, docker-registry"]
fn an_unknown_image() {
    let registry = Registry::start();
    let env = Env::new();
    let missing = format!("{}/no/such:image", registry.address);
    says(&env.carboy(["pull", &missing]).fails(1), &[&missing, "unknown"]);
    // `run` says first that it pulls.
    let out = env.carboy(["run", "--rm", &missing, "true"]).output();
    let error = out.error();
    let errors: Vec<&str> = error.lines().filter(|line| line.starts_with("Error: ")).collect();
    assert!(out.code == 125 && errors.len() == 1 && error.ends_with(&format!("{}\n", errors[0])), "{out}");
    says(errors[0], &[&missing, "unknown"]);
    says(&env.carboy(["rmi", "never-loaded"]).fails(1), &["never-loaded", "no such image"]);
    says(&env.carboy(["inspect", "never-made"]).fails(1), &["never-made"]);
    says(&env.carboy(["logs", "never-made"]).fails(1), &["never-made", "no such container"]);
    assert_eq!(env.files(), [""; 0]);
}

#[test]
#[ignore = "needs root"]
fn an_unreachable_registry() {
    let env = Env::new();
    // Nothing listens on port 1.
    says(&env.carboy(["pull", "127.0.0.1:1/some/image"]).fails(1), &["127.0.0.1:1", "refused"]);
    says(&env.carboy(["pull", "no-such-host.invalid/some/image"]).fails(1), &["no-such-host.invalid"]);
    assert_eq!(env.files(), [""; 0]);
}

#[test]
#[ignore = "needs root, umoci, skopeo, docker-registry"]
fn a_blob_that_is_not_what_its_digest_says() {
    let registry = Registry::start();
    let reference = registry.push("busybox", "bad/busybox:1", &[]);
    let digest = registry.layers("bad/busybox:1").remove(0);
    let file = registry.blob(&digest);
    let good = std::fs::read(&file).unwrap();
    let env = Env::new();

    // A byte in the middle, which gzip may or may not notice.
    let mut altered = good.clone();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    std::fs::write(&file, &altered).unwrap();
    says(&env.carboy(["pull", &reference]).fails(1), &[&digest]);
    assert_eq!(env.files(), [""; 0]);

    // Cut off.
    std::fs::write(&file, &good[..good.len() - 1000]).unwrap();
    says(&env.carboy(["pull", &reference]).fails(1), &[&digest]);
    assert_eq!(env.files(), [""; 0]);

    // More than was announced.
    let mut longer = good.clone();
    longer.extend_from_slice(&[0; 1000]);
    std::fs::write(&file, &longer).unwrap();
    says(&env.carboy(["pull", &reference]).fails(1), &[&digest]);
    assert_eq!(env.files(), [""; 0]);

    // And whole again: nothing of the failures stands in the way.
    std::fs::write(&file, &good).unwrap();
    assert_eq!(env.carboy(["run", "--rm", &reference, "echo", "well"]).ok(), "well\n");
}

#[test]
#[ignore = "needs root"]
fn archives_that_lie() {
    let env = Env::new();
    let good = images::tar(&[Entry::File("file", &[b'x'; 5000])]);
    let truncated = &good[..2000];
    let cases: [(&str, &[u8], &[u8]); 3] =
        [("altered", &good, b"something else"), ("short", &good, &good[..600]), ("truncated", truncated, truncated)];
    for (name, layer, stored) in cases {
        let file = env.path(name);
        images::archive_with(&file, name, layer, stored);
        let line = env.carboy(["load", "-q", "-i", file.to_str().unwrap()]).fails(1);
        says(&line, &[name]);
        assert_eq!(env.files(), [""; 0], "{name}: {line}");
    }
    let cut = env.path("cut.tar");
    let whole = std::fs::read(images::file("busybox.docker.tar")).unwrap();
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    says(&env.carboy(["load", "-q", "-i", cut.to_str().unwrap()]).fails(1), &["cut.tar"]);
    says(&env.carboy(["load", "-q", "-i", "/etc/passwd"]).fails(1), &["/etc/passwd"]);
    says(&env.carboy(["load", "-q", "-i", "/no/such/file"]).fails(1), &["/no/such/file", "No such file"]);
    assert_eq!(env.files(), [""; 0]);
}

/// Where hostile layers of a test aim: `name` beside the environment's root.
fn target(env: &Env) -> PathBuf {
    env.path("escaped")
}

#[test]
#[ignore = "needs root"]
fn a_layer_that_leaves_its_root() {
    let env = Env::new();
    let up = "../../../../../../../../../..";
    let outside = target(&env);
    let climbing = format!("{up}{}", outside.display());
    let through = format!("a/{up}{}", outside.display());
    // tar's header has room for 100 bytes.
    for name in [&climbing, &through] {
        assert!(name.len() < 100, "{name}");
        let file = env.path("evil.tar");
        images::archive(&file, "evil", &images::tar(&[Entry::File(name, b"escaped")]));
        let line = env.carboy(["load", "-q", "-i", file.to_str().unwrap()]).fails(1);
        says(&line, &[name]);
        assert!(!outside.exists());
        assert_eq!(env.files(), [""; 0], "{line}");
        let _ = std::fs::remove_dir_all(env.path("evil.layout"));
    }
}

#[test]
#[ignore = "needs root"]
fn links_out_of_a_layer_lead_nowhere() {
    let env = Env::new();
    let outside = target(&env);
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "secret").unwrap();
    let secret = outside.join("secret");
    let folder = outside.to_str().unwrap();
    let busybox = std::fs::read("/bin/busybox").unwrap();
    let shell = |rest: Vec<Entry<'_>>| {
        let mut all = vec![Entry::Program("bin/busybox", &busybox)];
        all.extend(rest);
        images::tar(&all)
    };
    let cases = [
        ("symlink", shell(vec![Entry::Symlink("way", folder), Entry::File("way/file", b"escaped")])),
        ("hardlink", shell(vec![Entry::Hardlink("copy", secret.to_str().unwrap())])),
        ("both", shell(vec![Entry::Symlink("way", folder), Entry::Hardlink("copy", "way/secret")])),
    ];
    for (name, layer) in cases {
        let file = env.path(name);
        images::archive(&file, name, &layer);
        // It may be refused, or stay within; what must not happen is that it reaches out.
        let out = env.carboy(["load", "-q", "-i", file.to_str().unwrap()]).output();
        if out.code == 0 {
            let reference = out.text().trim().rsplit(' ').next().unwrap().to_owned();
            let copy = env.carboy(["run", "--rm", &reference, "/bin/busybox", "cat", "/copy"]).output();
            assert!(!copy.text().contains("secret"), "{name}: {copy}");
        } else {
            assert_eq!(out.error().lines().count(), 1, "{out}");
        }
        assert!(!outside.join("file").exists(), "{name}");
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1, "{name}");
    }
}

#[test]
#[ignore = "needs root, mmdebstrap, umoci, skopeo, docker-registry"]
fn a_full_disk() {
    let registry = Registry::start();
    let reference = registry.push("debian", "test/debian:12", &[]);
    let env = Env::new();
    let disk = Disk::mount(&env.path("small"), "48m");
    let call = || env.carboy(["pull", &reference]).env("CARBOY_ROOT", &disk.0);
    says(&call().fails(1), &["No space left on device"]);
    let mut left = Vec::new();
    crate::common::leftovers::walk(&disk.0, &mut |path, kind| {
        if kind.is_file() && std::fs::metadata(path).is_ok_and(|m| m.len() > 64) {
            left.push(path.to_owned());
        }
    });
    assert!(left.is_empty(), "{left:?}: what was written to the full disk is still there");
}

/// A tmpfs of a size, unmounted at the end.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path, size: &str) -> Disk {
        std::fs::create_dir(at).unwrap();
        Call::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(at).ok();
        Disk(at.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

#[test]
#[ignore = "needs root"]
fn two_containers_of_one_name() {
    let env = Env::new();
    env.load_busybox();
    let id = env.carboy(["run", "-d", "--name", "taken", "busybox", "sleep", "1000"]).ok();
    let before = env.files();
    let line = env.carboy(["run", "--rm", "--name", "taken", "busybox", "true"]).fails(125);
    says(&line, &["taken", "in use", &id[..12]]);
    assert_eq!(env.files(), before);
    env.carboy(["rm", "-f", "taken"]).ok();
    assert_eq!(env.carboy(["run", "--rm", "--name", "taken", "busybox", "echo", "free"]).ok(), "free\n");
    // Of many at once exactly one wins, and the losers leave nothing.
    let won = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| env.carboy(["run", "-d", "--name", "raced", "busybox", "sleep", "1000"]).output()))
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).filter(|out| out.code == 0).count()
    });
    assert_eq!(won, 1);
    assert_eq!(env.carboy(["ps", "-aq"]).ok().lines().count(), 1);
    env.carboy(["rm", "-f", "raced"]).ok();
}

#[test]
#[ignore = "needs root"]
fn a_start_that_fails_leaves_nothing() {
    let env = Env::new();
    env.load_busybox();
    let before = env.files();
    let volume = format!("{}:/bin/busybox/below-a-file", env.dir().display());
    let line = env.carboy(["run", "--rm", "-v", &volume, "busybox", "true"]).output();
    assert_eq!((line.code, line.error().lines().count()), (125, 1), "{line}");
    says(&line.error(), &["/bin/busybox"]);
    env.carboy(["run", "--rm", "-m", "1k", "busybox", "true"]).fails(125);
    env.carboy(["run", "--rm", "--rootfs", "/no/such/folder", "true"]).fails(125);
    assert_eq!(env.carboy(["ps", "-aq"]).ok(), "");
    assert_eq!(env.files(), before);
}
