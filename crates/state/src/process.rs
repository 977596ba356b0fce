//! Processes known by PID and start time, so that a reused PID is never taken for the old process.

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::OwnedFd;

/// A process at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRef {
    /// PID in the namespace of whoever wrote it.
    pub pid: i32,
    /// Field 22 of /proc/PID/stat: clock ticks since boot (proc_pid_stat(5)).
    pub start: u64,
}

impl ProcessRef {
    /// The process with this PID now; `None` if there is none. Zombies count as gone.
    pub fn of(pid: i32) -> Option<Self> {
        Self::of_stat(pid, &read_stat(pid)?)
    }

    /// The process that a /proc/PID/stat tells of; `None` if it is a zombie.
    pub fn of_stat(pid: i32, stat: &str) -> Option<Self> {
        let (state, start) = parse_stat(stat)?;
        (!matches!(state, 'Z' | 'X')).then_some(ProcessRef { pid, start })
    }

    /// The start time of the process with this PID now, be it a zombie; `None` if there is none.
    pub fn start_of(pid: i32) -> Option<u64> {
        let stat = read_stat(pid)?;
        parse_stat(&stat).map(|(_, start)| start)
    }

    /// Whether it still runs.
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid) == Some(*self)
    }

    /// Whether the process with this PID, be it a zombie, has executed a program since it was born: the kernel marks what has only been
    /// forked (`PF_FORKNOEXEC` of linux/sched.h, among the flags of proc_pid_stat(5)).
    pub fn has_executed(pid: i32) -> bool {
        const FORKED_ONLY: u64 = 0x40;
        let flags = |stat: &str| stat[stat.rfind(')')? + 1..].split_ascii_whitespace().nth(6)?.parse::<u64>().ok();
        read_stat(pid).and_then(|stat| flags(&stat)).is_some_and(|flags| flags & FORKED_ONLY == 0)
    }

    /// A pidfd of exactly this process; `None` if it has ended.
    pub fn pidfd(&self) -> Option<OwnedFd> {
        let fd = rustix::process::pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        // Checked after opening: the descriptor pins the PID, so what is read now is the same process.
        self.is_alive().then_some(fd)
    }

    /// Sends a signal to exactly this process; false if it has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<bool> {
        let Some(fd) = self.pidfd() else { return Ok(false) };
        match rustix::process::pidfd_send_signal(&fd, signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }
}

/// The file in one read: it is put together anew for each, and its size is not known beforehand.
fn read_stat(pid: i32) -> Option<String> {
    let file = rustix::fs::open(format!("/proc/{pid}/stat"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut text = vec![0; 1024];
    let length = rustix::io::read(&file, &mut text).ok()?;
    text.truncate(length);
    // A command name may be any bytes.
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// State and start time of a /proc/PID/stat line. The command name may hold spaces and parentheses: fields count from the last `)`.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_alive_until_it_ends() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = ProcessRef::of(child.id() as i32).unwrap();
        assert!(process.is_alive() && process.pidfd().is_some() && ProcessRef::has_executed(process.pid));
        assert!(process.signal(Signal::KILL).unwrap());
        child.wait().unwrap();
        assert!(!process.is_alive() && process.pidfd().is_none());
    }

    #[test]
    fn odd_command_names_do_not_shift_the_fields() {
        let stat = "12 (a ) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20";
        assert_eq!(parse_stat(stat), Some(('S', 777)));
    }
}
