//! What pulls and pushes look like on a terminal, through a connection slow enough to be watched.

use crate::common::images::{self, Entry};
use crate::common::terminal::Terminal;
use crate::common::{Env, Registry};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// A relay to a registry that passes so many bytes a second on, each way and for each connection. Its threads end with the process.
fn slow(to: &str, bytes_per_second: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let to = to.to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(&to) else { continue };
            for (mut from, mut into) in [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)] {
                std::thread::spawn(move || {
                    let mut buffer = vec![0; bytes_per_second / 20];
                    while let Ok(count @ 1..) = from.read(&mut buffer) {
                        if into.write_all(&buffer[..count]).is_err() {
                            break;
                        }
                        std::thread::sleep(Duration::from_millis(50));
                    }
                    let _ = into.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
    address
}

/// Lines as they were drawn, without what moves the cursor.
fn drawn(screen: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for piece in screen.split(['\n', '\r']) {
        let mut text = String::new();
        let mut rest = piece;
        while let Some((before, after)) = rest.split_once("\x1b[") {
            text.push_str(before);
            rest = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
            rest = rest.get(1..).unwrap_or_default();
        }
        text.push_str(rest);
        if !text.is_empty() {
            lines.push(text);
        }
    }
    lines
}

/// An image of one uncompressed layer of 3 MB at a registry, and the layer's short digest.
fn image(registry: &Registry) -> (String, String) {
    let mut state = 1_u32;
    let noise: Vec<u8> = (0..3_000_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    let name = registry.push_plain(&images::tar(&[Entry::File("noise", &noise)]), "team/noise");
    let layer = registry.layers("team/noise:plain")[0]["sha256:".len()..][..12].to_owned();
    (name, layer)
}

/// A pull at so many bytes a second that is under way: the image, its layer's short digest, the terminal, and what modes that had before.
fn slow_pull(env: &Env, registry: &Registry, bytes_per_second: usize) -> (String, String, Terminal, String) {
    let (name, layer) = image(registry);
    let name = name.replace(&registry.address, &slow(&registry.address, bytes_per_second));
    let mut terminal = env.terminal(["pull", &name]);
    let before = terminal.modes();
    terminal.expect(&format!("{layer}: Downloading"));
    (name, layer, terminal, before)
}

#[test]
#[ignore = "needs root, docker-registry"]
fn a_line_for_each_layer_with_bytes_and_rate() {
    let (env, registry) = (Env::new(), Registry::start());
    let (name, layer, mut terminal, before) = slow_pull(&env, &registry, 2_000_000);
    terminal.expect("MB/s");
    terminal.resize(24, 50);
    let narrow_from = terminal.screen().len();
    assert_eq!(terminal.wait(), 0, "{}", terminal.screen());
    assert_eq!(terminal.modes(), before);
    let screen = terminal.screen();
    let lines = drawn(&screen);
    assert!(lines[0].ends_with("plain: Pulling from team/noise"), "{lines:?}");
    let line = lines.iter().find(|line| line.contains("[=") && line.contains(">")).expect("a bar");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!((words[0], words[1]), (&*format!("{layer}:"), "Downloading"), "{line}");
    let (bytes, rate) = (words[words.len() - 2], words[words.len() - 1]);
    assert!(bytes.ends_with("/3.00MB") && rate.ends_with("B/s"), "{line}");
    assert!(lines.iter().all(|line| line.chars().count() < 80 || line.contains("sha256:")), "{lines:?}");
    // One drawing may have begun before the window changed.
    let narrow: Vec<String> = drawn(&screen[narrow_from..]).into_iter().filter(|l| l.starts_with(&layer)).collect();
    assert!(narrow.len() > 2 && narrow[2..].iter().all(|line| line.chars().count() < 50), "{narrow:?}");
    let last: Vec<&str> = lines.iter().rev().take(4).map(String::as_str).collect();
    assert_eq!((last[0], last[1]), (&*name, &*format!("Status: Downloaded newer image for {name}")));
    assert!(
        last[2].starts_with("Digest: sha256:") && last[3].starts_with(&format!("{layer}: Pull complete")),
        "{last:?}"
    );

    // The other way, and quietly.
    let second = Registry::start();
    let to = format!("{}/team/noise:1", slow(&second.address, 2_000_000));
    let mut terminal = env.terminal(["push", &name, &to]);
    // The kernel may take all of it before the registry has it: "Finishing".
    terminal.expect(&format!("{layer}: "));
    terminal.expect("MB/3.00MB");
    terminal.expect("MB/s");
    assert_eq!(terminal.wait(), 0, "{}", terminal.screen());
    let lines = drawn(&terminal.screen());
    assert!(lines.iter().any(|line| line.starts_with(&format!("{layer}: Pushed"))), "{lines:?}");
    assert!(lines.last().unwrap().starts_with("1: digest: sha256:"), "{lines:?}");
    let mut terminal = env.terminal(["pull", "--quiet", &name]);
    assert_eq!(terminal.wait(), 0);
    assert!(terminal.screen().starts_with(&format!("{name}@sha256:")), "{}", terminal.screen());
    assert_eq!(terminal.screen().lines().count(), 1, "{}", terminal.screen());
}

#[test]
#[ignore = "needs root, docker-registry"]
fn an_interrupt_ends_it_at_once_and_leaves_nothing() {
    let (env, registry) = (Env::new(), Registry::start());
    let (_, _, mut terminal, before) = slow_pull(&env, &registry, 200_000);
    terminal.expect("kB/s");
    let pressed = std::time::Instant::now();
    terminal.send("\x03");
    assert_eq!(terminal.wait(), 130, "{}", terminal.screen());
    assert!(pressed.elapsed() < Duration::from_secs(3) * crate::common::slowness(), "{:?}", pressed.elapsed());
    assert_eq!(terminal.modes(), before);
    assert!(!terminal.screen().contains("\x1b[?"), "the cursor was not hidden: {:?}", terminal.screen());
    assert_eq!(env.carboy(["images", "-q"]).ok(), "");
    env.carboy(["image", "prune", "-f"]).ok();
    assert_eq!(env.files(), [""; 0]);
}

#[test]
#[ignore = "needs root"]
fn layers_that_are_loaded() {
    let env = Env::new();
    let archive = images::file("busybox.docker.tar").display().to_string();
    let mut terminal = env.terminal(["load", "-i", &archive]);
    assert_eq!(terminal.wait(), 0, "{}", terminal.screen());
    let lines = drawn(&terminal.screen());
    let (last, before) = lines.split_last().unwrap();
    assert_eq!(last, "Loaded image: busybox:latest");
    let words: Vec<&str> = before.last().expect("a line for the layer").split_whitespace().collect();
    assert!(words[0].len() == 13 && words[1] == "Loaded" && words[2].ends_with("MB"), "{words:?}");
    env.carboy(["rmi", "busybox"]).ok();
    let mut terminal = env.terminal(["load", "-q", "-i", &archive]);
    assert_eq!((terminal.wait(), &*terminal.screen()), (0, "Loaded image: busybox:latest\r\n"));
    assert_eq!(env.carboy(["load", "-i", &archive]).ok(), "Loaded image: busybox:latest\n");
    // What is here already is not read again.
    let mut terminal = env.terminal(["load", "-i", &archive]);
    assert_eq!(terminal.wait(), 0);
    assert!(terminal.screen().ends_with("Loaded image: busybox:latest\r\n"), "{}", terminal.screen());
}
