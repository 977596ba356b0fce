//! Programs with connections: inside, and to the host.

use super::{count, criu_works, goes_on, restore, with_the_host_s_programs};
use crate::common::{Bundle, wait_until};
use serde_json::json;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// A program that counts in /count, after `before` and with `each` at each turn.
fn counting_with(before: &str, each: &str) -> Bundle {
    let script = format!(
        "use Socket; {before} for (my $i = 1;; $i++) {{ open(F, '>', '/new'); print F $i; close F; rename('/new', '/count'); \
         {each} select(undef, undef, undef, 0.05) }}"
    );
    let mut bundle = Bundle::new();
    with_the_host_s_programs(&mut bundle);
    bundle.set("process/args", json!(["/usr/bin/perl", "-e", script]));
    bundle
}

/// Both ends of a connection; /closed tells of its end. With one more that nobody has accepted.
fn connected(in_flight: bool) -> Bundle {
    let connect = |name: &str| format!("socket({name}, PF_INET, SOCK_STREAM, 0); connect({name}, $to) or die $!; ");
    let mut before = format!(
        "my $to = sockaddr_in(7, INADDR_LOOPBACK); socket(L, PF_INET, SOCK_STREAM, 0); bind(L, $to) or die $!; listen(L, 5); \
         {} accept(S, L); ",
        connect("C")
    );
    if in_flight {
        before += &connect("D");
    }
    let each = "unless (defined send(C, 'x', 0x4040) or $!{EAGAIN}) { open(E, '>', '/closed'); close E }";
    let bundle = counting_with(&before, each);
    bundle.run_detached();
    wait_until("some counting", || count(&bundle) > 3);
    bundle
}

#[test]
#[ignore = "needs root, a kernel that CRIU works on: run by the lane"]
fn those_that_are_closed() {
    assert!(criu_works());
    let bundle = connected(false);
    let name = bundle.name.as_str();
    let closed = bundle.rootfs().join("closed");
    let dump = ["checkpoint", "--image-path=images", "--work-path=work"];
    bundle.call(&[&dump[..], &[name]].concat()).fails_with(1, "criu failed: type DUMP: ");
    bundle.call(&[&dump[..], &["--tcp-close", name]].concat()).good();
    assert!(!closed.exists());
    let before = count(&bundle);
    restore(&bundle, &["--image-path=images", "--tcp-close"]);
    wait_until("the connection's end", || closed.exists());
    goes_on(&bundle, before);
}

#[test]
#[ignore = "needs root, a kernel that CRIU works on: run by the lane"]
fn those_that_nobody_has_accepted() {
    assert!(criu_works());
    let bundle = connected(true);
    let name = bundle.name.as_str();
    let dump = ["checkpoint", "--image-path=images", "--work-path=work", "--tcp-close"];
    let said = bundle.call(&[&dump[..], &[name]].concat());
    said.fails_with(1, "criu failed: type DUMP: ");
    assert!(said.err.contains("In-flight connection"), "{}", said.err);
    bundle.call(&[&dump[..], &["--tcp-skip-in-flight", name]].concat()).good();
    let before = count(&bundle);
    restore(&bundle, &["--image-path=images", "--tcp-close"]);
    goes_on(&bundle, before);
}

#[test]
#[ignore = "needs root, a kernel that CRIU works on: run by the lane"]
fn one_to_a_socket_of_the_host_s() {
    assert!(criu_works());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let before = format!("socket(U, PF_UNIX, SOCK_DGRAM, 0); connect(U, sockaddr_un('{}')) or die $!;", path.display());
    let mut bundle = counting_with(&before, "send(U, $i, 0);");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(100))).unwrap();
    // CRIU looks for the other end in the container's network namespace, and by the name that it has on the host.
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().retain(|n| n["type"] != "network");
    bundle.add_mount(
        json!({ "destination": folder.path(), "type": "bind", "source": folder.path(), "options": ["bind"] }),
    );
    let heard = || -> u64 {
        let mut bytes = [0; 64];
        let length = socket.recv(&mut bytes).unwrap();
        std::str::from_utf8(&bytes[..length]).unwrap().parse().unwrap()
    };
    bundle.run_detached();
    while heard() < 3 {}
    let name = bundle.name.as_str();
    let dump = ["checkpoint", "--image-path=images", "--work-path=work"];
    bundle.call(&[&dump[..], &[name]].concat()).fails_with(1, "ext-unix-sk");
    while heard() < count(&bundle) {}
    bundle.call(&[&dump[..], &["--ext-unix-sk", name]].concat()).good();
    let before = count(&bundle);
    restore(&bundle, &["--image-path=images", "--ext-unix-sk"]);
    while heard() < before + 3 {}
}
