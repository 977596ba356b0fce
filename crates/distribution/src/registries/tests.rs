//! Files as people write them.

use super::*;

fn written(texts: &[&str]) -> Result<Registries, RegistriesError> {
    let dir = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = (0..texts.len()).map(|number| dir.path().join(format!("{number}.conf"))).collect();
    files.iter().zip(texts).for_each(|(file, text)| std::fs::write(file, text).unwrap());
    Registries::read(&files)
}

fn places(registries: &Registries, reference: &str) -> (Vec<String>, String) {
    let places = registries.places(&Reference::parse(reference).unwrap());
    let show = |place: &Place| format!("{}{}/{}", if place.insecure { "http:" } else { "" }, place.domain, place.path);
    (places.mirrors.iter().map(show).collect(), show(&places.origin))
}

#[test]
fn the_longest_prefix_counts() {
    let registries = written(&[r#"
        [[registry]]
        location = "r.example"
        insecure = true
        [[registry]]
        prefix = "r.example/team"
        location = "other.example:5000/moved"
        [[registry]]
        prefix = "*.corp.example"
        location = "cache.example/corp"
        [[registry]]
        prefix = "bad.corp.example"
        blocked = true
        [[registry]]
        prefix = "docker.io"
        [[registry.mirror]]
        location = "mirror.example/hub"
        [[registry.mirror]]
        location = "127.0.0.1:5001"
        insecure = true
        pull-from-mirror = "digest-only"
    "#])
    .unwrap();
    let digest = format!("sha256:{}", "ab".repeat(32));
    for (reference, mirrors, origin) in [
        ("r.example/x", &[][..], "http:r.example/x"),
        ("r.example/team/x:1", &[], "other.example:5000/moved/x"),
        ("r.example/teams/x", &[], "http:r.example/teams/x"),
        ("r.example:5000/x", &[], "r.example:5000/x"),
        ("a.b.corp.example/x", &[], "cache.example/corp/x"),
        ("corp.example/x", &[], "corp.example/x"),
        ("notcorp.example/x", &[], "notcorp.example/x"),
        ("alpine", &["mirror.example/hub/library/alpine"], "docker.io/library/alpine"),
        (
            &format!("alpine@{digest}"),
            &["mirror.example/hub/library/alpine", "http:127.0.0.1:5001/library/alpine"],
            "docker.io/library/alpine",
        ),
    ] {
        let (found, place) = places(&registries, reference);
        assert_eq!(
            (found.iter().map(String::as_str).collect::<Vec<_>>(), place.as_str()),
            (mirrors.to_vec(), origin),
            "{reference}"
        );
    }
    let blocked = registries.places(&Reference::parse("bad.corp.example/x:1").unwrap()).blocked;
    assert_eq!(blocked.as_deref(), Some("bad.corp.example"));
}

#[test]
fn later_files_go_before_earlier_ones() {
    let registries = written(&[
        "unqualified-search-registries = ['a.example']\n[[registry]]\nlocation = 'r.example'\nblocked = true\n[aliases]\nx = 'one.example/x'\ny = 'one.example/y'",
        "unqualified-search-registries = ['b.example', 'docker.io']\n[[registry]]\nlocation = 'r.example'\n[aliases]\nx = 'two.example/z'\ny = ''",
    ])
    .unwrap();
    assert_eq!(places(&registries, "r.example/x").1, "r.example/x");
    let means =
        |text: &str| -> Vec<String> { registries.candidates(text).unwrap().iter().map(Reference::to_string).collect() };
    assert_eq!(means("x:1"), ["two.example/z:1"]);
    assert_eq!(means("y"), ["b.example/y:latest", "docker.io/library/y:latest"]);
    assert_eq!(means("team/y:2"), ["b.example/team/y:2", "docker.io/team/y:2"]);
    assert_eq!(means("docker.io/y"), ["docker.io/library/y:latest"]);
    assert_eq!(means("localhost/y"), ["localhost/y:latest"]);
    assert_eq!(means("h:5000/y"), ["h:5000/y:latest"]);
    assert!(registries.candidates("Up").is_err());
    let none = Registries::default();
    assert_eq!(none.candidates("x").unwrap()[0].to_string(), "docker.io/library/x:latest");
}

#[test]
fn what_is_no_configuration_is_refused() {
    for (text, word) in [
        ("[[registry]]\nlocation = 'https://r.example'", "without http://"),
        ("[[registry]]\ninsecure = true", "prefix or a location"),
        ("[[registry]]\nprefix = '*.x/y'\nlocation = 'z'", "only a domain"),
        ("[[registry]]\nlocation = 'x'\n[[registry.mirror]]\ninsecure = true", "mirror without a location"),
        ("[[registry]]\nlocation = 'x'\n[[registry.mirror]]\nlocation = 'm'\npull-from-mirror = 'no'", "digest-only"),
        ("[registries.search]\nregistries = ['x']", "version 1"),
        ("[[registry]", "is not valid"),
        ("[[registry]]\nlocation = 5", "is not valid"),
    ] {
        let error = written(&[text]).unwrap_err().to_string();
        assert!(error.contains(".conf") && error.contains(word), "{text}: {error}");
    }
    assert!(Registries::read(&["/nonexistent/registries.conf".into()]).is_ok());
}

/// A certs.d with these files below it, and a daemon.json.
fn with_hosts(conf: &str, files: &[(&str, &str)], daemon: &str) -> Result<Registries, RegistriesError> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let folder = dir.path().join("certs.d").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("hosts.toml"), text).unwrap();
    }
    let (own, other) = (dir.path().join("daemon.json"), dir.path().join("none.json"));
    std::fs::write(&own, daemon).unwrap();
    written(&[conf])?.with_hosts(&[dir.path().join("none"), dir.path().join("certs.d")], &[own, other])
}

