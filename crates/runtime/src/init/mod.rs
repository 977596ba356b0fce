//! The container's first process, from its birth to the program: performs the init steps of a plan, in order.
//!
//! It is a copy of the runtime with one thread. It talks to the runtime over the [`Channel`] alone; its errors go there whole. It
//! never returns: it executes the program or exits.

mod appear;
mod cgroup_mounts;
mod console;
mod copy_up;
mod devices;
mod exec;
mod fresh;
mod identity;
mod mask;
mod mounts;
mod root;
pub mod tree;
pub use mounts::open_source;
pub mod userns;

use crate::channel::{Channel, Message};
use crate::error::{Context, Error, Result};
use crate::hooks;
use crate::step::{Action, Join, Place, Signal, Step};
use carboy_oci::state::State;
use carboy_sys::clone::flag;
use carboy_sys::{keyring, loopback, namespace, priority, process};
use carboy_wire::plan::Actor;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Instant;

/// What the runtime hands to the new process, beside the plan.
#[derive(Debug)]
pub struct Inheritance {
    /// The channel's inner end.
    pub channel: Channel,
    /// Where `start` knocks.
    pub start_socket: Option<OwnedFd>,
    /// A pidfd of the container's init, for `exec`.
    pub container: Option<OwnedFd>,
    /// By what to join the cgroup.
    pub cgroup: Option<crate::cgroups::Entry>,
    /// What hooks read.
    pub state: State,
    /// Whether /dev is the container's own, where /dev/console can be made.
    pub own_dev: bool,
    /// Whether to report times.
    pub trace: bool,
}

/// The process.
pub struct Init<'a> {
    inheritance: &'a Inheritance,
    root: Option<OwnedFd>,
    proc: Option<OwnedFd>,
    fresh: fresh::Fresh,
    late_limit: Option<rustix::process::Rlimit>,
    /// Whether this process has made its network namespace.
    own_network: bool,
    /// Whether its working directory is known to be the container's root.
    at_root: bool,
    null: Option<OwnedFd>,
    shared_root: Option<OwnedFd>,
    cwd_pending: Option<String>,
    program: Option<CString>,
    /// SELinux's, of the program.
    label: Option<String>,
    listener_sent: bool,
    starter: Option<OwnedFd>,
    home: Option<String>,
    uid: u32,
}

/// Performs the init steps and exits if one fails.
pub fn run(steps: &[Step], inheritance: &Inheritance) -> ! {
    let mut init = Init {
        inheritance,
        root: None,
        proc: None,
        fresh: fresh::Fresh::default(),
        late_limit: None,
        own_network: false,
        at_root: false,
        null: None,
        shared_root: None,
        cwd_pending: None,
        program: None,
        label: None,
        listener_sent: false,
        starter: None,
        home: None,
        uid: 0,
    };
    let error = match init.prepare(steps) {
        Err(e) => e,
        Ok(()) => init.perform_all(steps),
    };
    init.report(&error);
    process::exit_now(1)
}

