//! One suite for every snapshotter: what is seen through it equals what GNU tar extracts.

#![allow(clippy::unwrap_used)]

mod common;

use carboy_image::SnapshotterChoice::{self, Erofs, Overlay};
use common::*;
use rustix::fs::XattrFlags;
use std::fs;
use std::path::Path;

/// Both snapshotters, each test.
macro_rules! suite {
    ($($name:ident),* $(,)?) => {
        mod erofs { $(#[test] #[ignore = "needs root: mounts"] fn $name() { super::$name(super::Erofs) })* }
        mod overlay { $(#[test] #[ignore = "needs root: mounts"] fn $name() { super::$name(super::Overlay) })* }
    };
}

suite!(a_tree_with_everything);

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
    shell(dir, EVERYTHING);
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
