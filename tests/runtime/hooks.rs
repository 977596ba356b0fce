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

/// Each in its namespaces, by its own environment alone, with a state that is true, those of a kind in their order, and at its moment.
#[test]
#[ignore = "needs root: makes containers"]
fn each_hook_finds_what_the_spec_says() {
    let mut bundle = Bundle::script("sleep 100");
    let log = bundle.path().join("log");
    std::fs::create_dir(&log).unwrap();
    bundle.add_mount(json!({ "destination": "/log", "type": "bind", "source": log, "options": ["bind"] }));
    let hook = |name: &str, folder: &str| {
        let script = format!(
            "cd {folder}; cat > {name}.state; for n in mnt pid net uts ipc cgroup; do readlink /proc/self/ns/$n; done > {name}.ns; \
             env > {name}.env; echo $0 > {name}.args; echo {name} >> order"
        );
        json!({ "path": "/bin/sh", "args": ["sh", "-c", script, "own-name"], "env": ["PATH=/bin:/usr/bin", "ONLY=this"] })
    };
    let outside = log.to_str().unwrap();
    let mut hooks = json!({ "startContainer": [hook("startContainer", "/log")] });
    for name in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
        hooks[name] = json!([hook(name, outside), hook(&format!("{name}-2"), outside)]);
    }
    bundle.set("hooks", hooks);
    bundle.create();
    let read = |name: &str| std::fs::read_to_string(log.join(name)).unwrap();
    let order = |count: usize| read("order").split_whitespace().skip(count).map(str::to_owned).collect::<Vec<_>>();
    let twice = |names: &[&str]| names.iter().flat_map(|n| [(*n).to_owned(), format!("{n}-2")]).collect::<Vec<_>>();
    assert_eq!(order(0), twice(&["prestart", "createRuntime", "createContainer"]));
    let pid = bundle.state()["pid"].as_i64().unwrap();
    let spaces = |process: &str| {
        let link =
            |n: &str| std::fs::read_link(format!("/proc/{process}/ns/{n}")).unwrap().display().to_string() + "\n";
        ["mnt", "pid", "net", "uts", "ipc", "cgroup"].map(link).concat()
    };
    let (inside, host) = (spaces(&pid.to_string()), spaces("self"));
    bundle.call(&["start", &bundle.name]).good();
    assert_eq!(order(6), [vec!["startContainer".to_owned()], twice(&["poststart"])].concat(), "before start returns");
    bundle.call(&["kill", &bundle.name, "KILL"]).good();
    bundle.wait_for("stopped");
    bundle.call(&["delete", &bundle.name]).good();
    assert_eq!(order(9), twice(&["poststop"]), "before delete returns");
    for (name, status, seen, namespaces) in [
        ("prestart", "creating", Some(pid), &host),
        ("createRuntime", "creating", Some(pid), &host),
        ("createContainer", "creating", Some(1), &inside),
        ("startContainer", "created", Some(1), &inside),
        ("poststart", "running", Some(pid), &host),
        ("poststop", "stopped", None, &host),
    ] {
        let state: Value = serde_json::from_str(&read(&format!("{name}.state"))).unwrap();
        assert_eq!((&state["id"], &state["status"]), (&json!(bundle.name), &json!(status)), "{name}");
        assert_eq!((&state["bundle"], &state["ociVersion"]), (&json!(bundle.path()), &json!("1.0.2")), "{name}");
        assert!(seen.is_none_or(|pid| state["pid"] == pid), "{name}: {state}");
        assert_eq!(&read(&format!("{name}.ns")), namespaces, "{name}");
        let env = read(&format!("{name}.env"));
        assert!(env.contains("ONLY=this") && !env.contains("HOME="), "{name}: {env}");
        assert_eq!(read(&format!("{name}.args")), "own-name\n", "{name}");
    }
}

/// runtime-spec, "Lifecycle": after a hook that fails the container is destroyed, and its poststop hooks run.
#[test]
#[ignore = "needs root: makes containers"]
fn what_a_failing_hook_ends_is_undone_to_the_last_hook() {
    for bad in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"] {
        let mut bundle = Bundle::script("sleep 100");
        let ended = bundle.path().join("ended");
        let script = format!("touch {}", ended.display());
        let env = json!(["PATH=/bin:/usr/bin"]);
        bundle.set(
            "hooks",
            json!({ bad: [{ "path": "/bin/sh", "args": ["sh", "-c", "exit 3"], "env": env }],
                "poststop": [{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": env }] }),
        );
        bundle.run().fails_with(1, &format!("error running {bad} hook #0"));
        assert!(ended.exists(), "{bad}");
        assert!(crate::common::cgroups_of(&bundle.name).is_empty() && !bundle.state_root().join(&bundle.name).exists());
    }
}
