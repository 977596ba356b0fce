//! Where a reference's host is: URL authority, loopback or not, and the few rules about URLs that redirects need.

use crate::error::{Error, Result};
use std::net::IpAddr;
use ureq::http::Uri;

/// The host that serves what is named `docker.io`.
pub(crate) const DOCKER_HUB: &str = "registry-1.docker.io";

/// The URL authority of a reference's domain.
pub(crate) fn authority(domain: &str) -> &str {
    if domain == "docker.io" { DOCKER_HUB } else { domain }
}

/// Whether `authority` (host with or without a port) never leaves this machine.
pub(crate) fn is_loopback(authority: &str) -> bool {
    let host = host_of(authority);
    if host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The host of an authority, without its port; an IPv6 address keeps its brackets.
pub(crate) fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    }
}

/// Whether an authority names its port.
pub(crate) fn has_port(authority: &str) -> bool {
    host_of(authority).len() != authority.len()
}

/// Host and port as messages show it.
pub(crate) fn display_host(uri: &Uri) -> String {
    match uri.authority() {
        Some(authority) => {
            let text = authority.as_str();
            text.rsplit_once('@').map_or(text, |(_, host)| host).to_owned()
        }
        None => uri.to_string(),
    }
}

/// Scheme, host and port: what decides whether credentials may be sent along.
pub(crate) fn same_origin(a: &Uri, b: &Uri) -> bool {
    let port = |uri: &Uri| uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    a.scheme_str() == b.scheme_str()
        && port(a) == port(b)
        && a.host().zip(b.host()).is_some_and(|(a, b)| a.eq_ignore_ascii_case(b))
}

/// The URL that `location` means when `base` answered it (RFC 3986, 5.2, without dot segments, which are left to the server).
pub(crate) fn resolve(base: &Uri, location: &str) -> Result<Uri> {
    let scheme = base.scheme_str().unwrap_or("https");
    let host = base.authority().map_or("", |authority| authority.as_str());
    let location = location.split('#').next().unwrap_or("");
    let text = if location.contains("://") && !location.starts_with('/') {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{host}{location}")
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{host}{folder}/{location}")
    };
    let bad = || Error::Protocol { host: display_host(base), detail: format!("invalid redirect to {location:?}") };
    let uri: Uri = text.parse().map_err(|_| bad())?;
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    if web && uri.host().is_some_and(|host| !host.is_empty()) { Ok(uri) } else { Err(bad()) }
}

/// Percent-encodes a query value: all but RFC 3986's unreserved characters, and `:`, `/`, `,` and `*`, which scopes are full of.
pub(crate) fn encode_query(value: &str) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/,*".contains(&byte) {
            text.push(byte as char);
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_from_the_rest() {
        for yes in ["localhost", "localhost:5000", "127.0.0.1", "127.8.9.1:80", "[::1]", "[::1]:5000", "LocalHost:1"] {
            assert!(is_loopback(yes), "{yes}");
        }
        for no in
            ["example.org", "localhost.example.org:5000", "10.0.0.1:5000", "[2001:db8::1]:5000", "127.0.0.1.nip.io"]
        {
            assert!(!is_loopback(no), "{no}");
        }
        assert!(has_port("[::1]:5000") && !has_port("[::1]") && !has_port("a.b"));
    }

    #[test]
    fn redirects_resolve() {
        let base: Uri = "https://r.example:5000/v2/a/blobs/x".parse().unwrap();
        for (location, expected) in [
            ("https://cdn.example/b?sig=1", "https://cdn.example/b?sig=1"),
            ("/v2/b#frag", "https://r.example:5000/v2/b"),
            ("//cdn.example/b", "https://cdn.example/b"),
            ("y", "https://r.example:5000/v2/a/blobs/y"),
        ] {
            assert_eq!(resolve(&base, location).unwrap().to_string(), expected);
        }
        for bad in ["file:///etc/passwd", "ftp://x/y", "http://", "https://a b/"] {
            assert!(resolve(&base, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let uri = |text: &str| text.parse::<Uri>().unwrap();
        assert!(same_origin(&uri("https://A.example/x"), &uri("https://a.example:443/y")));
        for other in ["http://a.example/", "https://a.example:8443/", "https://b.a.example/", "https://a.example.evil/"]
        {
            assert!(!same_origin(&uri("https://a.example/"), &uri(other)), "{other}");
        }
    }

    #[test]
    fn scopes_stay_readable() {
        assert_eq!(encode_query("repository:a/b:pull,push x&y"), "repository:a/b:pull,push%20x%26y");
    }
}
