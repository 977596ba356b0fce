//! Mirrors, other locations, blocked registries: what registries.conf says is what is asked.

#![allow(clippy::unwrap_used)]

mod common;

use carboy_distribution::{Access, Client, Credentials, ErrorKind, Registries, Settings, Target};
use common::*;
use std::io::Read;

fn with_rules(rules: &str) -> Client {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("registries.conf");
    std::fs::write(&file, rules).unwrap();
    let registries = Registries::read(&[file]).unwrap();
    Client::new(Settings { registries, ..client(Credentials::none()).settings().clone() })
}

fn latest() -> Target {
    Target::Tag("latest".to_owned())
}

/// Serves a manifest and one blob below `/v2/PATH/`.
fn registry(path: &'static str, has_blob: bool) -> Server {
    Server::start(move |request| {
        match request.path.replace("?ns=r.example", "").strip_prefix(&format!("/v2/{path}/")) {
            Some("manifests/latest") => body(MANIFEST),
            Some(rest) if has_blob && rest.starts_with("blobs/") => body("blob"),
            _ => status(404),
        }
    })
}

#[test]
fn a_mirror_is_asked_first_and_the_registry_for_what_it_lacks() {
    let (mirror, origin) = (registry("m/team/x", false), registry("team/x", true));
    let (at, there) = (mirror.address, origin.address);
    let gone = { std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
    let client = with_rules(&format!(
        "[[registry]]\nprefix = 'r.example/team'\nlocation = '{there}/team'\n[[registry.mirror]]\nlocation = '{gone}'\n[[registry.mirror]]\nlocation = '{at}/m/team'"
    ));
    let reference = "r.example/team/x".parse().unwrap();
    let repository = client.repository(&reference);
    assert_eq!(repository.manifest(&latest()).unwrap().bytes, MANIFEST.as_bytes());
    assert_eq!(origin.log(), [""; 0]);
    let mut blob = Vec::new();
    repository.blob(&descriptor(b"blob")).read_to_end(&mut blob).unwrap();
    assert_eq!(blob, b"blob");
    assert_eq!(origin.log(), [format!("GET /v2/team/x/blobs/{}", digest(b"blob"))]);
    assert_eq!(repository.name(), "r.example/team/x", "messages name what was asked for");
    // What writes goes to the registry alone.
    let before = mirror.requests().len();
    let push = client.repository_for(&reference, Access::Push);
    assert_eq!(push.blob_size(&digest(b"blob")).unwrap(), Some(4));
    assert_eq!(mirror.requests().len(), before);
    let error = repository.manifest(&Target::Tag("none".to_owned())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

/// A mirror may be anything that answers: what it says counts for nothing then.
#[test]
fn a_mirror_that_sends_something_else_is_as_good_as_none() {
    for junk in ["", "<html>", "{}", r#"{"schemaVersion":1,"fsLayers":[]}"#] {
        let (mirror, origin) = (Server::start(move |_| body(junk)), registry("x", true));
        let (at, there) = (mirror.address, origin.address);
        let rules =
            format!("[[registry]]\nprefix = 'r.example'\nlocation = '{there}'\n[[registry.mirror]]\nlocation = '{at}'");
        let repository = with_rules(&rules).repository(&"r.example/x".parse().unwrap());
        assert_eq!(repository.manifest(&latest()).unwrap().bytes, MANIFEST.as_bytes(), "{junk:?}");
        assert_eq!((mirror.log().len(), origin.log().len()), (1, 1));
    }
}

#[test]
fn what_was_wrong_with_the_mirrors_is_told_with_the_registrys_failure() {
    let gone = { std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
    let (mirror, origin) = (Server::start(|_| with(403, &[], "members only")), Server::start(|_| status(404)));
    let (at, there) = (mirror.address, origin.address);
    let mirrors = format!("[[registry.mirror]]\nlocation = '{gone}'\n[[registry.mirror]]\nlocation = '{at}'");
    let client = with_rules(&format!("[[registry]]\nprefix = 'r.example'\nlocation = '{there}'\n{mirrors}"));
    let repository = client.repository(&"r.example/x".parse().unwrap());
    let mirrors = format!(
        "(mirrors failed too: cannot reach {gone}: Connection refused (os error 111); {at}: status 403: members only)"
    );
    // The first one is not tried again, but still named.
    for _ in 0..2 {
        let error = repository.manifest(&latest()).unwrap_err();
        let expected = format!("manifest for r.example/x:latest not found: {there} answered 404 {mirrors}");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_certificate_that_is_named_for_a_mirror_must_be_there() {
    let origin = registry("x", true);
    let hosts = format!("server = 'http://{}'\n[host.'https://127.0.0.1:1']\nca = 'none.crt'", origin.address);
    let repository = with_hosts(&hosts).repository(&"r.example/x".parse().unwrap());
    let error = repository.manifest(&latest()).unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains("none.crt"), "{error}");
}

#[test]
fn what_is_blocked_is_not_asked() {
    let server = registry("x", true);
    let client = with_rules(&format!("[[registry]]\nlocation = '{}'\nblocked = true", server.address));
    let repository = client.repository(&server.reference("x"));
    let error = repository.manifest(&latest()).unwrap_err();
    let expected = format!("manifest for {0}/x:latest: registry {0} is blocked by registries.conf", server.address);
    assert_eq!(error.to_string(), expected);
    assert!(repository.tags(None).is_err());
    assert_eq!(server.log(), [""; 0]);
}

/// A client with this `hosts.toml` for `r.example`.
fn with_hosts(text: &str) -> Client {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("r.example")).unwrap();
    std::fs::write(dir.path().join("r.example/hosts.toml"), text).unwrap();
    let registries = Registries::default().with_hosts(&[dir.path().to_owned()], &[]).unwrap();
    Client::new(Settings { registries, ..client(Credentials::none()).settings().clone() })
}

#[test]
fn hosts_are_asked_for_what_they_can() {
    let (resolves, pulls) = (registry("own/team/x", true), registry("team/x", true));
    let (one, two) = (resolves.address, pulls.address);
    let client = with_hosts(&format!(
        "server = 'http://{two}'\n[host.'http://{one}/v2/own']\noverride_path = true\ncapabilities = ['resolve']\n[host.'http://{one}/v2/own'.header]\nx-team = 'red'"
    ));
    let reference = "r.example/team/x".parse().unwrap();
    let repository = client.repository(&reference);
    assert_eq!(repository.manifest(&latest()).unwrap().bytes, MANIFEST.as_bytes());
    let mut blob = Vec::new();
    repository.blob(&descriptor(b"blob")).read_to_end(&mut blob).unwrap();
    assert_eq!(resolves.log(), ["GET /v2/own/team/x/manifests/latest?ns=r.example"]);
    assert_eq!(resolves.requests()[0].header("x-team"), Some("red"));
    assert_eq!(pulls.log(), [format!("GET /v2/team/x/blobs/{}?ns=r.example", digest(b"blob"))]);
    assert_eq!(pulls.requests()[0].header("x-team"), None, "headers are for their host");
    // What cannot be pushed to is not pushed to.
    let push = client.repository_for(&reference, Access::Push);
    assert_eq!(push.blob_size(&digest(b"blob")).unwrap(), Some(4));
    assert_eq!((resolves.log().len(), pulls.log().len()), (1, 2));
}

#[test]
fn a_host_that_can_is_pushed_to_and_none_that_cannot() {
    let (first, second) = (registry("x", true), registry("x", true));
    let (one, two) = (first.address, second.address);
    let hosts = |server: &str| {
        format!("server = 'http://{one}'\n{server}\n[host.'http://{two}']\ncapabilities = ['pull', 'push']")
    };
    let reference = "r.example/x".parse().unwrap();
    let push = with_hosts(&hosts("")).repository_for(&reference, Access::Push);
    push.blob_size(&digest(b"blob")).unwrap();
    assert_eq!((first.log().len(), second.log().len()), (0, 1));
    let only_pull = format!("server = 'http://{one}'\ncapabilities = ['pull']");
    let client = with_hosts(&only_pull);
    let error = client.repository_for(&reference, Access::Push).blob_size(&digest(b"blob")).unwrap_err();
    let expected = format!("hosts.toml does not give {one} the capability for it");
    assert!(error.to_string().ends_with(&expected) && error.kind() == ErrorKind::Invalid, "{error}");
    let error = client.repository(&reference).manifest(&latest()).unwrap_err();
    assert!(error.to_string().ends_with(&expected), "{error}");
    assert_eq!(first.log(), [""; 0]);
}
