//! Images that mean harm, beyond those of the snapshotters' own suite: each is refused in one line, or harmless.

#![allow(clippy::unwrap_used)]

mod common;

use carboy_image::SnapshotterChoice::{self, Erofs, Overlay};
use carboy_image::{ImageError, Images, ImportOptions, LoadSource};
use carboy_oci::image::media_type::{OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, OCI_MANIFEST};
use carboy_store::Hasher;
use common::*;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Both snapshotters, each test.
macro_rules! suite {
    ($($name:ident),* $(,)?) => {
        mod erofs { $(#[test] #[ignore = "needs root: mounts"] fn $name() { super::$name(super::Erofs) })* }
        mod overlay { $(#[test] #[ignore = "needs root: mounts"] fn $name() { super::$name(super::Overlay) })* }
    };
}

suite!(
    numbers_that_lie,
    sparse_files_that_grow,
    names_that_lead_elsewhere,
    whiteouts_that_lead_elsewhere,
    directories_as_deep_as_a_path_can_be,
    names_in_no_order,
    ten_gigabytes_of_zeros,
    a_million_entries,
);

/// A header whose field is replaced, with its right checksum.
fn with_field(tar: &TarBuilder, at: usize, field: &[u8]) -> Vec<u8> {
    let mut bytes = tar.finish();
    bytes[at..at + field.len()].copy_from_slice(field);
    bytes[148..156].fill(b' ');
    let sum: u32 = bytes[..512].iter().map(|&byte| u32::from(byte)).sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    bytes
}

fn numbers_that_lie(choice: SnapshotterChoice) {
    let sandbox = Sandbox::new(choice);
    let plain = TarBuilder::default().file("x", b"content").take();
    let pax = |key: &str, value: &str| TarBuilder::default().pax(&[(key, value)]).file("x", b"content").finish();
    let sparse = |map: &str, size: &str| {
        let records =
            [("GNU.sparse.major", "0"), ("GNU.sparse.minor", "1"), ("GNU.sparse.map", map), ("GNU.sparse.size", size)];
        TarBuilder::default().pax(&records).file("x", b"content").finish()
    };
    let ones = [0xff; 12];
    let refused: Vec<(&str, Vec<u8>)> = vec![
        ("size", with_field(&plain, 124, &ones)),
        ("size", with_field(&plain, 124, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff")),
        ("size", with_field(&plain, 124, b"-0000000001\0")),
        ("truncated", with_field(&plain, 124, b"77777777777\0")),
        ("checksum", with_field(&plain, 124, b"00000000000\0")),
        ("uid", with_field(&plain, 108, &ones[..8])),
        ("size", pax("size", "-1")),
        ("size", pax("size", "18446744073709551616")),
        ("size", pax("size", "18446744073709551615")),
        ("size", pax("size", "9223372036854775807")),
        ("truncated", pax("size", "1000000000000")),
        ("checksum", pax("size", "0")),
        ("uid", pax("uid", "4294967296")),
        ("uid", pax("uid", "-1")),
        ("mtime", pax("mtime", "nan")),
        ("sparse", sparse("0,7", "3")),
        ("sparse", sparse("18446744073709551615,7", "18446744073709551615")),
        ("sparse", sparse("5,7,1,0", "100")),
        ("sparse", sparse("0,6", "100")),
    ];
    for (cause, tar) in refused {
        let error = sandbox.layer(&tar).unwrap_err().to_string();
        assert!(error.contains(cause) && !error.contains('\n'), "{cause}: {error}");
        sandbox.assert_nothing_left();
    }
    // Of all the bytes that a file claims to have, holes cost nothing, or cannot be had.
    for size in ["10000000000", "4611686018427387903"] {
        let tar = sparse("0,7", size);
        if let Err(error) = sandbox.layer(&tar) {
            assert!(size.len() > 12, "{error}");
            sandbox.assert_nothing_left();
            continue;
        }
        let image = sandbox.image("holes", &[tar]);
        sandbox.with_root(&image, |root| {
            let meta = fs::metadata(root.join("x")).unwrap();
            assert_eq!(meta.len().to_string(), size);
            assert!(meta.blocks() < 100_000_000);
        });
        fs::remove_dir_all(sandbox.path("root/containers")).unwrap();
    }
}

/// One byte in the middle of 8 TiB: chunks of half a MiB are copied, and listed, 32 MiB of them. A kilobyte of tar must not cost that
/// again and again. As directories they are holes.
fn sparse_files_that_grow(choice: SnapshotterChoice) {
    let sandbox = Sandbox::new(choice);
    let (map, size) = (format!("{},1", 4u64 << 40 | 1), (8u64 << 40).to_string());
    let records =
        [("GNU.sparse.major", "0"), ("GNU.sparse.minor", "1"), ("GNU.sparse.map", &*map), ("GNU.sparse.size", &*size)];
    let of = |count: u32| {
        let mut tar = TarBuilder::default();
        for number in 0..count {
            tar.pax(&records).file(&format!("x{number}"), b"x");
        }
        tar.finish()
    };
    sandbox.layer(&of(2)).unwrap();
    let many = sandbox.layer(&of(40));
    if choice == Erofs {
        let error = many.unwrap_err().to_string();
        assert!(error.contains("out of proportion"), "{error}");
        sandbox.assert_nothing_left();
    } else {
        many.unwrap();
    }
    let peak = peak_memory();
    assert!(peak < 64 << 20, "{peak} bytes");
}

fn names_that_lead_elsewhere(choice: SnapshotterChoice) {
    let sandbox = Sandbox::new(choice);
    let outside = sandbox.folder("outside");
    fs::write(outside.join("file"), "untouched").unwrap();
    let link = outside.to_str().unwrap();
    let file = format!("{link}/file");
    let mut tar = TarBuilder::default();
    // Through a link, through a hard link to a link, and through a link that replaces a directory with things in it.
    tar.symlink("a", link).file("a/file", b"x").symlink("l", &file).hard_link("h", "l").file("h", b"x").file("l", b"x");
    tar.directory("d", 0o755).file("d/sub", b"x").symlink("d", link).file("d/file", b"x");
    // What a PAX header says, against what stands in the entry.
    tar.pax(&[("path", "p/q")]).file("../../escape", b"x").pax(&[("linkpath", &file)]).symlink("s", "harmless");
    // Letters of either case are different names.
    tar.file("ETC/passwd", b"upper").file("etc/passwd", b"lower").file("Etc/passwd", b"mixed");
    let image = sandbox.image("links", &[tar.finish()]);
    sandbox.with_root(&image, |root| {
        for name in ["a/file", "h", "l", "d/file", "p/q"] {
            let path = root.join(name);
            assert!(
                path.symlink_metadata().unwrap().is_file()
                    && path.parent().unwrap().symlink_metadata().unwrap().is_dir(),
                "{name}"
            );
        }
        assert!(!root.join("d/sub").exists());
        for (name, text) in [("ETC", "upper"), ("etc", "lower"), ("Etc", "mixed")] {
            assert_eq!(fs::read_to_string(root.join(name).join("passwd")).unwrap(), text);
        }
        assert_eq!(fs::read_link(root.join("s")).unwrap(), Path::new(&file));
    });
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "untouched");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    for (cause, tar) in [
        ("leads out of the root", TarBuilder::default().pax(&[("path", "../x")]).file("x", b"").take()),
        ("leads out of the root", TarBuilder::default().pax(&[("linkpath", "../../x")]).hard_link("h", "x").take()),
        ("NUL", TarBuilder::default().pax(&[("path", "a\0/../../x")]).file("x", b"").take()),
        ("its own parent", TarBuilder::default().file("a", b"").hard_link("a/b", "a").take()),
        ("larger than 1 MiB", TarBuilder::default().pax(&[("path", &"x".repeat(2 << 20))]).file("x", b"").take()),
    ] {
        let error = sandbox.layer(&tar.finish()).unwrap_err().to_string();
        assert!(error.contains(cause), "{cause}: {error}");
        sandbox.assert_nothing_left();
    }
}

fn whiteouts_that_lead_elsewhere(choice: SnapshotterChoice) {
    let sandbox = Sandbox::new(choice);
    let mut base = TarBuilder::default();
    base.file("keep/x", b"x").file("gone/x", b"x").symlink("link", "keep").file("file", b"x");
    for (cause, name) in [
        ("leads out of the root", "../.wh.x"),
        ("leads out of the root", "a/../../.wh..wh..opq"),
        ("whiteout", "keep/.wh..."),
        ("whiteout", "keep/.wh../x"),
        ("whiteout", ".wh."),
    ] {
        let error = sandbox.layer(&TarBuilder::default().file(name, b"").finish()).unwrap_err().to_string();
        assert!(error.contains(cause), "{name}: {error}");
    }
    let mut top = TarBuilder::default();
    // Through the lower layer's link, below a file, of the root as a whole, and one that is a directory or a device itself.
    top.file("link/.wh.x", b"").file("file/.wh.y", b"").file(".wh.gone", b"").directory("keep/.wh.none", 0o755).device(
        "keep/.wh.dev",
        1,
        3,
    );
    let image = sandbox.image("whiteouts", &[base.finish(), top.finish()]);
    sandbox.with_root(&image, |root| {
        assert_eq!(fs::read(root.join("keep/x")).unwrap(), b"x");
        assert!(!root.join("gone").exists());
        let names: Vec<_> = fs::read_dir(root.join("keep")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["x"]);
    });
}

fn directories_as_deep_as_a_path_can_be(choice: SnapshotterChoice) {
    // Fewer descriptors than levels, as a user's shell gives.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(1024), ..limit }).unwrap();
    let sandbox = Sandbox::new(choice);
    let mut tar = TarBuilder::default();
    tar.file(&format!("{}end", "d/".repeat(2040)), b"deep").file(&format!("{}x", "e/".repeat(1000)), b"");
    let image = sandbox.image("deep", &[tar.finish()]);
    sandbox.with_root(&image, |root| assert!(root.join("e/e/e/e").is_dir()));
    fs::remove_dir_all(sandbox.path("root/containers")).unwrap();
    sandbox.images.remove(image.id.as_str(), true, &|_| None).unwrap();
    sandbox.images.collect().unwrap();
    sandbox.assert_nothing_left();
    assert_eq!(fs::read_dir(sandbox.path("root/layers")).unwrap().count(), 0);
}

/// A large directory whose names are found by hashes until all are known: content, links, and what replaces what.
fn names_in_no_order(choice: SnapshotterChoice) {
    let sandbox = Sandbox::new(choice);
    let mut tar = TarBuilder::default();
    for number in (0..3000_u32).map(|number| number * 7919 % 3000) {
        let name = format!("d/{number:a>9}");
        tar.file(&name, number.to_string().as_bytes());
        match number % 10 {
            1 => drop(tar.hard_link(&format!("d/link-{number}"), &name)),
            2 => drop(tar.symlink(&name, &format!("to-{number}"))),
            3 => drop(tar.directory(&name, 0o700).file(&format!("{name}/x"), b"x")),
            4 => drop(tar.file(&name, b"again")),
            5 => drop(
                tar.device(&format!("d/device-{number}"), 1, 3)
                    .hard_link(&format!("d/same-{number}"), &format!("d/device-{number}")),
            ),
            _ => {}
        }
    }
    let image = sandbox.image("unordered", &[tar.finish()]);
    sandbox.with_root(&image, |root| {
        for number in 0..3000_u32 {
            let (path, text) = (root.join(format!("d/{number:a>9}")), number.to_string());
            let meta = |name: String| fs::metadata(root.join(name)).unwrap();
            match number % 10 {
                1 => {
                    let link = meta(format!("d/link-{number}"));
                    assert!(fs::read_to_string(&path).unwrap() == text && link.nlink() == 2);
                    assert_eq!(link.ino(), fs::metadata(&path).unwrap().ino());
                }
                2 => assert_eq!(fs::read_link(&path).unwrap(), Path::new(&format!("to-{number}"))),
                3 => assert_eq!(fs::read(path.join("x")).unwrap(), b"x"),
                4 => assert_eq!(fs::read(&path).unwrap(), b"again"),
                5 => assert_eq!(meta(format!("d/device-{number}")).ino(), meta(format!("d/same-{number}")).ino()),
                _ => assert_eq!(fs::read_to_string(&path).unwrap(), text),
            }
        }
        assert_eq!(fs::read_dir(root.join("d")).unwrap().count(), 3000 + 300 + 600);
    });
}

const ZEROS: u64 = 10 << 30;

/// A tar that holds one file of so many zeros, but for what is cut off at its end.
fn zeros_header() -> Vec<u8> {
    // GNU's binary number (tar(5), "base-256").
    let mut field = vec![0x80, 0, 0, 0];
    field.extend(ZEROS.to_be_bytes());
    with_field(&TarBuilder::default().file("zeros", b"").take(), 124, &field)[..512].to_vec()
}

/// The same as zstd, in 320 KB: blocks of one repeated byte, 128 KiB each (RFC 8878, 3.1.1.2.2).
fn zstd_bomb() -> Vec<u8> {
    let block = |kind: u32, size: usize, last: bool| {
        let header = (size as u32) << 3 | kind << 1 | u32::from(last);
        header.to_le_bytes()[..3].to_vec()
    };
    // No size of the content, no checksum; a window of 128 KiB.
    let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3];
    bomb.extend(block(0, 512, false));
    bomb.extend(zeros_header());
    let count = ZEROS >> 17;
    for number in 1..=count {
        bomb.extend(block(1, 128 << 10, number == count));
        bomb.push(0);
    }
    bomb
}

/// The same as gzip, in 10 MB: members of a MiB each, as many as there have to be.
fn gzip_bomb(mebibytes: usize) -> Vec<u8> {
    let member = pipe("gzip", &["-9", "-n"], &vec![0; 1 << 20]);
    [gzip(&zeros_header()), member.repeat(mebibytes)].concat()
}

#[test]
#[ignore = "needs root: mounts; needs xz, bzip2"]
fn archives_that_grow() {
    let sandbox = Sandbox::new(Overlay);
    let bomb = zstd_bomb();
    let file = sandbox.path("bomb.tar.zst");
    fs::write(&file, &bomb).unwrap();
    for setting in ["", "layer-growth-limit = 20"] {
        fs::write(sandbox.path("root/store.conf"), setting).unwrap();
        let images = Images::open(&sandbox.path("root"), &sandbox.path("run"), Overlay).unwrap();
        for error in [
            images.load(LoadSource::Path(&file), &|_, _, _| {}).unwrap_err(),
            images.load(LoadSource::Stream(&mut &bomb[..]), &|_, _, _| {}).unwrap_err(),
            images.import(&mut &bomb[..], "bomb", &ImportOptions::default()).unwrap_err(),
        ] {
            let error = chain(&error);
            assert!(error.contains("inflates to more than any archive of images does"), "{setting}: {error}");
            sandbox.assert_nothing_left();
        }
    }
    for program in ["xz", "bzip2"] {
        // Streams one after the other are one.
        let zeros = pipe(program, &["-1"], &vec![0; 64 << 20]).repeat(20);
        let bomb = [pipe(program, &[], &zeros_header()), zeros].concat();
        let error = chain(&sandbox.images.load(LoadSource::Stream(&mut &bomb[..]), &|_, _, _| {}).unwrap_err());
        assert!(error.contains("inflates to more than any archive of images does"), "{program}: {error}");
        sandbox.assert_nothing_left();
    }
    // What may grow so much is no image for that.
    let tar = pipe("gzip", &["-9", "-n"], &[zeros_header(), vec![0; 200 << 20]].concat());
    let error = chain(&sandbox.images.load(LoadSource::Stream(&mut &tar[..]), &|_, _, _| {}).unwrap_err());
    assert!(error.contains("truncated"), "{error}");
    sandbox.assert_nothing_left();
}

fn ten_gigabytes_of_zeros(choice: SnapshotterChoice) {
    let sandbox = Sandbox::new(choice);
    let take = |images: &Images, blob: &[u8], diff_id: &carboy_oci::Digest| {
        let intake = images.intake().unwrap();
        intake.ingest_layer(&descriptor(blob, OCI_LAYER_GZIP), diff_id, &mut &blob[..], &|_| {})
    };
    let any = Hasher::digest_of(b"any");
    let zstd = zstd_bomb();
    assert!(zstd.len() < 330_000);
    let error = take(&sandbox.images, &zstd, &any).unwrap_err().to_string();
    assert!(error.contains("may inflate to (layer-growth-limit in store.conf)"), "{error}");
    sandbox.assert_nothing_left();

    // gzip grows no more than a layer may that is a disk image of zeros: what it grows to takes no space.
    let gzip = gzip_bomb((ZEROS >> 20) as usize);
    assert!(gzip.len() as u64 > ZEROS / 1032 && gzip.len() < 16 << 20);
    let mut hasher = Hasher::sha256();
    hasher.update(&zeros_header());
    let zero = vec![0; 1 << 20];
    (0..ZEROS >> 20).for_each(|_| hasher.update(&zero));
    let diff_id = hasher.finish();
    take(&sandbox.images, &gzip, &diff_id).unwrap();
    let layer = sandbox.images.store().layer_dir(&diff_id);
    let file = layer.join(if choice == Erofs { "tar" } else { "fs/zeros" });
    let meta = fs::metadata(&file).unwrap();
    assert!(meta.len() >= ZEROS && meta.blocks() * 512 < 1 << 20, "{} of {}", meta.blocks() * 512, meta.len());
    sandbox.images.collect().unwrap();

    // Whoever does not want even that, says so.
    for (setting, cause) in [
        ("layer-size-limit = 100M", "limit of 104857600 bytes uncompressed (layer-size-limit in store.conf)"),
        ("layer-growth-limit = 20", "may inflate to (layer-growth-limit in store.conf)"),
    ] {
        fs::write(sandbox.path("root/store.conf"), setting).unwrap();
        let images = Images::open(&sandbox.path("root"), &sandbox.path("run"), choice).unwrap();
        let error = take(&images, &gzip, &diff_id).unwrap_err().to_string();
        assert!(error.contains(cause), "{setting}: {error}");
        sandbox.assert_nothing_left();
        assert_eq!(fs::read_dir(sandbox.path("root/layers")).unwrap().count(), 0);
    }
}

/// What a tar has a great number of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    /// Empty files, a hundred in a directory.
    Files,
    /// In turn: a file in a directory that no entry describes, a directory, a file with a long name and an attribute of its own, a file,
    /// and a hard link to that.
    Everything,
}

/// Makes a tar while it is read.
struct Many {
    of: Of,
    count: u32,
    number: u32,
    /// A header without name and checksum, and the sum of its bytes with a blank checksum.
    header: Vec<u8>,
    sum: u32,
    block: Vec<u8>,
}

impl Many {
    fn new(of: Of, count: u32) -> Self {
        let mut header = TarBuilder::default().file("", b"").take().finish()[..512].to_vec();
        header[148..156].fill(b' ');
        let sum = header.iter().map(|&byte| u32::from(byte)).sum();
        Many { of, count, number: 0, header, sum, block: Vec::new() }
    }

    fn fill(&mut self) {
        self.block.clear();
        let end = (self.number + 512).min(self.count);
        for number in self.number..end {
            let folder = format!("usr/share/dir{}", number / 1000);
            match number % 5 {
                _ if self.of == Of::Files => {
                    self.entry(b'0', &format!("usr/share/dir{}/file-{number}", number / 100), "")
                }
                0 => self.entry(b'0', &format!("{folder}/undescribed-{number}/x"), ""),
                1 => self.entry(b'5', &format!("{folder}/sub-{number}"), ""),
                2 => {
                    let text = format!("SCHILY.xattr.user.number={number:040}\n");
                    self.raw(b'x', "pax", "", format!("{} {text}", text.len() + 3).as_bytes());
                    // In no order: the multiplier and a million have no factor in common.
                    let mixed = u64::from(number) * 7919 % 1_000_000;
                    self.entry(b'0', &format!("usr/{mixed:a>45}"), "");
                }
                3 => self.entry(b'0', &format!("{folder}/file-{number}"), ""),
                _ => self.entry(b'1', &format!("{folder}/link-{number}"), &format!("{folder}/file-{}", number - 1)),
            }
        }
        if self.number < self.count && end == self.count {
            self.block.extend([0; 1024]);
        }
        self.number = end;
    }

    fn entry(&mut self, flag: u8, name: &str, link: &str) {
        self.raw(flag, name, link, b"");
    }

    fn raw(&mut self, flag: u8, name: &str, link: &str, content: &[u8]) {
        let size = format!("{:011o}", content.len());
        let at = self.block.len();
        self.block.extend(&self.header);
        let header = &mut self.block[at..];
        let mut sum = self.sum;
        for (from, text) in [(0, name.as_bytes()), (124, size.as_bytes()), (156, &[flag]), (157, link.as_bytes())] {
            for (old, &new) in header[from..].iter_mut().zip(text) {
                sum = sum + u32::from(new) - u32::from(*old);
                *old = new;
            }
        }
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.block.extend(content);
        self.block.resize(self.block.len().next_multiple_of(512), 0);
    }
}

impl std::io::Read for Many {
    fn read(&mut self, target: &mut [u8]) -> std::io::Result<usize> {
        if self.block.is_empty() {
            self.fill();
        }
        let count = target.len().min(self.block.len());
        target[..count].copy_from_slice(&self.block[..count]);
        self.block.drain(..count);
        Ok(count)
    }
}

/// Peak memory of this process in bytes.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// What is written is remembered for 128 MiB, and the layer has more: half of it are pieces from anywhere in that.
#[test]
#[ignore = "needs root: mounts"]
fn a_window_of_128_mebibytes() {
    let sandbox = Sandbox::new(Erofs);
    let folder = sandbox.folder("made");
    // By other processes, whose memory is not this one's.
    shell(
        &folder,
        "head -c 100M /dev/urandom > noise
         cp noise file
         for n in $(seq 800); do dd if=noise bs=128k count=1 skip=$((n * 379 % 800)) status=none; done >> file
         tar -cf tar file
         zstd -q -1 --long=27 -T2 tar -o blob
         sha256sum tar blob | cut -c -64 > digests",
    );
    let digests = fs::read_to_string(folder.join("digests")).unwrap();
    let digests: Vec<carboy_oci::Digest> =
        digests.lines().map(|hex| format!("sha256:{hex}").parse().unwrap()).collect();
    let size = fs::metadata(folder.join("blob")).unwrap().len();
    assert!(size < 150 << 20, "{size} bytes: the second half is found in the first, where the window still has it");
    let blob: carboy_oci::image::Descriptor =
        serde_json::from_value(json!({ "mediaType": OCI_LAYER_ZSTD, "digest": digests[1], "size": size })).unwrap();
    let intake = sandbox.images.intake().unwrap();
    intake.ingest_layer(&blob, &digests[0], &mut fs::File::open(folder.join("blob")).unwrap(), &|_| {}).unwrap();
    let peak = peak_memory();
    assert!(peak < 64 << 20, "{peak} bytes");
}

/// Takes a layer of so many entries in, and answers the most memory that this process has ever had, with the image.
fn take_in(sandbox: &Sandbox, of: Of, count: u32) -> carboy_image::Image {
    let mut hasher = Hasher::sha256();
    let size = std::io::copy(&mut Many::new(of, count), &mut Hashing(&mut hasher)).unwrap();
    let diff_id = hasher.finish();
    let blob: carboy_oci::image::Descriptor =
        serde_json::from_value(json!({ "mediaType": OCI_LAYER, "digest": diff_id, "size": size })).unwrap();
    let intake = sandbox.images.intake().unwrap();
    intake.ingest_layer(&blob, &diff_id, &mut Many::new(of, count), &|_| {}).unwrap();
    let peak = peak_memory();
    assert!(peak < 64 << 20, "{of:?}: {peak} bytes");
    let (manifest, config) = manifest_and_config(&[blob], &[diff_id]);
    intake.finish(&[], OCI_MANIFEST, &manifest, &config).unwrap()
}

/// To make as many files takes a file system its minutes: the directory snapshotter gets a tenth of them.
fn a_million_entries(choice: SnapshotterChoice) {
    let sandbox = Sandbox::new(choice);
    let folders: u32 = if choice == Erofs { 10_000 } else { 1000 };
    let image = take_in(&sandbox, Of::Files, folders * 100);
    sandbox.with_root(&image, |root| {
        for folder in [0, folders / 2, folders - 1] {
            assert_eq!(fs::read_dir(root.join(format!("usr/share/dir{folder}"))).unwrap().count(), 100);
        }
        assert!(root.join(format!("usr/share/dir{}/file-{}", folders - 1, folders * 100 - 1)).exists());
    });
    fs::remove_dir_all(sandbox.path("root/containers")).unwrap();
    sandbox.images.remove(image.id.as_str(), true, &|_| None).unwrap();
    sandbox.images.collect().unwrap();
    assert_eq!(fs::read_dir(sandbox.path("root/layers")).unwrap().count(), 0);
}

/// What takes more than files do. Old pages of the names are in a file by then.
#[test]
#[ignore = "needs root: mounts"]
fn a_million_of_everything() {
    let sandbox = Sandbox::new(Erofs);
    let image = take_in(&sandbox, Of::Everything, 1_000_000);
    sandbox.with_root(&image, |root| {
        for number in [0, 50_005, 999_995_u64] {
            let folder = root.join(format!("usr/share/dir{}", number / 1000));
            assert!(folder.join(format!("undescribed-{number}/x")).is_file());
            assert!(folder.join(format!("sub-{}", number + 1)).is_dir());
            let found = xattrs(&root.join(format!("usr/{:a>45}", (number + 2) * 7919 % 1_000_000)));
            assert_eq!(found["user.number"], format!("{:040}", number + 2).as_bytes());
            let [file, link] = [format!("file-{}", number + 3), format!("link-{}", number + 4)]
                .map(|name| fs::metadata(folder.join(name)).unwrap());
            assert_eq!((file.ino(), file.nlink()), (link.ino(), 2));
            assert_eq!((fs::metadata(&folder).unwrap().nlink(), fs::read_dir(&folder).unwrap().count()), (402, 800));
        }
    });
}

/// Hashes what is written.
struct Hashing<'a>(&'a mut Hasher);

impl std::io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// An OCI layout that is written by hand.
struct Layout(PathBuf);

impl Layout {
    fn new(sandbox: &Sandbox, name: &str) -> Layout {
        let folder = sandbox.folder(name);
        fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Layout(folder)
    }

    /// Stores bytes and describes them.
    fn put(&self, bytes: &[u8], media_type: &str) -> Value {
        let digest = Hasher::digest_of(bytes);
        fs::write(self.0.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    fn document(&self, value: &Value, media_type: &str) -> Value {
        self.put(value.to_string().as_bytes(), media_type)
    }

    /// An image of these layers.
    fn image(&self, layers: &[Value]) -> Value {
        let ids: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
        let config = json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": ids } });
        let config = self.document(&config, OCI_CONFIG);
        self.document(
            &json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers }),
            OCI_MANIFEST,
        )
    }

    fn layer(&self) -> Value {
        self.put(&TarBuilder::default().file("x", b"content").finish(), OCI_LAYER)
    }

    fn index(&self, manifests: &[Value]) {
        fs::write(self.0.join("index.json"), json!({ "schemaVersion": 2, "manifests": manifests }).to_string())
            .unwrap();
    }
}

fn chain(error: &ImageError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

#[test]
#[ignore = "needs root: unpacks"]
fn layouts_that_lie() {
    let sandbox = Sandbox::new(Overlay);
    let refused = |name: &str, cause: &str, make: &dyn Fn(&Layout) -> Vec<Value>| {
        let layout = Layout::new(&sandbox, name);
        let entries = make(&layout);
        layout.index(&entries);
        let error = chain(&sandbox.images.load(LoadSource::Path(&layout.0), &|_, _, _| {}).unwrap_err());
        assert!(error.contains(cause) && !error.contains('\n'), "{name}: {error}");
        assert!(sandbox.images.list().unwrap().is_empty());
        sandbox.images.collect().unwrap();
        sandbox.assert_nothing_left();
    };
    let with = |mut value: Value, key: &str, new: Value| {
        value[key] = new;
        value
    };
    refused("smaller", "bytes", &|l| vec![l.image(&[with(l.layer(), "size", json!(5))])]);
    refused("larger", "bytes", &|l| vec![l.image(&[with(l.layer(), "size", json!(1u64 << 60))])]);
    refused("negative", "not valid", &|l| vec![l.image(&[with(l.layer(), "size", json!(-1))])]);
    refused("no-digest", "not valid", &|l| {
        vec![l.image(&[with(l.layer(), "digest", json!("sha256:../../etc/passwd"))])]
    });
    refused("bad-algorithm", "not valid", &|l| {
        vec![l.image(&[with(l.layer(), "digest", json!(format!("md5:{}", "0".repeat(32))))])]
    });
    refused("other-content", "digest mismatch", &|l| {
        let layer = l.layer();
        let hex = layer["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
        let manifest = l.image(&[layer]);
        fs::write(l.0.join("blobs/sha256").join(hex), TarBuilder::default().file("x", b"CONTENT").finish()).unwrap();
        vec![manifest]
    });
    refused("config-is-a-layer", "not valid", &|l| {
        let layer = l.layer();
        vec![l.document(&json!({ "schemaVersion": 2, "config": layer, "layers": [layer] }), OCI_MANIFEST)]
    });
    refused("manifest-is-an-index", "", &|l| {
        vec![with(
            l.document(&json!({ "schemaVersion": 2, "manifests": [] }), OCI_INDEX),
            "mediaType",
            json!(OCI_MANIFEST),
        )]
    });
    refused("index-is-a-manifest", "", &|l| vec![with(l.image(&[l.layer()]), "mediaType", json!(OCI_INDEX))]);
    refused("unknown-type", "unknown type", &|l| vec![with(l.image(&[l.layer()]), "mediaType", json!("text/plain"))]);
    refused("points-to-itself", "digest mismatch", &|l| {
        // No content can name its own digest; one that is stored under the digest that it names can.
        let digest = format!("sha256:{}", "ab".repeat(32));
        let index =
            json!({ "schemaVersion": 2, "manifests": [{ "mediaType": OCI_INDEX, "digest": digest, "size": 100 }] });
        fs::write(l.0.join("blobs/sha256").join("ab".repeat(32)), index.to_string()).unwrap();
        vec![json!({ "mediaType": OCI_INDEX, "digest": digest, "size": 100 })]
    });
    refused("nested", "nested more than", &|l| {
        let mut entry = l.image(&[l.layer()]);
        for _ in 0..10 {
            entry = l.document(&json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry] }), OCI_INDEX);
        }
        vec![entry]
    });
    refused("many-layers", "more than the 500", &|l| vec![l.image(&vec![l.layer(); 501])]);
    refused("many-images", "more than the 4096", &|l| vec![l.image(&[l.layer()]); 5000]);
    refused("deep-json", "not valid", &|l| vec![l.put("[".repeat(1 << 20).as_bytes(), OCI_MANIFEST)]);
    refused("large-manifest", "larger than 32 MiB", &|l| vec![l.put(&vec![b' '; 33 << 20], OCI_MANIFEST)]);
    // A layer twice is no lie.
    let layout = Layout::new(&sandbox, "twice");
    let layer = layout.layer();
    layout.index(&[layout.image(&[layer.clone(), layer])]);
    assert_eq!(sandbox.images.load(LoadSource::Path(&layout.0), &|_, _, _| {}).unwrap().len(), 1);
}

#[test]
#[ignore = "needs root: unpacks"]
fn archives_whose_members_lead_elsewhere() {
    let sandbox = Sandbox::new(Overlay);
    fs::write(sandbox.path("secret"), "{}").unwrap();
    let secret = sandbox.path("secret").display().to_string();
    let manifest = |config: &str, layers: &[&str]| {
        json!([{ "Config": config, "Layers": layers, "RepoTags": ["a:b"] }]).to_string()
    };
    for (name, tar) in [
        ("absolute", TarBuilder::default().file("manifest.json", manifest(&secret, &[]).as_bytes()).take()),
        (
            "up",
            TarBuilder::default()
                .file("manifest.json", manifest(&format!("../../../../../..{secret}"), &[]).as_bytes())
                .take(),
        ),
        (
            "link",
            TarBuilder::default().symlink("c", &secret).file("manifest.json", manifest("c", &[]).as_bytes()).take(),
        ),
        (
            "links",
            TarBuilder::default()
                .symlink("a", "b")
                .symlink("b", "a")
                .file("manifest.json", manifest("a", &[]).as_bytes())
                .take(),
        ),
        ("manifest", TarBuilder::default().symlink("manifest.json", "manifest.json").take()),
    ] {
        let path = sandbox.path(name);
        fs::write(&path, tar.finish()).unwrap();
        let error = chain(&sandbox.images.load(LoadSource::Path(&path), &|_, _, _| {}).unwrap_err());
        assert!(!error.contains('\n'), "{error}");
        assert!(error.contains("has no member") || error.contains("not an image archive"), "{name}: {error}");
    }
    // In a directory, links are the file system's: they must not lead out of it either.
    let layout = Layout::new(&sandbox, "layout");
    let manifest = layout.image(&[layout.layer()]);
    let hex = manifest["digest"].as_str().unwrap().trim_start_matches("sha256:");
    let blob = layout.0.join("blobs/sha256").join(hex);
    fs::rename(&blob, sandbox.path("moved")).unwrap();
    std::os::unix::fs::symlink(sandbox.path("moved"), &blob).unwrap();
    layout.index(&[manifest]);
    // What is there is checked by its digest, so that a link gives away nothing; following it is what skopeo does.
    assert!(sandbox.images.load(LoadSource::Path(&layout.0), &|_, _, _| {}).is_ok());
}
