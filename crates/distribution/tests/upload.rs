//! Uploads to registries that mount, cut, forget, move and refuse.

#![allow(clippy::unwrap_used)]

mod common;

use carboy_distribution::{Access, Credential, Credentials, Error, ErrorKind, Pushed, Repository, Upload};
use common::*;
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Content whose every position differs from its neighbours.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

fn push_with(repository: &Repository, bytes: &[u8], from: &[String], piece: Option<u64>) -> Result<Pushed, Error> {
    let open = |offset: u64| Ok(Box::new(&bytes[usize::try_from(offset).unwrap()..]) as Box<dyn Read>);
    repository.push_blob(&Upload {
        digest: &digest(bytes),
        size: bytes.len() as u64,
        content: &open,
        mount_from: from,
        piece,
        progress: &|_| {},
    })
}

fn push(server: &Server, bytes: &[u8]) -> Result<Pushed, Error> {
    push_with(&repository(server), bytes, &[], None)
}

fn repository(server: &Server) -> Repository {
    client(Credentials::none()).repository_for(&server.reference("x"), Access::Push)
}

/// What a registry remembers of uploads.
#[derive(Default)]
struct Desk {
    received: Mutex<Vec<u8>>,
    done: Mutex<Option<Vec<u8>>>,
    /// Counts answers, which makes each `Location` another one.
    step: AtomicUsize,
}

impl Desk {
    /// A proper registry with one upload at a time, at `/v2/x/blobs/uploads/u?state=N`; only the latest state is right.
    fn answer(&self, request: &Request) -> Reply {
        let mut received = self.received.lock().unwrap();
        let step = self.step.fetch_add(1, Ordering::SeqCst);
        let location = format!("u?state={step}");
        let range = format!("0-{}", received.len().max(1) - 1);
        let state = request.path.split("state=").nth(1).map(|text| text.split('&').next().unwrap().to_owned());
        match request.method.as_str() {
            "HEAD" => status(if self.done.lock().unwrap().is_some() { 200 } else { 404 }),
            "POST" => {
                received.clear();
                with(202, &[("Location", &location), ("Range", "0-0")], "")
            }
            "GET" => with(204, &[("Location", &location), ("Range", &range)], ""),
            "PATCH" => {
                let start = request.header("content-range").unwrap().split('-').next().unwrap().parse::<usize>();
                if start.unwrap() != received.len() || state != Some((step - 1).to_string()) {
                    return status(416);
                }
                received.extend(&request.body);
                let range = format!("0-{}", received.len() - 1);
                with(202, &[("Location", &location), ("Range", &range)], "")
            }
            "PUT" => {
                received.extend(&request.body);
                if request.is_cut {
                    return Reply::Close;
                }
                let asked = request.path.split("digest=").nth(1).unwrap().replace("%3A", ":");
                if asked != digest(&received).to_string() {
                    return with(
                        400,
                        &[],
                        r#"{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match uploaded content"}]}"#,
                    );
                }
                *self.done.lock().unwrap() = Some(received.clone());
                status(201)
            }
            _ => status(405),
        }
    }

    fn done(&self) -> Option<Vec<u8>> {
        self.done.lock().unwrap().clone()
    }
}

fn methods(server: &Server) -> Vec<String> {
    server.requests().into_iter().map(|request| request.method).collect()
}

#[test]
fn a_blob_is_sent_at_once_and_found_the_next_time() {
    let (desk, all) = (Arc::new(Desk::default()), content(300_000));
    let at = desk.clone();
    let server = Server::start(move |request| at.answer(request));
    assert_eq!(push(&server, &all).unwrap(), Pushed::Uploaded);
    assert_eq!(desk.done().unwrap(), all);
    assert_eq!(methods(&server), ["HEAD", "POST", "PUT"]);
    let put = &server.requests()[2];
    assert_eq!(put.path, format!("/v2/x/blobs/uploads/u?state=1&digest={}", digest(&all).as_str().replace(':', "%3A")));
    assert_eq!(put.header("content-type"), Some("application/octet-stream"));
    assert_eq!(push(&server, &all).unwrap(), Pushed::Existed);
    assert_eq!(server.requests().len(), 4, "one HEAD");
    let empty = Arc::new(Desk::default());
    let at = empty.clone();
    let server = Server::start(move |request| at.answer(request));
    assert_eq!(push(&server, b"").unwrap(), Pushed::Uploaded);
    assert_eq!(empty.done().unwrap(), b"");
}

