//! Token and basic authentication, and where credentials must not go.

#![allow(clippy::unwrap_used)]

mod common;

use carboy_distribution::{Credential, Credentials, Error, ErrorKind, Target};
use common::*;
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};

fn latest() -> Target {
    Target::Tag("latest".to_owned())
}

fn user() -> Credentials {
    Credentials::given(Credential::Basic { user: "me".to_owned(), password: "pa:ss".to_owned() })
}

/// base64 of `me:pa:ss`.
const BASIC: &str = "Basic bWU6cGE6c3M=";

/// A registry whose token server lives at `/token` on the same port. Tokens are `t1`, `t2` … and the registry accepts those from `oldest` on.
fn token_registry(life: &'static str, oldest: &'static AtomicUsize) -> Server {
    let issued = AtomicUsize::new(0);
    Server::start(move |request| {
        let host = request.header("host").unwrap().to_owned();
        if request.path.starts_with("/token") {
            let number = issued.fetch_add(1, Ordering::SeqCst) + 1;
            return body(format!(r#"{{"token":"t{number}"{life}}}"#));
        }
        let number = request.header("authorization").and_then(|value| value.strip_prefix("Bearer t")?.parse().ok());
        if number.is_some_and(|number: usize| number >= oldest.load(Ordering::SeqCst)) {
            return body(MANIFEST);
        }
        let challenge = format!(r#"Bearer realm="http://{host}/token",service="reg",scope="repository:x:pull""#);
        with(401, &[("WWW-Authenticate", &challenge)], "")
    })
}

#[test]
fn a_token_is_fetched_once_and_used_again() {
    static OLDEST: AtomicUsize = AtomicUsize::new(0);
    let server = token_registry(r#","expires_in":300"#, &OLDEST);
    let repository = client(user()).repository(&server.reference("x"));
    for _ in 0..3 {
        assert_eq!(repository.manifest(&latest()).unwrap().bytes, MANIFEST.as_bytes());
    }
    let manifests = "GET /v2/x/manifests/latest";
    let token = "GET /token?service=reg&scope=repository:x:pull&account=me&client_id=carboy";
    assert_eq!(server.log(), [manifests, token, manifests, manifests, manifests]);
    assert_eq!(server.requests()[1].header("authorization"), Some(BASIC));
    assert_eq!(server.requests()[0].header("authorization"), None, "nothing is sent before it is asked for");
}

/// The specification's words for it, and those of servers that do not keep to them.
#[test]
fn a_token_is_taken_from_servers_that_are_not_exact() {
    for life in [
        r#","expires_in":0"#,
        r#","expires_in":-1"#,
        r#","expires_in":"3600""#,
        r#","expires_in":1e30"#,
        r#","expires_in":null,"access_token":null,"refresh_token":null"#,
    ] {
        static OLDEST: AtomicUsize = AtomicUsize::new(0);
        let server = token_registry(life, &OLDEST);
        let repository = server.repository();
        for _ in 0..2 {
            repository.manifest(&latest()).unwrap_or_else(|error| panic!("{life}: {}", chain(&error)));
        }
        assert_eq!(server.log().iter().filter(|line| line.contains("/token")).count(), 1, "{life}");
    }
}

#[test]
fn a_token_servers_words_are_told() {
    let server = Server::start(|request| match request.path.starts_with("/token") {
        // Docker Hub's form.
        true => with(401, &[], r#"{"details":"incorrect username or password"}"#),
        false => {
            let realm = format!(r#"Bearer realm="http://{}/token""#, request.header("host").unwrap());
            with(401, &[("WWW-Authenticate", &realm)], "")
        }
    });
    let error = client(user()).repository(&server.reference("x")).manifest(&latest()).unwrap_err();
    let expected = format!("{} refused the user name or password: incorrect username or password", server.address);
    assert_eq!(error.to_string(), expected);
}

/// It is not the registry that wants a login then.
#[test]
fn a_refusal_where_a_redirect_leads_names_who_refuses() {
    let store = Server::start(|_| with(403, &[], "Request has expired"));
    let to = format!("http://{}/signed", store.address);
    let server = Server::start(move |_| with(307, &[("Location", &to)], ""));
    let error = server.repository().blob_bytes(&descriptor(b"blob"), 100).unwrap_err();
    let text = format!("{} answered 403: Request has expired", store.address);
    assert!(error.to_string().ends_with(&text) && error.kind() != ErrorKind::Unauthorized, "{error}");
    assert_eq!(server.repository().manifest_head(&latest()).unwrap(), None, "a GET may be let in");
}

#[test]
fn a_token_is_renewed_when_it_ends_and_when_it_is_refused() {
    static OLDEST: AtomicUsize = AtomicUsize::new(0);
    let server = token_registry(r#","expires_in":1"#, &OLDEST);
    let repository = server.repository();
    repository.manifest(&latest()).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    repository.manifest(&latest()).unwrap();
    assert_eq!(server.log().iter().filter(|line| line.contains("/token")).count(), 2, "expired tokens are not sent");

    static REFUSED: AtomicUsize = AtomicUsize::new(0);
    let server = token_registry("", &REFUSED);
    let repository = server.repository();
    repository.manifest(&latest()).unwrap();
    REFUSED.store(2, Ordering::SeqCst);
    repository.manifest(&latest()).unwrap();
    assert_eq!(server.log().iter().filter(|line| line.contains("/token")).count(), 2);

    REFUSED.store(usize::MAX, Ordering::SeqCst);
    let error = repository.manifest(&latest()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "no endless loop: {error}");
}

#[test]
fn an_identity_token_is_exchanged_by_post() {
    let server = Server::start(|request| match request.path.as_str() {
        "/token" => body(r#"{"access_token":"good"}"#),
        _ if request.header("authorization") == Some("Bearer good") => body(MANIFEST),
        _ => {
            let realm = format!("Bearer realm=\"http://{}/token\",service=\"s\"", request.header("host").unwrap());
            with(401, &[("WWW-Authenticate", &realm)], "")
        }
    });
    let credentials = Credentials::given(Credential::IdentityToken("re+fresh".to_owned()));
    client(credentials).repository(&server.reference("x")).manifest(&latest()).unwrap();
    let exchange = &server.requests()[1];
    assert_eq!(exchange.method, "POST");
    assert_eq!(
        String::from_utf8_lossy(&exchange.body),
        "grant_type=refresh_token&refresh_token=re%2Bfresh&service=s&scope=repository:x:pull&client_id=carboy"
    );
}

#[test]
fn basic_authentication() {
    let server = Server::start(|request| match request.header("authorization") {
        Some(BASIC) => body(MANIFEST),
        _ => with(
            401,
            &[("WWW-Authenticate", "Basic realm=\"reg\"")],
            r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#,
        ),
    });
    let repository = client(user()).repository(&server.reference("x"));
    repository.manifest(&latest()).unwrap();
    repository.manifest(&latest()).unwrap();
    assert_eq!(server.requests().len(), 3, "the second request sends what the first was asked for");

    let error = server.repository().manifest(&latest()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    let text = error.to_string();
    assert!(text.contains("denied") && text.contains("/x") && text.contains("authentication required"), "{text}");
    let wrong = Credentials::given(Credential::Basic { user: "me".to_owned(), password: "wrong".to_owned() });
    let error = client(wrong).repository(&server.reference("x")).manifest(&latest()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
}

#[test]
fn a_token_server_that_refuses_the_password() {
    let server = Server::start(|request| match request.path.starts_with("/token") {
        true => with(401, &[], r#"{"errors":[{"code":"UNAUTHORIZED","message":"incorrect username or password"}]}"#),
        false => {
            let realm = format!("Bearer realm=\"http://{}/token\"", request.header("host").unwrap());
            with(401, &[("WWW-Authenticate", &realm)], "")
        }
    });
    let error = client(user()).repository(&server.reference("x")).manifest(&latest()).unwrap_err();
    assert!(matches!(error, Error::BadCredentials { .. }), "{error}");
    assert!(error.to_string().contains("incorrect username or password"), "{error}");
}

#[test]
fn credentials_are_not_sent_to_a_token_server_in_the_clear() {
    let server = Server::start(|_| with(401, &[("WWW-Authenticate", "Bearer realm=\"http://192.0.2.1/token\"")], ""));
    let error = client(user()).repository(&server.reference("x")).manifest(&latest()).unwrap_err();
    assert!(chain(&error).contains("192.0.2.1 would be asked by plain HTTP"), "{}", chain(&error));
}

#[test]
fn a_redirect_to_another_host_gets_no_credentials() {
    let content = vec![7_u8; 100_000];
    let served = content.clone();
    let storage = Server::start(move |_| body(served.clone()));
    let storage_address = storage.address;
    let registry = Server::start(move |request| match (request.header("authorization"), request.path.as_str()) {
        (None, _) => with(401, &[("WWW-Authenticate", "Basic realm=\"reg\"")], ""),
        (_, "/v2/moved") => with(307, &[("Location", &format!("http://{storage_address}/bucket/blob?sig=1"))], ""),
        _ => with(302, &[("Location", "/v2/moved")], ""),
    });
    let repository = client(user()).repository(&registry.reference("x"));
    let mut bytes = Vec::new();
    repository.blob(&descriptor(&content)).read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, content);
    let requests = registry.requests();
    assert_eq!(requests.last().unwrap().path, "/v2/moved");
    assert_eq!(requests.last().unwrap().header("authorization"), Some(BASIC), "the same origin keeps them");
    assert_eq!(storage.requests()[0].path, "/bucket/blob?sig=1");
    assert_eq!(storage.requests()[0].header("authorization"), None);
}

#[test]
fn redirects_end() {
    let server = Server::start(|_| with(302, &[("Location", "/v2/again")], ""));
    let error = server.repository().manifest(&latest()).unwrap_err();
    assert!(chain(&error).contains("redirects"), "{}", chain(&error));
    let server = Server::start(|_| with(302, &[("Location", "http://192.0.2.1/plain")], ""));
    let error = server.repository().manifest(&latest()).unwrap_err();
    assert!(chain(&error).contains("192.0.2.1 would be asked by plain HTTP"), "{}", chain(&error));
}

#[test]
fn a_login_is_tried_before_it_is_kept() {
    let credential = Credential::Basic { user: "me".to_owned(), password: "pa:ss".to_owned() };
    let server = Server::start(|request| match request.header("authorization") {
        Some(BASIC) => body("{}"),
        _ => with(
            401,
            &[("WWW-Authenticate", "Basic realm=\"reg\"")],
            r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#,
        ),
    });
    let registry = server.address.to_string();
    let client = client(Credentials::none());
    assert_eq!(client.log_in(&registry, &credential).unwrap(), credential);
    assert_eq!(server.log(), ["GET /v2/", "GET /v2/"]);
    assert_eq!(client.log_in(&format!("{registry}/team"), &credential).unwrap(), credential);
    let wrong = Credential::Basic { user: "me".to_owned(), password: "wrong".to_owned() };
    let error = client.log_in(&registry, &wrong).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(error.to_string().ends_with("unauthorized: authentication required"), "{error}");

    let nothing = Server::start(|_| status(404));
    let error = client.log_in(&nothing.address.to_string(), &credential).unwrap_err();
    assert!(error.to_string().contains("no registry"), "{error}");
}

#[test]
fn a_login_may_give_an_identity_token() {
    let server = Server::start(|request| match (request.path.split('?').next(), request.header("authorization")) {
        (Some("/token"), Some(BASIC)) => body(r#"{"token":"t","refresh_token":"refresh"}"#),
        (Some("/token"), _) => {
            with(401, &[], r#"{"errors":[{"code":"UNAUTHORIZED","message":"incorrect username or password"}]}"#)
        }
        (_, Some("Bearer t")) => body("{}"),
        _ => {
            let realm = format!("Bearer realm=\"http://{}/token\",service=\"s\"", request.header("host").unwrap());
            with(401, &[("WWW-Authenticate", &realm)], "")
        }
    });
    let credential = Credential::Basic { user: "me".to_owned(), password: "pa:ss".to_owned() };
    let client = client(Credentials::none());
    let kept = client.log_in(&server.address.to_string(), &credential).unwrap();
    assert_eq!(kept, Credential::IdentityToken("refresh".to_owned()));
    assert_eq!(server.log()[1], "GET /token?service=s&offline_token=true&account=me&client_id=carboy");
    let wrong = Credential::Basic { user: "me".to_owned(), password: "wrong".to_owned() };
    let error = client.log_in(&server.address.to_string(), &wrong).unwrap_err();
    assert!(error.to_string().ends_with("unauthorized: incorrect username or password"), "{error}");
}
