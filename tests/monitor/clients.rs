//! Clients that are many, slow, stopped or dead.

use crate::common::{Container, PATIENCE, Runtime, close, collect, collect_until, eventually};
use carboy_wire::attach::{self, write_frame};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::time::{Duration, Instant};

#[test]
#[ignore = "needs root, runc and busybox-static"]
fn several_clients_see_the_same_and_get_the_exit() {
    let container = Container::new(Runtime::Runc, &["sh", "-c", "read x; seq 1 20000; exit 4"]).with_stdin();
    let (_, mut first) = container.started();
    let path = container.config.run_dir.join("attach");
    let meta = std::fs::metadata(&path).unwrap();
    assert!(meta.file_type().is_socket());
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    let others: Vec<_> = (0..3).map(|_| container.attach()).collect();
    write_frame(&mut first, attach::STDIN, b"go\n").unwrap();
    let readers: Vec<_> = others.into_iter().map(|client| std::thread::spawn(move || collect(&client))).collect();
    let output = collect(&first);
    for reader in readers {
        let other = reader.join().unwrap();
        assert!(other.stdout == output.stdout);
        assert_eq!(other.exit, output.exit);
    }
    assert_eq!(output.code(), 4);
}

#[test]
#[ignore = "needs root, runc and busybox-static"]
fn the_program_outlives_the_client_that_started_it() {
    let container = Container::new(Runtime::Runc, &["sh", "-c", "sleep 0.5; seq 1 100000; exit 7"]);
    let (_, client) = container.started();
    close(client);
    container.wait_for_end();
    assert_eq!(container.exit().code, 7);
    assert_eq!(container.logged("stdout").lines().count(), 100_000);
    container.assert_nothing_left();
}

#[test]
#[ignore = "needs root, runc and busybox-static"]
fn a_slow_first_client_loses_nothing() {
    let container = Container::new(Runtime::Runc, &["seq", "1", "300000"]);
    let (_, client) = container.started();
    // Much longer than others are waited for.
    std::thread::sleep(Duration::from_millis(2 * attach::STALL_LIMIT_MS));
    assert!(!container.config.container_dir.join("exit.json").exists(), "the program waits for its client");
    let output = collect(&client);
    assert_eq!(output.text().lines().count(), 300_000);
    assert_eq!(output.code(), 0);
}

#[test]
#[ignore = "needs root, runc and busybox-static"]
fn a_stuck_later_client_is_cut_off() {
    let container = Container::new(Runtime::Runc, &["sh", "-c", "read x; seq 1 600000"]).with_stdin();
    let (_, mut first) = container.started();
    let stuck = container.attach();
    write_frame(&mut first, attach::STDIN, b"go\n").unwrap();
    let begin = Instant::now();
    let output = collect(&first);
    assert_eq!(output.text().lines().count(), 600_000);
    assert!(begin.elapsed() < PATIENCE);
    // It gets what was on its way, but not the end.
    assert_eq!(collect(&stuck).exit, None);
}

#[test]
#[ignore = "needs root, runc and busybox-static"]
fn a_client_that_reads_late_does_not_hold_the_lock() {
    let container = Container::new(Runtime::Runc, &["seq", "1", "45000"]);
    let (_, client) = container.started();
    // 260 kB are more than a socket takes and less than socket, queue and pipe together.
    container.wait_for_end();
    assert_eq!(container.exit().code, 0);
    let output = collect(&client);
    assert_eq!(output.text().lines().count(), 45_000);
    assert_eq!(output.code(), 0);
}

#[test]
#[ignore = "needs root, runc and busybox-static"]
fn nonsense_from_a_client_costs_only_that_client() {
    let container = Container::new(Runtime::Runc, &["cat"]).with_stdin();
    let (_, mut first) = container.started();
    let mut bad = container.attach();
    std::io::Write::write_all(&mut bad, &attach::header(attach::STDIN, attach::MAX_PAYLOAD + 1)).unwrap();
    assert_eq!(collect(&bad).exit, None);
    let mut odd = container.attach();
    write_frame(&mut odd, 200, b"unknown kinds are skipped").unwrap();
    write_frame(&mut odd, attach::RESIZE, b"x").unwrap();
    write_frame(&mut first, attach::STDIN, b"still here\n").unwrap();
    assert_eq!(collect_until(&odd, |output| !output.stdout.is_empty()).text(), "still here\n");
    write_frame(&mut first, attach::CLOSE_STDIN, b"").unwrap();
    assert_eq!(collect(&first).code(), 0);
}

#[test]
#[ignore = "needs root, runc and busybox-static"]
fn an_idle_monitor_is_small_and_quiet() {
    let container = Container::new(Runtime::Runc, &["sleep", "1000"]);
    let (started, _client) = container.started();
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", started.monitor_pid)).unwrap();
    let switches =
        || read("status").lines().filter(|line| line.contains("ctxt_switches")).map(str::to_owned).collect::<Vec<_>>();
    eventually("it settles", || {
        let before = switches();
        std::thread::sleep(Duration::from_millis(1500));
        before == switches()
    });
    let rollup = read("smaps_rollup");
    let kib = |name: &str| -> u64 {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    // Of the program file little is left mapped; how much of that counts depends on how many share it.
    assert!(kib("Private_Dirty:") <= 160, "{rollup}");
    assert!(kib("Pss:") <= 512, "{rollup}");
    assert_eq!(read("status").lines().find(|line| line.starts_with("Threads:")), Some("Threads:\t1"));
    // Descriptors: 0 to 2, lock, signals, program, socket, two outputs, log, client, memory events.
    let fds = std::fs::read_dir(format!("/proc/{}/fd", started.monitor_pid)).unwrap().count();
    assert!(fds <= 12, "{fds} descriptors");
}
