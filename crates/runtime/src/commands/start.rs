//! `start`: lets a created container go on.

use crate::args::{Globals, Parser, only_id};
use crate::container::Container;
use crate::error::{Context, Error, Result};
use crate::hooks;
use crate::step::Moment;
use carboy_oci::state::{State, Status};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;

/// `start`.
pub fn main(globals: &Globals, parser: &mut Parser) -> Result<u8> {
    let container = Container::open(&globals.root, &only_id(parser)?)?;
    match container.status() {
        Status::Created => {}
        Status::Stopped => return Err(Error::State("cannot start a container that has stopped".into())),
        Status::Running | Status::Paused => {
            return Err(Error::State("cannot start an already running container".into()));
        }
        Status::Creating => return Err(Error::State("cannot start a container that is being created".into())),
    }
    let said = knock(&container)?;
    if !said.is_empty() {
        return Err(Error::Init(said));
    }
    let socket = container.socket();
    std::fs::remove_file(&socket).context(|| format!("remove {}", socket.display()))?;
    if let Err(e) = poststart(&container) {
        // As runc: the container is not what it was to be.
        if let Some(pidfd) = container.record.init.and_then(|init| init.pidfd()) {
            let _ = carboy_sys::signal::pidfd_kill(pidfd.as_fd(), 9);
        }
        return Err(e);
    }
    Ok(0)
}

/// Connects, and listens until the program runs. Returns what init has to say if it does not.
fn knock(container: &Container) -> Result<String> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(&container.folder, flags, Mode::empty()).context(|| "open the container's folder")?;
    let what = || "connect to the container's init";
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).context(what)?;
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/start.sock", folder.as_raw_fd())).context(what)?;
    connect(&socket, &address).context(what)?;
    let mut said = String::new();
    UnixStream::from(socket).read_to_string(&mut said).context(|| "listen to the container's init")?;
    Ok(said)
}

fn poststart(container: &Container) -> Result<()> {
    let Some(hooks) = container.config()?.hooks else { return Ok(()) };
    let state = State { status: Status::Running, rootfs: None, created: None, owner: None, ..container.state() };
    hooks::run(Moment::Poststart, &hooks.poststart, &state)
}
