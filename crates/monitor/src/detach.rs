//! Becoming a process of one's own.

use crate::error::Error;
use carboy_sys::clone::{Clone, clone3};
use carboy_sys::signal::{Mask, set_mask, signalfd};
use carboy_sys::{inherit, process};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Signal;
use std::os::fd::OwnedFd;

/// Goes on in a child, in a session of its own, without a terminal, at `/`, with `keep` as its only descriptors above 2. The
/// original process exits with success, so that whoever started it can reap it at once.
///
/// Only at the start of the program: nothing but `keep` may own a descriptor.
pub(crate) fn detach(keep: &[&OwnedFd]) -> Result<(), Error> {
    if let Clone::Parent { .. } = clone3(0, None).map_err(Error::call("fork"))? {
        process::exit_now(0);
    }
    rustix::process::setsid().map_err(Error::call("setsid"))?;
    // The pidfd of the child is in the parent only, so that nothing but what was inherited is closed here.
    inherit::close_others(keep).map_err(Error::call("close inherited descriptors"))?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(Error::call("open /dev/null"))?;
    rustix::stdio::dup2_stdin(&null).map_err(Error::call("close standard input"))?;
    rustix::stdio::dup2_stdout(&null).map_err(Error::call("close standard output"))?;
    rustix::stdio::dup2_stderr(&null).map_err(Error::call("close standard error"))?;
    rustix::process::chdir("/").map_err(Error::call("chdir /"))?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    Ok(())
}

/// Signals that are passed on to the program; see [`crate::serve`].
pub(crate) const FORWARDED: [Signal; 6] =
    [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP, Signal::USR1, Signal::USR2];

/// Blocks every signal and makes those that concern the monitor readable: the forwarded ones, and the end of a child.
pub(crate) fn signals() -> Result<OwnedFd, Error> {
    set_mask(Mask::ALL).map_err(Error::call("block signals"))?;
    let wanted = FORWARDED.iter().fold(Mask::EMPTY.with(Signal::CHILD.as_raw()), |mask, s| mask.with(s.as_raw()));
    signalfd(wanted).map_err(Error::call("signalfd"))
}

/// Waits for one child without losing signals' wake-ups.
pub(crate) fn wait_for(pid: rustix::process::Pid) -> Result<rustix::process::WaitStatus, Error> {
    loop {
        match rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()) {
            Ok(Some((_, status))) => return Ok(status),
            Ok(None) | Err(Errno::INTR) => {}
            Err(e) => return Err(Error::call("wait for the runtime")(e)),
        }
    }
}
