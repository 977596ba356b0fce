//! Signals, stopping, waiting, removing; and making good what a killed monitor or a reboot left.

use crate::draft::now_ns;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::helper::run_helper;
use crate::id;
use crate::record::{Container, RECORD, Status};
use carboy_state::file::{Durability, write_json};
use carboy_state::lock::{Lock, LockMode};
use carboy_state::process::ProcessRef;
use carboy_wire::attach::{self, Decoder};
use carboy_wire::monitor::{Exit, Started, file};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// Seconds between the stop signal and SIGKILL, unless the container or the caller says otherwise.
pub const DEFAULT_STOP_TIMEOUT: u32 = 10;

impl Engine {
    /// Whether the files say "running", or "ended, to be removed", while nobody holds the monitor's lock.
    pub(crate) fn needs_reconcile(&self, container: &Container) -> bool {
        let doubtful = match container.status {
            Status::Running => true,
            Status::Exited => container.record.request.remove,
            Status::Created => false,
        };
        doubtful && self.monitor_is_gone(container)
    }

    fn monitor_is_gone(&self, container: &Container) -> bool {
        match Lock::attempt(&container.run_dir.join(file::LOCK), LockMode::Shared) {
            Ok(lock) => lock.is_some(),
            Err(e) => e.is_not_found(),
        }
    }

    /// Finishes what a dead monitor began: kills what runs, records the end, removes what was to be removed. Idempotent.
    pub(crate) fn reconcile(&self, id: &str) -> Result<()> {
        let lock = self.lock(id)?;
        let container = self.load(id)?;
        if !self.needs_reconcile(&container) {
            return Ok(());
        }
        if container.exit.is_none() {
            self.clear_runtime(&container)?;
            let exit = Exit {
                code: 137,
                signal: Some(9),
                oom_killed: false,
                error: Some("the container's monitor was killed, or the machine restarted".into()),
                at_ns: now_ns(),
            };
            write_json(&container.dir.join(file::EXIT), &exit, Durability::Machine)?;
        }
        if container.record.request.remove {
            self.remove_remains(&container)?;
        }
        drop(lock);
        Ok(())
    }

    /// Kills the container's process and removes the runtime's state, if either is still there.
    pub(crate) fn clear_runtime(&self, container: &Container) -> Result<()> {
        if let Some(process) = container.started.as_ref().map(program) {
            process
                .signal(rustix::process::Signal::KILL)
                .map_err(Error::at("kill", Path::new("the container's program")))?;
        }
        if self.folders.runtime_state().join(&container.record.id).exists() {
            return self.runtime_delete(container);
        }
        Ok(())
    }

