//! CVE-2024-21626: a descriptor of the host's that is still open while the program's path and directory are looked up.

use super::Outside;
use crate::common::Bundle;
use crate::users::with_user_namespace;
use serde_json::json;
use std::os::unix::fs::{PermissionsExt, chown, symlink};

/// More than any runtime has open.
const NUMBERS: std::ops::Range<u32> = 3..30;

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2024_21626_working_directory() {
    // Directly, and by a link of the image.
    for number in NUMBERS {
        let path = format!("/proc/self/fd/{number}");
        let mut bundle = Bundle::script("pwd; ls ../../../..");
        bundle.set("process/cwd", json!(path));
        assert_ne!(bundle.run().code, 0, "{path}");
        symlink(&path, bundle.rootfs().join("way")).unwrap();
        bundle.set("process/cwd", json!("/way"));
        let said = bundle.run();
        assert!(said.code != 0, "{path} {}", said.out);
    }
}

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2024_21626_working_directory_of_exec() {
    let bundle = Bundle::script("sleep 1000");
    bundle.run_detached();
    for number in NUMBERS {
        let path = format!("/proc/self/fd/{number}");
        assert_ne!(bundle.call(&["exec", "--cwd", &path, &bundle.name, "pwd"]).code, 0, "{path}");
    }
}

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2024_21626_working_directory_that_only_the_user_may_enter() {
    // A directory whose group the user namespace does not map is closed to root there (capabilities(7)), but not to its owner.
    let outside = Outside::new();
    std::fs::write(outside.path().join("secret"), "").unwrap();
    let mut bundle = with_user_namespace(&format!("ls {}", outside.relative()), 200_000, 65_536);
    bundle.set("process/user", json!({ "uid": 1000, "gid": 1000 }));
    bundle.set("process/cwd", json!("/closed/way"));
    let closed = bundle.rootfs().join("closed");
    let way = closed.join("way");
    std::fs::create_dir(&closed).unwrap();
    chown(&closed, Some(201_000), Some(5)).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    symlink("/tmp", &way).unwrap();
    let said = bundle.run();
    assert!(said.err.contains("No such file"), "it can be entered: {}", said.err);
    for number in NUMBERS {
        std::fs::remove_file(&way).unwrap();
        symlink(format!("/proc/self/fd/{number}"), &way).unwrap();
        let said = bundle.run();
        assert!(said.code != 0 && !said.out.contains("secret"), "{number}: {}", said.out);
        assert!(said.err.contains("identity in init"), "{number}: {}", said.err);
    }
}

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2024_21626_program() {
    // The program, and the interpreter of a script, through each descriptor and up from there.
    let outside = Outside::with_echo();
    for number in NUMBERS {
        let way = format!("/proc/self/fd/{number}/{}/echo", outside.relative());
        let mut bundle = Bundle::new();
        let script = bundle.rootfs().join("bin/script");
        std::fs::write(&script, format!("#!{way} escaped\n")).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        for args in [json!([way, "escaped"]), json!(["/bin/script"])] {
            bundle.set("process/args", args.clone());
            let said = bundle.run();
            assert!(said.code != 0 && !said.out.contains("escaped"), "{args}: {}", said.out);
        }
    }
}

#[test]
#[ignore = "needs root: makes containers"]
fn cve_2024_21626_program_of_exec() {
    let outside = Outside::with_echo();
    let bundle = Bundle::script("sleep 1000");
    bundle.run_detached();
    let script = bundle.rootfs().join("bin/script");
    for number in NUMBERS {
        let way = format!("/proc/self/fd/{number}/{}/echo", outside.relative());
        std::fs::write(&script, format!("#!{way} escaped\n")).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        for args in [&[way.as_str(), "escaped"][..], &["/bin/script"]] {
            let said = bundle.call(&[&["exec", &bundle.name], args].concat());
            assert!(said.code != 0 && !said.out.contains("escaped"), "{args:?}: {}", said.out);
        }
    }
}
