//! The socket between the runtime and the init process, and what is said over it.
//!
//! ```text
//! tag  from     payload                      meaning
//!  0   either   1 byte                       Signal: one lets the other go on
//!  1   init     UTF-8                        it failed; the runtime prints this
//!  2   init     (u16 step, u64 ns)*          --trace: time of each of its steps
//!  3   init     descriptor                   the terminal's master
//!  4   init     descriptor                   seccomp notifications
//!  5   stage    i32                          PID of the init process, made by an intermediate process
//!  6   helper   descriptor                   of the process that lends a user namespace: its directory in /proc
//!      runtime  descriptor                   what the next bind mount shows, where init could not open it
//!  7   runtime  descriptors                  `tasks` of the v1 hierarchies, once they are there; none: do without
//! ```
//!
//! SOCK_SEQPACKET: a message is whole or absent. End of file means that the other side has gone, or has executed the program.

use crate::error::{Context, Error, Result};
use crate::step::Signal;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use std::cell::RefCell;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// One end.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
    /// What came before it was waited for.
    tasks: RefCell<Option<Vec<OwnedFd>>>,
}

/// What is said.
#[derive(Debug)]
pub enum Message {
    /// Go on.
    Tell(Signal),
    /// It failed.
    Failed(String),
    /// Times of steps: index, nanoseconds.
    Times(Vec<(u16, u64)>),
    /// The terminal's master.
    Console(OwnedFd),
    /// seccomp notifications.
    Listener(OwnedFd),
    /// The init process, made by an intermediate one.
    Born(i32),
    /// What the receiver expects.
    Descriptor(OwnedFd),
    /// `tasks` of the v1 hierarchies.
    Tasks(Vec<OwnedFd>),
}

const SIGNALS: [Signal; 7] = [
    Signal::MapsWritten,
    Signal::Placed,
    Signal::RootfsReady,
    Signal::HooksDone,
    Signal::Created,
    Signal::Proceed,
    Signal::WantSource,
];

/// Longest message: 400 steps' times, or an error of that length.
const LONGEST: usize = 4096;

/// Most descriptors in a message.
const MOST_FDS: usize = 32;

impl Channel {
    /// A pair of connected ends.
    pub fn pair() -> Result<(Channel, Channel)> {
        let (a, b) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .context(|| "socketpair")?;
        Ok((Channel::of(a), Channel::of(b)))
    }

    fn of(socket: OwnedFd) -> Channel {
        Channel { socket, tasks: RefCell::default() }
    }

    /// Lets the other side go on. A side that has gone is noticed at the next receive, with its reason.
    pub fn tell(&self, signal: Signal) -> Result<()> {
        let code = SIGNALS.iter().position(|known| *known == signal).unwrap_or(0) as u8;
        self.send(&[0, code], &[])
    }

    /// Says that this side failed.
    pub fn fail(&self, text: &str) -> Result<()> {
        let mut end = text.len().min(LONGEST - 1);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.send(&[&[1], &text.as_bytes()[..end]].concat(), &[])
    }

    /// Reports times of steps.
    pub fn times(&self, times: &[(u16, u64)]) -> Result<()> {
        let mut message = vec![2];
        for (step, ns) in times.iter().take((LONGEST - 1) / 10) {
            message.extend(step.to_ne_bytes());
            message.extend(ns.to_ne_bytes());
        }
        self.send(&message, &[])
    }

    /// Hands the terminal's master over.
    pub fn console(&self, master: BorrowedFd<'_>) -> Result<()> {
        self.send(&[3], &[master])
    }

    /// Hands the descriptor of notifications over.
    pub fn listener(&self, listener: BorrowedFd<'_>) -> Result<()> {
        self.send(&[4], &[listener])
    }

    /// Hands over a descriptor that the receiver expects.
    pub fn descriptor(&self, fd: BorrowedFd<'_>) -> Result<()> {
        self.send(&[6], &[fd])
    }

    /// Takes a descriptor that the other side is to hand over now.
    pub fn take_descriptor(&self) -> Result<OwnedFd> {
        match self.receive()? {
            Some(Message::Descriptor(fd)) => Ok(fd),
            None => Err(Error::Other("the other process has gone".into())),
            other => Err(Error::Other(format!("expected a descriptor, got {other:?}"))),
        }
    }

