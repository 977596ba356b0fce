//! Docker's and podman's files, and a credential helper that is a real program.

use super::*;

fn basic(user: &str, password: &str) -> Option<Credential> {
    Some(Credential::Basic { user: user.to_owned(), password: password.to_owned() })
}

fn written(json: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    std::fs::write(&path, json).unwrap();
    (dir, path)
}

#[test]
fn docker_and_podman_keys() {
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let json = format!(
        r#"{{"auths": {{
            "https://index.docker.io/v1/": {{"auth": "{}"}},
            "127.0.0.1:5000": {{"auth": "{}"}},
            "q.example/team": {{"auth": "{}"}},
            "q.example": {{"auth": "{}"}},
            "https://url.example/v2/": {{"username": "u", "password": "p"}},
            "id.example": {{"auth": "{}", "identitytoken": "tok"}},
            "stored.example": {{}}
        }}, "HttpHeaders": {{"x": "y"}}}}"#,
        encode("hub:secret"),
        encode("local:a:b"),
        encode("team:t"),
        encode("all:a"),
        encode("<token>:")
    );
    let (_dir, path) = written(&json);
    let credentials = Credentials::in_files(vec!["/nonexistent/auth.json".into(), path]);
    let find = |domain: &str, path: &str| credentials.find(domain, path).unwrap();
    assert_eq!(find("docker.io", "library/x"), basic("hub", "secret"));
    assert_eq!(find("127.0.0.1:5000", "x"), basic("local", "a:b"));
    assert_eq!(find("127.0.0.1:5001", "x"), None);
    assert_eq!(find("q.example", "team/x"), basic("team", "t"));
    assert_eq!(find("q.example", "teams/x"), basic("all", "a"));
    assert_eq!(find("url.example", "x"), basic("u", "p"));
    assert_eq!(find("id.example", "x"), Some(Credential::IdentityToken("tok".to_owned())));
    assert_eq!(find("stored.example", "x"), None);
}

#[test]
fn broken_files_are_named_and_keep_their_secrets() {
    let (_dir, path) = written(r#"{"auths": {"h.example": {"auth": "c2VjcmV0"}}}"#);
    let error = Credentials::in_files(vec![path.clone()]).find("h.example", "x").unwrap_err().to_string();
    assert!(error.contains("config.json") && error.contains("h.example") && !error.contains("c2VjcmV0"), "{error}");
    let (_dir, path) = written("{");
    assert!(matches!(Credentials::in_files(vec![path]).find("h", "x"), Err(CredentialsError::Json { .. })));
    let shown = format!("{:?}", Credentials::given(basic("user", "hunter2").unwrap()));
    assert!(shown.contains("user") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn the_files_and_their_order() {
    let files = |vars: &[(&str, &str)]| {
        let vars: BTreeMap<String, String> = vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let found = Credentials::standard_files(|name| vars.get(name).map(|value| value.as_str().into()));
        found.into_iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(
        files(&[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/run/u")]),
        ["/run/u/containers/auth.json", "/h/.config/containers/auth.json", "/h/.docker/config.json"]
    );
    assert_eq!(files(&[("HOME", "/h"), ("REGISTRY_AUTH_FILE", "/a.json")]), ["/a.json"]);
    assert_eq!(files(&[("DOCKER_CONFIG", "/d")]), ["/d/config.json"]);
}

#[test]
fn helpers_are_asked() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("docker-credential-test");
    let script = r#"#!/bin/sh
read -r host
case "$1 $host" in
"get h.example") echo '{"ServerURL":"h.example","Username":"u","Secret":"s"}' ;;
"get t.example") echo '{"Username":"<token>","Secret":"refresh"}' ;;
"get broken.example") echo 'no'; exit 0 ;;
"get fails.example") echo 'vault is sealed'; exit 1 ;;
*) echo 'credentials not found in native keychain'; exit 1 ;;
esac
"#;
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let get = |host: &str| helper::run(&program, "docker-credential-test", host);
    assert_eq!(get("h.example").unwrap(), basic("u", "s"));
    assert_eq!(get("t.example").unwrap(), Some(Credential::IdentityToken("refresh".to_owned())));
    assert_eq!(get("other.example").unwrap(), None);
    assert!(matches!(get("broken.example"), Err(CredentialsError::HelperAnswer { .. })));
    assert!(get("fails.example").unwrap_err().to_string().contains("vault is sealed"));
    assert!(matches!(helper::get("../evil", "x"), Err(CredentialsError::HelperName(_))));
    assert!(matches!(helper::get("no-such-helper-here", "x"), Err(CredentialsError::HelperRun { .. })));
}
