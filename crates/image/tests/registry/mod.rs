//! Debian's docker-registry on a free loopback port, filled by skopeo from images that umoci made.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::fs::File;
use std::io::{Read, Write};
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
            if self.answers().is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// Whether it is this registry that answers, and not somebody else's who got the port first: the request is in its log.
    fn answers(&self) -> Option<()> {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.write_all(b"GET /v2/ HTTP/1.0\r\nUser-Agent: is-it-you\r\n\r\n").ok()?;
        let _ = stream.read_to_end(&mut Vec::new());
        let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap();
        log.contains("is-it-you").then_some(())
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn reference(&self, rest: &str) -> carboy_oci::Reference {
        format!("{}/{rest}", self.host()).parse().unwrap()
    }

    /// The requests so far, as `METHOD path`, without skopeo's. The registry logs a large blob after the client has all of it: up to
    /// 290 ms after, on a busy machine. So what is read is the log when it has come to rest.
    pub fn our_requests(&self) -> Vec<String> {
        let read = || std::fs::read_to_string(self.dir.path().join("log")).unwrap();
        let (mut log, mut since) = (read(), Instant::now());
        while since.elapsed() < Duration::from_millis(500) {
            std::thread::sleep(Duration::from_millis(20));
            let later = read();
            if later != log {
                (log, since) = (later, Instant::now());
            }
        }
        // Common log format: … "GET /v2/x HTTP/1.1" 200 12 "" "carboy/0.1.0"
        let lines = log.lines().filter(|line| line.contains("\"carboy/"));
        lines.filter_map(|line| Some(line.split('"').nth(1)?.trim_end_matches(" HTTP/1.1").to_owned())).collect()
    }

    /// `skopeo ARGS…`, the registry's host for `HOST`.
    pub fn skopeo(&self, args: &str) -> String {
        let args = args.replace("HOST", &self.host()).replace("DIR", self.dir.path().to_str().unwrap());
        run(Command::new("skopeo").args(args.split_whitespace()))
    }

    /// What a tag of `t` means, in skopeo's words.
    pub fn digest(&self, tag: &str) -> String {
        let args = format!("inspect --tls-verify=false --format {{{{.Digest}}}} docker://HOST/t:{tag}");
        self.skopeo(&args).trim().to_owned()
    }

    /// Pushes a manifest; no tool at hand writes an index without building an image first.
    fn put(&self, repository: &str, tag: &str, kind: &str, manifest: &str) {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let length = manifest.len();
        let head = format!("PUT /v2/{repository}/manifests/{tag} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        write!(stream, "{head}Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{manifest}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    }

    /// Makes images with umoci and puts them here under `t`: `oci` (gzip), `v2` (Docker's types), `plain` and `zstd` (other
    /// compressions), `arm`, and `multi`, an index of `arm` and `oci`. Returns the OCI layout.
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
        self.skopeo(&format!("{push} oci:DIR/layout:arm docker://HOST/t:arm"));
        let entry = |tag: &str, platform: &str| {
            let raw = self.skopeo(&format!("inspect --raw --tls-verify=false docker://HOST/t:{tag}"));
            let digest = self.digest(tag);
            format!(
                r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":{},"platform":{{"os":"linux",{platform}}}}}"#,
                raw.len()
            )
        };
        let arm = entry("arm", r#""architecture":"arm64","variant":"v8""#);
        let amd = entry("oci", r#""architecture":"amd64""#);
        let kind = "application/vnd.oci.image.index.v1+json";
        self.put(
            "t",
            "multi",
            kind,
            &format!(r#"{{"schemaVersion":2,"mediaType":"{kind}","manifests":[{arm},{amd}]}}"#),
        );
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