#[test]
fn pieces_follow_each_other() {
    let (desk, all) = (Arc::new(Desk::default()), content(2500));
    let at = desk.clone();
    let server = Server::start(move |request| at.answer(request));
    push_with(&repository(&server), &all, &[], Some(1000)).unwrap();
    assert_eq!(desk.done().unwrap(), all);
    let ranges: Vec<_> =
        server.requests().iter().filter_map(|r| r.header("content-range").map(str::to_owned)).collect();
    assert_eq!(ranges, ["0-999", "1000-1999", "2000-2499"]);
    assert_eq!(methods(&server), ["HEAD", "POST", "PATCH", "PATCH", "PATCH", "PUT"]);
}

#[test]
fn a_cut_upload_goes_on_where_it_was() {
    let (desk, all) = (Arc::new(Desk::default()), content(8_000_000));
    let (at, cuts) = (desk.clone(), AtomicUsize::new(0));
    let server = Server::start_cutting(
        move |request| (request.method == "PUT" && cuts.fetch_add(1, Ordering::SeqCst) == 0).then_some(100_000),
        move |request| at.answer(request),
    );
    assert_eq!(push(&server, &all).unwrap(), Pushed::Uploaded);
    assert_eq!(desk.done().unwrap(), all);
    assert_eq!(methods(&server), ["HEAD", "POST", "PUT", "GET", "PATCH", "PUT"]);
    assert_eq!(server.requests()[4].header("content-range"), Some("100000-7999999"));
    assert_eq!(server.requests()[4].body, all[100_000..]);
}

#[test]
fn a_registry_that_forgot_the_upload_gets_it_again() {
    let (desk, all) = (Arc::new(Desk::default()), content(8_000_000));
    let (at, cuts) = (desk.clone(), AtomicUsize::new(0));
    let server = Server::start_cutting(
        move |request| (request.method == "PUT" && cuts.fetch_add(1, Ordering::SeqCst) < 2).then_some(100_000),
        move |request| match request.method.as_str() {
            "GET" => with(404, &[], r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"blob upload unknown"}]}"#),
            _ => at.answer(request),
        },
    );
    assert_eq!(push(&server, &all).unwrap(), Pushed::Uploaded);
    assert_eq!(desk.done().unwrap(), all);
    let begun = methods(&server).iter().filter(|method| *method == "POST").count();
    assert_eq!(begun, 3);
}

#[test]
fn a_lost_answer_is_no_lost_upload() {
    let (desk, all) = (Arc::new(Desk::default()), content(1000));
    let at = desk.clone();
    let server = Server::start(move |request| {
        let answer = at.answer(request);
        match request.method.as_str() {
            "PUT" => Reply::Close,
            "GET" => status(404),
            _ => answer,
        }
    });
    assert_eq!(push(&server, &all).unwrap(), Pushed::Uploaded);
    assert_eq!(methods(&server), ["HEAD", "POST", "PUT", "GET", "HEAD"]);
}

#[test]
fn a_registry_that_is_elsewhere_is_asked_where() {
    let (desk, all) = (Arc::new(Desk::default()), content(3000));
    let (at, refusals) = (desk.clone(), AtomicUsize::new(0));
    let server = Server::start(move |request| {
        if request.method == "PATCH" && refusals.fetch_add(1, Ordering::SeqCst) == 1 {
            return status(416);
        }
        at.answer(request)
    });
    push_with(&repository(&server), &all, &[], Some(1000)).unwrap();
    assert_eq!(desk.done().unwrap(), all);
    assert!(methods(&server).contains(&"GET".to_owned()));
}