    /// Hands over what to join the v1 hierarchies by; it may come before other messages that were asked for earlier.
    pub fn tasks(&self, files: &[BorrowedFd<'_>]) -> Result<()> {
        if files.len() > MOST_FDS {
            return Err(Error::Other(format!("more than {MOST_FDS} cgroup hierarchies")));
        }
        self.send(&[7], files)
    }

    /// Waits for the same; `None` if the other side has closed.
    pub fn take_tasks(&self) -> Result<Option<Vec<OwnedFd>>> {
        if let Some(early) = self.tasks.take() {
            return Ok(Some(early));
        }
        match self.receive_any()? {
            Some(Message::Tasks(files)) => Ok(Some(files)),
            None => Ok(None),
            other => Err(Error::Other(format!("expected the cgroup, got {other:?}"))),
        }
    }

    /// Names the init process.
    pub fn born(&self, pid: i32) -> Result<()> {
        let [a, b, c, d] = pid.to_ne_bytes();
        self.send(&[5, a, b, c, d], &[])
    }

    fn send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<()> {
        send_with_fds(self.socket.as_fd(), bytes, fds).context(|| "sendmsg to the other process")
    }

    /// The next message; `None` if the other side has closed.
    pub fn receive(&self) -> Result<Option<Message>> {
        match self.receive_any()? {
            Some(Message::Tasks(files)) => {
                self.tasks.replace(Some(files));
                self.receive_any()
            }
            other => Ok(other),
        }
    }

    fn receive_any(&self) -> Result<Option<Message>> {
        let mut bytes = [0u8; LONGEST];
        let (length, fds) = loop {
            match receive_with_fds(self.socket.as_fd(), &mut bytes) {
                // The other side has closed and left something unread; told once, before what it has said itself (unix(7)).
                Err(Errno::CONNRESET) => {}
                result => break result.context(|| "recvmsg from the other process")?,
            }
        };
        let [tag, rest @ ..] = &bytes[..length] else { return Ok(None) };
        parse(*tag, rest, fds)
            .map(Some)
            .ok_or_else(|| Error::Other(format!("unexpected message {tag} between processes")))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn parse(tag: u8, rest: &[u8], mut fds: Vec<OwnedFd>) -> Option<Message> {
    Some(match tag {
        0 => Message::Tell(*SIGNALS.get(usize::from(*rest.first()?))?),
        1 => Message::Failed(String::from_utf8_lossy(rest).into_owned()),
        2 => Message::Times(
            rest.chunks_exact(10)
                .filter_map(|c| Some((u16::from_ne_bytes([c[0], c[1]]), u64::from_ne_bytes(c[2..].try_into().ok()?))))
                .collect(),
        ),
        3 => Message::Console(fds.pop()?),
        4 => Message::Listener(fds.pop()?),
        5 => Message::Born(i32::from_ne_bytes(rest.try_into().ok()?)),
        6 => Message::Descriptor(fds.pop()?),
        7 => Message::Tasks(fds),
        _ => return None,
    })
}

/// Sends bytes, with descriptors.
pub fn send_with_fds(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).map(drop)
}

/// Receives a message: its length, and the descriptors with it.
pub fn receive_with_fds(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> Result<(usize, Vec<OwnedFd>), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let length = loop {
        match recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            result => break result?.bytes,
        }
    };
    let fds = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    Ok((length, fds.flatten().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_heard_whatever_was_left_unread() {
        let (a, b) = Channel::pair().unwrap();
        a.tell(Signal::Proceed).unwrap();
        b.fail("why").unwrap();
        drop(b);
        assert!(matches!(a.receive().unwrap(), Some(Message::Failed(text)) if text == "why"));
        assert!(a.receive().unwrap().is_none());
    }

    #[test]
    fn messages_arrive_as_they_were_sent() {
        let (a, b) = Channel::pair().unwrap();
        a.tell(Signal::Created).unwrap();
        a.fail("mount /proc: EPERM").unwrap();
        a.times(&[(3, 1 << 40), (4, 5)]).unwrap();
        a.console(rustix::stdio::stdin()).unwrap();
        a.born(77).unwrap();
        a.tasks(&[rustix::stdio::stdin(), rustix::stdio::stdout()]).unwrap();
        a.tell(Signal::Proceed).unwrap();
        drop(a);
        assert!(matches!(b.receive().unwrap(), Some(Message::Tell(Signal::Created))));
        assert!(matches!(b.receive().unwrap(), Some(Message::Failed(t)) if t == "mount /proc: EPERM"));
        assert!(matches!(b.receive().unwrap(), Some(Message::Times(t)) if t == [(3, 1 << 40), (4, 5)]));
        assert!(matches!(b.receive().unwrap(), Some(Message::Console(_))));
        assert!(matches!(b.receive().unwrap(), Some(Message::Born(77))));
        assert!(matches!(b.receive().unwrap(), Some(Message::Tell(Signal::Proceed))));
        assert_eq!(b.take_tasks().unwrap().unwrap().len(), 2);
        assert!(b.take_tasks().unwrap().is_none());
        assert!(b.receive().unwrap().is_none());
    }
}
