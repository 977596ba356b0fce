//! What the tests of layers share: a store of their own, layers made by GNU tar, and trees compared file by file with metadata.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use carboy_image::{Image, ImageError, Images, LayerError, SnapshotterChoice};
use carboy_oci::image::{Descriptor, media_type};
use carboy_oci::{Digest, Reference};
use carboy_store::Hasher;
use carboy_wire::monitor::RootMount;
use rustix::mount::{MountAttrFlags, MoveMountFlags, UnmountFlags};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

thread_local! {
    /// Where this thread's stores are, if not where temporary files are.
    static PARENT: std::cell::RefCell<Option<PathBuf>> = const { std::cell::RefCell::new(None) };
}

/// Calls `test`, whose stores are on a file system of this kind, made for that in memory.
pub fn on_file_system(kind: &str, test: impl FnOnce()) {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let mount = dir.path().join("mount");
    fs::create_dir(&mount).unwrap();
    let _unmount = Unmount(mount.clone());
    let script = match kind {
        "tmpfs" => "mount -t tmpfs -o size=320m none mount".to_owned(),
        "ext4" => "truncate -s 320M image; mkfs.ext4 -q -b 4096 image; mount -o loop image mount".to_owned(),
        _ => format!("truncate -s 320M image; mkfs.{kind} -q image; mount -o loop image mount"),
    };
    shell(dir.path(), &script);
    PARENT.set(Some(mount));
    test();
    PARENT.set(None);
}

/// A store in a folder of its own; dropping it unmounts and removes everything.
pub struct Sandbox {
    pub dir: tempfile::TempDir,
    pub images: Images,
}

impl Sandbox {
    pub fn new(choice: SnapshotterChoice) -> Self {
        let parent = PARENT.with_borrow(Clone::clone).unwrap_or_else(std::env::temp_dir);
        Self::within(&parent, choice)
    }

    pub fn within(parent: &Path, choice: SnapshotterChoice) -> Self {
        let dir = tempfile::Builder::new().prefix("carboy-image-").tempdir_in(parent).unwrap();
        let images = Images::open(&dir.path().join("root"), &dir.path().join("run"), choice).unwrap();
        Sandbox { dir, images }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// An empty folder.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// Takes in an image of these layer tars.
    pub fn image(&self, name: &str, layers: &[Vec<u8>]) -> Image {
        self.try_image(name, layers).unwrap()
    }

    /// Takes in an image of these layer tars, which may be refused.
    pub fn try_image(&self, name: &str, layers: &[Vec<u8>]) -> Result<Image, ImageError> {
        let intake = self.images.intake().unwrap();
        let mut descriptors = Vec::new();
        for tar in layers {
            let blob = gzip(tar);
            let descriptor = descriptor(&blob, media_type::OCI_LAYER_GZIP);
            intake.ingest_layer(&descriptor, &Hasher::digest_of(tar), &mut &blob[..], &|_| {}).unwrap();
            descriptors.push(descriptor);
        }
        let diff_ids: Vec<Digest> = layers.iter().map(|tar| Hasher::digest_of(tar)).collect();
        let (manifest, config) = manifest_and_config(&descriptors, &diff_ids);
        let name = Reference::parse(&name.replace(' ', "-")).unwrap();
        intake.finish(&[name], media_type::OCI_MANIFEST, &manifest, &config)
    }

    /// Takes in one layer, uncompressed.
    pub fn layer(&self, tar: &[u8]) -> Result<Digest, LayerError> {
        let digest = Hasher::digest_of(tar);
        let intake = self.images.intake().unwrap();
        let descriptor = descriptor(tar, media_type::OCI_LAYER);
        intake.ingest_layer(&descriptor, &digest, &mut &tar[..], &|_| {}).map(|()| digest)
    }

    /// Prepares a container's root, mounts it as the monitor would, and calls `look` with its path.
    pub fn with_root<T>(&self, image: &Image, look: impl FnOnce(&Path) -> T) -> T {
        let (root, _unmount) = self.mount_root(image, "c1");
        look(&root)
    }

    /// Prepares a container's root and mounts it as the monitor would: where, until what is answered is dropped.
    pub fn mount_root(&self, image: &Image, container: &str) -> (PathBuf, Unmount) {
        let target = self.folder(&format!("merged/{container}"));
        let container = self.folder(&format!("root/containers/{container}"));
        let RootMount::Overlay { lower, upper, work, userxattr } = self.images.prepare(image, &container).unwrap()
        else {
            panic!("not an overlay")
        };
        let context = rustix::mount::fsopen("overlay", rustix::mount::FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
        for lower in lower {
            rustix::mount::fsconfig_set_string(&context, "lowerdir+", lower).unwrap();
        }
        rustix::mount::fsconfig_set_string(&context, "upperdir", upper).unwrap();
        rustix::mount::fsconfig_set_string(&context, "workdir", work).unwrap();
        if userxattr {
            rustix::mount::fsconfig_set_flag(&context, "userxattr").unwrap();
        }
        rustix::mount::fsconfig_create(&context).unwrap();
        let flags = rustix::mount::FsMountFlags::FSMOUNT_CLOEXEC;
        let mount = rustix::mount::fsmount(&context, flags, MountAttrFlags::empty()).unwrap();
        let to = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        rustix::mount::move_mount(&mount, "", rustix::fs::CWD, &target, to).unwrap();
        (target.clone(), Unmount(target))
    }

    /// Nothing is in progress, leased or in the trash.
    pub fn assert_nothing_left(&self) {
        for folder in ["ingest", "trash", "leases"] {
            let left: Vec<_> = fs::read_dir(self.path("root").join(folder)).unwrap().flatten().collect();
            assert!(left.is_empty(), "left in {folder}: {left:?}");
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.path("root/containers"));
        let _ = self.images.unmount_unused();
    }
}

/// Unmounts when dropped.
pub struct Unmount(pub PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, UnmountFlags::DETACH);
    }
}

