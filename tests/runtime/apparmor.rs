//! AppArmor, where the kernel has it: profiles of the tests' own, loaded by Debian's apparmor_parser.

use crate::common::{Bundle, Said};
use serde_json::json;
use std::io::Write;
use std::process::{Command, Stdio};

/// A profile that permits all but writing below a folder; unloaded when dropped.
struct Profile {
    name: String,
    text: String,
}

impl Profile {
    fn load(name: &str, denied: &str) -> Profile {
        let name = format!("carboy-test-{name}-{}", std::process::id());
        let text = format!(
            "profile {name} flags=(attach_disconnected,mediate_deleted) {{\n  capability,\n  network,\n  file,\n  mount,\n  \
             umount,\n  signal,\n  ptrace,\n  unix,\n  deny {denied}/** w,\n}}\n"
        );
        let profile = Profile { name, text };
        assert!(profile.parse("--replace"), "apparmor_parser cannot load the profile");
        profile
    }

    fn parse(&self, what: &str) -> bool {
        let mut command = Command::new("apparmor_parser");
        let mut child =
            command.args([what, "--skip-cache"]).stdin(Stdio::piped()).spawn().expect("apparmor is installed");
        child.stdin.take().unwrap().write_all(self.text.as_bytes()).unwrap();
        child.wait().unwrap().success()
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        self.parse("--remove");
    }
}

const TRY: &str = "for f in /one/f /two/f; do (echo x > $f) 2>/dev/null && echo $f; done; cat /proc/self/attr/current";

fn exec(bundle: &Bundle, options: &[&str]) -> Said {
    bundle.call(&[&["exec"], options, &[&bundle.name, "sh", "-c", TRY]].concat())
}

#[test]
#[ignore = "needs root and a kernel with AppArmor: run by the lane"]
fn a_profile_confines_the_program_and_those_that_join_it() {
    let (one, two) = (Profile::load("one", "/one"), Profile::load("two", "/two"));
    let mut bundle = Bundle::script(&format!("{TRY}; exec sleep 1000"));
    for folder in ["one", "two"] {
        std::fs::create_dir(bundle.rootfs().join(folder)).unwrap();
    }
    bundle.set("process/apparmorProfile", json!(one.name));
    let out = bundle.create();
    bundle.call(&["start", &bundle.name]).good();
    let confined = format!("/two/f\n{} (enforce)\n", one.name);
    crate::common::wait_until("what it said", || std::fs::read_to_string(&out).unwrap() == confined);
    assert_eq!(exec(&bundle, &[]).good(), confined);
    assert_eq!(exec(&bundle, &["--apparmor", &two.name]).good(), format!("/one/f\n{} (enforce)\n", two.name));
    assert_eq!(exec(&bundle, &["--apparmor", "unconfined"]).good(), "/one/f\n/two/f\nunconfined\n");
    let unknown = "apparmor failed to apply profile \"carboy-no-such\", which is not loaded: ";
    exec(&bundle, &["--apparmor", "carboy-no-such"]).fails_with(255, unknown);
    assert_eq!(bundle.status(), "running");

    let mut other = Bundle::script(TRY);
    other.set("process/apparmorProfile", json!("carboy-no-such"));
    other.run().fails_with(1, unknown);
    other.call(&["state", &other.name]).fails_with(1, "container does not exist");
    // An empty one is none.
    other.set("process/apparmorProfile", json!(""));
    assert!(other.run().good().ends_with("unconfined\n"));
}
