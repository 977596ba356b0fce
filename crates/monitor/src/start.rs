//! Executing the steps that bring the program up, and undoing them when one fails.
//!
//! Invariant: after a failure nothing is left of what this start made, and nothing is touched that another monitor holds.

use crate::detach;
use crate::error::Error;
use crate::input::Input;
use crate::log::Log;
use crate::runtime;
use crate::serve::Program;
use crate::socket::{self, ShortPath};
use crate::step::{CONSOLE, RUNTIME_LOG, RUNTIME_TRACE, Step};
use crate::{rootfs, userns};
use carboy_state::file::{Durability, write_json};
use carboy_state::lock::{Lock, LockMode};
use carboy_state::process::ProcessRef;
use carboy_wire::monitor::{MonitorConfig, Started};
use carboy_wire::plan::PlanReport;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Instant;

/// What the runtime may write to standard error before the program's own output is left in the pipe.
const EARLY_MAX: usize = 1024 * 1024;

/// What has been made so far.
#[derive(Default)]
pub(crate) struct Start {
    /// The engine's ends.
    pub(crate) status: Option<OwnedFd>,
    pub(crate) attach: Option<OwnedFd>,
    pub(crate) lock: Option<Lock>,
    pub(crate) signals: Option<OwnedFd>,
    pub(crate) root_mounted: bool,
    /// The program's ends of its standard streams, until the runtime has them.
    theirs: Vec<OwnedFd>,
    pub(crate) input: Input,
    pub(crate) outputs: [Option<OwnedFd>; 2],
    console: Option<UnixListener>,
    runtime: Option<Pid>,
    /// Whether a runtime was ever started, so that there may be something to delete.
    pub(crate) runtime_called: bool,
    pub(crate) listener: Option<UnixListener>,
    pub(crate) log: Log,
    /// Read from standard error while the runtime ran.
    pub(crate) early: Vec<u8>,
    pub(crate) program: Option<Program>,
    pub(crate) started: Option<Started>,
    /// Steps with their times.
    pub(crate) trace: PlanReport,
}

impl Start {
    /// Executes the steps in order, up to the first that fails.
    pub(crate) fn execute(&mut self, config: &MonitorConfig, steps: &[Step]) -> Result<(), Error> {
        for step in steps {
            let begin = Instant::now();
            let result = self.step(config, step);
            if config.trace {
                let mut report = step.report();
                report.took_ns = Some(begin.elapsed().as_nanos() as u64);
                report.error = result.as_ref().err().map(|e| crate::error::chain(e));
                self.trace.steps.push(report);
            }
            result?;
        }
        Ok(())
    }

    fn step(&mut self, config: &MonitorConfig, step: &Step) -> Result<(), Error> {
        match step {
            Step::Detach => detach::detach(&self.status.iter().chain(&self.attach).collect::<Vec<_>>()),
            Step::Lock(path) => self.take_lock(path),
            Step::BecomeSubreaper => {
                carboy_sys::process::set_subreaper().map_err(Error::call("prctl(PR_SET_CHILD_SUBREAPER)"))?;
                self.signals = Some(detach::signals()?);
                Ok(())
            }
            Step::UserNamespace(maps) => userns::enter_new(maps),
            Step::MountNamespace => userns::unshare_mounts(),
            Step::MountRoot { root, target, volatile } => {
                rootfs::mount_root(root, target, *volatile)?;
                self.root_mounted = true;
                Ok(())
            }
            Step::ProtectRuntime(path) => {
                // What cannot be done here, on a mount that may not be copied say, the runtime does for itself in its own way.
                let _ = rootfs::mount_over_read_only(&runtime::found(path));
                Ok(())
            }
            Step::OpenPipes { stdin } => self.open_pipes(*stdin),
            Step::OpenConsole(path) => self.open_console(path),
            Step::SpawnRuntime(args) => self.spawn_runtime(config, args),
            Step::ListenAttach(path) => {
                let listener = socket::listen(path)?;
                set_nonblocking(&listener)?;
                self.listener = Some(listener);
                Ok(())
            }
            Step::OpenLog(_) => {
                self.log = Log::open(&config.log)?;
                Ok(())
            }
            Step::WritePid(path) => {
                let text = format!("{}\n", rustix::process::getpid());
                std::fs::write(path, text).map_err(Error::io(format!("write {}", path.display())))
            }
            Step::AwaitRuntime(pid_file) => self.await_runtime(config, pid_file),
            Step::WriteStarted(path) => self.write_started(path),
            other => Err(Error::Invalid(format!("not a step of the start: {other:?}"))),
        }
    }

