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
