//! What `fuzz/` tries of this crate: bytes in, nothing out. Compiled for it only.

use crate::{Credentials, Registries, challenge as parser};

/// A `WWW-Authenticate` header.
pub fn challenge(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for challenge in parser::parse(text) {
        assert!(!challenge.scheme.is_empty(), "a challenge without a scheme");
        let _ = (challenge.param("realm"), challenge.param("scope"));
    }
}

/// A file of credentials.
pub fn auth(data: &[u8]) {
    // Nothing is to be executed here: `credHelpers`, `credsStore`, however their letters are escaped.
    let lower = data.to_ascii_lowercase();
    if lower.windows(4).any(|word| word == b"cred") || data.contains(&b'\\') {
        return;
    }
    let path = std::env::temp_dir().join(format!("carboy-fuzz-auth-{}", std::process::id()));
    let Ok(()) = std::fs::write(&path, data) else { return };
    let found = Credentials::in_files(vec![path.clone()]);
    for (domain, name) in [("docker.io", "library/x"), ("quay.io", "a/b/c"), ("localhost:5000", "x")] {
        if let Err(e) = found.find(domain, name) {
            assert!(!e.to_string().contains('\n'), "{e}");
        }
    }
    let _ = std::fs::remove_file(path);
}

/// A `registries.conf`: what it makes of names.
pub fn registries(data: &[u8]) {
    let path = std::env::temp_dir().join(format!("carboy-fuzz-registries-{}", std::process::id()));
    let Ok(()) = std::fs::write(&path, data) else { return };
    let read = Registries::read(std::slice::from_ref(&path));
    let _ = std::fs::remove_file(path);
    let Ok(registries) = read else { return };
    for name in ["busybox", "a/b:1", "quay.io/x/y", "docker.io/library/z", "localhost:5000/x"] {
        for candidate in registries.candidates(name).into_iter().flatten() {
            let _ = registries.places(&candidate);
        }
    }
}

/// A `hosts.toml`: of a registry, and of all that have none of their own.
pub fn hosts(data: &[u8]) {
    let folder = std::env::temp_dir().join(format!("carboy-fuzz-hosts-{}", std::process::id()));
    for name in ["quay.io", "_default"] {
        let Ok(()) = std::fs::create_dir_all(folder.join(name)) else { return };
        let Ok(()) = std::fs::write(folder.join(name).join("hosts.toml"), data) else { return };
    }
    let read = Registries::default().with_hosts(std::slice::from_ref(&folder), &[]);
    let _ = std::fs::remove_dir_all(folder);
    let Ok(registries) = read else { return };
    for name in ["quay.io/x/y", "docker.io/library/z", "localhost:5000/x"] {
        for reference in registries.candidates(name).into_iter().flatten() {
            let places = registries.places(&reference);
            for place in places.mirrors.iter().chain([&places.origin]) {
                assert!(!place.domain.contains(['@', '/', ' ']), "{:?}", place.domain);
            }
        }
    }
}

/// Docker's `daemon.json`: its mirrors, and who is spoken to without TLS.
pub fn daemon(data: &[u8]) {
    let path = std::env::temp_dir().join(format!("carboy-fuzz-daemon-{}", std::process::id()));
    let Ok(()) = std::fs::write(&path, data) else { return };
    let read = Registries::default().with_hosts(&[], std::slice::from_ref(&path));
    let _ = std::fs::remove_file(path);
    let Ok(registries) = read else { return };
    // Addresses only: names would be looked up, where networks are given.
    for domain in ["127.0.0.1:5000", "[::1]:5000", "10.1.2.3"] {
        let _ = registries.whole(domain);
    }
    if !data.windows(8).any(|word| word == b"insecure") && !data.contains(&b'\\') {
        for reference in registries.candidates("busybox").into_iter().flatten() {
            for mirror in registries.places(&reference).mirrors {
                assert!(!mirror.domain.is_empty() && !mirror.domain.contains('/'), "{:?}", mirror.domain);
            }
        }
    }
}
