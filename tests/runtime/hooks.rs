//! Hooks at their moments.

use crate::common::Bundle;
use serde_json::{Value, json};

#[test]
#[ignore = "needs root: makes containers"]
fn all_six_run_in_order_with_the_state() {
    let mut bundle = Bundle::script("echo program >> /order");
    let log = bundle.path().join("order");
    let outside = |name: &str| {
        let script = format!("echo {name} >> {0}; cat > {0}.{name}", log.display());
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"] }])
    };
    std::fs::write(&log, "").unwrap();
    bundle.add_mount(json!({ "destination": "/order", "type": "bind", "source": log, "options": ["bind"] }));
    bundle.set(
        "hooks",
        json!({
            "prestart": outside("prestart"),
            "createRuntime": outside("createRuntime"),
            "createContainer": outside("createContainer"),
            "startContainer": [{ "path": "/bin/sh", "args": ["sh", "-c", "echo startContainer >> /order"], "env": ["PATH=/bin"] }],
            "poststart": outside("poststart"),
            "poststop": outside("poststop")
        }),
    );
    bundle.create();
    let order = || std::fs::read_to_string(&log).unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(order(), ["prestart", "createRuntime", "createContainer"]);
    bundle.call(&["start", &bundle.name]).good();
    bundle.wait_for("stopped");
    bundle.call(&["delete", &bundle.name]).good();
    let order = order();
    assert_eq!(order[3], "startContainer");
    assert!(order[4..6].contains(&"program".to_owned()) && order[4..6].contains(&"poststart".to_owned()), "{order:?}");
    assert_eq!(order[6], "poststop");
    let state = |name: &str| -> Value {
        serde_json::from_str(&std::fs::read_to_string(format!("{}.{name}", log.display())).unwrap()).unwrap()
    };
    assert_eq!(state("createRuntime")["status"], "creating");
    assert!(state("createRuntime")["pid"].as_i64().unwrap() > 1);
    assert_eq!(state("createContainer")["pid"], 1);
    assert_eq!(state("poststop")["status"], "stopped");
    assert_eq!(state("poststop")["id"], bundle.name.as_str());
}

#[test]
#[ignore = "needs root: makes containers"]
fn a_failing_or_slow_hook_ends_the_creation() {
    let mut bundle = Bundle::new();
    let hook = |script: &str| json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "timeout": 1 }]);
    bundle.set("hooks", json!({ "createRuntime": hook("echo because >&2; exit 3") }));
    bundle.run().fails_with(1, "because");
    bundle.set("hooks", json!({ "createContainer": hook("exec /bin/sleep 100") }));
    bundle.run().fails_with(1, "timed out");
    bundle.set("hooks", json!({ "startContainer": [{ "path": "/bin/false" }] }));
    bundle.run().fails_with(1, "startContainer hook #0");
    assert_eq!(std::fs::read_dir(bundle.state_root()).unwrap().count(), 0);
}

#[test]
#[ignore = "needs root: makes containers"]
fn a_failing_hook_after_the_start_ends_it_and_one_after_the_end_changes_nothing() {
    let mut bundle = Bundle::script("sleep 100");
    let hook =
        |script: String| json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"] });
    bundle.set(
        "hooks",
        json!({ "poststart": [hook("yes | head -c 200000 >&2; sleep 0.2; exit 3".into()), hook("exit 4".into())] }),
    );
    bundle.create();
    let said = bundle.call(&["start", &bundle.name]);
    said.fails_with(1, "error running poststart hook #0: /bin/sh");
    assert!(said.err.contains("exit status: 3"), "{}", said.err);
    bundle.wait_for("stopped");
    bundle.call(&["delete", &bundle.name]).good();
    let ran = bundle.path().join("ran");
    let second = hook(format!("touch {}", ran.display()));
    bundle.set("hooks", json!({ "poststop": [hook("exit 3".into()), second] }));
    bundle.create();
    let said = bundle.call(&["delete", &bundle.name]);
    assert!(said.err.contains("error running poststop hook #0"), "{}", said.err);
    said.good();
    assert!(ran.exists() && !bundle.state_root().join(&bundle.name).exists());
}
