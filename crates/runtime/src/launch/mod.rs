//! The runtime's half of a plan: births the init process, does for it what is done from outside, hears what it says.
//!
//! If anything fails, the process is killed and reaped before the error is returned; what else was taken is the caller's to give
//! back, as only it knows the record.

mod birth;
mod idmap;

use crate::cgroups;
use crate::channel::{Channel, Message};
use crate::error::{Context, Error, Result};
use crate::hooks;
use crate::init::open_source;
use crate::plan::Plan;
use crate::step::{Action, Limit, MountStep, Signal, Step};
use carboy_oci::state::{State, Status};
use carboy_state::process::ProcessRef;
use carboy_sys::clone::flag;
use carboy_sys::namespace::setns;
use carboy_wire::plan::{Actor, PlanReport};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Rlimit, WaitId, WaitIdOptions, waitid};
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

/// What the callers decide.
pub struct Launch<'a> {
    /// The steps.
    pub plan: &'a Plan,
    /// What hooks read; its PID is filled in.
    pub state: State,
    /// Where the terminal's master goes; otherwise the caller gets it.
    pub console_socket: Option<OwnedFd>,
    /// A pidfd of the container's init, for `exec`.
    pub container: Option<OwnedFd>,
    /// Where `start` will knock.
    pub start_socket: Option<OwnedFd>,
    /// Called with the PID twice: when the process is born and the runtime has nothing else to do, and when it is ready, before it may
    /// go on.
    pub record: &'a mut dyn FnMut(Stage, i32) -> Result<()>,
    /// Whether to measure.
    pub trace: bool,
}

/// What has become of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It is born: the moment to write the record. Who it is, where that is known already.
    Born(Option<ProcessRef>),
    /// It is ready.
    Ready,
}

/// A process that runs the program, or waits for `start`.
#[derive(Debug)]
pub struct Launched {
    /// Its pidfd.
    pub pidfd: OwnedFd,
    /// The terminal's master, if the plan has a terminal and no socket took it.
    pub console: Option<OwnedFd>,
    /// The steps with their times.
    pub report: Option<PlanReport>,
}

/// The runtime's side while a plan is under way.
struct Runner<'a> {
    launch: Launch<'a>,
    /// The outer end; init, a copy of this process, closes its copy, or neither side would notice the other's end.
    channel: Option<Channel>,
    child: Option<(i32, OwnedFd)>,
    /// Who the child is, where that is known already.
    newborn: Option<ProcessRef>,
    console: Option<OwnedFd>,
    /// What init said before this side knew of its birth.
    early: VecDeque<Message>,
    cgroup: Option<cgroups::Entry>,
    times: Vec<(u16, u64)>,
    recorded: bool,
    executed: bool,
}

/// Performs a plan.
pub fn launch(launch: Launch<'_>) -> Result<Launched> {
    let (channel, inner) = Channel::pair()?;
    let plan = launch.plan;
    let mut runner = Runner {
        launch,
        channel: Some(channel),
        child: None,
        newborn: None,
        console: None,
        early: VecDeque::new(),
        cgroup: None,
        times: Vec::new(),
        recorded: false,
        executed: false,
    };
    let mut inner = Some(inner);
    let mut result = Ok(());
    for (index, step) in plan.steps.iter().enumerate() {
        let begun = runner.launch.trace.then(Instant::now);
        result = runner.perform(step, &mut inner);
        if result.is_err() {
            break;
        }
        if let Some(begun) = begun.filter(|_| step.actor == Actor::Runtime) {
            runner.times.push((index as u16, begun.elapsed().as_nanos() as u64));
        }
    }
    match result {
        Ok(()) => runner.finish(plan),
        Err(e) => Err(runner.abandon(e)),
    }
}

