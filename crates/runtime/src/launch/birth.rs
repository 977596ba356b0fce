//! The birth of the init process: one clone3, or two where a user namespace must be joined first.

use super::Runner;
use crate::cgroups::Entry;
use crate::channel::{Channel, Message};
use crate::error::{Context, Error, Result};
use crate::init::{self, Inheritance};
use crate::step::{Birth, Place};
use carboy_state::process::ProcessRef;
use carboy_sys::clone::{Clone, clone3, flag};
use carboy_sys::process;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, waitid};
use std::os::fd::{AsFd, OwnedFd};

impl Runner<'_> {
    /// Makes the process. In it, this does not return.
    pub(super) fn give_birth(&mut self, birth: &Birth, inner: &mut Option<Channel>) -> Result<()> {
        let channel = inner.take().ok_or_else(|| Error::Other("a plan has one process".into()))?;
        let inheritance = Inheritance {
            channel,
            start_socket: self.launch.start_socket.take(),
            container: self.launch.container.take(),
            cgroup: self.cgroup.take(),
            state: self.launch.state.clone(),
            own_dev: self.launch.plan.steps.iter().any(|step| matches!(step.action, crate::step::Action::Devices(_))),
            trace: self.launch.trace,
        };
        let visible = birth.create & flag::NEWPID == 0;
        if visible && birth.create & flag::NEWUSER == 0 {
            // Other processes of the container will see this one and its children until they execute: they may not look into
            // it (CVE-2016-9962). A new user namespace keeps them out by itself, and its maps must be written from outside.
            process::set_dumpable(false).context(|| "prctl PR_SET_DUMPABLE")?;
        }
        if birth.through.is_empty() {
            self.born_directly(birth, inheritance)
        } else {
            self.born_through(birth, inheritance)
        }
    }

    fn be_init(&mut self, inheritance: &Inheritance) -> ! {
        self.channel = None;
        init::run(&self.launch.plan.steps, inheritance)
    }

    fn born_directly(&mut self, birth: &Birth, mut inheritance: Inheritance) -> Result<()> {
        let home = birth.pid_namespace.as_ref();
        let home = home.map(|place| enter_pid_namespace(place, inheritance.container.as_ref())).transpose()?;
        let (born, newborn) = clone_near(birth.create, &mut inheritance)?;
        match born {
            Clone::Child => self.be_init(&inheritance),
            Clone::Parent { pid, pidfd } => self.child = Some((pid, pidfd)),
        }
        self.newborn = newborn;
        // A dozen descriptors that this short-lived process need not close one by one.
        std::mem::forget(inheritance.cgroup.take());
        if let Some(home) = home {
            // Hooks, too, are children of this process. An ordinary user's process, within its user namespace, may not go back.
            match carboy_sys::namespace::setns(home.as_fd(), flag::NEWPID) {
                Err(rustix::io::Errno::PERM) => {}
                result => result.context(|| "setns back")?,
            }
        }
        Ok(())
    }

    /// An intermediate process joins the namespaces, the user namespace first, and makes init as a child of this process.
    fn born_through(&mut self, birth: &Birth, mut inheritance: Inheritance) -> Result<()> {
        // Its child will be where it is.
        let (Clone::Parent { pidfd, .. }, _) = clone_near(0, &mut inheritance)? else {
            let result = init::join(&birth.through, inheritance.container.as_ref()).and_then(|()| {
                match clone3(birth.create | flag::PARENT, None).context(|| "clone3")? {
                    Clone::Child => self.be_init(&inheritance),
                    Clone::Parent { pid, .. } => inheritance.channel.born(pid),
                }
            });
            if let Err(e) = result {
                let _ = inheritance.channel.fail(&e.to_string());
            }
            process::exit_now(0)
        };
        drop(inheritance);
        self.hear_birth(&pidfd)
    }

    /// The process that was born goes on as another one, where the container sees it.
    pub(super) fn hear_appearance(&mut self) -> Result<()> {
        let (_, stage) = self.child.take().ok_or_else(|| Error::Other("the plan has no process".into()))?;
        self.hear_birth(&stage)
    }

    /// Waits for the end of an intermediate process, and for the process that it made for this one.
    fn hear_birth(&mut self, stage: &OwnedFd) -> Result<()> {
        waitid(WaitId::PidFd(stage.as_fd()), WaitIdOptions::EXITED).context(|| "waitid")?;
        // Init may have said something before its maker could tell of it.
        loop {
            match self.channel()?.receive()? {
                Some(Message::Born(pid)) => {
                    self.child = Some((pid, open_child(pid)?));
                    self.newborn = None;
                    return Ok(());
                }
                Some(message) => self.early.push_back(message),
                None => {
                    self.next()?;
                    return Err(Error::Other("the process that was to make init ended without a word".into()));
                }
            }
        }
    }
}