    fn take_lock(&mut self, path: &Path) -> Result<(), Error> {
        let lock = Lock::attempt(path, LockMode::Exclusive)?;
        let busy = || Error::Invalid(format!("{} is held: the container has a monitor already", path.display()));
        self.lock = Some(lock.ok_or_else(busy)?);
        Ok(())
    }

    fn open_pipes(&mut self, stdin: bool) -> Result<(), Error> {
        let (theirs, ours) = if stdin {
            let (read, write) = std::io::pipe().map_err(Error::io("pipe"))?;
            set_nonblocking(&write)?;
            (OwnedFd::from(read), Some(OwnedFd::from(write)))
        } else {
            (null()?, None)
        };
        self.input = Input::new(ours, false);
        self.theirs = vec![theirs];
        for output in &mut self.outputs {
            let (read, write) = std::io::pipe().map_err(Error::io("pipe"))?;
            set_nonblocking(&read)?;
            *output = Some(read.into());
            self.theirs.push(write.into());
        }
        Ok(())
    }

    /// The runtime's own words still come by a pipe.
    fn open_console(&mut self, path: &Path) -> Result<(), Error> {
        self.console = Some(socket::listen(path)?);
        let (read, write) = std::io::pipe().map_err(Error::io("pipe"))?;
        set_nonblocking(&read)?;
        self.outputs[1] = Some(read.into());
        self.theirs = vec![null()?, null()?, write.into()];
        Ok(())
    }

    fn spawn_runtime(&mut self, config: &MonitorConfig, args: &[String]) -> Result<(), Error> {
        let log = config.run_dir.join(RUNTIME_LOG);
        let _ = std::fs::remove_file(&log);
        let console = config.run_dir.join(CONSOLE);
        let own_pid = rustix::process::getpid().to_string();
        let short = ShortPath::new(&console, &own_pid)?;
        let mut args = args.to_vec();
        for arg in args.iter_mut().filter(|arg| Path::new(arg) == console) {
            *arg = short.path.to_string_lossy().into_owned();
        }
        let [stdin, stdout, stderr] = &self.theirs[..] else {
            return Err(Error::Invalid("the standard streams are not open".into()));
        };
        self.runtime =
            Some(runtime::start(&config.runtime.path, &args, [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()])?);
        self.runtime_called = true;
        // Or their end would never be seen.
        self.theirs.clear();
        // A long console path goes through a descriptor of ours, which must last until the runtime has used it.
        self.theirs.extend(short.into_folder());
        Ok(())
    }

    fn await_runtime(&mut self, config: &MonitorConfig, pid_file: &Path) -> Result<(), Error> {
        let Some(pid) = self.runtime else { return Err(Error::Invalid("no runtime was started".into())) };
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(Error::call("pidfd_open of the runtime"))?;
        while !self.hear_from_runtime(config, &pidfd)? {}
        let status = detach::wait_for(pid)?;
        self.runtime = None;
        self.read_early();
        if status.exit_status() != Some(0) {
            let log = config.run_dir.join(RUNTIME_LOG);
            return Err(runtime::failure("run", &config.runtime.path, status, &log, &self.early));
        }
        if config.terminal {
            self.finish_console(config)?;
        }
        self.theirs.clear();
        if config.trace && config.runtime.ours {
            self.take_trace(&config.run_dir.join(RUNTIME_TRACE));
        }
        self.program = Some(find_program(pid_file)?);
        Ok(())
    }