impl Runner<'_> {
    fn perform(&mut self, step: &Step, inner: &mut Option<Channel>) -> Result<()> {
        let result = match &step.action {
            Action::Clone(birth) => self.give_birth(birth, inner),
            Action::Tell(signal) if step.actor == Actor::Init => return self.hear(*signal),
            Action::Appear(_) => return self.hear_appearance(),
            Action::Tell(signal) => return self.tell(*signal),
            Action::Execute(_) => return self.hear_execution(),
            _ if step.actor == Actor::Init => return Ok(()),
            Action::IdMaps(maps) => idmap::write(self.pid(), maps),
            Action::OomScore(score) => set_oom_score(self.pid(), *score),
            Action::Cgroup(placement) if placement.adopts() => placement.adopt(self.pid()),
            Action::Cgroup(placement) => placement.create().map(|entry| self.cgroup = entry),
            Action::NetDevices(devices, joined) => {
                let own = format!("/proc/{}/ns/net", self.pid());
                crate::netlink::move_devices(devices, joined.as_deref().unwrap_or(&own))
            }
            Action::OpenSource(mount) => return self.hand_over(step, mount),
            Action::Affinity(_, cpus) => carboy_sys::priority::sched_setaffinity(cpus).context(|| "sched_setaffinity"),
            Action::Hierarchies(placement) => self.make_hierarchies(placement),
            Action::OuterLimits(limits) => set_limits(self.pid(), limits),
            Action::Hooks(moment, list) => {
                // After the program has started its state is running.
                let status = if self.executed { Status::Running } else { Status::Creating };
                hooks::run(*moment, list, &State { pid: self.pid(), status, ..self.launch.state.clone() })
            }
            other => Err(Error::Other(format!("{} is not for the runtime", other.name()))),
        };
        result.map_err(|e| Error::Step { step: step.name(), source: Box::new(e) })
    }

    fn pid(&self) -> i32 {
        self.child.as_ref().map_or(0, |(pid, _)| *pid)
    }

    fn channel(&self) -> Result<&Channel> {
        self.channel.as_ref().ok_or_else(|| Error::Other("the channel is closed".into()))
    }

    fn tell(&mut self, signal: Signal) -> Result<()> {
        if signal == Signal::Proceed {
            self.record_birth()?;
            let pid = self.pid();
            (self.launch.record)(Stage::Ready, pid)?;
        }
        self.channel()?.tell(signal)
    }

    fn hand_over(&mut self, step: &Step, mount: &MountStep) -> Result<()> {
        self.hear(Signal::WantSource)?;
        let (_, pidfd) = self.child.as_ref().ok_or_else(|| Error::Other("the plan has no process".into()))?;
        let opened = in_mount_namespace(pidfd, || open_source(mount))
            .map_err(|e| Error::Step { step: step.name(), source: Box::new(e) })?;
        self.channel()?.descriptor(opened.as_fd())
    }

    fn record_birth(&mut self) -> Result<()> {
        if self.recorded {
            return Ok(());
        }
        self.recorded = true;
        let pid = self.pid();
        let newborn = self.newborn.take();
        (self.launch.record)(Stage::Born(newborn), pid)
    }

    fn make_hierarchies(&self, placement: &cgroups::Placement) -> Result<()> {
        let entry = placement.create()?;
        let files: Vec<_> = entry.iter().flat_map(cgroups::Entry::tasks).collect();
        self.channel()?.tasks(&files)?;
        // A dozen descriptors that this short-lived process need not close one by one.
        std::mem::forget(entry);
        Ok(())
    }

    /// Waits until init lets this side go on.
    fn hear(&mut self, signal: Signal) -> Result<()> {
        self.record_birth()?;
        match self.next()? {
            Some(Message::Tell(told)) if told == signal => Ok(()),
            Some(other) => Err(Error::Other(format!("expected {signal:?}, got {other:?}"))),
            None => Err(died()),
        }
    }

    /// Waits until the program has replaced init. With `create` it is `start` that will hear of it.
    fn hear_execution(&mut self) -> Result<()> {
        let waits = self.launch.plan.steps.iter().any(|step| matches!(step.action, Action::AwaitStart));
        self.executed = true;
        if waits {
            return Ok(());
        }
        match self.next()? {
            None => self.check_execution(),
            Some(other) => Err(Error::Other(format!("expected the program to run, got {other:?}"))),
        }
    }

    /// The channel ends with init, too, if that is killed: by the kernel for want of memory, for instance.
    fn check_execution(&self) -> Result<()> {
        let (pid, pidfd) = self.child.as_ref().ok_or_else(|| Error::Other("the plan has no process".into()))?;
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let ended = waitid(WaitId::PidFd(pidfd.as_fd()), look).context(|| "waitid")?;
        let killed = ended.is_some_and(|status| status.terminating_signal().is_some());
        if killed && !ProcessRef::has_executed(*pid) { Err(died()) } else { Ok(()) }
    }

    /// The next message that is for the plan; the others are kept here.
    fn next(&mut self) -> Result<Option<Message>> {
        loop {
            let message = match self.early.pop_front() {
                Some(message) => Some(message),
                None => self.channel()?.receive()?,
            };
            match message {
                Some(Message::Failed(text)) => return Err(Error::Init(text)),
                Some(Message::Times(times)) => self.times.extend(times),
                Some(Message::Console(fd)) => self.hand_out_console(fd)?,
                Some(Message::Listener(fd)) => self.hand_out_listener(fd)?,
                other => return Ok(other),
            }
        }
    }

    /// Sends the terminal's master where the caller says, or keeps it.
    fn hand_out_console(&mut self, master: OwnedFd) -> Result<()> {
        match &self.launch.console_socket {
            // The content names the terminal, as runc's does; receivers look at the descriptor only.
            Some(socket) => crate::channel::send_with_fds(socket.as_fd(), b"/dev/ptmx", &[master.as_fd()])
                .context(|| "send the terminal")?,
            None => self.console = Some(master),
        }
        Ok(())
    }

    /// Sends the descriptor of notifications where the configuration says, with what it belongs to (runtime-spec, "Container Process
    /// State").
    fn hand_out_listener(&self, listener: OwnedFd) -> Result<()> {
        let target = self.launch.plan.steps.iter().find_map(|step| match &step.action {
            Action::Seccomp(filter) => filter.listener.as_ref(),
            _ => None,
        });
        let (path, metadata) = target.ok_or_else(|| Error::Other("no listener is configured".into()))?;
        // With `exec` the container's own process is another one.
        let own = Some(self.launch.state.pid).filter(|pid| *pid != 0).unwrap_or(self.pid());
        let state = State { pid: own, ..self.launch.state.clone() };
        let message = serde_json::json!({
            "ociVersion": state.oci_version,
            "fds": ["seccompFd"],
            "pid": self.pid(),
            "metadata": metadata,
            "state": state,
        });
        let socket = crate::commands::connect_to(std::path::Path::new(path))?;
        let text = message.to_string();
        crate::channel::send_with_fds(socket.as_fd(), text.as_bytes(), &[listener.as_fd()])
            .context(|| format!("send the descriptor of notifications to {path}"))
    }

    fn finish(mut self, plan: &Plan) -> Result<Launched> {
        let report = self.launch.trace.then(|| {
            let mut steps: Vec<_> = plan.steps.iter().map(Step::report).collect();
            for (index, ns) in &self.times {
                if let Some(step) = steps.get_mut(usize::from(*index)) {
                    step.took_ns = Some(*ns);
                }
            }
            PlanReport { steps }
        });
        let (_, pidfd) = self.child.take().ok_or_else(|| Error::Other("the plan has no process".into()))?;
        // Its other end is init's, and has gone or will go with it: it need not be closed.
        std::mem::forget(self.channel.take());
        Ok(Launched { pidfd, console: self.console, report })
    }

    /// Ends the process. What it said last explains a failure better than what this side noticed.
    fn abandon(mut self, error: Error) -> Error {
        let Some((_, pidfd)) = self.child.take() else { return error };
        let _ = carboy_sys::signal::pidfd_kill(pidfd.as_fd(), 9);
        let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
        if matches!(error, Error::Init(_)) {
            return error;
        }
        loop {
            match self.next() {
                Err(said @ Error::Init(_)) => return said,
                Ok(Some(_)) => {}
                _ => return error,
            }
        }
    }
}

