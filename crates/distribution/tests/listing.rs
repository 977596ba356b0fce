//! Tags in pages, referrers, manifests put and deleted.

#![allow(clippy::unwrap_used)]

mod common;

use carboy_distribution::{Access, Credentials, Error, ErrorKind, Target};
use carboy_oci::image::media_type::{OCI_INDEX, OCI_MANIFEST};
use common::*;

#[test]
fn tags_come_in_pages() {
    let server = Server::start(|request| match request.path.as_str() {
        "/v2/x/tags/list?n=2" => {
            with(200, &[("Link", "</v2/x/tags/list?last=b&n=2>; rel=\"next\"")], r#"{"name":"x","tags":["a","b"]}"#)
        }
        "/v2/x/tags/list?last=b&n=2" => body(r#"{"name":"x","tags":["c"]}"#),
        _ => body(r#"{"name":"x","tags":null}"#),
    });
    assert_eq!(server.repository().tags(Some(2)).unwrap(), ["a", "b", "c"]);
    assert_eq!(server.repository().tags(None).unwrap(), [""; 0]);
}

#[test]
fn pages_that_lead_in_circles_or_away_end() {
    let server = Server::start(|_| with(200, &[("Link", "</v2/x/tags/list>; rel=next")], r#"{"tags":["a"]}"#));
    let error = server.repository().tags(None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    let server = Server::start(|_| with(200, &[("Link", "<http://192.0.2.1/v2/>; rel=next")], r#"{"tags":["a"]}"#));
    let error = server.repository().tags(None).unwrap_err();
    assert!(error.to_string().contains("192.0.2.1"), "{error}");
    let server = Server::start(|_| {
        with(404, &[], r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry"}]}"#)
    });
    let error = server.repository().tags(None).unwrap_err();
    let expected =
        format!("tags of {}/x not found: name unknown: repository name not known to registry", server.address);
    assert_eq!(error.to_string(), expected);
}

#[test]
fn referrers_by_the_list_or_by_the_tag() {
    let subject = digest(b"subject");
    let index = |kinds: &[&str]| {
        let entries: Vec<String> = kinds
            .iter()
            .map(|kind| {
                let digest = digest(kind.as_bytes());
                format!(r#"{{"mediaType":"{OCI_MANIFEST}","digest":"{digest}","size":1,"artifactType":"{kind}"}}"#)
            })
            .collect();
        format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{}]}}"#, entries.join(","))
    };
    let both = index(&["a/sig", "a/sbom"]);
    let text = both.clone();
    let server = Server::start(move |_| body(text.clone()));
    let found = server.repository().referrers(&subject, Some("a/sig")).unwrap();
    assert_eq!(
        found.iter().map(|d| d.digest.clone()).collect::<Vec<_>>(),
        [digest(b"a/sig")],
        "filtered here if not there"
    );
    assert_eq!(server.log(), [format!("GET /v2/x/referrers/{subject}?artifactType=a/sig")]);

    let tag = format!("/v2/x/manifests/sha256-{}", subject.hex());
    let server = Server::start(move |request| if request.path == tag { body(both.clone()) } else { status(404) });
    assert_eq!(server.repository().referrers(&subject, None).unwrap().len(), 2);
    let server = Server::start(|_| status(404));
    assert_eq!(server.repository().referrers(&subject, None).unwrap().len(), 0);
}

#[test]
fn a_manifest_is_put_as_it_is() {
    let server = Server::start(|_| with(201, &[("Docker-Content-Digest", digest(MANIFEST.as_bytes()).as_str())], ""));
    let repository = client(Credentials::none()).repository_for(&server.reference("x"), Access::Push);
    let put = repository.put_manifest(&Target::Tag("v1".to_owned()), OCI_MANIFEST, MANIFEST.as_bytes()).unwrap();
    assert_eq!(put, digest(MANIFEST.as_bytes()));
    let request = &server.requests()[0];
    assert_eq!((request.method.as_str(), request.path.as_str()), ("PUT", "/v2/x/manifests/v1"));
    assert_eq!((request.header("content-type"), request.body.as_slice()), (Some(OCI_MANIFEST), MANIFEST.as_bytes()));
    let wrong = repository.put_manifest(&Target::Digest(digest(b"x")), OCI_MANIFEST, MANIFEST.as_bytes());
    assert!(matches!(wrong, Err(Error::Digest { .. })));
    assert_eq!(server.requests().len(), 1, "nothing is sent under a wrong digest");

    let server = Server::start(|_| with(201, &[("Docker-Content-Digest", digest(b"else").as_str())], ""));
    let repository = client(Credentials::none()).repository_for(&server.reference("x"), Access::Push);
    let lie = repository.put_manifest(&Target::Tag("v1".to_owned()), OCI_MANIFEST, MANIFEST.as_bytes());
    assert!(matches!(lie, Err(Error::Digest { .. })));
}

#[test]
fn a_registry_that_deletes_nothing_says_so() {
    let server = Server::start(|_| {
        with(405, &[], r#"{"errors":[{"code":"UNSUPPORTED","message":"The operation is unsupported."}]}"#)
    });
    let repository = client(Credentials::none()).repository_for(&server.reference("x"), Access::Delete);
    let error = repository.delete_manifest(&Target::Digest(digest(b"x"))).unwrap_err();
    assert!(error.to_string().contains("405: unsupported: The operation is unsupported."), "{error}");
}

#[test]
fn a_search_asks_the_index_or_the_catalog() {
    let server = Server::start(|request| match request.path.as_str() {
        "/v1/search?q=busy%20box&n=3" => body(
            r#"{"results":[{"name":"busybox","description":null,"star_count":9,"is_official":true},{"name":"b"},{"name":"c"},{"name":"d"}]}"#,
        ),
        "/v2/_catalog?n=1000" => with(
            200,
            &[("Link", "</v2/_catalog?last=b&n=1000>; rel=\"next\"")],
            r#"{"repositories":["team/BusyBox","other"]}"#,
        ),
        "/v2/_catalog?last=b&n=1000" => body(r#"{"repositories":["z/busybox-extra"]}"#),
        _ => status(404),
    });
    let registry = server.address.to_string();
    let client = client(Credentials::none());
    let found = client.search(&registry, "busy box", 3).unwrap();
    assert_eq!(found.len(), 3);
    assert_eq!((found[0].name.as_str(), found[0].star_count, found[0].is_official), ("busybox", 9, true));
    let listed = client.search(&registry, "busybox", 25).unwrap();
    assert_eq!(listed.iter().map(|found| found.name.as_str()).collect::<Vec<_>>(), ["team/BusyBox", "z/busybox-extra"]);
    let nothing = Server::start(|_| status(404));
    let error = client.search(&nothing.address.to_string(), "x", 25).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}
