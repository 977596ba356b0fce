//! Debian's docker-registry on a free port of the loopback address, with a storage folder that tests may tamper with.

use super::command::Call;
use super::token::TokenServer;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The user name and password of [`Registry::with_password`].
pub(crate) const USER: &str = "tester";
pub(crate) const PASSWORD: &str = "carboy-secret";
/// Of PASSWORD, by crypt(3); the registry reads bcrypt only.
const BCRYPT: &str = "$2y$05$abcdefghijklmnopqrstuuwl2qpME7ujVcFRHUiqftF7qVapz8vSW";

/// Ends with the value.
pub(crate) struct Registry {
    process: Child,
    dir: tempfile::TempDir,
    /// `127.0.0.1:PORT`
    pub(crate) address: String,
    password: bool,
    /// Where tokens come from, of [`Registry::with_tokens`].
    pub(crate) tokens: Option<TokenServer>,
}

enum Access<'a> {
    Open,
    /// TLS with this certificate and key.
    Tls(&'a Path, &'a Path),
    Password,
    Tokens,
}

impl Registry {
    pub(crate) fn start() -> Registry {
        Registry::launch(Access::Open)
    }

    /// Basic authentication.
    pub(crate) fn with_password() -> Registry {
        Registry::launch(Access::Password)
    }

    /// Bearer tokens from a server of their own, as on Docker Hub: `public/…` may be pulled by anyone.
    pub(crate) fn with_tokens() -> Registry {
        Registry::launch(Access::Tokens)
    }

    /// TLS with this certificate and key.
    pub(crate) fn with_tls(certificate: &Path, key: &Path) -> Registry {
        Registry::launch(Access::Tls(certificate, key))
    }