#[test]
fn hosts_toml_is_read_as_containerd_reads_it() {
    let hub = r#"
        server = "https://registry-1.docker.io"
        [host."https://z.example"]
        capabilities = ["pull"]
        ca = ["a.crt", "/abs/b.crt"]
        client = [["c.cert", "c.key"]]
        dial_timeout = "1m1.5s"
        [host."http://a.example:5000/cache"]
        capabilities = ["Pull", "resolve", "push"]
        client = "both.pem"
        [host."http://a.example:5000/cache".header]
        X-One = "1"
        x-two = ["2", "3"]
        [host."b.example/own"]
        override_path = true
        skip_verify = true
    "#;
    let other = "server = 'http://inner.example:81/v2/'\ncapabilities = ['pull']\nskip_verify = true";
    let files = [("docker.io", hub), ("r.example_5000_", other), ("_default", "[host.'m.example']"), ("empty", " ")];
    let registries = with_hosts("", &files, "").unwrap();
    let hub = registries.places(&Reference::parse("alpine").unwrap());
    let (mirrors, origin) = places(&registries, "alpine");
    assert_eq!(
        mirrors,
        ["z.example/library/alpine", "http:a.example:5000/library/alpine", "http:b.example/library/alpine"]
    );
    assert_eq!(origin, "docker.io/library/alpine");
    assert!(
        hub.mirrors.iter().all(|place| place.namespace.as_deref() == Some("docker.io"))
            && hub.origin.namespace.is_none()
    );
    let [z, a, b] = [0, 1, 2].map(|at| hub.mirrors[at].endpoint.clone().unwrap());
    assert_eq!((z.can, a.can), (Can { pull: true, resolve: false, push: false }, Can::ALL));
    assert_eq!([z.root.as_str(), &a.root, &b.root], ["/v2", "/cache/v2", "/own"]);
    assert_eq!([z.scheme, a.scheme, b.scheme], [Some("https"), Some("http"), Some("https")]);
    assert_eq!(z.connect, Some(std::time::Duration::from_millis(61_500)));
    assert!(z.authorities[0].ends_with("docker.io/a.crt") && z.authorities[1].as_os_str() == "/abs/b.crt");
    let (certificate, key) = z.client.clone().unwrap();
    assert!(certificate.ends_with("docker.io/c.cert") && key.ends_with("docker.io/c.key"));
    assert!(a.client.as_ref().is_some_and(|(certificate, key)| certificate == key && key.ends_with("both.pem")));
    assert_eq!(a.headers.get_all("x-two").iter().count(), 2);

    let inner = registries.places(&Reference::parse("r.example:5000/x").unwrap()).origin;
    assert_eq!((inner.domain.as_str(), inner.namespace.as_deref()), ("inner.example:81", Some("r.example:5000")));
    assert_eq!((inner.endpoint.as_ref().unwrap().root.as_str(), inner.can().push), ("/v2", false));
    assert!(registries.whole("r.example:5000").insecure);
    let any = places(&registries, "other.example/x");
    assert_eq!(any, (vec!["m.example/x".to_owned()], "other.example/x".to_owned()));
}

