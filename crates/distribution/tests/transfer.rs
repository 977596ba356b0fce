//! Manifests and blobs from servers that cut, stall, lie, overload and overflow.

#![allow(clippy::unwrap_used)]

mod common;

use carboy_distribution::{Client, Credentials, Error, ErrorKind, MANIFEST_LIMIT, Repository, Settings, Target};
use common::*;
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn latest() -> Target {
    Target::Tag("latest".to_owned())
}

fn read(repository: &Repository, content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    repository.blob(&descriptor(content)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn ours(error: std::io::Error) -> Error {
    error.downcast::<Error>().unwrap()
}

/// Content whose every position differs from its neighbours.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

fn start_of_range(request: &Request) -> usize {
    request.header("range").map_or(0, |range| range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap())
}

#[test]
fn a_manifest_by_tag_and_by_digest() {
    let expected = digest(MANIFEST.as_bytes());
    let header = expected.to_string();
    let server = Server::start(move |_| with(200, &[("Docker-Content-Digest", &header)], MANIFEST));
    let repository = server.repository();
    let manifest = repository.manifest(&latest()).unwrap();
    assert_eq!((&manifest.digest, manifest.bytes.as_slice()), (&expected, MANIFEST.as_bytes()));
    repository.manifest(&Target::Digest(expected.clone())).unwrap();
    assert_eq!(repository.manifest_head(&latest()).unwrap().unwrap().digest, expected);
    let accept = server.requests()[0].header("accept").unwrap().to_owned();
    assert!(accept.contains("oci.image.index.v1+json") && accept.contains("manifest.list.v2+json"), "{accept}");
    assert!(!accept.contains("v1+prettyjws"), "{accept}");
}

#[test]
fn lies_about_digests_are_found() {
    let other = digest(b"other").to_string();
    let server = Server::start(move |_| with(200, &[("Docker-Content-Digest", &other)], MANIFEST));
    assert_eq!(server.repository().manifest(&latest()).unwrap_err().kind(), ErrorKind::Integrity);
    let server = Server::start(|_| body(MANIFEST));
    let error = server.repository().manifest(&Target::Digest(digest(b"other"))).unwrap_err();
    assert!(error.to_string().contains("digest mismatch"), "{error}");
    let server = Server::start(|_| body("evil"));
    assert!(matches!(server.repository().blob_bytes(&descriptor(b"good"), 100), Err(Error::Digest { .. })));
    assert!(matches!(server.repository().blob_bytes(&descriptor(b"good"), 3), Err(Error::TooLarge { .. })));
}

#[test]
fn sha512_digests_are_verified() {
    let server = Server::start(|_| body(MANIFEST));
    let good: String = <sha2::Sha512 as sha2::Digest>::digest(MANIFEST).iter().map(|b| format!("{b:02x}")).collect();
    let target = |hex: &str| Target::Digest(format!("sha512:{hex}").parse().unwrap());
    server.repository().manifest(&target(&good)).unwrap();
    assert!(matches!(server.repository().manifest(&target(&"0".repeat(128))), Err(Error::Digest { .. })));
}

#[test]
fn a_manifest_has_a_limit_announced_or_not() {
    let large = usize::try_from(MANIFEST_LIMIT).unwrap() + 1;
    let server = Server::start(move |_| body(vec![b' '; large]));
    assert!(matches!(server.repository().manifest(&latest()), Err(Error::TooLarge { .. })));
    let server = Server::start(move |_| {
        let mut chunked = Vec::new();
        for _ in 0..=large / 0x10000 {
            chunked.extend(b"10000\r\n");
            chunked.extend(vec![b' '; 0x10000]);
            chunked.extend(b"\r\n");
        }
        let headers = owned(&[("Transfer-Encoding", "chunked")]);
        Reply::Cut { status: 200, headers, length: 0, sent: chunked }
    });
    assert!(matches!(server.repository().manifest(&latest()), Err(Error::TooLarge { .. })));
}

#[test]
fn schema_1_is_refused_by_name() {
    let server = Server::start(|_| {
        with(
            200,
            &[("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws")],
            r#"{"schemaVersion":1,"fsLayers":[]}"#,
        )
    });
    let error = server.repository().manifest(&latest()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("schema 1"), "{error}");
}

#[test]
fn an_unknown_manifest_is_said_in_the_registrys_words() {
    let server =
        Server::start(|_| with(404, &[], r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#));
    let error = server.repository().manifest(&latest()).unwrap_err();
    let expected = format!("manifest for {}/x:latest not found: manifest unknown", server.address);
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::NotFound, expected));
    assert_eq!(server.repository().manifest_head(&latest()).unwrap(), None, "an answer without words is none");
}

#[test]
fn a_missing_manifest_is_said_once() {
    let server = Server::start(|_| status(404));
    let error = server.repository().manifest(&latest()).unwrap_err();
    let address = server.address;
    assert_eq!(error.to_string(), format!("manifest for {address}/x:latest not found: {address} answered 404"));
}

#[test]
fn a_page_for_browsers_is_no_manifest() {
    let server = Server::start(|_| with(200, &[("Content-Type", "text/html; charset=utf-8")], "<html>Log in</html>"));
    let error = server.repository().manifest(&latest()).unwrap_err();
    assert!(error.to_string().ends_with("has the unsupported media type \"text/html\""), "{error}");
}

#[test]
fn a_manifest_that_is_cut_is_read_again() {
    let calls = AtomicUsize::new(0);
    let server = Server::start(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::Cut {
            status: 200,
            headers: Vec::new(),
            length: MANIFEST.len(),
            sent: MANIFEST.as_bytes()[..9].to_vec(),
        },
        _ => body(MANIFEST),
    });
    assert_eq!(server.repository().manifest(&latest()).unwrap().bytes, MANIFEST.as_bytes());
    let always = Server::start(|_| Reply::Cut { status: 200, headers: Vec::new(), length: 10, sent: vec![b'{'] });
    let error = always.repository().manifest(&latest()).unwrap_err();
    assert_eq!((error.kind(), always.log().len()), (ErrorKind::Unavailable, 4), "{error}");
}

/// Some that stand before registries do not like parts at all.
#[test]
fn a_refused_range_is_read_from_the_start() {
    for code in [400, 403, 405, 416, 501] {
        let all = content(300_000);
        let served = all.clone();
        let calls = AtomicUsize::new(0);
        let server =
            Server::start(move |request| match (calls.fetch_add(1, Ordering::SeqCst), request.header("range")) {
                (0, _) => Reply::Cut {
                    status: 200,
                    headers: Vec::new(),
                    length: served.len(),
                    sent: served[..100_000].to_vec(),
                },
                (_, Some(_)) => status(code),
                (_, None) => body(served.clone()),
            });
        assert!(read(&server.repository(), &all).unwrap() == all, "{code}");
        assert_eq!(server.log().len(), 3, "{code}");
    }
}

#[test]
fn an_unreachable_registry_is_named_at_once() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let reference = carboy_oci::Reference::parse(&format!("127.0.0.1:{port}/x")).unwrap();
    let begun = Instant::now();
    let error = Client::new(Settings::default()).repository(&reference).manifest(&latest()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let address = format!("127.0.0.1:{port}");
    let expected =
        format!("manifest for {address}/x:latest: cannot reach {address}: Connection refused (os error 111)");
    assert_eq!(chain(&error), expected);
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[test]
fn plain_http_is_only_for_loopback() {
    // The name is not loopback, the address it is reached by is: a proxy on loopback stands for the network.
    let proxy = Server::start(|_| status(502));
    let settings = Settings {
        proxies: carboy_distribution::Proxies {
            https: Some(format!("http://{}", proxy.address)),
            http: Some(format!("http://{}", proxy.address)),
            no_proxy: None,
        },
        ..Settings::default()
    };
    let reference = carboy_oci::Reference::parse("registry.invalid/x").unwrap();
    let error = Client::new(settings).repository(&reference).manifest(&latest()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
    assert!(proxy.log().iter().all(|line| line == "CONNECT registry.invalid:443"), "{:?}", proxy.log());
    assert!(!proxy.log().is_empty());
}

#[test]
fn a_cut_download_goes_on_where_it_was() {
    let all = content(300_000);
    let served = all.clone();
    let server = Server::start(move |request| {
        let start = start_of_range(request);
        let rest = &served[start..];
        let sent = rest[..rest.len().min(100_000)].to_vec();
        let range = format!("bytes {start}-{}/{}", served.len() - 1, served.len());
        let status = if start == 0 { 200 } else { 206 };
        Reply::Cut { status, headers: owned(&[("Content-Range", &range)]), length: rest.len(), sent }
    });
    assert_eq!(read(&server.repository(), &all).unwrap(), all);
    let ranges: Vec<_> = server.requests().iter().map(|r| r.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges, [None, Some("bytes=100000-".to_owned()), Some("bytes=200000-".to_owned())]);
}

#[test]
fn a_registry_that_restarts_is_waited_for() {
    let all = content(300_000);
    let served = all.clone();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let seen = std::sync::Mutex::new(Vec::new());
        let cut = |_: &Request| {
            let sent = served[..100_000].to_vec();
            Reply::Cut { status: 200, headers: Vec::new(), length: served.len(), sent }
        };
        // The first connection asks for TLS, the second is cut; then nobody listens for a while.
        for _ in 0..2 {
            serve(&listener.accept().unwrap().0, &seen, &cut);
        }
        drop(listener);
        std::thread::sleep(Duration::from_millis(150));
        let rest = |request: &Request| {
            let start = start_of_range(request);
            with(206, &[("Content-Range", &format!("bytes {start}-299999/300000"))], served[start..].to_vec())
        };
        for stream in std::net::TcpListener::bind(address).unwrap().incoming().flatten() {
            serve(&stream, &seen, &rest);
        }
    });
    let limits = carboy_distribution::Limits { backoff: Duration::from_millis(100), ..Default::default() };
    let client = Client::new(Settings { limits, ..Settings::default() });
    let repository = client.repository(&carboy_oci::Reference::parse(&format!("{address}/x")).unwrap());
    assert_eq!(read(&repository, &all).unwrap(), all);
}

#[test]
fn a_server_without_ranges_is_read_again() {
    let all = content(200_000);
    let (served, calls) = (all.clone(), AtomicUsize::new(0));
    let server = Server::start(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::Cut { status: 200, headers: Vec::new(), length: served.len(), sent: served[..150_000].to_vec() },
        _ => body(served.clone()),
    });
    assert_eq!(read(&server.repository(), &all).unwrap(), all);
}

