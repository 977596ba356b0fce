//! TLS: certificates that nobody vouches for, and what `tls_verify` changes.

#![allow(clippy::unwrap_used)]

mod common;

use carboy_distribution::{Client, ErrorKind, Proxies, Settings, Target};
use common::*;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

/// Answers every TLS request with a manifest. The certificate is for 127.0.0.1, signed by itself; its key is public, being in the sources.
fn tls_server() -> SocketAddr {
    tls_server_with(include_bytes!("data/test-cert.pem"), include_bytes!("data/test-key.pem"))
}

/// The same with a certificate of a CA, as sound as any.
fn sound_server() -> SocketAddr {
    tls_server_with(include_bytes!("data/test-leaf.pem"), include_bytes!("data/test-leaf-key.pem"))
}

fn tls_server_with(certificate: &[u8], key: &[u8]) -> SocketAddr {
    let certificate = CertificateDer::from_pem_slice(certificate).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let session = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut tls = rustls::StreamOwned::new(session, stream);
            let mut seen = Vec::new();
            let mut byte = [0];
            while !seen.ends_with(b"\r\n\r\n") && matches!(tls.read(&mut byte), Ok(1)) {
                seen.push(byte[0]);
            }
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", MANIFEST.len());
            let _ = tls.write_all(head.as_bytes()).and_then(|()| tls.write_all(MANIFEST.as_bytes()));
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
    });
    address
}

fn fetch(address: SocketAddr, tls_verify: bool) -> Result<(), carboy_distribution::Error> {
    let reference = format!("{address}/x").parse().unwrap();
    let client = Client::new(Settings { tls_verify: Some(tls_verify), ..Settings::default() });
    client.repository(&reference).manifest(&Target::of(&reference)).map(|_| ())
}

#[test]
fn an_unknown_certificate_is_refused_and_not_replaced_by_plain_http() {
    let error = fetch(tls_server(), true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls, "{}", chain(&error));
    let text = chain(&error);
    assert!(text.contains("/x:latest: TLS with 127.0.0.1:") && text.contains("certificate"), "{text}");
}

#[test]
fn an_unknown_certificate_is_taken_when_asked_for() {
    fetch(tls_server(), false).unwrap();
}

#[test]
fn without_verification_plain_http_is_taken_too() {
    let server = Server::start(|_| body(MANIFEST));
    fetch(server.address, false).unwrap();
    fetch(server.address, true).unwrap();
}

/// Passes everything on, both ways, between a client and `target`.
fn relay(mut client: TcpStream, target: SocketAddr) {
    let mut server = TcpStream::connect(target).unwrap();
    let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    std::thread::spawn(move || std::io::copy(&mut from_server, &mut to_client));
    std::thread::spawn(move || std::io::copy(&mut client, &mut server));
}

/// A proxy that knows CONNECT and leads everything to `target`; returns its address. What it was asked is sent to `asked`.
fn proxy_to(target: SocketAddr, asked: std::sync::mpsc::Sender<String>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && matches!(client.read(&mut byte), Ok(1)) {
                head.push(byte[0]);
            }
            asked.send(String::from_utf8(head).unwrap()).unwrap();
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            relay(client, target);
        }
    });
    address
}

#[test]
fn a_registry_behind_a_proxy() {
    let (sender, asked) = std::sync::mpsc::channel();
    let proxy = proxy_to(tls_server(), sender);
    let proxies = carboy_distribution::Proxies {
        https: Some(format!("http://user:word@{proxy}")),
        ..carboy_distribution::Proxies::default()
    };
    let client = Client::new(Settings { tls_verify: Some(false), proxies, ..Settings::default() });
    let reference = "registry.invalid:5443/x".parse().unwrap();
    client.repository(&reference).manifest(&Target::of(&reference)).unwrap();
    let asked = asked.recv().unwrap().to_lowercase();
    assert!(asked.starts_with("connect registry.invalid:5443 "), "{asked}");
    assert!(asked.contains("proxy-authorization: basic "), "{asked}");
}

/// A SOCKS5 proxy (RFC 1928) without a login that leads everything to `target`; the names and ports that it is asked for are sent to `asked`.
fn socks_to(target: SocketAddr, asked: std::sync::mpsc::Sender<String>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let read = |client: &mut TcpStream, count: usize| {
                let mut bytes = vec![0; count];
                client.read_exact(&mut bytes).map(|()| bytes)
            };
            let greeting = read(&mut client, 2).unwrap();
            read(&mut client, usize::from(greeting[1])).unwrap();
            client.write_all(&[5, 0]).unwrap();
            let head = read(&mut client, 5).unwrap();
            assert_eq!(head[..4], [5, 1, 0, 3], "to connect to a name");
            let name = read(&mut client, usize::from(head[4])).unwrap();
            let port = read(&mut client, 2).unwrap();
            let port = u16::from_be_bytes([port[0], port[1]]);
            asked.send(format!("{}:{port}", String::from_utf8(name).unwrap())).unwrap();
            client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
            relay(client, target);
        }
    });
    address
}

