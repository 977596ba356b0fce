//! `load -i` of what skopeo made, `images` and `rmi`.

use crate::common::{Env, images};

#[test]
#[ignore = "needs root"]
fn docker_and_oci_archives() {
    for (archive, name) in [("busybox.docker.tar", "busybox:latest"), ("busybox.oci.tar", "localhost/busybox:latest")] {
        let env = Env::new();
        let file = images::file(archive);
        let out = env.carboy(["load", "-i", file.to_str().unwrap()]).ok();
        let reference = out.lines().last().unwrap().rsplit(' ').next().unwrap().to_owned();
        assert!(out.contains("Loaded image") && reference.contains(name), "{out}");
        assert_eq!(env.carboy(["run", "--rm", &reference, "echo", "ran"]).ok(), "ran\n");
        let list = env.carboy(["images"]).ok();
        assert_eq!(list.lines().count(), 2, "{list}");
        let id = env.carboy(["images", "-q"]).ok();
        assert!(list.lines().nth(1).unwrap().contains(id.trim()), "{list}");
        env.carboy(["rmi", &reference]).ok();
        assert_eq!(env.carboy(["images", "-q"]).ok(), "");
        assert_eq!(env.files(), [""; 0], "rmi of the only image leaves files");
    }
}

#[test]
#[ignore = "needs root"]
fn an_archive_from_standard_input() {
    let env = Env::new();
    let bytes = std::fs::read(images::file("busybox.docker.tar")).unwrap();
    let out = env.carboy(["load"]).stdin(bytes).ok();
    assert!(out.contains("busybox:latest"), "{out}");
    assert_eq!(env.carboy(["run", "--rm", "busybox", "echo", "ran"]).ok(), "ran\n");
}

#[test]
#[ignore = "needs root"]
fn an_image_in_use_stays() {
    let env = Env::new();
    env.load_busybox();
    env.carboy(["run", "--name", "user", "busybox", "true"]).ok();
    let used = env.carboy(["rmi", "busybox"]).fails(1);
    assert!(used.contains("busybox") && used.contains("is using"), "{used}");
    env.carboy(["rm", "user"]).ok();
    env.carboy(["rmi", "busybox"]).ok();
    assert_eq!(env.files(), [""; 0]);
}

#[test]
#[ignore = "needs root"]
fn layers_are_shared_and_counted() {
    let env = Env::new();
    env.load_busybox();
    let one = env.files();
    env.load_busybox();
    assert_eq!(env.files(), one, "the same image twice is stored once");
}

#[test]
#[ignore = "needs root"]
fn the_snapshotter_is_the_kernels_best() {
    let env = Env::new();
    env.load_busybox();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|n| n.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap(), numbers.next().unwrap());
    let erofs = std::fs::read_to_string("/proc/filesystems").unwrap().contains("\terofs\n");
    let mounted = env.files().iter().any(|name| name.ends_with("/erofs"));
    // File-backed EROFS mounts came with Linux 6.12.
    assert_eq!(
        mounted,
        erofs && version >= (6, 12),
        "Linux {release}: {:?}",
        env.files().iter().take(5).collect::<Vec<_>>()
    );
    assert_eq!(env.carboy(["run", "--rm", "busybox", "echo", "ran"]).ok(), "ran\n");
}
