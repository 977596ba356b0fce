//! Damaged and hostile tars by the thousand: each is refused or taken in, in bounded time, and what is taken in mounts and can be read.
#![allow(clippy::unwrap_used)]

mod common;

use carboy_image::SnapshotterChoice;
use common::*;
use std::fs;
use std::path::Path;

/// xorshift: the same tars in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// A tar with every kind of entry and extension.
fn seeds(sandbox: &Sandbox) -> Vec<Vec<u8>> {
    let source = sandbox.folder("source");
    shell(
        &source,
        "mkdir -p d/e; echo x > d/x; ln d/x d/y; ln -s x d/l; mkfifo p; mknod c c 1 3; : > d/.wh.z; : > d/e/.wh..wh..opq
         truncate -s 100k s; printf a | dd of=s bs=1 seek=50000 conv=notrunc status=none; mkdir $(printf 'n%.0s' {1..200})",
    );
    let formats: [&[&str]; 4] = [
        &["--format=pax", "-S"],
        &["--format=gnu", "-S"],
        &["--format=ustar", "--exclude=nnn*"],
        &["--format=pax", "-S", "--sparse-version=0.1"],
    ];
    formats.iter().map(|args| tar(&source, args)).collect()
}

/// Gives a damaged header its right checksum again, so that the damage gets further.
fn fix_checksums(tar: &mut [u8]) {
    for block in tar.as_chunks_mut::<512>().0 {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

fn read_all(root: &Path) -> usize {
    let mut open = vec![root.to_owned()];
    let mut count = 0;
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            count += 1;
            let meta = match fs::symlink_metadata(&path) {
                // overlayfs lists a whiteout in a directory that only one layer has.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                meta => meta.unwrap(),
            };
            if meta.is_dir() {
                open.push(path);
            } else if meta.is_file() && meta.len() < 10 << 20 {
                fs::read(&path).unwrap();
            } else if meta.is_symlink() {
                fs::read_link(&path).unwrap();
            }
            xattrs(&dir);
        }
    }
    count
}

fn damaged_tars(choice: SnapshotterChoice, rounds: usize) {
    // In memory, because each round syncs; and as a file system of its own, because EROFS cannot read files of a tmpfs.
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let mount = dir.path().join("mount");
    fs::create_dir(&mount).unwrap();
    let _unmount = Unmount(mount.clone());
    shell(dir.path(), "truncate -s 256M image; mkfs.ext4 -q image; mount -o loop image mount");
    let sandbox = Sandbox::within(&mount, choice);
    let seeds = seeds(&sandbox);
    let mut random = Random(0x1234_5678_9abc_def1);
    let (mut taken, mut refused) = (0, 0);
    for round in 0..rounds {
        let mut tar = seeds[round % seeds.len()].clone();
        for _ in 0..=random.below(4) {
            let at = random.below(tar.len());
            match random.below(4) {
                0 => tar[at] = random.below(256) as u8,
                1 => tar[at / 512 * 512 + 100 + random.below(80)] = b"\0/.0179 \xff\x80"[random.below(10)],
                2 => tar[at] ^= 1 << random.below(8),
                _ => {
                    let (from, to) = (at / 512 * 512, random.below(tar.len()) / 512 * 512);
                    tar.copy_within(from..from + 512, to);
                }
            }
        }
        fix_checksums(&mut tar);
        if random.below(10) == 0 {
            tar.truncate(random.below(tar.len()));
        }
        match sandbox.layer(&tar) {
            Ok(_) => {
                // A hard link to what no layer has is refused with the image.
                let Ok(image) = sandbox.try_image("damaged", std::slice::from_ref(&tar)) else {
                    refused += 1;
                    continue;
                };
                taken += 1;
                assert!(sandbox.with_root(&image, read_all) < 1000);
                fs::remove_dir_all(sandbox.path("root/containers")).unwrap();
                sandbox.images.remove(image.id.as_str(), true, &|_| None).unwrap();
            }
            Err(e) => {
                refused += 1;
                assert!(!e.to_string().is_empty() && !e.to_string().contains('\n'));
            }
        }
    }
    sandbox.images.collect().unwrap();
    sandbox.assert_nothing_left();
    assert!(taken > rounds / 20 && refused > rounds / 20, "{taken} taken, {refused} refused");
}

#[test]
#[ignore = "needs root: mounts"]
fn damaged_tars_as_directories() {
    damaged_tars(SnapshotterChoice::Overlay, 600);
}

#[test]
#[ignore = "needs root: mounts"]
fn damaged_tars_as_erofs() {
    damaged_tars(SnapshotterChoice::Erofs, 600);
}