pub fn descriptor(bytes: &[u8], media_type: &str) -> Descriptor {
    serde_json::from_value(serde_json::json!({
        "mediaType": media_type, "digest": Hasher::digest_of(bytes), "size": bytes.len()
    }))
    .unwrap()
}

pub fn manifest_and_config(layers: &[Descriptor], diff_ids: &[Digest]) -> (Vec<u8>, Vec<u8>) {
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "created": "2024-05-06T07:08:09Z", "config": {"Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}
    });
    let config = serde_json::to_vec(&config).unwrap();
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": descriptor(&config, media_type::OCI_CONFIG), "layers": layers
    });
    (serde_json::to_vec(&manifest).unwrap(), config)
}

/// Compresses by the everyday program.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    pipe("gzip", &["-1", "-n"], bytes)
}

/// Runs a program as a filter.
pub fn pipe(program: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "{program}: {}", output.status);
    output.stdout
}

/// Runs a shell script with errors ending it.
pub fn shell(dir: &Path, script: &str) {
    let output = Command::new("bash").args(["-euc", script]).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Archives a folder by GNU tar.
pub fn tar(dir: &Path, args: &[&str]) -> Vec<u8> {
    let mut command = Command::new("tar");
    command.arg("-c").args(args).arg("-C").arg(dir).arg(".");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Extracts by GNU tar, with everything that it can restore.
pub fn untar(bytes: &[u8], dir: &Path) {
    let dir = dir.to_str().unwrap();
    pipe("tar", &["-x", "-p", "--numeric-owner", "--same-owner", "--xattrs", "--xattrs-include=*", "-C", dir], bytes);
}

/// Everything about a tree, one line for each name.
pub fn listing(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut inodes: HashMap<(u64, u64), PathBuf> = HashMap::new();
    let mut lines = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        let mut paths: Vec<PathBuf> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.push(dir.clone());
        paths.sort();
        for path in paths {
            let name = path.strip_prefix(root).unwrap().to_owned();
            let meta = fs::symlink_metadata(&path).unwrap();
            if meta.is_dir() && path != dir {
                open.push(path.clone());
            }
            let mut line = describe(&path, &meta);
            if path == root {
                // The root's times are those of the container's own upper directory.
                line = format!("{:o} {}:{}", meta.mode(), meta.uid(), meta.gid());
            }
            lines.insert(name, line);
            if !meta.is_dir() {
                let first = inodes.entry((meta.dev(), meta.ino())).or_insert_with(|| path.clone());
                if *first > path {
                    *first = path;
                }
            }
        }
    }
    // Hard links: each name says which name is the first of its inode.
    let firsts: HashMap<(u64, u64), PathBuf> = inodes;
    for (name, line) in &mut lines {
        let meta = fs::symlink_metadata(root.join(name)).unwrap();
        if let Some(first) = firsts.get(&(meta.dev(), meta.ino())) {
            line.push_str(&format!(" same as {}", first.strip_prefix(root).unwrap().display()));
        }
    }
    lines
}

fn describe(path: &Path, meta: &fs::Metadata) -> String {
    let kind = meta.file_type();
    let content = if kind.is_file() {
        format!("{} bytes {}", meta.len(), Hasher::digest_of(&fs::read(path).unwrap()))
    } else if kind.is_symlink() {
        format!("-> {}", fs::read_link(path).unwrap().display())
    } else if kind.is_char_device() || kind.is_block_device() {
        format!("device {:x}", meta.rdev())
    } else {
        String::new()
    };
    let nlink = if kind.is_dir() { 0 } else { meta.nlink() };
    format!(
        "{:o} {}:{} {}.{:09} links {nlink} {:?} {content}",
        meta.mode(),
        meta.uid(),
        meta.gid(),
        meta.mtime(),
        meta.mtime_nsec(),
        xattrs(path),
    )
}

pub fn xattrs(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0; 65536];
    let mut found = BTreeMap::new();
    let Ok(size) = rustix::fs::llistxattr(path, &mut names[..]) else { return found };
    for name in names[..size].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let name = String::from_utf8_lossy(name).into_owned();
        let mut value = vec![0; 65536];
        let size = rustix::fs::lgetxattr(path, &*name, &mut value[..]).unwrap();
        value.truncate(size);
        found.insert(name, value);
    }
    found
}

