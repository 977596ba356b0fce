//! A real pseudoterminal with a program on it, driven as a person would: type, read what appears, resize the window.

use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A session whose controlling terminal this is.
pub(crate) struct Terminal {
    master: OwnedFd,
    /// Held open, so that the modes can be read after the program's end.
    slave: OwnedFd,
    child: Child,
    screen: Vec<u8>,
    read: usize,
}

impl Terminal {
    /// Starts a command that makes its standard input its controlling terminal (`setsid --ctty`), 24 rows by 80 columns.
    pub(crate) fn start(command: &mut Command) -> Terminal {
        let master = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        rustix::pty::grantpt(&master).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let path = rustix::pty::ptsname(&master, Vec::new()).unwrap();
        let slave = rustix::fs::open(path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        rustix::fs::fchmod(&slave, Mode::from_raw_mode(0o666)).unwrap();
        set_size(&master, 24, 80);
        let [stdin, stdout, stderr] = [0; 3].map(|_| slave.try_clone().unwrap());
        let child = command.stdin(stdin).stdout(stdout).stderr(stderr).spawn().unwrap();
        Terminal { master, slave, child, screen: Vec::new(), read: 0 }
    }

    /// Types.
    pub(crate) fn send(&mut self, text: &str) {
        let mut bytes = text.as_bytes();
        while !bytes.is_empty() {
            let sent = rustix::io::write(&self.master, bytes).unwrap();
            bytes = &bytes[sent..];
        }
    }

    /// Reads until `text` has appeared after what was expected before; gives what came until then.
    pub(crate) fn expect(&mut self, text: &str) -> String {
        let end = Instant::now() + Duration::from_secs(20) * super::slowness();
        loop {
            if let Some(at) = find(&self.screen[self.read..], text.as_bytes()) {
                let from = self.read;
                self.read += at + text.len();
                return String::from_utf8_lossy(&self.screen[from..self.read]).into_owned();
            }
            let more = self.fill(Duration::from_millis(200));
            let seen = String::from_utf8_lossy(&self.screen[self.read..]).into_owned();
            assert!(
                more && Instant::now() < end,
                "{text:?} does not appear; after what was expected before there is {seen:?}"
            );
        }
    }

    /// Resizes the window; the kernel tells the foreground process.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        set_size(&self.master, rows, columns);
    }

    /// All modes, in a form to compare and to print.
    pub(crate) fn modes(&self) -> String {
        let modes = rustix::termios::tcgetattr(&self.slave).unwrap();
        format!("{:?} {:?} {:?} {:?}", modes.input_modes, modes.output_modes, modes.control_modes, modes.local_modes)
    }

    /// The PID of the program.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Reads to the program's end; its exit code, 128 + signal.
    pub(crate) fn wait(&mut self) -> i32 {
        let end = Instant::now() + Duration::from_secs(20) * super::slowness();
        loop {
            self.fill(Duration::from_millis(20));
            if let Some(code) = super::command::wait(&mut self.child, Duration::ZERO) {
                while self.fill(Duration::ZERO) && self.pending() {}
                return code;
            }
            let seen = String::from_utf8_lossy(&self.screen);
            assert!(Instant::now() < end, "the program does not end; the screen: {seen:?}");
        }
    }

    /// Everything that appeared so far.
    pub(crate) fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen).into_owned()
    }

    fn pending(&self) -> bool {
        let mut fds = [rustix::event::PollFd::new(&self.master, rustix::event::PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut fds, Some(&now)).unwrap() > 0
    }

    /// Reads what there is, waiting at most so long; false at the end.
    fn fill(&mut self, limit: Duration) -> bool {
        let mut fds = [rustix::event::PollFd::new(&self.master, rustix::event::PollFlags::IN)];
        let limit = rustix::event::Timespec { tv_sec: 0, tv_nsec: limit.as_nanos() as i64 };
        if rustix::event::poll(&mut fds, Some(&limit)).unwrap() == 0 {
            return true;
        }
        let mut buffer = [0; 4096];
        match rustix::io::read(&self.master, &mut buffer) {
            Ok(0) | Err(_) => false,
            Ok(n) => {
                self.screen.extend_from_slice(&buffer[..n]);
                true
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn set_size(master: &OwnedFd, rows: u16, columns: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(master, size).unwrap();
}

fn find(within: &[u8], what: &[u8]) -> Option<usize> {
    within.windows(what.len()).position(|window| window == what)
}

#[test]
fn a_terminal_can_be_driven() {
    let mut terminal = Terminal::start(Command::new("setsid").args([
        "--ctty",
        "--wait",
        "sh",
        "-c",
        "stty size; read x; echo got $x; stty size; cat",
    ]));
    let before = terminal.modes();
    terminal.expect("24 80\r\n");
    terminal.resize(40, 100);
    terminal.send("word\n");
    terminal.expect("got word\r\n40 100\r\n");
    // `cat` answers: a shell that is about to become it would take the signal with it.
    terminal.send("again\n");
    terminal.expect("again\r\nagain\r\n");
    terminal.send("\x03");
    assert_eq!(terminal.wait(), 130);
    assert_eq!(terminal.modes(), before);
}
