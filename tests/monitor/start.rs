//! Starts that fail, and what starts say of themselves.

use crate::common::{Container, Runtime};
use crate::on_each_runtime;
use carboy_wire::monitor::{RootMount, RuntimeCommand, StartReport};
use carboy_wire::plan::PlanReport;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

on_each_runtime! {
    /// A program that is not there: 127, with the runtime's words.
    fn no_such_program(runtime) {
        for program in ["nope", "/nope"] {
            let container = Container::new(runtime, &[program]);
            let (message, code) = container.refused();
            assert_eq!(code, 127, "{message}");
            assert!(message.contains("nope"), "{message}");
            assert_eq!(container.exit().code, 127);
            container.assert_nothing_left();
        }
    }

    /// A program that cannot be executed: 126.
    fn not_a_program(runtime) {
        let container = Container::new(runtime, &["/etc/text"]);
        std::fs::write(container.dir.path().join("rootfs/etc/text"), "x").unwrap();
        let (message, code) = container.refused();
        assert_eq!(code, 126, "{message}");
        container.assert_nothing_left();
    }

    /// Anything else: 125.
    fn no_such_source(runtime) {
        let mut container = Container::new(runtime, &["true"]);
        let mount = serde_json::json!({ "destination": "/x", "source": "/does/not/exist", "type": "bind", "options": ["bind"] });
        container.spec["mounts"].as_array_mut().unwrap().push(mount);
        let (message, code) = container.refused();
        assert_eq!(code, 125, "{message}");
        assert!(message.contains("/does/not/exist"), "{message}");
        container.assert_nothing_left();
    }
}

#[test]
#[ignore = "needs root, runc and busybox-static"]
fn a_missing_runtime_or_layer_is_named() {
    let mut container = Container::new(Runtime::Runc, &["true"]);
    container.config.runtime.path = "/no/runtime".into();
    let (message, code) = container.refused();
    assert!(code == 125 && message.contains("/no/runtime: No such file"), "{message}");
    container.assert_nothing_left();

    let mut container = Container::new(Runtime::Runc, &["true"]);
    let Some(RootMount::Overlay { lower, .. }) = &mut container.config.root_mount else { panic!() };
    lower.push("/no/layer".into());
    let (message, code) = container.refused();
    assert!(code == 125 && message.contains("/no/layer"), "{message}");
    container.assert_nothing_left();
}

/// CVE-2019-5736: whoever executes our runtime inside the container can be led to its file; it lies on a read-only mount by then.
#[test]
#[ignore = "needs root, runc and busybox-static"]
fn our_runtime_s_file_is_read_only_where_it_is_executed() {
    let mut container = Container::new(Runtime::Runc, &["true"]);
    let script = container.dir.path().join("runtime");
    std::fs::write(&script, "#!/bin/sh\n(echo overwritten >> \"$0\") 2>&1 | sed 's/^/tried: /' >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    container.config.runtime = RuntimeCommand { path: script.clone(), global_args: Vec::new(), ours: true };
    let (message, _) = container.refused();
    assert!(message.contains("tried: ") && message.contains("Read-only file system"), "{message}");
    assert!(!std::fs::read_to_string(&script).unwrap().contains("overwritten\n"));
    container.assert_nothing_left();
}

#[test]
#[ignore = "needs root, runc and busybox-static"]
fn what_is_to_be_removed_at_the_end_goes_with_a_failed_start() {
    let mut container = Container::new(Runtime::Runc, &["nope"]);
    container.config.remove_on_exit = vec![container.config.container_dir.clone(), container.config.run_dir.clone()];
    assert_eq!(container.refused().1, 127);
    assert!(!container.config.container_dir.exists() && !container.config.run_dir.exists());
}

#[test]
#[ignore = "needs root, runc and busybox-static"]
fn a_second_monitor_is_refused_and_the_first_not_disturbed() {
    let container = Container::new(Runtime::Runc, &["sh", "-c", "read x; echo $x"]).with_stdin();
    let (_, mut client) = container.started();
    let (message, code) = container.refused();
    assert!(code == 125 && message.contains("has a monitor already"), "{message}");
    carboy_wire::attach::write_frame(&mut client, carboy_wire::attach::STDIN, b"alive\n").unwrap();
    assert_eq!(crate::common::collect(&client).text(), "alive\n");
}

#[test]
#[ignore = "needs root, runc and busybox-static"]
fn a_users_directory_is_bound_with_what_is_mounted_in_it() {
    let mut container = Container::new(Runtime::Runc, &["sh", "-c", "cat /etc/inner/file; echo changed > /etc/seen"]);
    let root = container.dir.path().join("rootfs");
    std::fs::create_dir(root.join("etc/inner")).unwrap();
    assert!(
        Command::new("mount").args(["-t", "tmpfs", "none"]).arg(root.join("etc/inner")).status().unwrap().success()
    );
    std::fs::write(root.join("etc/inner/file"), "inside\n").unwrap();
    container.config.root_mount = Some(RootMount::Bind { path: root.clone() });
    let output = container.run();
    assert!(Command::new("umount").arg(root.join("etc/inner")).status().unwrap().success());
    assert_eq!(output.text(), "inside\n");
    assert_eq!(std::fs::read_to_string(root.join("etc/seen")).unwrap(), "changed\n");
    container.assert_nothing_left();
}

#[test]
#[ignore = "needs root, runc and busybox-static"]
fn very_many_layers_and_very_long_paths() {
    let mut container = Container::new(Runtime::Runc, &["cat", "/layer"]);
    let deep = container.dir.path().join("d".repeat(200)).join("e".repeat(200));
    let Some(RootMount::Overlay { lower, .. }) = &mut container.config.root_mount else { panic!() };
    for number in (0..100).rev() {
        let layer = deep.join(format!("a:b,c\\{number}"));
        std::fs::create_dir_all(&layer).unwrap();
        std::fs::write(layer.join("layer"), number.to_string()).unwrap();
        lower.insert(0, layer);
    }
    // The topmost layer's file is the one that is seen.
    assert_eq!(container.run().text(), "0");
}

#[test]
#[ignore = "needs root, runc and busybox-static"]
fn the_trace_is_the_plan_with_times() {
    let mut container = Container::new(Runtime::Runc, &["true"]);
    container.config.trace = true;
    let config = container.write();
    let explained = Command::new(env!("CARGO_BIN_EXE_carboy-monitor"))
        .args(["explain", "--json", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    let plan: PlanReport = serde_json::from_slice(&explained.stdout).unwrap();
    let (StartReport::Started { trace: Some(trace), .. }, client) = container.start() else { panic!("no trace") };
    crate::common::collect(&client);
    let mut timed = trace.steps.clone();
    for step in &mut timed {
        assert!(step.took_ns.take().is_some() && step.error.is_none(), "{step:?}");
    }
    assert_eq!(timed, plan.steps[..timed.len()]);
    let names: Vec<&str> = plan.steps.iter().map(|step| step.name.as_str()).collect();
    assert!(names.contains(&"mount root") && names.ends_with(&["record exit", "sync exit"]), "{names:?}");
}

#[test]
fn explaining_needs_no_privilege_and_mistakes_are_named() {
    let monitor = env!("CARGO_BIN_EXE_carboy-monitor");
    let output = Command::new(monitor).args(["explain", "--config", "/does/not/exist"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(said.contains("/does/not/exist: No such file") && said.lines().count() == 1, "{said}");
    let output = Command::new(monitor).args(["run", "--nonsense"]).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
}