#[test]
fn a_wrong_range_is_not_spliced_in() {
    let all = content(1000);
    let served = all.clone();
    let server = Server::start(move |request| match start_of_range(request) {
        0 => Reply::Cut { status: 200, headers: Vec::new(), length: 1000, sent: served[..500].to_vec() },
        _ => with(206, &[("Content-Range", "bytes 400-999/1000")], served[400..].to_vec()),
    });
    let error = ours(read(&server.repository(), &all).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
}

#[test]
fn a_truncated_blob_is_an_error_in_the_end() {
    let all = content(1000);
    let served = all.clone();
    let server = Server::start(move |request| {
        let start = start_of_range(request);
        let (length, sent) = (1000 - start, served[start..900].to_vec());
        let headers = owned(&[("Content-Range", &format!("bytes {start}-999/1000"))]);
        Reply::Cut { status: if start == 0 { 200 } else { 206 }, headers, length, sent }
    });
    let error = ours(read(&server.repository(), &all).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
    let server = Server::start(move |_| body(vec![0; 900]));
    let error = ours(read(&server.repository(), &all).unwrap_err());
    assert!(matches!(error, Error::Size { expected: 1000, received: 900, .. }), "{error}");
    let server = Server::start(move |_| body(vec![0; 1100]));
    assert_eq!(ours(read(&server.repository(), &all).unwrap_err()).kind(), ErrorKind::Integrity);
}

#[test]
fn a_stall_is_left_for_a_new_connection() {
    let all = content(1000);
    let served = all.clone();
    let server = Server::start(move |request| match start_of_range(request) {
        0 => Reply::Stall { length: 1000, sent: served[..300].to_vec(), pause: Duration::from_secs(20) },
        start => with(206, &[("Content-Range", &format!("bytes {start}-999/1000"))], served[start..].to_vec()),
    });
    let begun = Instant::now();
    assert_eq!(read(&server.repository(), &all).unwrap(), all);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn overload_is_waited_out() {
    let calls = AtomicUsize::new(0);
    let server = Server::start(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => with(429, &[("Retry-After", "1")], ""),
        1 => status(503),
        2 => Reply::Close,
        _ => body(MANIFEST),
    });
    let begun = Instant::now();
    server.repository().manifest(&latest()).unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1), "Retry-After counts");
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn a_wait_that_was_asked_for_is_told() {
    static TOLD: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());
    let calls = AtomicUsize::new(0);
    let server = Server::start(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => with(429, &[("Retry-After", "1")], ""),
        _ => body(MANIFEST),
    });
    let base = client(carboy_distribution::Credentials::none());
    let notice: fn(&str) = |text| TOLD.lock().unwrap().push(text.to_owned());
    let client = Client::new(Settings { notice: Some(notice), ..base.settings().clone() });
    client.repository(&server.reference("x")).manifest(&latest()).unwrap();
    let expected = format!("{} answered 429 and asks to wait: trying again in 1 s", server.address);
    assert_eq!(*TOLD.lock().unwrap(), [expected]);
}