#[test]
fn a_registry_behind_a_socks_proxy() {
    let reference = "registry.invalid:5443/x".parse().unwrap();
    let (sender, asked) = std::sync::mpsc::channel();
    for scheme in ["socks5", "socks5h"] {
        // By TLS, and in the clear where that is allowed.
        let plain = Server::start(|_| body(MANIFEST));
        let tls = format!("{scheme}://{}", socks_to(tls_server(), sender.clone()));
        let clear = format!("{scheme}://{}", socks_to(plain.address, sender.clone()));
        for (http, https) in [(None, Some(tls)), (Some(clear.clone()), Some(clear))] {
            let proxies = carboy_distribution::Proxies { http, https, no_proxy: None };
            let client = Client::new(Settings { tls_verify: Some(false), proxies, ..Settings::default() });
            client.repository(&reference).manifest(&Target::of(&reference)).unwrap();
            assert_eq!(asked.recv().unwrap(), "registry.invalid:5443", "the proxy looks the name up");
        }
        while asked.try_recv().is_ok() {}
    }
    // One that is not there is no reason to go around it.
    let proxies = carboy_distribution::Proxies { https: Some("socks5://127.0.0.1:1".to_owned()), ..Default::default() };
    let error = Client::new(Settings { proxies, ..Settings::default() })
        .repository(&reference)
        .manifest(&Target::of(&reference));
    assert!(chain(&error.unwrap_err()).contains("refused"));
}

/// A folder `HOST:PORT` with these files in it.
fn certificates(address: SocketAddr, files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join(address.to_string());
    std::fs::create_dir(&folder).unwrap();
    files.iter().for_each(|(name, bytes)| std::fs::write(folder.join(name), bytes).unwrap());
    dir
}

fn fetch_with(address: SocketAddr, settings: Settings) -> Result<(), carboy_distribution::Error> {
    let reference = format!("{address}/x").parse().unwrap();
    Client::new(settings).repository(&reference).manifest(&Target::of(&reference)).map(|_| ())
}

#[test]
fn a_certificate_in_certs_d_is_trusted_for_its_host() {
    let address = sound_server();
    let own = certificates(address, &[("ca.crt", include_bytes!("data/test-ca.pem"))]);
    let folder = own.path().to_owned();
    fetch_with(address, Settings { certificates: vec![folder.clone()], ..Settings::default() }).unwrap();
    let one = folder.join(address.to_string());
    fetch_with(address, Settings { certificates_for_all: Some(one), ..Settings::default() }).unwrap();
    let other = sound_server();
    let error = fetch_with(other, Settings { certificates: vec![folder], ..Settings::default() }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls, "for its host only: {}", chain(&error));

    for (files, word) in [
        (&[("client.cert", include_bytes!("data/test-leaf.pem").as_slice())][..], "client.key"),
        (&[("client.key", include_bytes!("data/test-leaf-key.pem").as_slice())], "client.cert"),
        (&[("ca.crt", b"nonsense".as_slice())], "no certificate in PEM"),
    ] {
        let own = certificates(address, files);
        let settings = Settings { certificates: vec![own.path().to_owned()], ..Settings::default() };
        let error = fetch_with(address, settings).unwrap_err();
        assert!(error.to_string().contains(word), "{}", chain(&error));
    }
    let pair: [(&str, &[u8]); 3] = [
        ("ca.crt", include_bytes!("data/test-ca.pem")),
        ("client.cert", include_bytes!("data/test-leaf.pem")),
        ("client.key", include_bytes!("data/test-leaf-key.pem")),
    ];
    let own = certificates(address, &pair);
    fetch_with(address, Settings { certificates: vec![own.path().to_owned()], ..Settings::default() }).unwrap();
}

#[test]
fn a_registry_without_tls_is_told_from_one_with_a_bad_certificate() {
    // Loopback addresses are asked by plain HTTP then: behind the proxy is one that is none.
    let server = Server::start(|_| body(MANIFEST));
    let (asked, _hosts) = std::sync::mpsc::channel();
    let proxies = Proxies { https: Some(format!("http://{}", proxy_to(server.address, asked))), ..Proxies::default() };
    let reference = "registry.invalid/x".parse().unwrap();
    let client = Client::new(Settings { proxies, ..Settings::default() });
    let error = chain(&client.repository(&reference).manifest(&Target::of(&reference)).unwrap_err());
    assert!(error.contains("(it seems to speak plain HTTP, which --tls-verify=false allows)"), "{error}");
}

#[test]
fn a_clients_key_must_be_its_certificates() {
    let address = sound_server();
    let (certificate, key): (&[u8], &[u8]) =
        (include_bytes!("data/test-cert.pem"), include_bytes!("data/test-key.pem"));
    let other: &[u8] = include_bytes!("data/test-leaf-key.pem");
    let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (key, expected) in [(key, ""), (other, "is the key of another certificate"), (encrypted, "is encrypted")] {
        let dir = certificates(address, &[("me.cert", certificate), ("me.key", key)]);
        let settings =
            Settings { certificates: vec![dir.path().to_owned()], tls_verify: Some(false), ..Settings::default() };
        match fetch_with(address, settings) {
            Ok(()) => assert_eq!(expected, ""),
            Err(error) => assert!(!expected.is_empty() && chain(&error).contains(expected), "{}", chain(&error)),
        }
    }
}
