//! One blob over several connections.

#![allow(clippy::unwrap_used)]

mod common;

use carboy_distribution::{Error, ErrorKind, Repository};
use common::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Five pieces and a bit, every position other than its neighbours.
fn content() -> Vec<u8> {
    (0..21_000_000_usize).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

fn read(repository: &Repository, content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    repository.with_blob(&descriptor(content), 4, |reader| reader.read_to_end(&mut bytes))?;
    Ok(bytes)
}

/// What `Range` asks for.
fn range(request: &Request, size: usize) -> Option<(usize, usize)> {
    let (start, end) = request.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
    Some((start.parse().unwrap(), end.parse().map_or(size, |end: usize| end + 1)))
}

fn part(all: &[u8], (start, end): (usize, usize)) -> Reply {
    with(206, &[("Content-Range", &format!("bytes {start}-{}/{}", end - 1, all.len()))], all[start..end].to_vec())
}

#[test]
fn pieces_are_read_in_order_whatever_happens_to_them() {
    let all = content();
    let (served, calls) = (all.clone(), AtomicUsize::new(0));
    let server = Server::start(move |request| {
        let (start, end) = range(request, served.len()).unwrap();
        match calls.fetch_add(1, Ordering::SeqCst) {
            // Cut in the middle, overloaded, and closed without a word.
            1 => {
                let range = format!("bytes {start}-{}/{}", end - 1, served.len());
                let sent = served[start..start + 100_000].to_vec();
                Reply::Cut { status: 206, headers: owned(&[("Content-Range", &range)]), length: end - start, sent }
            }
            2 => status(503),
            3 => Reply::Close,
            _ => part(&served, (start, end)),
        }
    });
    assert!(read(&server.repository(), &all).unwrap() == all);
    let ranges = server.requests().iter().filter(|request| request.header("range").is_some()).count();
    assert!(ranges >= 6 + 3, "{ranges}");
}

#[test]
fn a_registry_without_parts_is_read_at_once() {
    let all = content();
    let served = all.clone();
    let server = Server::start(move |_| body(served.clone()));
    assert!(read(&server.repository(), &all).unwrap() == all);
    // Requests for further parts may still come in when the one for everything is there.
    let whole = server.requests().iter().filter(|request| request.header("range").is_none()).count();
    assert_eq!(whole, 1);
}

#[test]
fn a_registry_that_refuses_parts_is_read_at_once() {
    let all = content();
    for code in [403, 416] {
        let served = all.clone();
        let server = Server::start(move |request| match request.header("range") {
            Some(_) => status(code),
            None => body(served.clone()),
        });
        assert!(read(&server.repository(), &all).unwrap() == all, "{code}");
    }
}

#[test]
fn an_error_in_a_piece_is_told_and_ends_the_others() {
    let all = content();
    let served = all.clone();
    let server = Server::start(move |request| match range(request, served.len()).unwrap() {
        (start, _) if start >= 8 << 20 => {
            with(404, &[], r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry"}]}"#)
        }
        range => part(&served, range),
    });
    let error = read(&server.repository(), &all).unwrap_err().downcast::<Error>().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{}", chain(&error));
    assert!(server.requests().len() < 12, "{:?}", server.log());
}

#[test]
fn small_blobs_take_one_connection() {
    let all = vec![7; 1_000_000];
    let served = all.clone();
    let server = Server::start(move |_| body(served.clone()));
    assert!(read(&server.repository(), &all).unwrap() == all);
    assert_eq!(server.requests().len(), 1);
}
