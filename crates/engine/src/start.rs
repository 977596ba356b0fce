//! Starting a container: one monitor per container, spawned with a status pipe and, for a client in the foreground, one end of the
//! attach stream.

use crate::create::Made;
use crate::draft::json;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::plan::{Action, Step, Trace};
use crate::record::{CONFIG, LOG, MONITOR, Record, Status};
use crate::request::{LogRequest, RunRequest};
use carboy_image::Image;
use carboy_state::file::{Durability, read_json, write_json};
use carboy_state::lock::Lock;
use carboy_sys::exec::StringList;
use carboy_sys::spawn::{Spawn, spawn};
use carboy_wire::monitor::{LogConfig, MonitorConfig, RootMount, StartReport, Started, file};
use carboy_wire::plan::PlanReport;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Pid, WaitOptions};
use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How a container is started.
#[derive(Debug, Clone, Copy, Default)]
pub struct StartOptions {
    /// Whether the caller wants the attach stream.
    pub attach: bool,
    /// Whether the steps are timed and reported.
    pub trace: bool,
    /// Initial size of the terminal: rows, columns.
    pub terminal_size: Option<(u16, u16)>,
}

/// A container that has started.
#[derive(Debug)]
pub struct Running {
    /// Its ID.
    pub id: String,
    /// Its process and its monitor's.
    pub started: Started,
    /// The attach stream (frames of `carboy_wire::attach`), if asked for.
    pub attach: Option<OwnedFd>,
    /// The steps of engine, monitor and runtime with their times, if asked for.
    pub trace: PlanReport,
}

/// Numbers of the descriptors in the monitor.
const STATUS_FD: i32 = 3;
const ATTACH_FD: i32 = 4;

impl Engine {
    /// Makes and starts a container, of the image that was `found`, if it was.
    ///
    /// # Errors
    /// As [`Engine::create`] and [`Engine::start`]. With `remove` nothing is left behind; otherwise a container whose program did not
    /// start stays, as in Docker, and [`RunFailed::id`] names it.
    pub fn run(&self, request: &RunRequest, found: Option<Image>, options: StartOptions) -> Result<Running, RunFailed> {
        let mut trace = Trace::new(options.trace);
        let made = self
            .make(request, found, options.terminal_size, &mut trace)
            .map_err(|error| RunFailed { id: None, error })?;
        let id = made.record.id.clone();
        let Made { record, root_mount, lock } = made;
        let result = self.launch(&record, root_mount, options, &mut trace);
        drop(lock);
        result.map_err(|error| {
            if request.remove {
                let _ = self.remove(&id, true, true);
            }
            RunFailed { id: (!request.remove).then_some(id), error }
        })
    }

    /// Starts a container; one that runs already is left alone, and answered with its attach stream.
    ///
    /// # Errors
    /// [`Error::StartFailed`] with the runtime's message and Docker's exit code.
    pub fn start(&self, text: &str, options: StartOptions) -> Result<Running> {
        let container = self.container(text)?;
        let id = container.record.id.clone();
        if container.status != Status::Running {
            self.settle(&container)?;
        }
        let lock: Lock = self.lock(&id)?;
        let container = self.load(&id)?;
        if container.status == Status::Running
            && let Some(started) = container.started
        {
            drop(lock);
            let attach = if options.attach { Some(self.attach(&id)?) } else { None };
            return Ok(Running { id, started, attach, trace: PlanReport::default() });
        }
        let mut trace = Trace::new(options.trace);
        self.clear_runtime(&container)?;
        for name in [file::EXIT, file::STARTED] {
            remove_if_there(&container.dir.join(name))?;
        }
        let record = container.record;
        let image = match &record.image {
            None => None,
            Some(used) => {
                let found = self.images()?.get(&used.id)?;
                Some(found.ok_or_else(|| Error::NoSuchImage(used.name.clone()))?)
            }
        };
        let root_mount = self.root_mount(&record.request, image.as_ref(), &id, &mut trace)?;
        let result = self
            .set_console_size(&record, options)
            .and_then(|()| self.launch(&record, root_mount, options, &mut trace));
        drop(lock);
        if result.is_err() && record.request.remove {
            let _ = self.remove(&id, true, true);
        }
        result
    }

    fn launch(&self, record: &Record, mount: RootMount, options: StartOptions, trace: &mut Trace) -> Result<Running> {
        let config = self.monitor_config(record, mount, options)?;
        let steps = self.launch_steps(&config, options.attach)?;
        let Some((last, before)) = steps.split_last() else { return Err(internal("no step")) };
        trace.steps(before)?;
        let Action::Spawn { program, args } = &last.action else { return Err(internal("no program")) };
        let (report, attach) = trace.timed(|| last.report(), || spawn_monitor(program, args, options.attach))?;
        match report {
            StartReport::Started { started, trace: rest } => {
                let mut steps = trace.take();
                steps.extend(rest.map(|plan| plan.steps).unwrap_or_default());
                Ok(Running { id: record.id.clone(), started, attach, trace: PlanReport { steps } })
            }
            StartReport::Failed { message, code } => Err(Error::StartFailed { message, code }),
        }
    }

    /// What was made earlier gets the size of the terminal that it is started from, before the program looks at it.
    fn set_console_size(&self, record: &Record, options: StartOptions) -> Result<()> {
        let Some(size) = options.terminal_size.filter(|_| record.request.terminal) else { return Ok(()) };
        let path = self.folders.container(&record.id).join(CONFIG);
        let mut spec: carboy_oci::runtime::Spec = read_json(&path)?;
        if let Some(process) = &mut spec.process {
            process.console_size = Some(console_size(size));
        }
        Ok(write_json(&path, &spec, Durability::Process)?)
    }