#[test]
fn overload_that_lasts_is_told() {
    let server = Server::start(|_| {
        with(429, &[], r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}"#)
    });
    let error = server.repository().manifest(&latest()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("429: toomanyrequests: You have reached your pull rate limit."), "{error}");
    assert_eq!(server.requests().len(), 4);
    let server = Server::start(|_| with(503, &[("Retry-After", "3600")], ""));
    assert!(server.repository().manifest(&latest()).is_err());
    assert_eq!(server.requests().len(), 1, "an hour is not waited");
}

#[test]
fn a_server_that_says_nothing_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let held: Vec<_> = listener.incoming().collect();
        drop(held);
    });
    let limits = carboy_distribution::Limits {
        connect: Duration::from_millis(200),
        answer: Duration::from_millis(300),
        stall: Duration::from_millis(300),
        backoff: Duration::from_millis(2),
        ..Default::default()
    };
    let begun = Instant::now();
    let client = Client::new(Settings { limits, ..Settings::default() });
    let reference = carboy_oci::Reference::parse(&format!("{address}/x")).unwrap();
    let error = client.repository(&reference).manifest(&latest()).unwrap_err();
    assert!(chain(&error).contains(&format!("/x:latest: {address} does not answer")), "{}", chain(&error));
    assert!(begun.elapsed() < Duration::from_secs(3), "it is not tried for ever");
}

#[test]
fn cancel_ends_a_stalled_read_at_once() {
    let server = Server::start(|_| Reply::Stall { length: 1000, sent: vec![0; 10], pause: Duration::from_secs(60) });
    let limits = carboy_distribution::Limits { stall: Duration::from_secs(60), ..Default::default() };
    let client = Client::new(Settings { limits, credentials: Credentials::none(), ..Settings::default() });
    let repository = client.repository(&server.reference("x"));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| read(&repository, &content(1000)));
        std::thread::sleep(Duration::from_millis(200));
        repository.cancel();
        assert!(matches!(ours(reader.join().unwrap().unwrap_err()), Error::Cancelled));
    });
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(matches!(repository.manifest(&latest()), Err(Error::Cancelled)));
}
