//! Entries come and go; everything else in the file stays.

use super::*;
use crate::credentials::Credentials;
use std::os::unix::fs::PermissionsExt;

fn basic(user: &str, password: &str) -> Credential {
    Credential::Basic { user: user.to_owned(), password: password.to_owned() }
}

fn find(path: &Path, domain: &str) -> Option<Credential> {
    Credentials::in_files(vec![path.to_owned()]).find(domain, "x").unwrap()
}

#[test]
fn an_entry_comes_and_goes_and_the_rest_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/.docker/config.json");
    let file = AuthFile::new(&path);
    assert!(!file.forget("h.example").unwrap() && !path.exists());
    assert_eq!(file.keep("h.example", "me", &basic("me", "a:b")).unwrap(), Kept::File(path.clone()));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(find(&path, "h.example"), Some(basic("me", "a:b")));

    let old = r#"{"HttpHeaders": {"z": "1", "a": "2"}, "auths": {"https://h.example/v2/": {"auth": "bWU6b2xk"}, "o.example": {"auth": "bzpv", "x": 1}}, "detachKeys": "ctrl-e"}"#;
    std::fs::write(&path, old).unwrap();
    file.keep("docker.io", "hub", &basic("hub", "p")).unwrap();
    file.keep("h.example", "me", &Credential::IdentityToken("tok".to_owned())).unwrap();
    assert_eq!(find(&path, "h.example"), Some(Credential::IdentityToken("tok".to_owned())));
    assert_eq!(find(&path, "docker.io"), Some(basic("hub", "p")));
    let now: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(now["auths"]["o.example"], json!({"auth": "bzpv", "x": 1}));
    assert_eq!(now["auths"]["https://index.docker.io/v1/"]["auth"], "aHViOnA=");
    assert_eq!(now["auths"].as_object().unwrap().len(), 3, "the older spelling of h.example is gone: {now}");
    let names: Vec<&String> = now.as_object().unwrap().keys().collect();
    assert_eq!(names, ["HttpHeaders", "auths", "detachKeys"]);
    assert_eq!(now["HttpHeaders"].to_string(), r#"{"z":"1","a":"2"}"#);

    assert!(file.names("h.example").unwrap() && !file.names("example").unwrap());
    assert!(file.forget("h.example").unwrap());
    assert!(!file.forget("h.example").unwrap());
    assert_eq!((find(&path, "h.example"), find(&path, "o.example")), (None, Some(basic("o", "o"))));
    let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, ["config.json"]);
}

#[test]
fn a_link_is_followed_and_a_broken_file_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real.json"), dir.path().join("link.json"));
    std::fs::write(&real, "").unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    AuthFile::new(&link).keep("h.example", "me", &basic("me", "p")).unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(find(&real, "h.example"), Some(basic("me", "p")));
    std::fs::write(&real, "{broken").unwrap();
    assert!(AuthFile::new(&real).keep("h.example", "me", &basic("me", "p")).is_err());
    assert_eq!(std::fs::read_to_string(&real).unwrap(), "{broken");
}

#[test]
fn many_at_once_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("auth.json");
    std::thread::scope(|scope| {
        for number in 0..16 {
            let file = AuthFile::new(&path);
            scope.spawn(move || file.keep(&format!("r{number}.example"), "u", &basic("u", "p")).unwrap());
        }
    });
    assert_eq!(AuthFile::new(&path).registries().unwrap().len(), 16);
}