    fn launch(access: Access<'_>) -> Registry {
        let dir = tempfile::Builder::new().prefix("carboy-registry").tempdir().unwrap();
        let storage = dir.path().join("storage");
        let mut config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:0'}}\n",
            storage.display()
        );
        let mut tokens = None;
        match access {
            Access::Open => {}
            Access::Tls(certificate, key) => {
                let tls = format!(", tls: {{certificate: {}, key: {}}}}}\n", certificate.display(), key.display());
                config = config.trim_end().trim_end_matches('}').to_owned() + &tls;
            }
            Access::Password => {
                let file = dir.path().join("htpasswd");
                std::fs::write(&file, format!("{USER}:{BCRYPT}\n")).unwrap();
                config.push_str(&format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", file.display()));
            }
            Access::Tokens => {
                let server = tokens.insert(TokenServer::start(dir.path()));
                let certificate = server.certificate.display();
                config.push_str(&format!(
                    "auth: {{token: {{realm: '{}', service: registry, issuer: carboy-test, rootcertbundle: {certificate}}}}}\n",
                    server.realm
                ));
            }
        }
        std::fs::write(dir.path().join("config.yml"), config).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(dir.path().join("config.yml")).stdin(Stdio::null()).stdout(Stdio::null());
        let mut process = command.stderr(Stdio::piped()).spawn().expect("docker-registry");
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "docker-registry ended without listening");
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split(['"', '\n', ' ', ',']).next().unwrap().to_owned();
            }
        };
        // Its log must be read on, or a full pipe would stop it.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Registry { process, dir, address, password: matches!(access, Access::Password | Access::Tokens), tokens }
    }

    /// Pushes an OCI layout of `target/test-images` with skopeo; `options` such as `--format v2s2`. Gives the reference to pull.
    pub(crate) fn push(&self, layout: &str, name: &str, options: &[&str]) -> String {
        self.push_from(&super::images::file(layout), name, options)
    }

    /// Likewise from any OCI layout, its tag `latest`.
    pub(crate) fn push_from(&self, layout: &Path, name: &str, options: &[&str]) -> String {
        self.push_uri(&format!("oci:{}:latest", layout.display()), name, options)
    }

    /// Likewise from any place that skopeo knows.
    pub(crate) fn push_uri(&self, from: &str, name: &str, options: &[&str]) -> String {
        let reference = format!("{}/{name}", self.address);
        let credentials = format!("{USER}:{PASSWORD}");
        let mut call = Call::new("skopeo").args(["--insecure-policy", "copy", "-q", "--dest-tls-verify=false"]);
        if self.password {
            call = call.args(["--dest-creds", &credentials]);
        }
        call.args(options).arg(from).arg(format!("docker://{reference}")).limit(180).ok();
        reference
    }

    /// The file in which the registry keeps a blob.
    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        self.dir.path().join("storage/docker/registry/v2/blobs/sha256").join(&hex[..2]).join(hex).join("data")
    }

    /// The manifest behind `REPOSITORY:TAG`, as it is.
    pub(crate) fn manifest(&self, name: &str) -> String {
        let (repository, tag) = name.rsplit_once(':').unwrap();
        let types = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
        let headers = format!("Accept: {types}\r\n");
        let answer = self.http("GET", &format!("/v2/{repository}/manifests/{tag}"), &headers, b"");
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    /// Digests of the layers of `REPOSITORY:TAG`, the base first.
    pub(crate) fn layers(&self, name: &str) -> Vec<String> {
        let manifest: serde_json::Value = serde_json::from_str(&self.manifest(name)).unwrap();
        let layers = manifest["layers"].as_array().unwrap().iter();
        layers.map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect()
    }

    /// Stores a manifest list of manifests that are in this repository: `(architecture, tag)`.
    pub(crate) fn put_index(&self, repository: &str, tag: &str, images: &[(&str, &str)]) -> String {
        let manifests: Vec<_> = images
            .iter()
            .map(|(architecture, tag)| {
                let manifest = self.manifest(&format!("{repository}:{tag}"));
                let parsed: serde_json::Value = serde_json::from_str(&manifest).unwrap();
                let default = "application/vnd.oci.image.manifest.v1+json".into();
                let kind = parsed.get("mediaType").unwrap_or(&default).clone();
                serde_json::json!({
                    "mediaType": kind, "digest": super::images::digest(manifest.as_bytes()), "size": manifest.len(),
                    "platform": {"architecture": architecture, "os": "linux"},
                })
            })
            .collect();
        let kind = "application/vnd.oci.image.index.v1+json";
        let index = serde_json::json!({"schemaVersion": 2, "mediaType": kind, "manifests": manifests}).to_string();
        let path = format!("/v2/{repository}/manifests/{tag}");
        self.put_manifest(&path, kind, &index);
        format!("{}/{repository}:{tag}", self.address)
    }

    /// Pushes an image of one layer as no tool does it any more: uncompressed. `tar` is the layer.
    pub(crate) fn push_plain(&self, tar: &[u8], repository: &str) -> String {
        let config = super::images::config(tar);
        let manifest = super::images::manifest(&config, tar);
        for blob in [tar, config.as_bytes()] {
            let answer = self.http("POST", &format!("/v2/{repository}/blobs/uploads/"), "", b"");
            assert_eq!(answer.status, 202, "{}", answer.body);
            let location = answer.head.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap();
            let path = &location[location.find("/v2/").unwrap()..];
            let digest = super::images::digest(blob);
            let headers = "Content-Type: application/octet-stream\r\n";
            let answer = self.http("PUT", &format!("{path}&digest={digest}"), headers, blob);
            assert_eq!(answer.status, 201, "{}", answer.body);
        }
        let kind = "application/vnd.oci.image.manifest.v1+json";
        self.put_manifest(&format!("/v2/{repository}/manifests/plain"), kind, &manifest);
        format!("{}/{repository}:plain", self.address)
    }

    fn put_manifest(&self, path: &str, kind: &str, manifest: &str) {
        let answer = self.http("PUT", path, &format!("Content-Type: {kind}\r\n"), manifest.as_bytes());
        assert_eq!(answer.status, 201, "{}", answer.body);
    }

    fn http(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let (host, length) = (&self.address, body.len());
        let head = format!("{method} {path} HTTP/1.0\r\nHost: {host}\r\n{headers}Content-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
