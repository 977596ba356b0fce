//! Unix sockets: bound under paths of any length, and the terminal that arrives through one.

use crate::error::Error;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Bytes of a path in `sockaddr_un`, without its NUL (unix(7)).
const SUN_PATH_MAX: usize = 107;

/// A listening socket that others find at `path`, mode 0600. What is left there from before is replaced.
pub(crate) fn listen(path: &Path) -> Result<UnixListener, Error> {
    match rustix::fs::unlink(path) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(e) => return Err(Error::at("remove old socket", path)(e)),
    }
    let short = ShortPath::new(path, "self")?;
    let umask = rustix::process::umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(&short.path);
    rustix::process::umask(umask);
    listener.map_err(Error::io(format!("listen on {}", path.display())))
}

/// A name of `path` that fits into `sockaddr_un`, for as long as this lives.
pub(crate) struct ShortPath {
    pub(crate) path: PathBuf,
    folder: Option<OwnedFd>,
}

impl ShortPath {
    /// `who` is the process by whose descriptors a long path is named: `self`, or this process's PID for use by another.
    pub(crate) fn new(path: &Path, who: &str) -> Result<ShortPath, Error> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Error::Invalid(format!("{} is no path for a socket", path.display())));
        };
        if path.as_os_str().len() <= SUN_PATH_MAX {
            return Ok(ShortPath { path: path.to_owned(), folder: None });
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(folder, flags, Mode::empty()).map_err(Error::at("open", folder))?;
        let path = Path::new("/proc").join(who).join("fd").join(fd.as_raw_fd().to_string()).join(name);
        Ok(ShortPath { path, folder: Some(fd) })
    }

    /// What must stay open for as long as the short path is used, if anything.
    pub(crate) fn into_folder(self) -> Option<OwnedFd> {
        self.folder
    }
}

/// Takes the terminal's master that the runtime sends to its console socket (runc's `--console-socket`).
pub(crate) fn receive_terminal(listener: &UnixListener) -> Result<OwnedFd, Error> {
    let (stream, _) = listener.accept().map_err(Error::io("accept the runtime's terminal"))?;
    receive_fd(&stream).map_err(Error::call("receive the runtime's terminal"))
}

fn receive_fd(stream: &UnixStream) -> Result<OwnedFd, Errno> {
    // The message's text is the terminal's name in the container, of no use here.
    let mut text = [0u8; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    loop {
        match recvmsg(stream.as_fd(), &mut [IoSliceMut::new(&mut text)], &mut control, flags) {
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
            Ok(_) => break,
        }
    }
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut fds) = message
            && let Some(fd) = fds.next()
        {
            return Ok(fd);
        }
    }
    Err(Errno::NOMSG)
}