    /// The steps from the record to the monitor; the last one spawns it.
    pub(crate) fn launch_steps(&self, config: &MonitorConfig, attach: bool) -> Result<Vec<Step>> {
        let path = config.container_dir.join(MONITOR);
        let mut args = vec![
            "run".to_owned(),
            "--config".into(),
            path.display().to_string(),
            "--status-fd".into(),
            STATUS_FD.to_string(),
        ];
        if attach {
            args.extend(["--attach-fd".to_owned(), ATTACH_FD.to_string()]);
        }
        let content = json("monitor.json", config)?;
        Ok(vec![
            Step::new(
                Action::Folder { of: "run", path: config.run_dir.clone(), mode: 0o711, existing: true },
                "lock, sockets and mount point, which a reboot may take",
                "always",
            ),
            Step::new(
                Action::File { path, content, durability: Durability::Process },
                "everything the monitor is told",
                "the request",
            ),
            Step::new(
                Action::Spawn { program: self.monitor()?, args },
                "the container's monitor outlives this command",
                if attach { "in the foreground" } else { "--detach" },
            ),
        ])
    }

    pub(crate) fn monitor_config(
        &self,
        record: &Record,
        root_mount: RootMount,
        options: StartOptions,
    ) -> Result<MonitorConfig> {
        let container_dir = self.folders.container(&record.id);
        let run_dir = self.folders.run(&record.id);
        let request: &RunRequest = &record.request;
        Ok(MonitorConfig {
            id: record.id.clone(),
            bundle: container_dir.clone(),
            runtime: record.runtime.clone(),
            root_mount: Some(root_mount),
            user_namespace: record.user_namespace.clone(),
            terminal: request.terminal,
            terminal_size: options.terminal_size,
            stdin_open: request.stdin_open,
            stdin_once: request.stdin_once,
            log: match request.log {
                LogRequest::None => LogConfig::None,
                LogRequest::JsonFile { max_size, max_files } => {
                    LogConfig::JsonFile { path: container_dir.join(LOG), max_size, max_files: max_files.max(1) }
                }
            },
            remove_on_exit: if request.remove { self.remains(record) } else { Vec::new() },
            trace: options.trace,
            container_dir,
            run_dir,
        })
    }

    /// Everything that is removed with a container, the folder with its record last.
    pub(crate) fn remains(&self, record: &Record) -> Vec<PathBuf> {
        let anonymous = record.resolved.mounts.iter().filter(|m| m.anonymous).filter_map(|m| m.volume.as_deref());
        let mut list: Vec<PathBuf> = vec![self.folders.name(&record.name)];
        list.extend(anonymous.map(|name| self.folders.volume(name)));
        list.push(self.folders.run(&record.id));
        list.push(self.folders.container(&record.id));
        list
    }
}

/// A container that did not start.
#[derive(Debug)]
pub struct RunFailed {
    /// The container, if it stays.
    pub id: Option<String>,
    /// Why.
    pub error: Error,
}

fn internal(what: &str) -> Error {
    Error::Helper { program: "carboy".into(), message: format!("internal error: {what}") }
}

/// Rows and columns as the spec has them.
pub(crate) fn console_size((height, width): (u16, u16)) -> carboy_oci::runtime::ConsoleSize {
    carboy_oci::runtime::ConsoleSize { height, width }
}

fn remove_if_there(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::at("remove", path)(e)),
        _ => Ok(()),
    }
}

fn spawn_monitor(program: &Path, args: &[String], attach: bool) -> Result<(StartReport, Option<OwnedFd>)> {
    let pipe = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
    let (status, status_end) = pipe.map_err(Error::errno("make a pipe for", program))?;
    let null = rustix::fs::openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    let null = null.map_err(Error::errno("open", Path::new("/dev/null")))?;
    let (mine, theirs) = if attach {
        let pair = rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
        let (mine, theirs) = pair.map_err(Error::errno("start", program))?;
        (Some(mine), Some(theirs))
    } else {
        (None, None)
    };
    let mut fds = vec![(null.as_fd(), 0), (null.as_fd(), 1), (null.as_fd(), 2), (status_end.as_fd(), STATUS_FD)];
    fds.extend(theirs.as_ref().map(|fd| (fd.as_fd(), ATTACH_FD)));
    let pid = spawn_program(program, args, &fds)?;
    drop((theirs, status_end));
    let report = read_report(status, program);
    reap(pid);
    Ok((report?, mine))
}

/// Starts a program with these descriptors.
pub(crate) fn spawn_program(
    program: &Path,
    args: &[String],
    fds: &[(std::os::fd::BorrowedFd<'_>, i32)],
) -> Result<Pid> {
    let c_string = |bytes: &[u8]| {
        CString::new(bytes).map_err(|_| Error::Invalid("an argument must not contain a zero byte".into()))
    };
    let path = c_string(program.as_os_str().as_bytes())?;
    let mut words = vec![path.clone()];
    for arg in args {
        words.push(c_string(arg.as_bytes())?);
    }
    let words = StringList::new(words);
    spawn(&Spawn { path: &path, args: &words, env: None, fds }).map_err(Error::errno("start", program))
}

fn read_report(status: OwnedFd, program: &Path) -> Result<StartReport> {
    let mut line = Vec::new();
    File::from(status).read_to_end(&mut line).map_err(Error::at("read the status of", program))?;
    if line.is_empty() {
        return Err(Error::Helper {
            program: program.display().to_string(),
            message: "it ended without saying whether the container started".into(),
        });
    }
    serde_json::from_slice(&line).map_err(|source| Error::Json { what: "the monitor's report", source })
}

fn reap(pid: Pid) {
    while let Err(rustix::io::Errno::INTR) = rustix::process::waitpid(Some(pid), WaitOptions::empty()) {}
}