    /// Waits for the runtime, its terminal or its words; true if it has ended.
    fn hear_from_runtime(&mut self, config: &MonitorConfig, pidfd: &OwnedFd) -> Result<bool, Error> {
        let mut fds = vec![PollFd::new(pidfd, PollFlags::IN)];
        let console = self.console.as_ref().filter(|_| self.outputs[0].is_none());
        fds.extend(console.map(|fd| PollFd::new(fd, PollFlags::IN)));
        let console_index = console.map(|_| 1);
        let stderr = self.outputs[1].as_ref().filter(|_| self.early.len() < EARLY_MAX);
        fds.extend(stderr.map(|fd| PollFd::new(fd, PollFlags::IN)));
        let stderr_index = stderr.map(|_| fds.len() - 1);
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(Error::call("poll")(e)),
        }
        let told = |index: Option<usize>| index.is_some_and(|index| !fds[index].revents().is_empty());
        let (ended, terminal, words) = (told(Some(0)), told(console_index), told(stderr_index));
        drop(fds);
        if terminal {
            self.take_terminal(config)?;
        }
        if words {
            self.read_early();
        }
        Ok(ended)
    }

    fn take_terminal(&mut self, config: &MonitorConfig) -> Result<(), Error> {
        let Some(listener) = &self.console else { return Ok(()) };
        let master = socket::receive_terminal(listener)?;
        set_nonblocking(&master)?;
        let writer = master.try_clone().map_err(Error::io("duplicate the terminal"))?;
        self.input = Input::new(Some(writer), true);
        if let Some((rows, columns)) = config.terminal_size {
            self.input.resize(rows, columns);
        }
        self.outputs[0] = Some(master);
        Ok(())
    }

    fn finish_console(&mut self, config: &MonitorConfig) -> Result<(), Error> {
        if self.outputs[0].is_none() {
            if let Some(listener) = &self.console {
                set_nonblocking(listener)?;
            }
            self.take_terminal(config)?;
        }
        self.console = None;
        let _ = std::fs::remove_file(config.run_dir.join(CONSOLE));
        // With a terminal, standard error was the runtime's alone.
        self.outputs[1] = None;
        self.early = Vec::new();
        Ok(())
    }

    fn read_early(&mut self) {
        let mut buffer = [0u8; 4096];
        while let Some(fd) = &self.outputs[1]
            && self.early.len() < EARLY_MAX
        {
            match rustix::io::read(fd, &mut buffer) {
                Ok(0) => self.outputs[1] = None,
                Ok(n) => self.early.extend_from_slice(&buffer[..n]),
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    /// The runtime's steps come before the end of waiting for it. Without its trace ours is still worth having.
    fn take_trace(&mut self, path: &Path) {
        if let Ok(report) = carboy_state::file::read_json::<PlanReport>(path) {
            self.trace.steps.extend(report.steps);
        }
        let _ = std::fs::remove_file(path);
    }

    fn write_started(&mut self, path: &Path) -> Result<(), Error> {
        let Some(program) = &self.program else { return Err(Error::Invalid("no program was started".into())) };
        let pid = program.pid.as_raw_nonzero().get();
        let monitor_pid = rustix::process::getpid().as_raw_nonzero().get();
        let started = Started {
            pid,
            pid_start: ProcessRef::start_of(pid).unwrap_or(0),
            monitor_pid,
            monitor_start: ProcessRef::start_of(monitor_pid).unwrap_or(0),
            at_ns: crate::serve::now_ns(),
        };
        // What a crash of the machine voids anyway need not survive it.
        write_json(path, &started, Durability::Process)?;
        self.started = Some(started);
        Ok(())
    }

    /// Ends a runtime that is still at work, so that what it has made can be deleted.
    pub(crate) fn stop_runtime(&mut self) {
        if let Some(pid) = self.runtime.take() {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            let _ = detach::wait_for(pid);
        }
    }
}

fn find_program(pid_file: &Path) -> Result<Program, Error> {
    let what = format!("read the program's PID from {}", pid_file.display());
    let text = std::fs::read_to_string(pid_file).map_err(Error::io(what.clone()))?;
    let pid = text.trim().parse().ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| Error::Invalid(format!("{what}: it holds {text:?}")))?;
    // An ended program is a zombie until it is waited for, and that too can be opened.
    let pidfd =
        pidfd_open(pid, PidfdFlags::empty()).map_err(Error::call(format!("pidfd_open of the program {pid}")))?;
    Ok(Program { pid, pidfd })
}

fn null() -> Result<OwnedFd, Error> {
    rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(Error::call("open /dev/null"))
}

fn set_nonblocking(fd: impl AsFd) -> Result<(), Error> {
    let flags = fcntl_getfl(&fd).map_err(Error::call("fcntl(F_GETFL)"))?;
    fcntl_setfl(&fd, flags | OFlags::NONBLOCK).map_err(Error::call("fcntl(F_SETFL)"))
}