#[test]
fn what_does_not_pass_is_told() {
    let calls = AtomicUsize::new(0);
    let server = Server::start(move |request| match request.method.as_str() {
        "HEAD" => status(404),
        "POST" => with(202, &[("Location", "/v2/x/blobs/uploads/u")], ""),
        "GET" => status(404),
        _ => match calls.fetch_add(1, Ordering::SeqCst) {
            0 => with(429, &[("Retry-After", "0")], ""),
            1 => status(503),
            _ => with(
                403,
                &[],
                r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#,
            ),
        },
    });
    let error = push(&server, &content(100)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    let text = error.to_string();
    let expected = format!("push access denied for {}/x, ", server.address);
    assert!(
        text.starts_with(&expected) && text.ends_with("denied: requested access to the resource is denied"),
        "{text}"
    );

    let server = Server::start(|request| match request.method.as_str() {
        "POST" => status(202),
        _ => status(404),
    });
    let error = push(&server, b"x").unwrap_err();
    assert!(error.to_string().contains("no Location"), "{error}");

    let always = Server::start_cutting(
        |request| (request.method == "PUT").then_some(10),
        |request| match request.method.as_str() {
            "POST" => with(202, &[("Location", "/u")], ""),
            _ => status(404),
        },
    );
    let error = push(&always, &content(8_000_000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
    assert_eq!(methods(&always).iter().filter(|method| *method == "PUT").count(), 4, "not for ever");
}

#[test]
fn content_that_cannot_be_read_is_no_fault_of_the_registry() {
    let desk = Desk::default();
    let server = Server::start(move |request| desk.answer(request));
    let all = content(1000);
    let broken = |_: u64| Ok(Box::new(&all[..400]) as Box<dyn Read>);
    let repository = repository(&server);
    let upload =
        Upload { digest: &digest(&all), size: 1000, content: &broken, mount_from: &[], piece: None, progress: &|_| {} };
    let error = repository.push_blob(&upload).unwrap_err();
    assert!(matches!(error, Error::Source(_)), "{}", chain(&error));
    assert!(chain(&error).contains("600 bytes too early"), "{}", chain(&error));
    let missing = |_: u64| Err(std::io::Error::from(std::io::ErrorKind::NotFound));
    let error = repository.push_blob(&Upload { content: &missing, ..upload }).unwrap_err();
    assert!(matches!(error, Error::Source(_)), "{}", chain(&error));
}

#[test]
fn another_repository_lends_its_blob() {
    let server = Server::start(|request| match request.method.as_str() {
        "HEAD" => status(404),
        _ => status(201),
    });
    let from = ["a/b".to_owned()];
    let pushed = push_with(&repository(&server), b"blob", &from, None).unwrap();
    assert_eq!(pushed, Pushed::Mounted("a/b".to_owned()));
    let expected = format!("POST /v2/x/blobs/uploads/?mount={}&from=a/b", digest(b"blob"));
    assert_eq!(server.log()[1], expected);

    // Not allowed to read there, then not there: it is sent, into the upload that came with the answer.
    let desk = Arc::new(Desk::default());
    let at = desk.clone();
    let server = Server::start(move |request| match request.path.contains("from=secret") {
        true => status(403),
        false => at.answer(request),
    });
    let from = ["secret".to_owned(), "other".to_owned()];
    assert_eq!(push_with(&repository(&server), b"blob", &from, None).unwrap(), Pushed::Uploaded);
    assert_eq!(methods(&server), ["HEAD", "POST", "POST", "PUT"]);
    assert_eq!(desk.done().unwrap(), b"blob");
}

#[test]
fn one_token_for_the_push_and_what_it_mounts() {
    let server = Server::start(|request| {
        let host = request.header("host").unwrap();
        match (request.method.as_str(), request.header("authorization")) {
            _ if request.path.starts_with("/token") => body(r#"{"token":"t","expires_in":300}"#),
            (_, None) => {
                let realm = format!(r#"Bearer realm="http://{host}/token",service="s",scope="repository:x:pull""#);
                with(401, &[("WWW-Authenticate", &realm)], "")
            }
            ("HEAD", _) => status(404),
            _ => status(201),
        }
    });
    let repository = repository(&server);
    repository.mount_from(["a/b"]);
    push_with(&repository, b"blob", &["a/b".to_owned()], None).unwrap();
    let tokens: Vec<_> = server.log().into_iter().filter(|line| line.contains("/token")).collect();
    let scopes = "scope=repository:a/b:pull&scope=repository:x:pull,push";
    assert_eq!(tokens, [format!("GET /token?service=s&{scopes}&client_id=carboy")]);
}

#[test]
fn a_token_that_ends_in_the_middle_is_renewed() {
    static OLDEST: AtomicUsize = AtomicUsize::new(1);
    let (desk, all) = (Arc::new(Desk::default()), content(500_000));
    let (at, issued) = (desk.clone(), AtomicUsize::new(0));
    let server = Server::start(move |request| {
        let host = request.header("host").unwrap();
        if request.path.starts_with("/token") {
            let number = issued.fetch_add(1, Ordering::SeqCst) + 1;
            return body(format!(r#"{{"token":"t{number}","expires_in":300}}"#));
        }
        let number = request.header("authorization").and_then(|value| value.strip_prefix("Bearer t")?.parse().ok());
        if number.is_none_or(|number: usize| number < OLDEST.load(Ordering::SeqCst)) {
            return with(401, &[("WWW-Authenticate", &format!(r#"Bearer realm="http://{host}/token""#))], "");
        }
        let answer = at.answer(request);
        if request.method == "POST" {
            OLDEST.store(number.unwrap() + 1, Ordering::SeqCst);
        }
        answer
    });
    assert_eq!(push(&server, &all).unwrap(), Pushed::Uploaded);
    assert_eq!(desk.done().unwrap(), all);
}

#[test]
fn credentials_stay_with_the_registry() {
    let storage_desk = Arc::new(Desk::default());
    let at = storage_desk.clone();
    let storage = Server::start(move |request| at.answer(request));
    let location = format!("http://{}/bucket?signature=s", storage.address);
    let server = Server::start(move |request| match (request.method.as_str(), request.header("authorization")) {
        (_, None) => with(401, &[("WWW-Authenticate", "Basic realm=\"r\"")], ""),
        ("HEAD", _) => status(404),
        _ => with(202, &[("Location", &location)], ""),
    });
    let user = Credentials::given(Credential::Basic { user: "me".to_owned(), password: "p".to_owned() });
    let repository = client(user).repository_for(&server.reference("x"), Access::Push);
    assert_eq!(push_with(&repository, b"blob", &[], None).unwrap(), Pushed::Uploaded);
    assert_eq!(storage_desk.done().unwrap(), b"blob");
    assert!(storage.requests()[0].path.starts_with("/bucket?signature=s&digest=sha256%3A"));
    assert_eq!(storage.requests()[0].header("authorization"), None);
}

/// What stands before registries often limits requests; docker and podman have no way around that.
#[test]
fn too_large_a_request_says_what_helps() {
    let server = Server::start(|request| match request.method.as_str() {
        "HEAD" => status(404),
        "POST" => with(202, &[("Location", "u")], ""),
        _ => with(413, &[("Content-Type", "text/html")], "<html>nginx</html>"),
    });
    let error = push(&server, &content(1000)).unwrap_err().to_string();
    assert!(error.ends_with("answered 413: payload too large (push --chunk-size=MIB sends smaller pieces)"), "{error}");
}
