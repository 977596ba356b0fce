//! Devices of the host's that move into a container (runtime-spec, "Network Devices").

use crate::common::{Bundle, Said};
use serde_json::{Value, json};
use std::process::Command;

fn ip(args: &[&str]) -> Said {
    Command::new("ip").args(args).output().unwrap().into()
}

/// One end of a pair, which goes with it.
struct Device(String);

impl Device {
    fn new(tag: &str) -> Device {
        let [name, other] = ['a', 'b'].map(|end| format!("{tag}{}{end}", std::process::id()));
        ip(&["link", "add", &name, "type", "veth", "peer", "name", &other]).good();
        Device(name)
    }

    fn addresses(&self) -> String {
        ip(&["address", "show", "dev", &self.0]).out
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        ip(&["link", "delete", &self.0]);
    }
}

fn with_devices(script: &str, devices: Value) -> Bundle {
    let mut bundle = Bundle::script(script);
    bundle.set("linux/netDevices", devices);
    bundle
}

#[test]
#[ignore = "needs root: moves network devices"]
fn they_move_with_their_addresses() {
    let device = Device::new("sp");
    let name = device.0.as_str();
    ip(&["address", "add", "192.0.2.7/24", "dev", name]).good();
    ip(&["-6", "address", "add", "2001:db8::7/64", "dev", name, "nodad"]).good();
    let bundle = with_devices(
        "ls /sys/class/net; cat /sys/class/net/moved/flags; cat /proc/net/fib_trie | grep -c 192.0.2.7; grep moved /proc/net/if_inet6",
        json!({ name: { "name": "moved" } }),
    );
    let out = bundle.run().good();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..3], ["lo", "moved", "0x1003"], "{out}");
    assert_ne!(lines[3], "0");
    assert!(out.contains("20010db8000000000000000000000007"), "{out}");
}

#[test]
#[ignore = "needs root: moves network devices"]
fn a_name_that_is_taken_is_an_error_and_a_template_finds_a_free_one() {
    let (first, second) = (Device::new("ta"), Device::new("tb"));
    with_devices("true", json!({ &first.0: { "name": "lo" } })).run().fails_with(1, "to lo: file exists");
    assert!(!first.addresses().is_empty(), "it has not left");
    let devices = json!({ &first.0: { "name": "eth%d" }, &second.0: { "name": "eth%d" } });
    let script = "ls /sys/class/net; cat /sys/class/net/eth0/flags /sys/class/net/eth1/flags";
    assert_eq!(with_devices(script, devices).run().good(), "eth0\neth1\nlo\n0x1003\n0x1003\n");
}

/// The device that can be moved comes first by its name.
#[test]
#[ignore = "needs root: moves network devices"]
fn if_one_cannot_move_none_does() {
    let device = Device::new("aa");
    ip(&["address", "add", "192.0.2.7/24", "dev", &device.0]).good();
    ip(&["link", "set", &device.0, "up"]).good();
    for (other, words) in
        [("no-such-dev", "network device no-such-dev: no such device"), ("lo", "move network device lo to")]
    {
        with_devices("true", json!({ &device.0: { "name": "moved" }, other: { "name": "x" } }))
            .run()
            .fails_with(1, words);
        let addresses = device.addresses();
        assert!(addresses.contains("192.0.2.7/24") && addresses.contains(",UP"), "{other}: {addresses}");
    }
}

#[test]
#[ignore = "needs root: makes containers"]
fn impossible_ones_are_refused() {
    for (devices, words) in [
        (json!({ "a": { "name": "x" }, "b": { "name": "x" } }), "linux.netDevices.b.name"),
        (json!({ "a b": {} }), "linux.netDevices.a b"),
        (json!({ "a": { "name": "0123456789abcdef" } }), "linux.netDevices.a.name"),
        (json!({ "a": { "name": "x%d%d" } }), "linux.netDevices.a.name"),
        (json!({ "a": { "name": "x%s" } }), "linux.netDevices.a.name"),
    ] {
        let mut bundle = with_devices("true", devices);
        bundle.run().fails_with(1, words);
        bundle.config["linux"]["namespaces"].as_array_mut().unwrap().retain(|n| n["type"] != "network");
        bundle.set("linux/netDevices", json!({ "a": {} }));
        bundle.run().fails_with(1, "linux.netDevices: cannot be moved without a network namespace");
    }
}
