//! Programs with a terminal, driven through a real one.

use crate::common::registry::{PASSWORD, USER};
use crate::common::{Env, Registry};

#[test]
#[ignore = "needs root"]
fn size_resize_interrupt_and_exit() {
    let env = Env::new();
    env.load_busybox();
    let mut terminal = env.terminal(["run", "--rm", "-it", "-e", "PS1=ready> ", "busybox", "sh"]);
    let before = terminal.modes();
    terminal.expect("ready> ");
    assert_ne!(terminal.modes(), before, "our terminal is not in raw mode while the program has one");
    terminal.send("stty size; tty; echo TERM=$TERM\n");
    terminal.expect("\r\n24 80\r\n");
    terminal.expect("/dev/pts/0\r\nTERM=xterm\r\n");
    terminal.resize(50, 132);
    terminal.send("sleep 0.2; stty size\n");
    terminal.expect("\r\n50 132\r\n");
    // ^C ends the program in the foreground and not the shell.
    terminal.expect("ready> ");
    terminal.send("sleep 1000; echo after=$?\n");
    std::thread::sleep(std::time::Duration::from_millis(300));
    terminal.send("\x03");
    terminal.expect("ready> ");
    terminal.send("echo al''ive\n");
    terminal.expect("alive\r\n");
    terminal.send("exit 3\n");
    assert_eq!(terminal.wait(), 3, "{}", terminal.screen());
    assert_eq!(terminal.modes(), before, "the terminal's modes were not restored");
}

#[test]
#[ignore = "needs root"]
fn the_size_is_there_when_the_program_looks_first() {
    let env = Env::new();
    env.load_busybox();
    let mut terminal = env.terminal(["run", "--rm", "-t", "busybox", "stty", "size"]);
    assert_eq!(terminal.wait(), 0, "{}", terminal.screen());
    assert!(terminal.screen().contains("24 80\r"), "{}", terminal.screen());
}

#[test]
#[ignore = "needs docker-registry"]
fn a_password_is_hidden_and_the_terminal_is_as_before_whatever_comes() {
    let (env, registry) = (Env::new(), Registry::with_password());
    let mut terminal = env.terminal(["login", &registry.address]);
    let before = terminal.modes();
    terminal.expect("Username: ");
    terminal.send(&format!("{USER}\n"));
    terminal.expect("Password: ");
    terminal.send(&format!("{PASSWORD}\n"));
    assert_eq!(terminal.wait(), 0, "{}", terminal.screen());
    assert!(!terminal.screen().contains(PASSWORD), "{}", terminal.screen());
    assert_eq!(terminal.modes(), before);

    let mut terminal = env.terminal(["login", "-u", USER, &registry.address]);
    terminal.expect("Password: ");
    let hidden = terminal.modes();
    assert_ne!(hidden, before, "the password would be shown");
    terminal.send("\x03");
    assert_eq!(terminal.wait(), 128 + 2, "{}", terminal.screen());
    assert_eq!(terminal.modes(), before, "the terminal was left without echo");
}

#[test]
#[ignore = "needs root"]
fn modes_are_restored_after_a_failed_start() {
    let env = Env::new();
    env.load_busybox();
    let mut terminal = env.terminal(["run", "--rm", "-it", "busybox", "no-such-program"]);
    let before = terminal.modes();
    assert_eq!(terminal.wait(), 127, "{}", terminal.screen());
    assert_eq!(terminal.modes(), before);
    assert!(terminal.screen().contains("no-such-program"), "{}", terminal.screen());
}

#[test]
#[ignore = "needs root"]
fn modes_are_restored_when_the_client_is_told_to_end() {
    let env = Env::new();
    env.load_busybox();
    let mut terminal = env.terminal([
        "run",
        "--rm",
        "-it",
        "busybox",
        "sh",
        "-c",
        "trap 'exit 9' TERM; echo up; while :; do sleep 0.1; done",
    ]);
    let before = terminal.modes();
    terminal.expect("up\r\n");
    let pid = rustix::process::Pid::from_raw(terminal.pid() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(terminal.wait(), 9, "{}", terminal.screen());
    assert_eq!(terminal.modes(), before);
}

#[test]
#[ignore = "needs root"]
fn exec_has_a_terminal_of_its_own() {
    let env = Env::new();
    env.load_busybox();
    env.carboy(["run", "-d", "--name", "host", "busybox", "sleep", "1000"]).ok();
    let mut terminal = env.terminal(["exec", "-it", "-e", "PS1=inside> ", "host", "sh"]);
    let before = terminal.modes();
    terminal.expect("inside> ");
    terminal.send("stty size\n");
    terminal.expect("\r\n24 80\r\n");
    terminal.resize(33, 99);
    terminal.send("sleep 0.2; stty size\n");
    terminal.expect("\r\n33 99\r\n");
    terminal.send("exit 5\n");
    assert_eq!(terminal.wait(), 5, "{}", terminal.screen());
    assert_eq!(terminal.modes(), before);
    env.carboy(["rm", "-f", "host"]).ok();
}