    /// Waits until a container that has ended is cleaned up by its monitor. Only while holding no lock.
    pub(crate) fn settle(&self, container: &Container) -> Result<()> {
        if container.status == Status::Exited && container.run_dir.is_dir() {
            match Lock::wait(&container.run_dir.join(file::LOCK), LockMode::Shared) {
                Err(e) if !e.is_not_found() => return Err(e.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Sends a signal to the container's program. After SIGKILL it waits until the end is on record (10 seconds at most), so
    /// that `kill` followed by `rm` works, as with Docker.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it does not run.
    pub fn kill(&self, text: &str, signal: i32) -> Result<()> {
        let container = self.container(text)?;
        let not_running = || {
            Error::Conflict(format!("Cannot kill container: {text}: Container {} is not running", container.record.id))
        };
        let started = running(&container).ok_or_else(not_running)?;
        if container.record.runtime.ours {
            let pidfd = program(started).pidfd().ok_or_else(not_running)?;
            match carboy_sys::signal::pidfd_kill(pidfd.as_fd(), signal) {
                Err(rustix::io::Errno::SRCH) => return Err(not_running()),
                result => result.map_err(Error::errno("signal", Path::new(text)))?,
            }
        } else {
            // Another runtime's container may be more than a process.
            run_helper(&self.runtime_words(&container, &["kill", &container.record.id, &signal.to_string()])?)?;
        }
        if signal == 9 {
            wait_for_monitor(started, Some(Duration::from_secs(10)));
        }
        Ok(())
    }

    /// Asks the program to end, and kills it after `timeout` seconds. Stopping what does not run is no error.
    ///
    /// # Errors
    /// If a signal cannot be sent.
    pub fn stop(&self, text: &str, timeout: Option<u32>) -> Result<()> {
        let container = self.container(text)?;
        let Some(started) = running(&container) else { return Ok(()) };
        let id = &container.record.id;
        let timeout = timeout.or(container.record.request.stop_timeout).unwrap_or(DEFAULT_STOP_TIMEOUT);
        self.kill_if_running(id, container.record.resolved.stop_signal)?;
        if !wait_for_monitor(started, Some(Duration::from_secs(timeout.into()))) {
            self.kill_if_running(id, 9)?;
            wait_for_monitor(started, None);
        }
        Ok(())
    }

    fn kill_if_running(&self, id: &str, signal: i32) -> Result<()> {
        match self.kill(id, signal) {
            Err(Error::Conflict(_) | Error::NoSuchContainer(_)) => Ok(()),
            result => result,
        }
    }

    /// Waits for the container's end and answers how it ended. A container that was never started is answered with status 0.
    ///
    /// # Errors
    /// If the container vanishes without a trace of its end.
    pub fn wait(&self, text: &str) -> Result<Exit> {
        let container = self.container(text)?;
        let id = container.record.id.clone();
        match (&container.exit, running(&container)) {
            (Some(exit), _) => return Ok(exit.clone()),
            (None, None) => return Ok(Exit { code: 0, signal: None, oom_killed: false, error: None, at_ns: 0 }),
            (None, Some(_)) => {}
        }
        // The frame is the only witness once --rm has removed the record.
        if let Ok(stream) = self.attach(&id)
            && let Some(exit) = read_exit(stream)
        {
            return Ok(exit);
        }
        if let Some(started) = running(&container) {
            wait_for_monitor(started, None);
        }
        let container = self.container(&id)?;
        container.exit.ok_or_else(|| Error::Conflict(format!("container {id} runs again")))
    }

    /// Connects to the container's attach socket (frames of `carboy_wire::attach`).
    ///
    /// # Errors
    /// [`Error::Conflict`] if it does not run.
    pub fn attach(&self, text: &str) -> Result<OwnedFd> {
        let container = self.container(text)?;
        if container.status != Status::Running {
            return Err(Error::Conflict("You cannot attach to a stopped container, start it first".into()));
        }
        let path = container.run_dir.join(file::ATTACH);
        let fail = |errno| Error::errno("connect to", &path)(errno);
        // Through the folder's descriptor, because a socket's path holds 107 bytes at most (unix(7)).
        let folder = File::open(&container.run_dir).map_err(Error::at("open", &container.run_dir))?;
        let short = format!("/proc/self/fd/{}/{}", folder.as_raw_fd(), file::ATTACH);
        let address = SocketAddrUnix::new(short).map_err(fail)?;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
        let socket = socket.map_err(fail)?;
        rustix::net::connect(&socket, &address).map_err(fail)?;
        Ok(socket)
    }

    /// Removes a container with its anonymous volumes if `volumes`; kills it first if `force`.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it runs and `force` is not given.
    pub fn remove(&self, text: &str, force: bool, volumes: bool) -> Result<()> {
        let mut container = self.container(text)?;
        let id = container.record.id.clone();
        if let Some(started) = running(&container) {
            if !force {
                return Err(Error::Conflict(format!(
                    "cannot remove container \"/{}\": container is running: stop the container before removing or force remove",
                    container.record.name
                )));
            }
            self.kill_if_running(&id, 9)?;
            wait_for_monitor(started, None);
            container = match self.container(&id) {
                // --rm was quicker.
                Err(Error::NoSuchContainer(_)) => return Ok(()),
                result => result?,
            };
        }
        self.settle(&container)?;
        let _lock = match self.lock(&id) {
            Err(Error::NoSuchContainer(_)) if force => return Ok(()),
            result => result?,
        };
        let mut container = self.load(&id)?;
        if container.status == Status::Running {
            return Err(Error::Conflict(format!("container {id} was started again meanwhile")));
        }
        if !volumes {
            container.record.resolved.mounts.clear();
        }
        self.clear_runtime(&container)?;
        self.remove_remains(&container)
    }

    /// Goes on past errors; the record goes first within the last folder, so that half a removal is taken for rubbish.
    fn remove_remains(&self, container: &Container) -> Result<()> {
        let mut errors = Vec::new();
        for path in self.remains(&container.record) {
            if path == container.dir {
                let _ = std::fs::remove_file(path.join(RECORD));
            }
            errors.extend(self.remove_tree(&path).err());
        }
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Error::Several(errors)),
        }
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// [`Error::NameInUse`], [`Error::Invalid`].
    pub fn rename(&self, text: &str, new: &str) -> Result<()> {
        let new = id::check_name(new)?;
        let container_id = self.container(text)?.record.id;
        let _lock = self.lock(&container_id)?;
        let mut container = self.load(&container_id)?;
        if container.status == Status::Running && container.record.request.remove {
            // The monitor was told which name to give up.
            return Err(Error::Conflict("a running container with --rm cannot be renamed".into()));
        }
        let link = self.folders.name(new);
        match std::os::unix::fs::symlink(crate::record::Folders::link_target(&container_id), &link) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                let id = self.name_holder(new).unwrap_or_else(|| "(being created)".into());
                return Err(Error::NameInUse { name: new.to_owned(), id });
            }
            result => result.map_err(Error::at("claim name", &link))?,
        }
        let old = std::mem::replace(&mut container.record.name, new.to_owned());
        write_json(&container.dir.join(RECORD), &container.record, Durability::Machine)?;
        self.remove_tree(&self.folders.name(&old))
    }
}

/// The last start, if the container runs.
pub(crate) fn running(container: &Container) -> Option<&Started> {
    container.started.as_ref().filter(|_| container.status == Status::Running)
}

fn program(started: &Started) -> ProcessRef {
    ProcessRef { pid: started.pid, start: started.pid_start }
}

/// Waits for the monitor's end, which is the end of the container and of its cleanup. False after the timeout.
fn wait_for_monitor(started: &Started, timeout: Option<Duration>) -> bool {
    let monitor = ProcessRef { pid: started.monitor_pid, start: started.monitor_start };
    let Some(pidfd) = monitor.pidfd() else { return true };
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let spec = left.map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() });
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], spec.as_ref()) {
            Ok(0) => return false,
            Err(rustix::io::Errno::INTR) => {}
            _ => return true,
        }
    }
}

fn read_exit(stream: OwnedFd) -> Option<Exit> {
    let mut stream = File::from(stream);
    let mut decoder = Decoder::new();
    while decoder.read_from(&mut stream).ok()? > 0 {
        while let Ok(Some(frame)) = decoder.next_frame() {
            if frame.kind == attach::EXIT {
                return serde_json::from_slice(frame.payload).ok();
            }
        }
    }
    None
}