/// A pidfd of a child that is not reaped. Its number came over a socket that others in the container may have got hold of: it is believed
/// of a child of this process only.
fn open_child(pid: i32) -> Result<OwnedFd> {
    let raw = Pid::from_raw(pid).ok_or_else(|| Error::Other("no PID".into()))?;
    let pidfd = pidfd_open(raw, PidfdFlags::empty()).context(|| "pidfd_open")?;
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::PidFd(pidfd.as_fd()), look).context(|| format!("process {pid} is no child"))?;
    Ok(pidfd)
}

/// A child in the cgroup that it is to have. A kernel bug kills such a child at birth once `cgroup.kill` has been used near it
/// (see `carboy_cgroup`): it has not run an instruction then, and is made again outside, to join by itself.
/// What is known of a child that was looked at comes with it.
fn clone_near(flags: u64, inheritance: &mut Inheritance) -> Result<(Clone, Option<ProcessRef>)> {
    let cgroup = inheritance.cgroup.as_ref().and_then(Entry::clone_into);
    let near = cgroup.is_some();
    let born = clone3(flags, cgroup).context(|| "clone3")?;
    let Clone::Parent { pid, pidfd } = &born else { return Ok((born, None)) };
    if !near {
        return Ok((born, None));
    }
    let (killed, newborn) = look_at(*pid);
    if !killed {
        return Ok((born, newborn));
    }
    // It may as well have ended by itself since: then it stays to be waited for.
    let end =
        waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).context(|| "waitid")?;
    if end.and_then(|end| end.terminating_signal()) != Some(Signal::KILL.as_raw()) {
        return Ok((born, newborn));
    }
    waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).context(|| "waitid")?;
    if let Some(entry) = &mut inheritance.cgroup {
        entry.stay_out();
    }
    clone3(flags, None).context(|| "clone3").map(|born| (born, None))
}

/// Whether a child was killed at birth, and who it is.
fn look_at(pid: i32) -> (bool, Option<ProcessRef>) {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::open(format!("/proc/{pid}/stat"), flags, Mode::empty()) else { return (true, None) };
    let mut newborn = None;
    let killed = carboy_cgroup::killed_at_birth(|| {
        let mut bytes = [0; 1024];
        // From its beginning on the line is put together anew.
        let length = rustix::io::pread(&file, &mut bytes, 0).unwrap_or(0);
        let stat = String::from_utf8_lossy(&bytes[..length]).into_owned();
        newborn = ProcessRef::of_stat(pid, &stat);
        stat
    });
    (killed, newborn)
}

/// Has the next child born in another PID namespace. Returns the own one.
fn enter_pid_namespace(place: &Place, container: Option<&OwnedFd>) -> Result<OwnedFd> {
    let path = c"/proc/self/ns/pid";
    let home =
        rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).context(|| "open /proc/self/ns/pid")?;
    let fd = init::open_place(place, container)?;
    carboy_sys::namespace::setns(fd.as_fd(), flag::NEWPID).context(|| format!("setns {place:?}"))?;
    Ok(home)
}