impl Init<'_> {
    fn prepare(&mut self, steps: &[Step]) -> Result<()> {
        // Modes are meant as given; the program's own mask is set with its identity.
        rustix::process::umask(Mode::empty());
        if steps.iter().any(|step| matches!(step.action, Action::Mask(..))) {
            self.null = Some(mask::detached_null()?);
        }
        Ok(())
    }

    /// Returns only on failure.
    fn perform_all(&mut self, steps: &[Step]) -> Error {
        let mut times = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            if step.actor != Actor::Init && !matches!(step.action, Action::Tell(_)) {
                continue;
            }
            let begun = self.inheritance.trace.then(Instant::now);
            if matches!(step.action, Action::Execute(_)) && !times.is_empty() {
                let _ = self.inheritance.channel.times(&times);
            }
            if let Err(e) = self.perform(step) {
                return match e {
                    Error::Program(..) => e,
                    e => Error::Step { step: format!("{} in init", step.name()), source: Box::new(e) },
                };
            }
            if let Some(begun) = begun.filter(|_| step.actor == Actor::Init) {
                times.push((index as u16, begun.elapsed().as_nanos() as u64));
            }
        }
        Error::Other("the plan does not end in a program".into())
    }

    fn perform(&mut self, step: &Step) -> Result<()> {
        match &step.action {
            Action::Tell(signal) if step.actor == Actor::Init => self.inheritance.channel.tell(*signal),
            Action::Tell(signal) => self.wait(*signal),
            Action::BecomeRoot => identity::become_root(),
            Action::Session => rustix::process::setsid().map(drop).context(|| "setsid"),
            Action::Join(list) => join(list, self.inheritance.container.as_ref()),
            Action::Appear(with) => self.appear(with),
            Action::CurrentRoot => self.open_current_root(),
            Action::JoinCgroup => self.join_cgroup(),
            Action::JoinHierarchies(directories) => self.join_hierarchies(directories),
            Action::NetworkNamespace => {
                self.own_network = true;
                namespace::unshare(flag::NEWNET).context(|| "unshare network")
            }
            Action::IpcNamespace => namespace::unshare(flag::NEWIPC).context(|| "unshare ipc"),
            Action::CgroupNamespace => namespace::unshare(flag::NEWCGROUP).context(|| "unshare cgroup"),
            Action::TimeNamespace(offsets) => time_namespace(offsets),
            Action::Loopback => loopback::up().map(tree::release).context(|| "ioctl SIOCSIFFLAGS lo"),
            Action::Keyring(name) => join_keyring(name),
            // The kernel takes a line without text for none.
            Action::KeyLabel(label) => self.give_label("keycreate", &format!("{label}\n")),
            Action::Isolate(flag) => root::isolate(*flag),
            Action::Root { path, shared } => self.open_root(path, *shared),
            Action::Mount(mount) => self.mount(mount),
            Action::Devices(nodes) => self.make_devices(nodes),
            Action::Links(links) => self.make_links(links),
            Action::Console(size) => self.make_console(*size),
            Action::Pivot { move_only } => self.pivot(*move_only).and_then(|()| self.own_null_streams()),
            Action::RootPropagation(flag, recursive) => self.root_propagation(*flag, *recursive),
            Action::ReadonlyRoot => self.readonly_root(),
            Action::Hostname(name) => rustix::system::sethostname(name.as_bytes()).context(|| "sethostname"),
            Action::Domainname(name) => rustix::system::setdomainname(name.as_bytes()).context(|| "setdomainname"),
            Action::Sysctl(path, value) => self.sysctl(path, value),
            Action::Mask(paths, label) => self.mask(paths, label.as_deref()),
            Action::Readonly(paths) => self.make_readonly(paths),
            Action::Hooks(moment, list) => hooks::run_inside(*moment, list, &self.inheritance.state),
            action => self.perform_on_process(action),
        }
    }

    fn perform_on_process(&mut self, action: &Action) -> Result<()> {
        match action {
            Action::Limits(limits) => self.set_limits(limits),
            Action::Scheduler(attr) => priority::sched_setattr(*attr).context(|| "sched_setattr"),
            Action::IoPriority(class, level) => priority::ioprio_set(*class, *level).context(|| "ioprio_set"),
            Action::Affinity(_, cpus) => priority::sched_setaffinity(cpus).context(|| "sched_setaffinity"),
            Action::Personality(domain) => priority::personality(*domain).context(|| "personality"),
            Action::MemoryPolicy(mode, nodes) => priority::set_mempolicy(*mode, nodes).context(|| "set_mempolicy"),
            Action::NoNewPrivileges => process::set_no_new_privileges().context(|| "prctl PR_SET_NO_NEW_PRIVS"),
            Action::Seccomp(filter) => self.install_filter(filter),
            Action::AppArmor(profile) => self.take_profile(profile),
            Action::Selinux(label) => {
                self.label = Some(label.clone());
                self.give_label("exec", label)
            }
            Action::Descriptors(preserved) => self.close_descriptors(*preserved),
            Action::Identity(identity) => self.take_identity(identity),
            Action::WorkingDirectory { path, make } => self.enter_directory(path, *make),
            Action::Find(name, path) => self.find_program(name, path),
            Action::AwaitStart => self.await_start(),
            Action::Execute(program) => Err(self.execute(program)),
            other => Err(Error::Other(format!("{} is not for init", other.name()))),
        }
    }

    /// Waits for the runtime. If it has gone, so does this process: nobody would know of it.
    fn wait(&self, signal: Signal) -> Result<()> {
        match self.inheritance.channel.receive()? {
            Some(Message::Tell(told)) if told == signal => Ok(()),
            None => process::exit_now(1),
            other => Err(Error::Other(format!("expected {signal:?}, got {other:?}"))),
        }
    }

    fn report(&self, error: &Error) {
        let text = error.to_string();
        // Once `start` is there it is the one to hear it; the runtime has gone.
        match &self.starter {
            Some(starter) => drop(rustix::io::write(starter, text.as_bytes())),
            None => drop(self.inheritance.channel.fail(&text)),
        }
    }

    /// Moves this process into its cgroup: one that moves itself is spared the system-wide lock of moving another.
    fn join_cgroup(&self) -> Result<()> {
        self.inheritance.cgroup.as_ref().map_or(Ok(()), |entry| entry.join())
    }

    fn join_hierarchies(&self, directories: &[PathBuf]) -> Result<()> {
        let Some(files) = self.inheritance.channel.take_tasks()? else { process::exit_now(1) };
        let tasks = files.into_iter().zip(directories.iter().map(|path| path.join("tasks"))).collect();
        let joiner = carboy_cgroup::Joiner::of_tasks(tasks);
        joiner.join_rest()?;
        // A dozen descriptors that execve closes.
        std::mem::forget(joiner);
        Ok(())
    }

    fn open_current_root(&mut self) -> Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        self.root = Some(rustix::fs::open(c"/", flags, Mode::empty()).context(|| "open /")?);
        Ok(())
    }

    fn root(&self) -> Result<BorrowedFd<'_>> {
        self.root.as_ref().map(AsFd::as_fd).ok_or_else(|| Error::Other("the root file system is not open yet".into()))
    }
}

