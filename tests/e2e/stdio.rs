//! Input, output and logs, byte for byte.

use crate::common::{Env, wait_until};
use std::time::{Duration, Instant};

/// What `seq 1 1430000` prints: a little over 10 MB.
fn lines() -> Vec<u8> {
    let mut all = Vec::new();
    for n in 1..=1_430_000_u32 {
        all.extend_from_slice(n.to_string().as_bytes());
        all.push(b'\n');
    }
    assert!(all.len() > 10_000_000);
    all
}

/// Bytes without any pattern that text would have; the same at every call.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// Compares without printing megabytes.
fn assert_same(what: &str, got: &[u8], expected: &[u8]) {
    let differs = got.iter().zip(expected).position(|(a, b)| a != b);
    assert!(got == expected, "{what}: {} bytes for {}, first difference at {differs:?}", got.len(), expected.len());
}

#[test]
#[ignore = "needs root"]
fn ten_megabytes_of_output_arrive_and_are_logged() {
    let env = Env::new();
    env.load_busybox();
    let expected = lines();
    let out = env.carboy(["run", "--name", "loud", "busybox", "seq", "1", "1430000"]).output();
    assert_eq!(out.code, 0, "{}", out.error());
    assert_same("run", &out.stdout, &expected);
    assert_same("logs", &env.carboy(["logs", "loud"]).output().stdout, &expected);
    env.carboy(["rm", "loud"]).ok();

    // Nobody attached: the log alone.
    env.carboy(["run", "-d", "--name", "loud", "busybox", "seq", "1", "1430000"]).ok();
    assert_eq!(env.carboy(["wait", "loud"]).ok(), "0\n");
    assert_same("logs, detached", &env.carboy(["logs", "loud"]).output().stdout, &expected);
}

#[test]
#[ignore = "needs root"]
fn input_is_read_to_its_end() {
    let env = Env::new();
    env.load_busybox();
    let bytes = noise(10_000_000);
    let out = env.carboy(["run", "--rm", "-i", "busybox", "cat"]).stdin(bytes.clone()).output();
    assert_eq!(out.code, 0, "{}", out.error());
    assert_same("cat", &out.stdout, &bytes);
    assert_eq!(env.carboy(["run", "--rm", "-i", "busybox", "wc", "-c"]).stdin(bytes).ok().trim(), "10000000");
    assert_eq!(env.carboy(["run", "--rm", "-i", "busybox", "wc", "-c"]).stdin("").ok().trim(), "0");
    // Without -i the program's input is empty, whatever ours is.
    assert_eq!(env.carboy(["run", "--rm", "busybox", "wc", "-c"]).stdin("unseen").ok().trim(), "0");
}

#[test]
#[ignore = "needs root"]
fn a_program_may_leave_its_input_unread() {
    let env = Env::new();
    env.load_busybox();
    let begun = Instant::now();
    let out = env.carboy(["run", "--rm", "-i", "busybox", "head", "-c", "3"]).stdin(noise(3_000_000)).output();
    assert_eq!((out.code, out.stdout.len()), (0, 3), "{}", out.error());
    // Nor does an input that stays open keep us.
    let mut child = env.carboy(["run", "--rm", "-i", "busybox", "true"]).spawn();
    let code = crate::common::command::wait(&mut child, Duration::from_secs(20) * crate::common::slowness());
    assert_eq!(code, Some(0));
    assert!(begun.elapsed() < Duration::from_secs(20) * crate::common::slowness());
}

#[test]
#[ignore = "needs root"]
fn output_and_errors_stay_apart() {
    let env = Env::new();
    env.load_busybox();
    let script = "echo out; echo err >&2; printf 'no newline'";
    let out = env.carboy(["run", "--name", "two", "busybox", "sh", "-c", script]).output();
    assert_eq!((out.text().as_str(), out.error().as_str()), ("out\nno newline", "err\n"));
    let log = env.carboy(["logs", "two"]).output();
    assert_eq!((log.text().as_str(), log.error().as_str()), ("out\nno newline", "err\n"));
}

#[test]
#[ignore = "needs root"]
fn logs_follow_until_the_end() {
    let env = Env::new();
    env.load_busybox();
    env.carboy(["run", "-d", "--name", "ticker", "busybox", "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.4; done"])
        .ok();
    assert_eq!(env.carboy(["logs", "-f", "ticker"]).ok(), "1\n2\n3\n");
    assert_eq!(env.carboy(["logs", "--tail", "1", "ticker"]).ok(), "3\n");
    let stamped = env.carboy(["logs", "-t", "--tail", "1", "ticker"]).ok();
    let (time, text) = stamped.split_once(' ').unwrap();
    assert!(text == "3\n" && time.starts_with("20") && time.ends_with('Z'), "{stamped}");
}

#[test]
#[ignore = "needs root"]
fn a_container_survives_its_client() {
    let env = Env::new();
    env.load_busybox();
    let script = "for i in $(seq 1 100); do echo $i; sleep 0.05; done";
    let mut client = env.carboy(["run", "--name", "alone", "busybox", "sh", "-c", script]).spawn();
    wait_until("first output", Duration::from_secs(20), || {
        env.carboy(["logs", "alone"]).output().text().contains("3\n")
    });
    client.kill().unwrap();
    client.wait().unwrap();
    assert_eq!(env.carboy(["wait", "alone"]).ok(), "0\n");
    let expected: String = (1..=100).map(|n| format!("{n}\n")).collect();
    assert_eq!(env.carboy(["logs", "alone"]).ok(), expected);
}
