//! Who the program is, where a runtime made it more than it should be.

use crate::common::Bundle;
use serde_json::json;

const SETS: &str = "grep -E '^Cap(Inh|Amb)' /proc/self/status";
const NONE: &str = "CapInh:\t0000000000000000\nCapAmb:\t0000000000000000\n";

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2022_29162_inheritable_capabilities() {
    // `exec --cap` made them inheritable: a program with inheritable file capabilities then got them.
    assert_eq!(Bundle::script(SETS).run().good(), NONE);
    let bundle = Bundle::script("sleep 1000");
    bundle.run_detached();
    for args in [&[][..], &["--cap", "CAP_NET_RAW"], &["--cap", "CAP_NET_RAW", "--user", "1000"]] {
        let said = bundle.call(&[&["exec"], args, &[&bundle.name, "sh", "-c", SETS]].concat());
        assert_eq!(said.good(), NONE, "{args:?}");
    }
}

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2026_30892_exec_user() {
    // crun took `1` for 0:0.
    let bundle = Bundle::script("sleep 1000");
    bundle.run_detached();
    let exec = |user: &str| bundle.call(&["exec", "-u", user, &bundle.name, "sh", "-c", "id -u; id -g"]);
    for (user, ids) in
        [("1", "1\n0\n"), ("1:2", "1\n2\n"), ("10", "10\n0\n"), ("0", "0\n0\n"), ("4294967294:7", "4294967294\n7\n")]
    {
        assert_eq!(exec(user).good(), ids, "{user}");
    }
    // An ID of all ones means "leave it as it is" to the kernel, which is root.
    for bad in [
        "",
        ":",
        ":1",
        "1:",
        "1:2:3",
        "root",
        "-1",
        "1x",
        " 1",
        "0x1",
        "4294967295",
        "1:4294967295",
        "4294967296",
        "18446744073709551616",
    ] {
        let said = exec(bad);
        assert!(said.code == 255 && said.out.is_empty(), "{bad:?}: {} {}", said.code, said.out);
    }
}

#[test]
#[ignore = "needs root: makes containers"]
fn no_id_means_the_runtime_s_own() {
    for (field, value) in [
        ("uid", json!(4_294_967_295u32)),
        ("gid", json!(4_294_967_295u32)),
        ("additionalGids", json!([1, 4_294_967_295u32])),
    ] {
        let mut bundle = Bundle::script("id");
        bundle.set(&format!("process/user/{field}"), value);
        bundle.run().fails_with(1, &format!("process.user.{field}"));
    }
}
