//! One suite for every snapshotter: what is seen through it equals what GNU tar extracts.

#![allow(clippy::unwrap_used)]

mod common;

use carboy_image::SnapshotterChoice::{self, Erofs, Overlay};
use carboy_oci::Reference;
use carboy_oci::image::media_type::{OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, OCI_MANIFEST};
use carboy_store::Hasher;
use common::*;
use rustix::fs::XattrFlags;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Both snapshotters, each test.
macro_rules! suite {
    ($($name:ident),* $(,)?) => {
        mod erofs { $(#[test] #[ignore = "needs root: mounts"] fn $name() { super::$name(super::Erofs) })* }
        mod overlay { $(#[test] #[ignore = "needs root: mounts"] fn $name() { super::$name(super::Overlay) })* }
    };
}

suite!(
    a_tree_with_everything,
    sparse_files,
    whiteouts_and_opaque_directories,
    an_opaque_root_hides_all_layers_below,
    the_last_entry_of_a_name_wins,
    layers_of_other_formats,
    a_debian_system,
    hostile_layers_are_refused_or_harmless,
    overlay_attributes_are_not_smuggled_in,
    damage_leaves_nothing,
    undescribed_parents_keep_what_they_are_below,
    hard_links_to_files_of_lower_layers,
    hard_links_to_nothing_are_refused_with_the_image,
);

/// Both on other file systems than the one that temporary files are on.
macro_rules! file_systems {
    ($($name:ident: $kind:literal $choice:ident),* $(,)?) => {
        mod on { $(#[test] #[ignore = "needs root: mounts"] fn $name() { super::everywhere($kind, super::$choice) })* }
    };
}

file_systems!(
    ext4_erofs: "ext4" Erofs,
    ext4_overlay: "ext4" Overlay,
    xfs_erofs: "xfs" Erofs,
    xfs_overlay: "xfs" Overlay,
    btrfs_erofs: "btrfs" Erofs,
    btrfs_overlay: "btrfs" Overlay,
    tmpfs_overlay: "tmpfs" Overlay,
);

fn everywhere(kind: &str, choice: SnapshotterChoice) {
    let tests: [fn(SnapshotterChoice); 10] = [
        a_tree_with_everything,
        sparse_files,
        whiteouts_and_opaque_directories,
        an_opaque_root_hides_all_layers_below,
        the_last_entry_of_a_name_wins,
        layers_of_other_formats,
        overlay_attributes_are_not_smuggled_in,
        undescribed_parents_keep_what_they_are_below,
        hard_links_to_files_of_lower_layers,
        damage_leaves_nothing,
    ];
    on_file_system(kind, || tests.iter().for_each(|test| test(choice)));
}

/// EROFS cannot read files of a tmpfs: asked for, it is refused; left to choose, directories are taken.
#[test]
#[ignore = "needs root: mounts"]
fn erofs_on_tmpfs_is_refused_and_not_chosen() {
    on_file_system("tmpfs", || {
        let sandbox = Sandbox::new(SnapshotterChoice::Auto);
        assert_eq!(sandbox.images.snapshotter(), carboy_image::SnapshotterKind::Overlay);
        let open = carboy_image::Images::open(&sandbox.path("root"), &sandbox.path("run"), Erofs);
        let error = open.err().unwrap().to_string();
        assert!(error.starts_with("the erofs snapshotter does not work here: "), "{error}");
    });
}

const EVERYTHING: &str = r#"
    mkdir -p dir/sub empty "$(printf 'odd\nname \xff')" many
    echo hello > dir/file; : > dir/nothing; head -c 100000 /dev/urandom > dir/sub/big; head -c 512 /dev/zero > block; head -c 513 /dev/zero > more
    ln dir/file dir/sub/link; ln dir/file aaa-link; ln -s ../file dir/sub/sym; ln -s "$(printf 'x%.0s' {1..3000})" longsym; ln -s /etc/passwd abs
    mknod null c 1 3; mknod disk b 259 300; mkfifo pipe; ln null null2
    chown 1000:1000 dir/file; chown 3000000000:4000000000 dir/sub/big; chmod 4755 dir/sub/big; chmod 1777 empty; chmod 0 dir/nothing
    chown -h 5:6 abs
    cp /bin/true capable
    touch -d '2001-02-03 04:05:06.123456789 UTC' dir/sub/big; touch -h -d '1965-01-01 00:00:00.5 UTC' abs; touch -d '2200-01-01 UTC' block
    for i in $(seq 400); do echo $i > "many/file number $i"; done
    long=$(printf 'n%.0s' {1..250}); mkdir -p "$long/$long"; echo deep > "$long/$long/$long"
"#;

fn everything(dir: &Path) {
    // XFS has no longer link targets than 1024 bytes.
    let xfs = rustix::fs::statfs(dir).unwrap().f_type == 0x5846_5342;
    shell(dir, &if xfs { EVERYTHING.replace("1..3000", "1..1000") } else { EVERYTHING.to_owned() });
    let long = "y".repeat(700);
    for (path, name, value) in [
        ("dir/file", "user.note", "value"),
        ("dir", "user.big", &long),
        ("empty", "user.a", "1"),
        ("empty", "user.b", "22"),
        ("empty", "trusted.c", "333"),
        ("capable", "security.capability", "\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
    ] {
        rustix::fs::lsetxattr(dir.join(path), name, value.as_bytes(), XattrFlags::empty()).unwrap();
    }
    shell(dir, "touch -d '2010-01-01 00:00:00.000000007 UTC' dir");
}

fn a_tree_with_everything(choice: SnapshotterChoice) {
    let sandbox = Sandbox::new(choice);
    let source = sandbox.folder("source");
    everything(&source);
    for args in [
        &["--format=pax", "--xattrs", "--xattrs-include=*"][..],
        &["--format=gnu"],
        &["--format=pax", "--xattrs", "--xattrs-include=*", "--sort=name", "--numeric-owner"],
    ] {
        let tar = tar(&source, args);
        let extracted = sandbox.folder("extracted");
        untar(&tar, &extracted);
        let image = sandbox.image("everything", std::slice::from_ref(&tar));
        assert_eq!(image.layers().len(), 1);
        let seen = sandbox.with_root(&image, listing);
        assert_same(&seen, &listing(&extracted));
        fs::remove_dir_all(&extracted).unwrap();
        fs::remove_dir_all(sandbox.path("root/containers")).unwrap();
    }
}

fn sparse_files(choice: SnapshotterChoice) {
    let sandbox = Sandbox::new(choice);
    let source = sandbox.folder("source");
    shell(
        &source,
        "truncate -s 100M hole; truncate -s 10M mixed; printf a | dd of=mixed bs=1 seek=5000000 conv=notrunc status=none
         dd if=/dev/urandom of=mixed bs=4096 count=3 seek=10 conv=notrunc status=none
         dd if=/dev/urandom of=end bs=4096 count=1 seek=100 status=none; truncate -s 500000 end
         dd if=/dev/urandom of=many bs=512 count=1 status=none
         for i in $(seq 0 39); do dd if=/dev/urandom of=many bs=4096 count=1 seek=$((i * 3)) conv=notrunc status=none; done
         truncate -s 600001 many; echo plain > plain",
    );
    for args in [
        &["-S", "--format=gnu"][..],
        &["-S", "--format=pax", "--sparse-version=0.0"],
        &["-S", "--format=pax", "--sparse-version=0.1"],
        &["-S", "--format=pax", "--sparse-version=1.0"],
        &["-S", "--format=pax", "--sparse-version=1.0", "--hole-detection=raw"],
    ] {
        let tar = tar(&source, args);
        assert!(tar.len() < 1 << 20);
        let extracted = sandbox.folder("extracted");
        untar(&tar, &extracted);
        let image = sandbox.image("sparse", &[tar]);
        assert_same(&sandbox.with_root(&image, listing), &listing(&extracted));
        fs::remove_dir_all(&extracted).unwrap();
        fs::remove_dir_all(sandbox.path("root/containers")).unwrap();
    }
}

fn whiteouts_and_opaque_directories(choice: SnapshotterChoice) {
    let sandbox = Sandbox::new(choice);
    let (base, top) = (sandbox.folder("base"), sandbox.folder("top"));
    shell(
        &base,
        "mkdir -p a/b c/d e; echo 1 > a/b/x; echo 1 > a/y; echo 1 > c/d/x; echo 1 > c/y; echo 1 > e/z; echo 1 > f; mkdir g; echo 1 > g/x",
    );
    shell(
        &top,
        "mkdir -p a c/d e g; : > a/.wh.b; : > c/.wh..wh..opq; echo 2 > c/new; : > .wh.f; : > e/.wh.nothing
         : > .wh.g; echo 2 > g/y; : > .wh..wh.plnk",
    );
    let expected = sandbox.folder("expected");
    shell(&expected, "mkdir -p a c/d e g; echo 1 > a/y; echo 2 > c/new; echo 1 > e/z; echo 2 > g/y");
    let plain = ["--format=pax", "--sort=name", "--mtime=@1000"];
    let image = sandbox.image("whiteouts", &[tar(&base, &plain), tar(&top, &plain)]);
    let seen = sandbox.with_root(&image, listing);
    let names = |listing: &std::collections::BTreeMap<std::path::PathBuf, String>| {
        listing
            .iter()
            .map(|(name, line)| (name.clone(), line.split(' ').next_back().unwrap().to_owned()))
            .skip(1)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&seen), names(&listing(&expected)));
}

/// overlayfs itself does not look whether the root of a layer is opaque, and docker and podman leave it at that; umoci removes what is
/// below, as the image-spec has it, and so it is here.
fn an_opaque_root_hides_all_layers_below(choice: SnapshotterChoice) {
    let sandbox = Sandbox::new(choice);
    let mut base = TarBuilder::default();
    base.directory("./", 0o700).directory("dir", 0o700).file("dir/below", b"1").file("below", b"1");
    let mut top = TarBuilder::default();
    // What the layer itself has stays, wherever in it the mark stands; `dir` is not described, and keeps nothing of the hidden one.
    top.file("before", b"2").file(".wh..wh..opq", b"").file("dir/new", b"2");
    let mut over = TarBuilder::default();
    over.file("dir/over", b"3");
    let layers = [base.finish(), top.finish(), over.finish()];
    let image = sandbox.image("opaque", &layers);
    let names = |root: &Path| -> Vec<String> {
        let listed = listing(root);
        let mut names: Vec<String> = listed.keys().map(|name| name.display().to_string()).collect();
        names.retain(|name| !name.is_empty());
        names
    };
    let expected = ["before", "dir", "dir/new", "dir/over"];
    sandbox.with_root(&image, |root| {
        assert_eq!(names(root), expected);
        assert_eq!(fs::metadata(root.join("dir")).unwrap().mode() & 0o777, 0o755);
    });
    fs::remove_dir_all(sandbox.path("root/containers")).unwrap();
    let seen = sandbox.images.view(image.layers(), None).unwrap().root().unwrap();
    assert_eq!(names(Path::new(&format!("/proc/self/fd/{}", seen.as_raw_fd()))), expected);
    drop(seen);
    // A link to what the layer hides is none.
    let mut link = TarBuilder::default();
    link.file(".wh..wh..opq", b"").hard_link("link", "below");
    assert!(sandbox.layer(&link.finish()).unwrap_err().to_string().contains("hides"));
    let mut over_opaque = TarBuilder::default();
    over_opaque.hard_link("link", "below");
    let error = sandbox.try_image("link", &[layers[0].clone(), layers[1].clone(), over_opaque.finish()]).unwrap_err();
    assert!(error.to_string().starts_with("layer "), "{error}");
}

fn the_last_entry_of_a_name_wins(choice: SnapshotterChoice) {
    let sandbox = Sandbox::new(choice);
    let mut tar = TarBuilder::default();
    tar.file("file", b"old").file("file", b"new").file("kept/x", b"1").directory("kept", 0o700);
    tar.directory("was/dir", 0o755).file("was/dir/x", b"1").file("was/dir", b"now a file");
    tar.symlink("link", "/etc").file("link/passwd", b"mine").file("plain", b"1").file("plain/below", b"2");
    tar.file("first", b"shared").hard_link("second", "first").file("first", b"replaced").hard_link("third", "./second");
    tar.file("deep/without/parents", b"x").file("/absolute", b"x").file("a/../dotted", b"x");
    let image = sandbox.image("last", &[tar.finish()]);
    sandbox.with_root(&image, |root| {
        let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
        assert_eq!(read("file"), "new");
        assert_eq!((read("kept/x"), mode(&root.join("kept"))), ("1".into(), 0o700));
        assert_eq!(read("was/dir"), "now a file");
        assert!(root.join("link").symlink_metadata().unwrap().is_dir());
        assert_eq!((read("link/passwd"), read("plain/below")), ("mine".into(), "2".into()));
        assert_eq!(
            (read("first"), read("second"), read("third")),
            ("replaced".into(), "shared".into(), "shared".into())
        );
        assert_eq!(nlink(&root.join("second")), 2);
        assert_eq!((read("deep/without/parents"), mode(&root.join("deep/without"))), ("x".into(), 0o755));
        assert_eq!((read("absolute"), read("dotted")), ("x".into(), "x".into()));
    });
}

fn layers_of_other_formats(choice: SnapshotterChoice) {
    let sandbox = Sandbox::new(choice);
    let mut layers = Vec::new();
    for n in 0..5 {
        let mut tar = TarBuilder::default();
        tar.file(&format!("file{n}"), &vec![b'a' + n; 300_000]);
        layers.push(tar.finish());
    }
    let members = [gzip(&layers[1][..1000]), gzip(&layers[1][1000..])].concat();
    let frames = [pipe("zstd", &["-q"], &layers[3][..700]), pipe("zstd", &["-q"], &layers[3][700..])].concat();
    let blobs = [
        (layers[0].clone(), OCI_LAYER),
        (members, OCI_LAYER_GZIP),
        (pipe("zstd", &["-q"], &layers[2]), OCI_LAYER_ZSTD),
        (frames, OCI_LAYER_ZSTD),
        // The bytes decide, not the type.
        (gzip(&layers[4]), OCI_LAYER),
        // A layer that is there already, from another blob.
        (layers[4].clone(), OCI_LAYER),
    ];
    layers.push(layers[4].clone());
    let intake = sandbox.images.intake().unwrap();
    let (mut descriptors, mut diff_ids) = (Vec::new(), Vec::new());
    for ((blob, media_type), tar) in blobs.iter().zip(&layers) {
        let (descriptor, diff_id) = (descriptor(blob, media_type), Hasher::digest_of(tar));
        intake.ingest_layer(&descriptor, &diff_id, &mut &blob[..], &|_| {}).unwrap();
        assert_eq!(sandbox.images.store().read_blob(&descriptor.digest).unwrap(), *blob);
        descriptors.push(descriptor);
        diff_ids.push(diff_id);
    }
    let (manifest, config) = manifest_and_config(&descriptors, &diff_ids);
    let name = Reference::parse("formats").unwrap();
    let image = intake.finish(&[name], OCI_MANIFEST, &manifest, &config).unwrap();
    sandbox.with_root(&image, |root| {
        for n in 0..5u8 {
            assert_eq!(fs::read(root.join(format!("file{n}"))).unwrap(), vec![b'a' + n; 300_000]);
        }
    });
    drop(intake);
    sandbox.assert_nothing_left();
}

/// A part of this machine's own system: tens of thousands of real files.
fn a_debian_system(choice: SnapshotterChoice) {
    let sandbox = Sandbox::new(choice);
    let output = std::process::Command::new("tar")
        .args(["-c", "--xattrs", "--xattrs-include=*", "-C", "/", "--one-file-system", "--format=pax"])
        .args(["--sort=name", "etc", "usr/share/zoneinfo", "var/lib/dpkg/info"])
        .output()
        .unwrap();
    let tar = output.stdout;
    assert!(tar.len() > 10 << 20);
    let extracted = sandbox.folder("extracted");
    untar(&tar, &extracted);
    let image = sandbox.image("debian", &[tar]);
    let (mut seen, mut expected) = (sandbox.with_root(&image, listing), listing(&extracted));
    for implicit in ["", "usr", "usr/share", "var", "var/lib", "var/lib/dpkg"] {
        seen.remove(Path::new(implicit));
        expected.remove(Path::new(implicit));
    }
    assert!(seen.len() > 3000, "{}", seen.len());
    assert_same(&seen, &expected);
}

fn hostile_layers_are_refused_or_harmless(choice: SnapshotterChoice) {
    let sandbox = Sandbox::new(choice);
    let outside = sandbox.path("outside");
    fs::write(&outside, "untouched").unwrap();
    let long = format!("{}x", "d/".repeat(3000));
    let refused: Vec<(&str, TarBuilder)> = vec![
        ("leads out of the root", TarBuilder::default().file("../outside", b"x").take()),
        ("leads out of the root", TarBuilder::default().file("a/../../outside", b"x").take()),
        ("leads out of the root", TarBuilder::default().hard_link("h", "../../outside").take()),
        ("not below a directory", TarBuilder::default().symlink("l", "/etc").hard_link("h", "l/passwd").take()),
        ("which this layer removes", TarBuilder::default().file(".wh.a", b"").hard_link("h", "a").take()),
        ("which this layer removes", TarBuilder::default().file(".wh.a", b"").hard_link("h", "a/b").take()),
        ("which this layer hides", TarBuilder::default().file("d/.wh..wh..opq", b"").hard_link("h", "d/b").take()),
        ("hard link to the directory", TarBuilder::default().directory("d", 0o755).hard_link("h", "d").take()),
        ("whiteout", TarBuilder::default().file(".wh..", b"").take()),
        ("whiteout", TarBuilder::default().file("a/.wh...", b"").take()),
        ("whiteout is used as a directory", TarBuilder::default().file(".wh.x/y", b"").take()),
        ("longer than 4095", TarBuilder::default().file(&long, b"").take()),
        ("longer than 255", TarBuilder::default().file(&"n".repeat(256), b"").take()),
        ("unknown entry type", TarBuilder::default().raw("x", b'Q', b"", "").take()),
        ("beyond what Linux has", TarBuilder::default().device("x", 5000, 1).take()),
        ("link to nothing", TarBuilder::default().symlink("l", "").take()),
        ("root is not a directory", TarBuilder::default().symlink("./", "/etc").take()),
    ];
    for (cause, tar) in refused {
        let error = sandbox.layer(&tar.finish()).unwrap_err().to_string();
        assert!(error.contains(cause), "{cause}: {error}");
        assert!(!error.contains('\n'));
        sandbox.assert_nothing_left();
    }
    let mut tar = TarBuilder::default();
    tar.symlink("up", "../../../..").file("up/outside", b"x").symlink("abs", "/").file("abs/outside", b"x");
    tar.symlink("s", "t").symlink("t", "s").file("s/x", b"x").symlink("dot", ".").file("dot/dot/y", b"y");
    let image = sandbox.image("harmless", &[tar.finish()]);
    sandbox.with_root(&image, |root| {
        for name in ["up/outside", "abs/outside", "s/x"] {
            assert_eq!(fs::read(root.join(name)).unwrap(), b"x");
            assert!(root.join(name).parent().unwrap().symlink_metadata().unwrap().is_dir());
        }
        assert_eq!(fs::read_link(root.join("t")).unwrap(), Path::new("s"));
        assert!(root.join("dot/dot").symlink_metadata().unwrap().is_dir());
    });
    assert_eq!(fs::read_to_string(&outside).unwrap(), "untouched");
    assert!(!Path::new("/outside").exists());
}

fn overlay_attributes_are_not_smuggled_in(choice: SnapshotterChoice) {
    let sandbox = Sandbox::new(choice);
    let mut base = TarBuilder::default();
    base.file("secret/x", b"secret").file("d/below", b"x");
    let mut tar = TarBuilder::default();
    tar.pax(&[
        ("SCHILY.xattr.trusted.overlay.redirect", "/secret"),
        ("SCHILY.xattr.trusted.overlay.opaque", "y"),
        ("SCHILY.xattr.user.overlay.opaque", "y"),
        ("SCHILY.xattr.security.selinux", "system_u:object_r:shadow_t:s0"),
        ("SCHILY.xattr.user.fine", "yes"),
    ]);
    tar.directory("d", 0o755);
    let image = sandbox.image("smuggled", &[base.finish(), tar.finish()]);
    sandbox.with_root(&image, |root| {
        assert_eq!(fs::read(root.join("d/below")).unwrap(), b"x");
        assert!(!root.join("d/x").exists());
        assert_eq!(xattrs(&root.join("d")).into_keys().collect::<Vec<_>>(), ["user.fine"]);
    });
}

fn damage_leaves_nothing(choice: SnapshotterChoice) {
    let sandbox = Sandbox::new(choice);
    let noise = pipe("head", &["-c", "1000000", "/dev/urandom"], b"");
    let mut tar = TarBuilder::default();
    tar.file("a", &noise).file("b", b"b");
    let tar = tar.finish();
    let blob = gzip(&tar);
    let (good, diff_id) = (descriptor(&blob, OCI_LAYER_GZIP), Hasher::digest_of(&tar));
    let mut flipped = blob.clone();
    flipped[500_000] ^= 1;
    let short = gzip(&tar[..tar.len() / 2]);
    let zeros = pipe("zstd", &["-q", "-19"], &vec![0; 64 << 20]);
    let other = Hasher::digest_of(b"other");
    let bomb = Hasher::digest_of(b"bomb");
    for (what, descriptor_, diff_id, bytes) in [
        ("digest mismatch: expected", good.clone(), &diff_id, &flipped[..]),
        ("size mismatch", good.clone(), &diff_id, &blob[..300_000]),
        ("size mismatch", good.clone(), &diff_id, &[&blob[..], b"more"].concat()),
        ("digest mismatch of the uncompressed layer", good.clone(), &other, &blob[..]),
        ("decompress layer (gzip)", descriptor(&blob[..300_000], OCI_LAYER_GZIP), &diff_id, &blob[..300_000]),
        ("truncated", descriptor(&short, OCI_LAYER_GZIP), &diff_id, &short[..]),
        ("not a tar", descriptor(&noise, OCI_LAYER), &diff_id, &noise[..]),
        ("digest mismatch of the uncompressed layer", descriptor(&zeros, OCI_LAYER_ZSTD), &bomb, &zeros[..]),
    ] {
        let intake = sandbox.images.intake().unwrap();
        let error = intake.ingest_layer(&descriptor_, diff_id, &mut &bytes[..], &|_| {}).unwrap_err();
        assert!(error.to_string().starts_with(what) || error.to_string().contains(what), "{what}: {error}");
        assert!(!sandbox.images.has_layer(diff_id) && !sandbox.images.store().has(&descriptor_.digest));
        drop(intake);
        sandbox.assert_nothing_left();
        assert_eq!(fs::read_dir(sandbox.path("root/layers")).unwrap().count(), 0);
        assert_eq!(fs::read_dir(sandbox.path("root/blobs/sha256")).unwrap().count(), 0);
    }
    let intake = sandbox.images.intake().unwrap();
    intake.ingest_layer(&good, &diff_id, &mut &blob[..], &|_| {}).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn nlink(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().nlink()
}

/// The root directory's entries may or may not fit behind its inode, at every length.
#[test]
#[ignore = "needs root: mounts"]
fn directories_of_every_size() {
    let sandbox = Sandbox::new(Erofs);
    for count in (0..60).step_by(7) {
        for length in [1, 17, 90] {
            let mut tar = TarBuilder::default();
            let names: Vec<String> = (0..count).map(|n| format!("{n:02}{}", "x".repeat(length))).collect();
            for name in &names {
                tar.file(name, name.as_bytes()).file(&format!("sub/{name}"), b"").symlink(&format!("l{name}"), name);
            }
            let image = sandbox.image("sizes", &[tar.finish()]);
            sandbox.with_root(&image, |root| {
                for name in &names {
                    assert_eq!(fs::read_to_string(root.join(format!("l{name}"))).unwrap(), *name);
                }
                let mut seen = listing(root).into_keys().filter(|path| path.starts_with("sub/")).count();
                seen = seen.saturating_sub(1);
                assert_eq!(seen, count);
            });
            fs::remove_dir_all(sandbox.path("root/containers")).unwrap();
        }
    }
}

fn undescribed_parents_keep_what_they_are_below(choice: SnapshotterChoice) {
    let sandbox = Sandbox::new(choice);
    let (mut base, mut middle, mut top) = (TarBuilder::default(), TarBuilder::default(), TarBuilder::default());
    base.directory("tmp", 0o1777).directory("srv", 0o700).directory("srv/a", 0o750).directory("gone", 0o700);
    base.file("tmp/base", b"1").directory("hidden", 0o700).directory("hidden/sub", 0o700).directory("usr", 0o755);
    middle.file("tmp/middle", b"2").file(".wh.gone", b"").file("hidden/.wh..wh..opq", b"").directory("own", 0o711);
    top.file("tmp/top", b"3").file("srv/a/new/x", b"4").file("gone/x", b"5").file("hidden/sub/x", b"6");
    top.file("own/x", b"7").file("usr/x", b"8");
    let image = sandbox.image("parents", &[base.finish(), middle.finish(), top.finish()]);
    sandbox.with_root(&image, |root| {
        for (name, expected) in [
            ("tmp", 0o1777),
            ("srv", 0o700),
            ("srv/a", 0o750),
            ("srv/a/new", 0o755),
            ("gone", 0o755),
            ("hidden/sub", 0o755),
            ("own", 0o711),
            ("usr", 0o755),
        ] {
            assert_eq!(mode(&root.join(name)), expected, "{name}");
        }
        for name in ["tmp/base", "tmp/middle", "tmp/top", "srv/a/new/x", "gone/x", "hidden/sub/x", "own/x", "usr/x"] {
            assert_eq!(fs::read(root.join(name)).unwrap().len(), 1, "{name}");
        }
    });
    // On another base the same layers are fitted to that.
    let mut other = TarBuilder::default();
    other.directory("tmp", 0o700).directory("srv", 0o755);
    let image = sandbox.image("other", &[other.finish(), top.finish()]);
    fs::remove_dir_all(sandbox.path("root/containers")).unwrap();
    sandbox.with_root(&image, |root| {
        assert_eq!((mode(&root.join("tmp")), mode(&root.join("srv"))), (0o700, 0o755));
    });
}

/// As GNU tar links when it extracts one layer over the other.
fn hard_links_to_files_of_lower_layers(choice: SnapshotterChoice) {
    let sandbox = Sandbox::new(choice);
    let mut base = TarBuilder::default();
    base.directory("./", 0o755).directory("etc", 0o750).directory("usr", 0o755).directory("usr/lib", 0o711);
    base.pax(&[("SCHILY.xattr.user.note", "kept"), ("mtime", "1000000000.123456789")]);
    base.raw("etc/passwd", b'0', b"root", "").symlink("lib", "usr/lib").file("usr/lib/so", &[7; 100_000]);
    base.device("null", 1, 3).symlink("sym", "nowhere").file("moved", b"moved").file("covered", b"old");
    let mut middle = TarBuilder::default();
    middle.directory("middle", 0o700).file("middle/x", b"middle");
    let mut top = TarBuilder::default();
    top.hard_link("copy", "etc/passwd").hard_link("deep/er/copy", "./copy").hard_link("usr/so", "usr/lib/so");
    top.hard_link("device", "null").hard_link("link", "sym").hard_link("from-middle", "middle/x");
    top.hard_link("new", "moved").hard_link("kept", "covered").file("covered", b"new");
    top.hard_link("replaced", "etc/passwd").file("replaced", b"file").file("was", b"1").hard_link("was", "etc/passwd");
    let layers = [base.finish(), middle.finish(), top.finish()];
    let extracted = sandbox.folder("extracted");
    layers.iter().for_each(|tar| untar(tar, &extracted));
    fs::remove_file(extracted.join("moved")).unwrap();
    // The last layer removes what it linked to; tar knows no whiteouts.
    let mut last = TarBuilder::default();
    last.file(".wh.moved", b"").hard_link("through", "lib/so");
    fs::hard_link(extracted.join("lib/so"), extracted.join("through")).unwrap();
    let image = sandbox.image("links", &[&layers[..], &[last.finish()]].concat());
    let (mut seen, mut expected) = (sandbox.with_root(&image, listing), listing(&extracted));
    for listed in [&mut seen, &mut expected] {
        for (name, line) in listed.iter_mut() {
            // Directories that were extracted into have the time of that.
            if line.starts_with("4") {
                *line = format!("{} {}", name.display(), line.split(' ').take(2).collect::<Vec<_>>().join(" "));
            }
        }
    }
    // Behind a link the file itself is not linked to its copy; and overlayfs counts the name that the last layer hides.
    for name in ["through", "usr/so", "usr/lib/so", "new"] {
        let cut = |line: &String| line.split(" links ").next().unwrap().to_owned();
        assert_eq!(cut(&seen.remove(Path::new(name)).unwrap()), cut(&expected.remove(Path::new(name)).unwrap()));
    }
    assert_same(&seen, &expected);
    // Taken in again, and over another base.
    sandbox.image("links again", &layers);
    let mut other = TarBuilder::default();
    other.file("etc/passwd", b"other").file("null", b"").file("sym", b"").file("usr/lib/so", b"").file("moved", b"");
    other.file("covered", b"").file("middle/x", b"");
    fs::remove_dir_all(sandbox.path("root/containers")).unwrap();
    let image = sandbox.image("other", &[other.finish(), layers[2].clone()]);
    sandbox.with_root(&image, |root| assert_eq!(fs::read(root.join("deep/er/copy")).unwrap(), b"other"));
    sandbox.assert_nothing_left();
}

fn hard_links_to_nothing_are_refused_with_the_image(choice: SnapshotterChoice) {
    let sandbox = Sandbox::new(choice);
    let mut base = TarBuilder::default();
    base.file("a/x", b"1").symlink("loop", "loop").file("gone", b"1").symlink("out", "../../../../etc");
    let mut middle = TarBuilder::default();
    middle.file(".wh.gone", b"").file("a/.wh..wh..opq", b"").file("a/y", b"1");
    for (target, why) in [
        ("nothing", "have such a file"),
        ("a", "have such a file"),
        ("a/x", "have such a file"),
        ("gone", "have such a file"),
        ("loop/x", "symbolic links"),
        // Outside of the image there is nothing.
        ("out/passwd", "have such a file"),
    ] {
        let mut top = TarBuilder::default();
        top.hard_link("h", target);
        let error = sandbox.try_image("refused", &[base.finish(), middle.finish(), top.finish()]).unwrap_err();
        let text =
            format!("{error} {}", std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default());
        assert!(text.contains(why), "{target}: {text}");
        let error = sandbox.try_image("refused", &[top.finish()]).unwrap_err();
        assert!(std::error::Error::source(&error).unwrap().to_string().contains(target), "{error:?}");
        assert!(sandbox.images.list().unwrap().is_empty());
    }
    sandbox.images.collect().unwrap();
    sandbox.assert_nothing_left();
}
