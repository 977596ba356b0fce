//! Debian's docker-registry on a free loopback port, filled by skopeo from images that umoci and buildah made.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running registry; dropping it ends the process and removes its files.
pub struct Registry {
    child: Child,
    pub port: u16,
    pub dir: tempfile::TempDir,
}

/// `me` with the password `s3cret`.
const HTPASSWD: &str = "me:$2b$04$1qHB5eyuNowdxq7slNV4Je864aa/a3EYjk.tGWli6Yvu3o4QLPAl.\n";

impl Registry {
    pub fn start() -> Self {
        Self::start_with("", |_| {})
    }

    pub fn with_password() -> Self {
        let auth = "auth: {htpasswd: {realm: test, path: DIR/htpasswd}}";
        Self::start_with(auth, |dir| std::fs::write(dir.join("htpasswd"), HTPASSWD).unwrap())
    }

    fn start_with(extra: &str, prepare: impl Fn(&Path)) -> Self {
        // A port that is free now may be taken before the registry has it: try again then.
        for _ in 0..5 {
            let dir = tempfile::tempdir().unwrap();
            prepare(dir.path());
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let config = format!(
                "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: DIR/data}}, delete: {{enabled: true}}}}\n\
                 http: {{addr: \"127.0.0.1:{port}\"}}\n{extra}\n"
            );
            let config = config.replace("DIR", dir.path().to_str().unwrap());
            let file = dir.path().join("config.yml");
            std::fs::write(&file, config).unwrap();
            let log = File::create(dir.path().join("log")).unwrap();
            let child = Command::new("docker-registry")
                .arg("serve")
                .arg(&file)
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .stdin(Stdio::null())
                .spawn()
                .expect("docker-registry is installed");
            let mut registry = Registry { child, port, dir };
            if registry.is_up() {
                return registry;
            }
        }
        panic!("docker-registry does not start");
    }

    fn is_up(&mut self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(20) {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn reference(&self, rest: &str) -> carboy_oci::Reference {
        format!("{}/{rest}", self.host()).parse().unwrap()
    }

    /// The requests so far, as `METHOD path`, without skopeo's and buildah's.
    pub fn our_requests(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap();
        // Common log format: … "GET /v2/x HTTP/1.1" 200 12 "" "carboy/0.1.0"
        let lines = log.lines().filter(|line| line.contains("\"carboy/"));
        lines.filter_map(|line| Some(line.split('"').nth(1)?.trim_end_matches(" HTTP/1.1").to_owned())).collect()
    }

    /// `skopeo ARGS…`, the registry's host for `HOST`.
    pub fn skopeo(&self, args: &str) -> String {
        let args = args.replace("HOST", &self.host()).replace("DIR", self.dir.path().to_str().unwrap());
        run(Command::new("skopeo").args(args.split_whitespace()))
    }

    /// Makes images with umoci and puts them here under `t`: `oci` (gzip), `v2` (Docker's types), `plain` and `zstd` (other
    /// compressions), `multi` (an index for amd64 and arm64, made by buildah). Returns the OCI layout.
    pub fn fill(&self) -> PathBuf {
        let dir = self.dir.path();
        let layout = dir.join("layout");
        make_layout(&layout, dir);
        let push = "copy -q --dest-tls-verify=false";
        self.skopeo(&format!("{push} oci:DIR/layout:amd docker://HOST/t:oci"));
        self.skopeo(&format!("{push} --format v2s2 oci:DIR/layout:amd docker://HOST/t:v2"));
        self.skopeo("copy -q --dest-decompress oci:DIR/layout:amd dir:DIR/plain");
        self.skopeo(&format!("{push} --preserve-digests dir:DIR/plain docker://HOST/t:plain"));
        self.skopeo("copy -q --dest-compress --dest-compress-format zstd dir:DIR/plain dir:DIR/zstd");
        self.skopeo(&format!("{push} --preserve-digests dir:DIR/zstd docker://HOST/t:zstd"));
        let buildah = |args: &str| {
            let args = args.replace("HOST", &self.host()).replace("DIR", dir.to_str().unwrap());
            let mut command = Command::new("buildah");
            command.arg("--root").arg(dir.join("buildah")).arg("--runroot").arg(dir.join("buildah-run"));
            run(command.args(["--storage-driver", "vfs"]).args(args.split_whitespace()))
        };
        buildah("manifest create multi");
        buildah("manifest add --arch arm64 --variant v8 multi oci:DIR/layout:arm");
        buildah("manifest add multi oci:DIR/layout:amd");
        buildah("manifest push --all --tls-verify=false multi docker://HOST/t:multi");
        layout
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two images of three layers each, which share the first two.
fn make_layout(layout: &Path, dir: &Path) {
    let umoci = |args: &str| {
        let args = args.replace("LAYOUT", layout.to_str().unwrap()).replace("DIR", dir.to_str().unwrap());
        run(Command::new("umoci").args(args.split_whitespace()));
    };
    let noise: Vec<u8> = (0..3_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for (layer, (name, content)) in
        [("noise", noise.as_slice()), ("text", b"hello\n"), ("arch", b"arm64\n")].into_iter().enumerate()
    {
        let folder = dir.join(format!("layer{layer}"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join(name), content).unwrap();
    }
    umoci("init --layout LAYOUT");
    umoci("new --image LAYOUT:amd");
    umoci("insert --rootless --image LAYOUT:amd DIR/layer0 /zero");
    umoci("insert --rootless --image LAYOUT:amd DIR/layer1 /one");
    umoci("config --image LAYOUT:amd --tag arm --architecture arm64 --config.env WHICH=arm64");
    umoci("insert --rootless --image LAYOUT:arm DIR/layer2 /two");
    umoci("config --image LAYOUT:amd --architecture amd64 --config.env WHICH=amd64 --config.cmd /bin/sh");
}

pub fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
