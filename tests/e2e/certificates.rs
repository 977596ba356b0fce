//! Registries with TLS, as their administrators set them up: a certificate of openssl's, and certs.d or hosts.toml beside it.

use crate::common::{Call, Env, Registry};
use std::path::{Path, PathBuf};

/// Certificate and key as `openssl req -x509` makes them without a configuration: signed by itself, CA:TRUE.
fn self_signed(env: &Env, name: &str, options: &[&str]) -> (PathBuf, PathBuf) {
    let (certificate, key) = (env.path(&format!("{name}.crt")), env.path(&format!("{name}.key")));
    let call = Call::new("openssl").args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=registry"]);
    call.args(options).arg("-keyout").arg(&key).arg("-out").arg(&certificate).ok();
    (certificate, key)
}

/// The same, of some years ago.
fn expired(env: &Env) -> (PathBuf, PathBuf) {
    let at = |name: &str| env.path(name);
    let (dir, key, certificate) = (at("").display().to_string(), at("old.key"), at("old.crt"));
    let config = format!(
        "[ca]\ndefault_ca = d\n[d]\ndatabase = {dir}db\nserial = {dir}serial\nnew_certs_dir = {dir}\ndefault_md = sha256\npolicy = p\n\
         [p]\ncommonName = supplied\n[v3]\nbasicConstraints = CA:TRUE\nsubjectAltName = IP:127.0.0.1\n"
    );
    for (name, text) in [("ca.conf", config.as_str()), ("db", ""), ("serial", "01\n")] {
        std::fs::write(at(name), text).unwrap();
    }
    let request = Call::new("openssl").args(["req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=registry"]);
    request.arg("-keyout").arg(&key).arg("-out").arg(at("old.csr")).ok();
    let sign = Call::new("openssl").args(["ca", "-batch", "-selfsign", "-notext", "-extensions", "v3", "-config"]);
    let sign =
        sign.arg(at("ca.conf")).arg("-keyfile").arg(&key).arg("-in").arg(at("old.csr")).arg("-out").arg(&certificate);
    sign.args(["-startdate", "20200101000000Z", "-enddate", "20210101000000Z"]).ok();
    (certificate, key)
}

/// A file below this user's certs.d.
fn write(env: &Env, name: &str, bytes: impl AsRef<[u8]>) {
    let path = env.dir().join("h/.config/containers/certs.d").join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn trust(env: &Env, registry: &Registry, certificate: &Path) {
    write(env, &format!("{}/ca.crt", registry.address), std::fs::read(certificate).unwrap());
}

const LOOPBACK: [&str; 2] = ["-addext", "subjectAltName=IP:127.0.0.1"];

#[test]
#[ignore = "needs root"]
fn a_registrys_own_certificate_is_trusted_when_it_is_in_certs_d() {
    let env = Env::new();
    let (certificate, key) = self_signed(&env, "own", &LOOPBACK);
    let text = Call::new("openssl").args(["x509", "-noout", "-text", "-in"]).arg(&certificate).ok();
    assert!(text.contains("CA:TRUE"), "what openssl makes by itself: {text}");
    let registry = Registry::with_tls(&certificate, &key);
    let name = registry.push("busybox", "box:1", &[]);
    let refused = env.carboy(["pull", &name]).fails(1);
    assert!(refused.contains("TLS with 127.0.0.1") && refused.contains("certs.d"), "{refused}");
    trust(&env, &registry, &certificate);
    env.carboy(["pull", "-q", &name]).ok();
    env.carboy(["push", "-q", &name, &format!("{}/again:1", registry.address)]).ok();
    assert_eq!(env.carboy(["run", "--rm", &name, "echo", "ran"]).ok(), "ran\n");
    env.carboy(["pull", "-q", "--tls-verify=false", &name]).ok();
}

#[test]
#[ignore = "needs root"]
fn a_registrys_own_certificate_is_checked_all_the_same() {
    let env = Env::new();
    // Of the same name, but of another key: it vouches for nobody.
    let (certificate, key) = self_signed(&env, "own", &LOOPBACK);
    let (other, _) = self_signed(&env, "other", &LOOPBACK);
    let registry = Registry::with_tls(&certificate, &key);
    let name = registry.push("busybox", "box:1", &[]);
    trust(&env, &registry, &other);
    let line = env.carboy(["pull", &name]).fails(1);
    assert!(line.contains("TLS with 127.0.0.1"), "{line}");

    let (certificate, key) = self_signed(&env, "named", &["-addext", "subjectAltName=DNS:other.example"]);
    let registry = Registry::with_tls(&certificate, &key);
    trust(&env, &registry, &certificate);
    let line = env.carboy(["pull", &format!("{}/box:1", registry.address)]).fails(1);
    assert!(line.contains("not valid for"), "{line}");

    let (certificate, key) = expired(&env);
    let registry = Registry::with_tls(&certificate, &key);
    trust(&env, &registry, &certificate);
    let line = env.carboy(["pull", &format!("{}/box:1", registry.address)]).fails(1);
    assert!(line.contains("expired"), "{line}");
}

#[test]
#[ignore = "needs root"]
fn hosts_toml_leads_elsewhere() {
    let env = Env::new();
    let (certificate, key) = self_signed(&env, "own", &LOOPBACK);
    let (mirror, origin) = (Registry::start(), Registry::with_tls(&certificate, &key));
    mirror.push("busybox", "team/box:1", &[]);
    write(&env, "r.example/hub.pem", std::fs::read(&certificate).unwrap());
    let hosts = format!(
        "server = 'https://{}'\nca = 'hub.pem'\n[host.'http://{}']\ncapabilities = ['pull', 'resolve']\n",
        origin.address, mirror.address
    );
    write(&env, "r.example/hosts.toml", hosts);
    env.carboy(["pull", "-q", "r.example/team/box:1"]).ok();
    // Written to the registry itself, and read there when the mirror does not have it.
    env.carboy(["push", "-q", "r.example/team/box:1", "r.example/new/box:2"]).ok();
    assert!(origin.push("busybox", "probe:1", &[]).contains("127.0.0.1"));
    env.carboy(["rmi", "-f", "r.example/team/box:1"]).ok();
    env.carboy(["pull", "-q", "r.example/new/box:2"]).ok();
    let line = env.carboy(["copy", "docker://r.example/new/box:none", "dir:/nowhere"]).fails(1);
    assert!(line.contains("not found"), "{line}");

    write(&env, "r.example/hosts.toml", "server = 7");
    let line = env.carboy(["pull", "r.example/team/box:1"]).fails(1);
    assert!(line.contains("r.example/hosts.toml is not valid"), "{line}");
}