/// Opens the place of a namespace. A process is known by the descriptor that the runtime has of it: in another PID namespace its number
/// means nothing.
pub fn open_place(place: &Place, container: Option<&OwnedFd>) -> Result<OwnedFd> {
    match (place, container) {
        (Place::Path(path), _) => rustix::fs::open(path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .context(|| format!("open namespace {path}")),
        (Place::Process(_), Some(fd)) => fd.try_clone().context(|| "dup of a pidfd"),
        (Place::Process(process), None) => Err(Error::State(format!("process {} has ended", process.pid))),
    }
}

/// Enters namespaces.
pub fn join(list: &[Join], container: Option<&OwnedFd>) -> Result<()> {
    // Opened first, all of them: their paths belong to the mount namespace that may be left below.
    let fds = list.iter().map(|join| open_place(&join.place, container)).collect::<Result<Vec<_>>>()?;
    for (join, fd) in list.iter().zip(&fds) {
        namespace::setns(fd.as_fd(), join.flags).context(|| format!("setns {:?}", join.place))?;
    }
    Ok(())
}

/// Makes the namespace, gives it its offsets while no process is in it, and enters it (time_namespaces(7)).
fn time_namespace(offsets: &str) -> Result<()> {
    namespace::unshare(flag::NEWTIME).context(|| "unshare time")?;
    if !offsets.is_empty() {
        std::fs::write("/proc/self/timens_offsets", offsets).context(|| "write /proc/self/timens_offsets")?;
    }
    let path = c"/proc/self/ns/time_for_children";
    let fd =
        rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).context(|| "open time namespace")?;
    namespace::setns(fd.as_fd(), flag::NEWTIME).context(|| "setns time")
}

fn join_keyring(name: &str) -> Result<()> {
    const USER_SEARCH: u32 = 0x0008_0000;
    let name = CString::new(name).map_err(|_| Error::Other("a keyring's name holds a NUL".into()))?;
    match keyring::join_session(&name) {
        // Kernels without keyrings, and quotas, are no reason not to start (as runc).
        Err(Errno::NOSYS | Errno::DQUOT | Errno::PERM) => Ok(()),
        Err(e) => Err(e).context(|| "keyctl join session keyring"),
        Ok(key) => match keyring::add_permissions(key, USER_SEARCH) {
            Ok(()) | Err(Errno::ACCESS | Errno::PERM) => Ok(()),
            Err(e) => Err(e).context(|| "keyctl set permissions"),
        },
    }
}
