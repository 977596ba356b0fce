//! `delete`: gives back everything that a container took, in whatever state a crash left it.

use crate::args::{Arg, Globals, Parser, one_id, switch, text};
use crate::container::Container;
use crate::error::{Context, Error, Result};
use crate::hooks;
use crate::step::Moment;
use carboy_oci::runtime::Hooks;
use carboy_oci::state::{State, Status};
use carboy_sys::clone::flag;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::AsFd;

/// How long a killed init may take to end, in seconds.
const PATIENCE_S: i64 = 10;

/// `delete`.
pub fn main(globals: &Globals, parser: &mut Parser) -> Result<u8> {
    let (mut id, mut force, mut regex) = (None, false, false);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Value(value) if id.is_none() => id = Some(text(value)?),
            Arg::Long("force") | Arg::Short('f') => force = switch(parser)?,
            Arg::Long("regex") | Arg::Short('r') => regex = switch(parser)?,
            other => return Err(other.unexpected().into()),
        }
    }
    let id = one_id(id)?;
    if regex {
        return super::for_each_match(globals, &id, |id| delete(globals, id, force));
    }
    match delete(globals, &id, force) {
        Err(Error::NotFound) if force => Ok(0),
        result => result.map(|()| 0),
    }
}

fn delete(globals: &Globals, id: &str, force: bool) -> Result<()> {
    let container = Container::open(&globals.root, id)?;
    match container.status() {
        Status::Stopped => {}
        // As runc: what has not been started may go without force.
        Status::Created => {}
        status if !force => {
            return Err(Error::State(format!("cannot delete container {id} that is not stopped: {}", status.as_str())));
        }
        _ => {}
    }
    let config = if container.record.poststop { container.config().ok() } else { None };
    let hooks = config.and_then(|spec| spec.hooks);
    let (warnings, mut left): (Vec<_>, Vec<_>) =
        give_back(&container, hooks.as_deref()).into_iter().partition(|e| matches!(e, Error::Afterwards(_)));
    for warning in &warnings {
        globals.log.write("warning", &warning.to_string());
    }
    match left.pop() {
        None => Ok(()),
        Some(last) => {
            for error in &left {
                globals.log.write("error", &error.to_string());
            }
            Err(last)
        }
    }
}

/// Kills what still runs, removes the cgroup, runs the poststop hooks, forgets. Goes on past errors and returns them; the record stays
/// if the processes or the cgroup do, so that it can be tried again.
pub fn give_back(container: &Container, hooks: Option<&Hooks>) -> Vec<Error> {
    let ended = end_init(container);
    release(container, hooks, ended)
}

/// The same for whoever has seen the container's init end, or has tried to end it.
pub fn release(container: &Container, hooks: Option<&Hooks>, init: Result<()>) -> Vec<Error> {
    let mut left: Vec<Error> = init.and_then(|()| end_others(container)).err().into_iter().collect();
    left.extend(container.record.cgroup.remove());
    if !left.is_empty() {
        return left;
    }
    if let Some(hooks) = hooks.filter(|hooks| !hooks.poststop.is_empty() && container.record.init.is_some()) {
        let state = State { rootfs: None, created: None, owner: None, ..container.state_as(Status::Stopped) };
        // The others run, and the container goes, whether one fails or not (runtime-spec, "Lifecycle").
        let failed = hooks::run_all(Moment::Poststop, &hooks.poststop, &state);
        left.extend(failed.into_iter().map(|e| Error::Afterwards(Box::new(e))));
    }
    left.extend(container.forget().err());
    left
}

fn end_init(container: &Container) -> Result<()> {
    if let Some(pidfd) = container.record.init.and_then(|init| init.pidfd()) {
        let _ = carboy_sys::signal::pidfd_kill(pidfd.as_fd(), 9);
        let _ = container.record.cgroup.thaw();
        let patience = Timespec { tv_sec: PATIENCE_S, tv_nsec: 0 };
        let ended =
            poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&patience)).context(|| "poll the init process")?;
        if ended == 0 {
            return Err(Error::State(format!("the init process still runs {PATIENCE_S} s after SIGKILL")));
        }
    }
    Ok(())
}

fn end_others(container: &Container) -> Result<()> {
    // Init's end ends a PID namespace; without one of its own the container may have others. A runtime that was killed may have left an
    // init that is on no record.
    if container.record.namespaces & flag::NEWPID == 0 || container.record.init.is_none() {
        container.record.cgroup.signal_all(9)?;
    }
    Ok(())
}
