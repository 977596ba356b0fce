//! How a registry is reached, as the options of one call say it.

use crate::common::http::Server;
use crate::common::registry::{PASSWORD, USER};
use crate::common::{Env, Registry, images};

#[test]
#[ignore = "needs root, umoci, skopeo, docker-registry"]
fn credentials_of_one_call() {
    let (env, registry) = (Env::new(), Registry::with_password());
    let from = format!("oci:{}:latest", images::file("busybox").display());
    let place = format!("docker://{}/box:1", registry.address);
    let named = ["--dest-username", USER, "--dest-password", PASSWORD];
    env.carboy(["copy", "-q"]).args(named).args([&from, &place]).ok();
    env.carboy(["inspect", "--username", USER, "--password", PASSWORD, &place]).ok();
    // A login that is there, and a call that shall do without.
    env.carboy(["login", "-u", USER, "--password-stdin", &registry.address]).stdin(PASSWORD).ok();
    env.carboy(["inspect", &place]).ok();
    let line = env.carboy(["inspect", "--no-creds", &place]).fails(1);
    assert!(line.contains("denied"), "{line}");
    let dir = format!("dir:{}", env.path("d").display());
    let line = env.carboy(["copy", "--src-no-creds", &place, &dir]).fails(1);
    assert!(line.contains("denied"), "{line}");
    let line = env.carboy(["inspect", "--username", USER, &place]).fails(125);
    assert!(line.contains("--password"), "{line}");
}

#[test]
#[ignore = "needs root"]
fn a_registry_is_tried_as_often_as_is_asked_for() {
    let env = Env::new();
    for (times, requests) in [("0", 1), ("2", 3)] {
        let server = Server::start(|_| (503, String::new(), Vec::new()));
        let name = format!("docker://{}/x:1", server.address);
        let line = env.carboy(["inspect", "--no-tags", "--retry-times", times, &name]).fails(1);
        assert!(line.contains("503"), "{line}");
        assert_eq!(server.requests().len(), requests, "{:?}", server.requests());
    }
}

#[test]
#[ignore = "needs root, umoci, skopeo, docker-registry"]
fn daemon_json_has_mirrors_and_insecure_registries() {
    let (env, registry) = (Env::new(), Registry::start());
    registry.push("busybox", "sub/library/box:1", &[]);
    let conf = env.dir().join("h/.config/docker");
    std::fs::create_dir_all(&conf).unwrap();
    let text = format!(r#"{{"registry-mirrors": ["http://{}/sub/"], "log-driver": "json-file"}}"#, registry.address);
    std::fs::write(conf.join("daemon.json"), text).unwrap();
    // Docker Hub itself is never asked: it is not there.
    env.carboy(["pull", "-q", "box:1"]).ok();
    assert_eq!(env.carboy(["images", "--format", "{{.Repository}}:{{.Tag}}"]).ok(), "box:1\n");
    std::fs::write(conf.join("daemon.json"), r#"{"registry-mirrors": ["mirror.example"]}"#).unwrap();
    let line = env.carboy(["pull", "box:1"]).fails(1);
    assert!(line.contains("daemon.json: registry-mirrors"), "{line}");
}
