//! The program's terminal: a pair of the container's own devpts.

use super::Init;
use super::mounts::{attach, detach};
use super::tree;
use crate::error::{Context, Error, Result};
use rustix::fs::{Mode, OFlags, ResolveFlags, fstatfs, openat2};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::Winsize;
use std::os::fd::{AsFd, OwnedFd};

const DEVPTS_SUPER_MAGIC: rustix::fs::FsWord = 0x1cd1;

impl Init<'_> {
    /// Opens a pair, hands the master out, and makes the other end the controlling terminal and the three streams.
    ///
    /// The master comes from the container's devpts, checked to be one; the other end comes from the master itself, not from a path; and
    /// what it is bound to is no link (CVE-2025-52565).
    pub fn make_console(&mut self, size: Option<(u16, u16)>) -> Result<()> {
        let terminals =
            tree::find(self.root()?, "/dev/pts").context(|| "open /dev/pts (a terminal needs a devpts there)")?;
        // Before anything in it is opened, which can have effects of its own.
        if fstatfs(&terminals).context(|| "fstatfs /dev/pts")?.f_type != DEVPTS_SUPER_MAGIC {
            return Err(Error::Other("/dev/pts is no devpts".into()));
        }
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let master = openat2(&terminals, "ptmx", flags, Mode::empty(), resolve).context(|| "openat2 /dev/pts/ptmx")?;
        unlockpt(&master).context(|| "unlockpt")?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave = ioctl_tiocgptpeer(&master, flags).context(|| "ioctl TIOCGPTPEER")?;
        if let Some((rows, columns)) = size {
            let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
            rustix::termios::tcsetwinsize(&master, size).context(|| "ioctl TIOCSWINSZ")?;
        }
        self.inheritance.channel.console(master.as_fd())?;
        if self.inheritance.own_dev {
            self.bind_console(&slave)?;
        }
        rustix::process::ioctl_tiocsctty(&slave).context(|| "ioctl TIOCSCTTY")?;
        rustix::stdio::dup2_stdin(&slave).context(|| "dup2")?;
        rustix::stdio::dup2_stdout(&slave).context(|| "dup2")?;
        rustix::stdio::dup2_stderr(&slave).context(|| "dup2")
    }

    fn bind_console(&self, slave: &OwnedFd) -> Result<()> {
        let target = tree::plain_file(self.root()?, "/dev/console")?;
        match detach(slave.as_fd(), "", false) {
            Ok(mount) => attach(mount.as_fd(), target.as_fd()).context(|| "move_mount /dev/console"),
            Err(Errno::INVAL | Errno::NOENT) => Ok(()),
            Err(e) => Err(e).context(|| "open_tree of the terminal"),
        }
    }
}