fn died() -> Error {
    Error::Other("the container's first process died while it was being set up".into())
}

/// Does something with this process's rights in the mount namespace of another, where what the host made read-only is locked for the users
/// of the container.
fn in_mount_namespace<T>(pidfd: &OwnedFd, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let open = |path: &'static std::ffi::CStr| {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).context(|| format!("open {}", path.to_string_lossy()))
    };
    let (home, folder) = (open(c"/proc/self/ns/mnt")?, open(c".")?);
    setns(pidfd.as_fd(), flag::NEWNS).context(|| "setns to the container's mounts")?;
    let result = work();
    setns(home.as_fd(), flag::NEWNS).context(|| "setns back")?;
    rustix::process::fchdir(&folder).context(|| "fchdir back")?;
    result
}

fn set_oom_score(pid: i32, score: i32) -> Result<()> {
    let path = format!("/proc/{pid}/oom_score_adj");
    match std::fs::write(&path, score.to_string()) {
        // A lower score than the runtime's own needs CAP_SYS_RESOURCE on the host, which a rootless runtime has not (as runc).
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied && cgroups::rootless() => Ok(()),
        result => result.context(|| format!("write {score} to {path}")),
    }
}

/// In its user namespace init may not raise its limits; this process may, if it may at all.
fn set_limits(pid: i32, limits: &[Limit]) -> Result<()> {
    for limit in limits {
        let value = Rlimit { current: limit.soft, maximum: limit.hard };
        rustix::process::prlimit(Pid::from_raw(pid), limit.resource, value)
            .context(|| format!("prlimit {}", limit.name))?;
    }
    Ok(())
}
