//! What the program writes, in the log and at the client.

use crate::common::{Container, Runtime};
use crate::on_each_runtime;
use carboy_wire::monitor::LogConfig;
use std::path::Path;
use std::process::Command;

on_each_runtime! {
    /// Both streams reach client and log, and the exit code its record.
    fn both_streams(runtime) {
        let container = Container::new(runtime, &["sh", "-c", "echo out; echo err >&2; printf no-newline; exit 3"]);
        let output = container.run();
        assert_eq!(output.text(), "out\nno-newline");
        assert_eq!(output.stderr, b"err\n");
        let exit = output.exit.clone().unwrap();
        assert_eq!((exit.code, exit.signal, exit.oom_killed, exit.error.as_deref()), (3, None, false, None));
        assert_eq!(container.exit(), exit);
        assert_eq!((container.logged("stdout"), container.logged("stderr")), ("out\nno-newline".into(), "err\n".into()));
        container.assert_nothing_left();
    }

    /// 10 MB arrive whole and in order, at the client and in the log.
    fn ten_megabytes(runtime) {
        let container = Container::new(runtime, &["seq", "1", "1400000"]);
        let output = container.run();
        let want: String = (1..=1_400_000).map(|n| format!("{n}\n")).collect();
        assert!(want.len() > 10_000_000);
        assert!(output.stdout == want.as_bytes(), "{} of {} bytes", output.stdout.len(), want.len());
        assert!(container.logged("stdout") == want);
        assert_eq!(output.code(), 0);
    }
}

#[test]
#[ignore = "needs root, runc and busybox-static"]
fn long_lines_are_cut_in_the_log_only() {
    let container = Container::new(Runtime::Runc, &["sh", "-c", "head -c 40000 /dev/zero | busybox tr '\\0' x; echo"]);
    let output = container.run();
    assert_eq!(output.stdout.len(), 40_001);
    let lengths: Vec<usize> = container.log().iter().map(|(text, _)| text.len()).collect();
    assert_eq!(lengths, [16_384, 16_384, 7233]);
}

#[test]
#[ignore = "needs root, runc and busybox-static"]
fn without_a_log_output_goes_to_the_client_all_the_same() {
    let mut container = Container::new(Runtime::Runc, &["echo", "x"]);
    container.config.log = LogConfig::None;
    assert_eq!(container.run().text(), "x\n");
    assert!(!container.config.container_dir.join("container.log").exists());
}

#[test]
#[ignore = "needs root, runc and busybox-static"]
fn the_log_is_rotated() {
    let mut container = Container::new(Runtime::Runc, &["seq", "1", "5000"]);
    let path = container.config.container_dir.join("container.log");
    container.config.log = LogConfig::JsonFile { path: path.clone(), max_size: Some(20_000), max_files: 3 };
    container.run();
    assert_eq!(container.log().last().unwrap().0, "5000\n");
    for name in ["container.log", "container.log.1", "container.log.2"] {
        let length = std::fs::metadata(path.with_file_name(name)).unwrap().len();
        assert!((1..=20_000).contains(&length), "{name}: {length}");
    }
    assert!(!path.with_file_name("container.log.3").exists());
}

/// A small tmpfs, unmounted whatever happens.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(path: &'a Path) -> Self {
        std::fs::create_dir(path).unwrap();
        assert!(
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "none"]).arg(path).status().unwrap().success()
        );
        SmallDisk(path)
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
#[ignore = "needs root, runc and busybox-static"]
fn a_full_disk_stops_the_log_and_not_the_program() {
    let mut container = Container::new(Runtime::Runc, &["sh", "-c", "seq 1 20000; echo done >&2; exit 6"]);
    let folder = container.dir.path().join("small");
    let disk = SmallDisk::mount(&folder);
    container.config.log = LogConfig::JsonFile { path: folder.join("log"), max_size: None, max_files: 1 };
    let output = container.run();
    assert_eq!(output.text().lines().count(), 20_000);
    let exit = output.exit.unwrap();
    assert_eq!(exit.code, 6);
    let error = exit.error.expect("the lost lines are mentioned");
    assert!(error.contains("No space left on device") && error.contains("lines were not recorded"), "{error}");
    // What is there is whole.
    assert!(container.log().len() > 100);
    assert!(std::fs::read_to_string(folder.join("log")).unwrap().ends_with("}\n"));
    drop(disk);
}

#[test]
#[ignore = "needs root, runc and busybox-static"]
fn output_of_a_child_in_the_hosts_pid_namespace_does_not_keep_the_monitor() {
    let mut container = Container::new(Runtime::Runc, &["sh", "-c", "sleep 1000 & echo left"]);
    let namespaces = container.spec["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "pid");
    let begin = std::time::Instant::now();
    let output = container.run();
    assert_eq!((output.text().as_str(), output.code()), ("left\n", 0));
    assert!(begin.elapsed().as_secs() < 20);
    container.assert_nothing_left();
}
