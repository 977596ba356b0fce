//! A token server, as Docker Hub's `auth.docker.io`: hands out signed tokens that the real registry checks with its certificate.
//!
//! docs: distribution's `docs/content/spec/auth/{token,jwt}.md`.

use super::command::Call;
use super::registry::{PASSWORD, USER};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Serves until the process ends, from threads of its own.
pub(crate) struct TokenServer {
    /// `http://127.0.0.1:PORT/token`
    pub(crate) realm: String,
    /// PEM file of the certificate whose key signs.
    pub(crate) certificate: PathBuf,
    given: Arc<AtomicUsize>,
}

impl TokenServer {
    /// Pulling from `public/…` is free for all, everything else needs the user and password of the registry fixture.
    pub(crate) fn start(dir: &Path) -> TokenServer {
        let (key, certificate) = (dir.join("key.pem"), dir.join("certificate.pem"));
        let request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=carboy-test"];
        Call::new("openssl").args(request).arg("-keyout").arg(&key).arg("-out").arg(&certificate).ok();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let realm = format!("http://{}/token", listener.local_addr().unwrap());
        let given = Arc::new(AtomicUsize::new(0));
        let signer = Signer { key, certificate: certificate.clone(), given: given.clone() };
        std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| signer.serve(stream)));
        TokenServer { realm, certificate, given }
    }

    /// How many tokens it has given.
    pub(crate) fn given(&self) -> usize {
        self.given.load(Ordering::SeqCst)
    }
}

struct Signer {
    key: PathBuf,
    certificate: PathBuf,
    given: Arc<AtomicUsize>,
}

impl Signer {
    fn serve(&self, mut stream: TcpStream) {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let Some(request) = lines.next() else { return };
        let credentials = format!("basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let authorization = head.iter().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("authorization").then(|| value.replacen("Basic", "basic", 1))
        });
        let known = authorization.as_deref() == Some(&credentials);
        // repository:NAME:ACTIONS, percent-encoded or not.
        let scope = request.split(['?', '&', ' ']).find_map(|part| part.strip_prefix("scope=")).unwrap_or_default();
        let scope = scope.replace("%3A", ":").replace("%2F", "/").replace("%2C", ",");
        let mut fields = scope.split(':').skip(1);
        let (name, actions) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let allowed: Vec<&str> =
            actions.split(',').filter(|action| known || name.starts_with("public/") && *action == "pull").collect();
        let (status, body) = if authorization.is_some() && !known {
            (
                "401 Unauthorized",
                json!({"errors": [{"code": "UNAUTHORIZED", "message": "wrong user name or password"}]}),
            )
        } else {
            self.given.fetch_add(1, Ordering::SeqCst);
            ("200 OK", json!({"token": self.token(name, &allowed), "expires_in": 300}))
        };
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close",
            body.len()
        );
        let _ = stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes());
    }

    fn token(&self, name: &str, actions: &[&str]) -> String {
        let pem = std::fs::read_to_string(&self.certificate).unwrap();
        let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let header = json!({"typ": "JWT", "alg": "RS256", "x5c": [der]});
        let claims = json!({
            "iss": "carboy-test", "sub": "", "aud": "registry", "exp": now + 300, "nbf": now - 10, "iat": now, "jti": "1",
            "access": [{"type": "repository", "name": name, "actions": actions}],
        });
        let signed = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let sign = Call::new("openssl").args(["dgst", "-sha256", "-sign"]).arg(&self.key);
        let signature = sign.stdin(signed.as_bytes()).output().stdout;
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
