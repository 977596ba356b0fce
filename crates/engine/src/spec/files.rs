//! The files that are bound into every container: /etc/hosts and /etc/resolv.conf.

use crate::request::{Network, RunRequest};

/// Content of /etc/hosts: the host's own with its network, Docker's defaults otherwise; then `--add-host`.
pub(crate) fn hosts_file(request: &RunRequest, hostname: &str, of_host: &str) -> String {
    use std::fmt::Write;
    let mut text = match request.network {
        Network::Host if !of_host.is_empty() => of_host.to_owned(),
        _ => format!(
            "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\n\
             ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n127.0.1.1\t{hostname}\n"
        ),
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    for (name, address) in &request.add_hosts {
        let _ = writeln!(text, "{address}\t{name}");
    }
    text
}

/// Content of /etc/resolv.conf: the host's, or the name servers asked for with the host's other lines.
pub(crate) fn resolv_conf(request: &RunRequest, of_host: &str) -> String {
    if request.dns.is_empty() {
        return of_host.to_owned();
    }
    let mut text: String = request.dns.iter().map(|server| format!("nameserver {server}\n")).collect();
    for line in of_host.lines().filter(|line| line.starts_with("search ") || line.starts_with("options ")) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_resolv_conf() {
        let mut request = RunRequest { add_hosts: vec![("db".into(), "10.0.0.1".into())], ..RunRequest::default() };
        assert!(hosts_file(&request, "box", "x").ends_with("127.0.1.1\tbox\n10.0.0.1\tdb\n"));
        request.network = Network::Host;
        assert_eq!(hosts_file(&request, "box", "1.2.3.4 h"), "1.2.3.4 h\n10.0.0.1\tdb\n");
        assert_eq!(resolv_conf(&request, "nameserver 1.1.1.1\n"), "nameserver 1.1.1.1\n");
        request.dns = vec!["9.9.9.9".into()];
        let text = resolv_conf(&request, "nameserver 1.1.1.1\nsearch a.b\n");
        assert_eq!(text, "nameserver 9.9.9.9\nsearch a.b\n");
    }
}
