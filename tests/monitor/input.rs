//! Standard input and terminals.

use crate::common::{Container, Runtime, close, collect, collect_until};
use crate::on_each_runtime;
use carboy_wire::attach::{self, write_frame};
use std::time::Duration;

on_each_runtime! {
    /// What the client sends arrives, up to its end, which the program sees.
    fn input_to_its_end(runtime) {
        let container = Container::new(runtime, &["cat"]).with_stdin();
        let (_, mut client) = container.started();
        let text: String = (0..50_000).map(|n| format!("{n}\n")).collect();
        let mut writer = client.try_clone().unwrap();
        let sent = text.clone();
        let sending = std::thread::spawn(move || {
            write_frame(&mut writer, attach::STDIN, sent.as_bytes()).unwrap();
            write_frame(&mut writer, attach::CLOSE_STDIN, b"").unwrap();
        });
        let output = collect(&client);
        sending.join().unwrap();
        assert!(output.text() == text);
        assert_eq!(output.code(), 0);
        // The other side is closed.
        assert!(write_frame(&mut client, attach::STDIN, b"x").is_err());
    }

    /// The terminal has its size from the start, changes it, and passes keys on.
    fn a_terminal(runtime) {
        let script = "stty size; tty; read line; stty size; echo got $line; exit 5";
        let container = Container::new(runtime, &["sh", "-c", script]).with_terminal(33, 99);
        let (_, mut client) = container.started();
        let first = collect_until(&client, |output| output.stdout.windows(4).any(|four| four == b"pts/"));
        assert!(first.text().starts_with("33 99\r\n"), "{:?}", first.text());
        write_frame(&mut client, attach::RESIZE, &attach::encode_size(40, 132)).unwrap();
        write_frame(&mut client, attach::STDIN, b"hello\n").unwrap();
        let rest = collect(&client);
        let text = rest.text();
        assert!(text.contains("40 132\r\n") && text.contains("got hello\r\n"), "{text:?}");
        assert_eq!(rest.code(), 5);
        assert!(container.logged("stdout").contains("got hello\r\n"));
    }
}

#[test]
#[ignore = "needs root, runc and busybox-static"]
fn without_input_the_program_reads_nothing() {
    let container = Container::new(Runtime::Runc, &["cat"]);
    let (_, mut client) = container.started();
    let _ = write_frame(&mut client, attach::STDIN, b"dropped");
    let output = collect(&client);
    assert_eq!((output.text().as_str(), output.code()), ("", 0));
}

#[test]
#[ignore = "needs root, runc and busybox-static"]
fn input_ends_with_the_first_client() {
    let container = Container::new(Runtime::Runc, &["cat"]).with_stdin();
    let (_, mut client) = container.started();
    write_frame(&mut client, attach::STDIN, b"last words\n").unwrap();
    close(client);
    container.wait_for_end();
    assert_eq!(container.exit().code, 0);
    assert_eq!(container.logged("stdout"), "last words\n");
}

#[test]
#[ignore = "needs root, runc and busybox-static"]
fn input_that_stays_open_serves_one_client_after_the_other() {
    let mut container = Container::new(Runtime::Runc, &["cat"]).with_stdin();
    container.config.stdin_once = false;
    let (_, first) = container.started();
    close(first);
    for word in ["one\n", "two\n"] {
        let mut client = container.attach();
        write_frame(&mut client, attach::STDIN, word.as_bytes()).unwrap();
        assert_eq!(collect_until(&client, |output| !output.stdout.is_empty()).text(), word);
    }
    let mut client = container.attach();
    write_frame(&mut client, attach::CLOSE_STDIN, b"").unwrap();
    assert_eq!(collect(&client).code(), 0);
}

#[test]
#[ignore = "needs root, runc and busybox-static"]
fn a_program_that_does_not_read_does_not_stop_other_clients() {
    let container = Container::new(Runtime::Runc, &["sh", "-c", "sleep 2; exec cat"]).with_stdin();
    let (_, client) = container.started();
    let mut writer = client.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        write_frame(&mut writer, attach::STDIN, &[b'x'; 1_000_000]).unwrap();
        write_frame(&mut writer, attach::CLOSE_STDIN, b"").unwrap();
    });
    std::thread::sleep(Duration::from_millis(300));
    // Its input is full. A second client is still heard and sees everything.
    let second = container.attach();
    let reading = std::thread::spawn(move || collect(&second));
    let output = collect(&client);
    sending.join().unwrap();
    assert_eq!((output.stdout.len(), reading.join().unwrap().stdout.len()), (1_000_000, 1_000_000));
}

#[test]
#[ignore = "needs root, runc and busybox-static"]
fn keys_reach_the_terminals_foreground() {
    let container = Container::new(
        Runtime::Runc,
        &["sh", "-c", "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.1; done"],
    )
    .with_terminal(24, 80);
    let (_, mut client) = container.started();
    collect_until(&client, |output| output.stdout.starts_with(b"ready"));
    write_frame(&mut client, attach::STDIN, &[3]).unwrap();
    let output = collect(&client);
    assert!(output.text().contains("caught"));
    assert_eq!(output.code(), 9);
}