/// Fails with the differences only.
pub fn assert_same(actual: &BTreeMap<PathBuf, String>, expected: &BTreeMap<PathBuf, String>) {
    let mut differences = Vec::new();
    for name in actual.keys().chain(expected.keys()).collect::<std::collections::BTreeSet<_>>() {
        if actual.get(name) != expected.get(name) {
            differences.push(format!(
                "{}:\n  got      {:?}\n  expected {:?}",
                name.display(),
                actual.get(name),
                expected.get(name)
            ));
        }
    }
    let shown = differences.iter().take(12).cloned().collect::<Vec<_>>().join("\n");
    assert!(differences.is_empty(), "{} differences:\n{shown}", differences.len());
}

/// Tars that no honest program writes.
#[derive(Default, Clone)]
pub struct TarBuilder(Vec<u8>);

impl TarBuilder {
    pub fn file(&mut self, name: &str, content: &[u8]) -> &mut Self {
        self.raw(name, b'0', content, "")
    }

    pub fn directory(&mut self, name: &str, mode: u32) -> &mut Self {
        self.entry(name, b'5', mode, b"", "", (0, 0))
    }

    pub fn symlink(&mut self, name: &str, target: &str) -> &mut Self {
        self.raw(name, b'2', b"", target)
    }

    pub fn hard_link(&mut self, name: &str, target: &str) -> &mut Self {
        self.raw(name, b'1', b"", target)
    }

    pub fn device(&mut self, name: &str, major: u32, minor: u32) -> &mut Self {
        self.entry(name, b'3', 0o600, b"", "", (major, minor))
    }

    pub fn raw(&mut self, name: &str, flag: u8, content: &[u8], link: &str) -> &mut Self {
        self.entry(name, flag, 0o644, content, link, (0, 0))
    }

    /// PAX records for the next entry.
    pub fn pax(&mut self, records: &[(&str, &str)]) -> &mut Self {
        let mut content = Vec::new();
        for (key, value) in records {
            let rest = format!(" {key}={value}\n");
            let mut length = rest.len() + 1;
            while length.to_string().len() + rest.len() != length {
                length += 1;
            }
            content.extend(format!("{length}{rest}").into_bytes());
        }
        self.raw("pax", b'x', &content, "")
    }

    fn entry(
        &mut self,
        name: &str,
        flag: u8,
        mode: u32,
        content: &[u8],
        link: &str,
        (major, minor): (u32, u32),
    ) -> &mut Self {
        if name.len() > 100 {
            self.raw("././@LongLink", b'L', &[name.as_bytes(), b"\0"].concat(), "");
        }
        let mut block = [0u8; 512];
        let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
        put(0, &name.as_bytes()[..name.len().min(100)]);
        put(100, format!("{mode:07o}\0").as_bytes());
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(124, format!("{:011o}\0", content.len()).as_bytes());
        put(136, b"00000001750\0");
        put(148, b"        ");
        put(156, &[flag]);
        put(157, link.as_bytes());
        put(257, b"ustar\x0000");
        put(329, format!("{major:07o}\0").as_bytes());
        put(337, format!("{minor:07o}\0").as_bytes());
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend(block);
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn take(&mut self) -> TarBuilder {
        std::mem::take(self)
    }

    pub fn finish(&self) -> Vec<u8> {
        [&self.0[..], &[0; 1024]].concat()
    }
}
