//! Terminals, driven through a real pty.

use crate::common::{Bundle, wait_until};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};
use serde_json::json;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

/// A terminal with somebody in front of it.
pub(crate) struct Terminal {
    master: OwnedFd,
    slave: OwnedFd,
    seen: Arc<Mutex<String>>,
}

impl Terminal {
    pub(crate) fn new() -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        unlockpt(&master).unwrap();
        let slave = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        let seen = Arc::new(Mutex::new(String::new()));
        let (reader, text) = (std::fs::File::from(master.try_clone().unwrap()), seen.clone());
        std::thread::spawn(move || {
            let mut reader = reader;
            let mut buffer = [0; 1024];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                text.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        });
        Terminal { master, slave, seen }
    }

    fn size(&self, rows: u16, columns: u16) {
        tcsetwinsize(&self.master, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    }

    pub(crate) fn spawn(&self, mut command: Command) -> Child {
        let stdio = || Stdio::from(self.slave.try_clone().unwrap());
        command.stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().unwrap()
    }

    pub(crate) fn type_in(&self, text: &str) {
        std::fs::File::from(self.master.try_clone().unwrap()).write_all(text.as_bytes()).unwrap();
    }

    #[track_caller]
    pub(crate) fn expect(&self, words: &str) {
        wait_until(&format!("{words:?}, seen: {:?}", self.seen.lock().unwrap()), || {
            self.seen.lock().unwrap().contains(words)
        });
    }
}

/// The terminal's master, as it comes over a console socket.
pub(crate) fn accept_master(listener: &std::os::unix::net::UnixListener) -> OwnedFd {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let (stream, _) = listener.accept().unwrap();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 64];
    recvmsg(&stream, &mut [std::io::IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    descriptor.expect("a descriptor")
}

#[test]
#[ignore = "needs root: makes containers"]
fn a_shell_on_a_terminal() {
    let mut bundle = Bundle::script("tty; stty size; echo ready; read line; echo \"<$line>\"; stty size; exit 4");
    bundle.set("process/terminal", json!(true));
    let terminal = Terminal::new();
    terminal.size(33, 77);
    let before = tcgetattr(terminal.slave.as_fd()).unwrap();
    let mut child = terminal.spawn(bundle.command(&["run", &bundle.name]));
    terminal.expect("/dev/pts/0");
    terminal.expect("33 77");
    terminal.expect("ready");
    terminal.size(20, 60);
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(child.id() as i32).unwrap(),
        rustix::process::Signal::WINCH,
    )
    .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(200));
    terminal.type_in("hello\r");
    terminal.expect("<hello>");
    terminal.expect("20 60");
    assert_eq!(child.wait().unwrap().code(), Some(4));
    let after = tcgetattr(terminal.slave.as_fd()).unwrap();
    assert_eq!(before.local_modes, after.local_modes, "the terminal is as it was");
    assert_eq!(before.input_modes, after.input_modes);
}

#[test]
#[ignore = "needs root: makes containers"]
fn exec_on_a_terminal() {
    let bundle = Bundle::script("sleep 1000");
    bundle.run_detached();
    let terminal = Terminal::new();
    let mut child =
        terminal.spawn(bundle.command(&["exec", "-t", &bundle.name, "sh", "-c", "tty; echo ready; sleep 1000"]));
    terminal.expect("/dev/pts/0");
    terminal.expect("ready");
    terminal.type_in("\x03");
    assert_eq!(child.wait().unwrap().code(), Some(130), "Ctrl-C goes to the program through its terminal");
}

#[test]
#[ignore = "needs root: makes containers"]
fn a_console_socket_gets_the_master() {
    let mut bundle = Bundle::script("tty; ls -l /dev/console; read x; exit 0");
    bundle.set("process/terminal", json!(true));
    bundle.set("process/consoleSize", json!({ "height": 11, "width": 22 }));
    bundle.call(&["create", &bundle.name]).fails_with(1, "without setting console socket");
    let path = bundle.path().join("console.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    bundle.call(&["create", "--console-socket", path.to_str().unwrap(), &bundle.name]).good();
    let master = accept_master(&listener);
    let size = rustix::termios::tcgetwinsize(&master).unwrap();
    assert_eq!((size.ws_row, size.ws_col), (11, 22));
    bundle.call(&["start", &bundle.name]).good();
    let mut master = std::fs::File::from(master);
    let mut text = String::new();
    let mut buffer = [0; 256];
    while !text.contains("/dev/console") {
        let length = master.read(&mut buffer).unwrap();
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    assert!(text.contains("/dev/pts/0"), "{text}");
    master.write_all(b"\n").unwrap();
    bundle.wait_for("stopped");
}
