//! Which proxy a host is reached through. The rules are those of Go's `http.ProxyFromEnvironment`, which users of container tools rely on.

use crate::endpoint::{has_port, host_of, is_loopback};
use std::net::IpAddr;

/// Proxy settings, as the caller found them in its environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// `HTTP_PROXY`: for plain HTTP.
    pub http: Option<String>,
    /// `HTTPS_PROXY`: for TLS. Both are `http://`, `https://` or `socks5://` addresses, with `USER:PASSWORD@` if wanted.
    pub https: Option<String>,
    /// `NO_PROXY`: comma-separated hosts, domains (`.example.org` or `example.org`, both with what is below), addresses, CIDR blocks,
    /// each optionally with a port, or `*`.
    pub no_proxy: Option<String>,
}

impl Proxies {
    /// Reads the usual variables through `lookup`; the upper-case name goes before the lower-case one.
    pub fn from_variables(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let read = |name: &str| {
            lookup(name).or_else(|| lookup(&name.to_ascii_lowercase())).filter(|value| !value.trim().is_empty())
        };
        Proxies { http: read("HTTP_PROXY"), https: read("HTTPS_PROXY"), no_proxy: read("NO_PROXY") }
    }

    /// The proxy for a URL's scheme and authority. Loopback is never asked through a proxy.
    pub(crate) fn find(&self, scheme: &str, authority: &str) -> Option<&str> {
        let proxy = if scheme == "https" { self.https.as_deref() } else { self.http.as_deref() }?;
        if is_loopback(authority) || self.is_excepted(scheme, authority) {
            return None;
        }
        Some(proxy)
    }

    fn is_excepted(&self, scheme: &str, authority: &str) -> bool {
        let host = host_of(authority).trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let default_port = if scheme == "https" { "443" } else { "80" };
        let port = if has_port(authority) { authority.rsplit(':').next().unwrap_or("") } else { default_port };
        let list = self.no_proxy.as_deref().unwrap_or("");
        list.split(',').map(|entry| entry.trim().to_ascii_lowercase()).any(|entry| matches(&entry, &host, port))
    }
}

fn matches(entry: &str, host: &str, port: &str) -> bool {
    if entry.is_empty() {
        return false;
    }
    if entry == "*" {
        return true;
    }
    if let (true, Ok(ip)) = (entry.contains('/'), host.parse::<IpAddr>()) {
        return contains(entry, ip);
    }
    let is_plain_v6 = entry.parse::<IpAddr>().is_ok();
    let (name, wanted_port) = match entry.rsplit_once(':') {
        Some((name, wanted)) if !is_plain_v6 && !wanted.contains(']') => (name, Some(wanted)),
        _ => (entry, None),
    };
    if wanted_port.is_some_and(|wanted| wanted != port) {
        return false;
    }
    let name = name.trim_start_matches('[').trim_end_matches(']').trim_start_matches("*.");
    let bare = name.trim_start_matches('.');
    let below = host.strip_suffix(bare).is_some_and(|front| front.ends_with('.'));
    !bare.is_empty() && (below || (host == bare && !name.starts_with('.')))
}

/// Whether a network in CIDR notation has this address.
pub(crate) fn contains(network: &str, ip: IpAddr) -> bool {
    let Some((net, bits)) = network.split_once('/') else { return false };
    net.parse().is_ok_and(|net| bits.parse().is_ok_and(|bits| in_block(ip, net, bits)))
}

fn in_block(ip: IpAddr, net: IpAddr, bits: u32) -> bool {
    let same = |a: u128, b: u128, width: u32| bits <= width && (bits == 0 || (a ^ b) >> (width - bits) == 0);
    match (ip, net) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_is_read_as_go_reads_it() {
        let no_proxy =
            ".inner.example, plain.example:5000,10.0.0.0/8,192.0.2.7,[2001:db8::1]:443,*.star.example,2001:db8:1::/48";
        let proxies =
            Proxies { http: None, https: Some("http://proxy:3128".to_owned()), no_proxy: Some(no_proxy.to_owned()) };
        for direct in [
            "a.inner.example",
            "plain.example:5000",
            "x.plain.example:5000",
            "10.1.2.3:5000",
            "192.0.2.7",
            "[2001:db8::1]",
            "a.star.example",
            "[2001:db8:1:2::3]:9",
            "localhost:5000",
            "127.0.0.1",
        ] {
            assert_eq!(proxies.find("https", direct), None, "{direct}");
        }
        for proxied in
            ["inner.example", "plain.example", "notplain.example:5000", "11.0.0.1", "192.0.2.70", "docker.io"]
        {
            assert_eq!(proxies.find("https", proxied), Some("http://proxy:3128"), "{proxied}");
            assert_eq!(proxies.find("http", proxied), None, "{proxied}");
        }
        let all = Proxies { no_proxy: Some("*".to_owned()), ..proxies };
        assert_eq!(all.find("https", "docker.io"), None);
    }

    #[test]
    fn variables_upper_case_first() {
        let read = Proxies::from_variables(|name| match name {
            "HTTPS_PROXY" => Some("http://upper".to_owned()),
            "https_proxy" | "http_proxy" => Some("http://lower".to_owned()),
            "NO_PROXY" => Some(" ".to_owned()),
            _ => None,
        });
        assert_eq!(read.https.as_deref(), Some("http://upper"));
        assert_eq!(read.http.as_deref(), Some("http://lower"));
        assert_eq!(read.no_proxy, None);
    }
}