#[test]
fn of_several_kinds_of_files_one_says_where() {
    let hosts = [("r.example", "[host.'m.example']"), ("s.example", "[host.'m.example']")];
    let daemon = r#"{"registry-mirrors": ["http://hub.example:5000/sub/", "https://two.example"],
                     "insecure-registries": ["plain.example:5000", "10.0.0.0/8", "https://Odd.example/"], "log-level": "debug"}"#;
    let conf = "[[registry]]\nlocation = 'r.example'\ninsecure = true\n[[registry]]\nprefix = 's.example'\nlocation = 'moved.example'\n\
                [[registry]]\nprefix = 's.example/bad'\nblocked = true";
    let registries = with_hosts(conf, &hosts, daemon).unwrap();
    // A rule that says nothing of the place leaves it to hosts.toml.
    assert_eq!(places(&registries, "r.example/x"), (vec!["m.example/x".to_owned()], "http:r.example/x".to_owned()));
    assert_eq!(places(&registries, "s.example/x"), (vec![], "moved.example/x".to_owned()));
    assert_eq!(
        registries.places(&Reference::parse("s.example/bad/x").unwrap()).blocked.as_deref(),
        Some("s.example/bad")
    );
    let (mirrors, origin) = places(&registries, "alpine");
    assert_eq!(mirrors, ["http:hub.example:5000/sub/library/alpine", "two.example/library/alpine"]);
    assert_eq!(origin, "docker.io/library/alpine");
    for (name, insecure) in [
        ("plain.example:5000/x", true),
        ("plain.example/x", false),
        ("10.1.2.3:5000/x", true),
        ("11.1.2.3/x", false),
        ("odd.example/x", true),
    ] {
        assert_eq!(registries.places(&Reference::parse(name).unwrap()).origin.insecure, insecure, "{name}");
    }
    let without = with_hosts("[[registry]]\nprefix = 'docker.io'\nlocation = 'own.example'", &[], daemon).unwrap();
    assert_eq!(places(&without, "alpine"), (vec![], "own.example/library/alpine".to_owned()));
}

#[test]
fn hosts_and_daemons_that_are_none() {
    for (text, word) in [
        ("server = 5", "hosts.toml is not valid"),
        ("[host.'ftp://x']", "host \"ftp://x\""),
        ("[host.'x']\ncapabilities = ['fly']", "unknown capability \"fly\""),
        ("[host.'x']\nca = 5", "hosts.toml is not valid"),
        ("client = ['a', 'b']", "only one"),
        ("[host.'x']\ndial_timeout = 'soon'", "no duration"),
        ("[host.'x'.header]\na = 5", "header \"a\""),
        ("server = 'https://user:word@x'", "login"),
    ] {
        let error = with_hosts("", &[("r.example", text)], "").unwrap_err().to_string();
        assert!(error.contains("hosts.toml") && error.contains(word), "{text}: {error}");
    }
    for text in ["{", r#"{"registry-mirrors": ["m.example"]}"#, r#"{"registry-mirrors": "x"}"#] {
        let error = with_hosts("", &[], text).unwrap_err().to_string();
        assert!(error.contains("daemon.json"), "{error}");
    }
}
