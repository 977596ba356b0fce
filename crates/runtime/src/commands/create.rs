//! `create`, and all that `run` has in common with it: from a bundle to a process that is ready.

use crate::args::{Arg, Globals, Parser, one_id, switch, text};
use crate::cgroups::{self, Search};
use crate::config;
use crate::container::{Container, Record, now};
use crate::error::{Context, Error, Result};
use crate::launch::{Launch, Launched, Stage, launch};
use crate::plan::{Plan, Request, namespaces, plan};
use crate::step::Step;
use carboy_oci::runtime::Spec;
use carboy_oci::state::{State, Status};
use carboy_state::file::{Durability, write_atomic};
use carboy_state::process::ProcessRef;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Options of `create` and `run`.
#[derive(Debug, Default)]
pub struct Options {
    /// Container ID.
    pub id: String,
    /// Folder with config.json.
    pub bundle: PathBuf,
    /// Another file than the bundle's config.json.
    pub config: Option<PathBuf>,
    /// Receives the terminal's master.
    pub console_socket: Option<PathBuf>,
    /// Receives the init's pidfd.
    pub pidfd_socket: Option<PathBuf>,
    /// Receives the init's PID.
    pub pid_file: Option<PathBuf>,
    /// Move and chroot instead of pivot_root.
    pub no_pivot: bool,
    /// Keep the session keyring.
    pub no_new_keyring: bool,
    /// Descriptors after 2 for the program.
    pub preserve_fds: u32,
    /// `run`: do not wait.
    pub detach: bool,
    /// `run`: keep the container when it has ended.
    pub keep: bool,
    /// `run`: do not adopt orphans.
    pub no_subreaper: bool,
    /// `run`: write the steps with their times there.
    pub trace: Option<PathBuf>,
}

impl Options {
    /// Reads the options of `create`, or with `run` set those of `run`.
    pub fn parse(parser: &mut Parser, run: bool) -> Result<Options> {
        let mut options = Options { bundle: PathBuf::from("."), ..Options::default() };
        let mut id = None;
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Value(value) if id.is_none() => id = Some(text(value)?),
                Arg::Long("bundle") | Arg::Short('b') => options.bundle = parser.value()?.into(),
                Arg::Long("config") | Arg::Short('f') => options.config = non_empty(parser)?,
                Arg::Long("console-socket") => options.console_socket = non_empty(parser)?,
                Arg::Long("pidfd-socket") => options.pidfd_socket = non_empty(parser)?,
                Arg::Long("pid-file") => options.pid_file = non_empty(parser)?,
                Arg::Long("no-pivot") => options.no_pivot = switch(parser)?,
                Arg::Long("no-new-keyring") => options.no_new_keyring = switch(parser)?,
                Arg::Long("preserve-fds") => options.preserve_fds = crate::args::number(parser.value()?)?,
                Arg::Long("detach") | Arg::Short('d') if run => options.detach = switch(parser)?,
                Arg::Long("keep") if run => options.keep = switch(parser)?,
                // `create` adopts nobody anyway (crun's has it, too).
                Arg::Long("no-subreaper") => options.no_subreaper = switch(parser)?,
                Arg::Long("trace") if run => options.trace = Some(parser.value()?.into()),
                other => return Err(other.unexpected().into()),
            }
        }
        options.id = one_id(id)?;
        Ok(options)
    }
}

/// A path; an empty one counts as none, as callers write `--pid-file ""`.
pub fn non_empty(parser: &mut Parser) -> Result<Option<PathBuf>> {
    Ok(Some(PathBuf::from(parser.value()?)).filter(|path| !path.as_os_str().is_empty()))
}

/// A bundle as it was read.
pub struct Bundle {
    /// Absolute path.
    pub path: PathBuf,
    /// config.json.
    pub text: Vec<u8>,
    /// The same, parsed.
    pub spec: Spec,
    /// What nobody knows in it.
    pub ignored: Vec<String>,
}

impl Bundle {
    /// Reads a bundle's configuration.
    pub fn read(options: &Options) -> Result<Bundle> {
        let path = std::path::absolute(&options.bundle).context(|| format!("bundle {}", options.bundle.display()))?;
        let file = options.config.clone().unwrap_or_else(|| path.join("config.json"));
        let text = carboy_state::file::read_small(&file).context(|| format!("open {}", file.display()))?;
        let (spec, ignored) = config::parse(&text, &file)?;
        Ok(Bundle { path, text, spec, ignored })
    }
}

/// `create`.
pub fn main(globals: &Globals, parser: &mut Parser) -> Result<u8> {
    let options = Options::parse(parser, false)?;
    let bundle = Bundle::read(&options)?;
    check_terminal(&bundle.spec, &options, true)?;
    create(globals, &options, &bundle, true).map(|_| 0)
}

/// A terminal needs somebody to hold its other end.
pub fn check_terminal(spec: &Spec, options: &Options, detached: bool) -> Result<()> {
    let terminal = spec.process.as_ref().is_some_and(|process| process.terminal);
    match (terminal, options.console_socket.is_some(), detached) {
        (true, false, true) => {
            Err(Error::Usage("cannot allocate tty if runc will detach without setting console socket".into()))
        }
        (false, true, _) | (true, true, false) => {
            Err(Error::Usage("cannot use console socket if runc will not detach or allocate tty".into()))
        }
        _ => Ok(()),
    }
}

/// Makes the container. After an error nothing of it is left.
pub fn create(
    globals: &Globals,
    options: &Options,
    bundle: &Bundle,
    await_start: bool,
) -> Result<(Container, Launched)> {
    match attempt(globals, options, bundle, await_start, Search::Quick) {
        Err(e) if e.is_cgroup_missing() && cgroups::was_misled() => {
            attempt(globals, options, bundle, await_start, Search::Thorough)
        }
        result => result,
    }
}

fn attempt(
    globals: &Globals,
    options: &Options,
    bundle: &Bundle,
    await_start: bool,
    search: Search,
) -> Result<(Container, Launched)> {
    let spec = &bundle.spec;
    let listen_fds = listen_fds()?;
    let preserved = options.preserve_fds.saturating_add(listen_fds);
    check_preserved(preserved)?;
    let (placement, view, cgroup) = cgroups::plan(spec, &options.id, globals.cgroups, search)?;
    let request = Request {
        id: options.id.clone(),
        bundle: bundle.path.clone(),
        no_pivot: options.no_pivot,
        await_start,
        no_new_keyring: options.no_new_keyring,
        preserved,
        listen_fds,
    };
    let host = crate::host::facts(spec.process.as_deref(), spec.linux.as_deref());
    // Nothing of it is given back piece by piece: the process ends soon.
    let plan = ManuallyDrop::new(plan(spec, &request, &host, placement, &view)?);
    for warning in bundle.ignored.iter().map(|name| config::warning(name)).chain(plan.warnings.iter().cloned()) {
        globals.log.write("warning", &warning);
    }
    globals.log.steps(&plan.steps);
    let record = record(options, bundle, cgroup)?;
    let (mut container, lock) = Container::claim(&globals.root, record)?;
    match fill(&mut container, &lock, options, bundle, &plan, await_start) {
        Ok(launched) => Ok((container, launched)),
        Err(e) => {
            if e.is_cgroup_in_use() {
                container.record.cgroup.give_up();
            }
            // The error that matters is the first.
            for left in super::delete::give_back(&container, spec.hooks.as_deref()) {
                globals.log.write("warning", &left.to_string());
            }
            Err(e)
        }
    }
}

/// What is on record before anything is taken.
pub fn record(options: &Options, bundle: &Bundle, cgroup: cgroups::Record) -> Result<Record> {
    let spec = &bundle.spec;
    let own = spec.linux.as_deref().map(namespaces::plan_namespaces).transpose()?.map_or(0, |n| n.own);
    let rootfs = spec.root.as_ref().map(|root| bundle.path.join(&root.path)).unwrap_or_default();
    Ok(Record {
        oci_version: spec.oci_version.clone(),
        id: options.id.clone(),
        bundle: bundle.path.display().to_string(),
        rootfs: rootfs.display().to_string(),
        created: now(),
        owner: carboy_sys::process::ids_at_start().0,
        init: None,
        namespaces: own,
        cgroup,
        poststop: spec.hooks.as_ref().is_some_and(|hooks| !hooks.poststop.is_empty()),
        no_new_keyring: options.no_new_keyring,
        annotations: spec.annotations.clone(),
    })
}

fn fill(
    container: &mut Container,
    lock: &OwnedFd,
    options: &Options,
    bundle: &Bundle,
    plan: &Plan,
    await_start: bool,
) -> Result<Launched> {
    let console_socket = options.console_socket.as_deref().map(connect_to).transpose()?;
    let start_socket = if await_start { Some(listen_in(lock.as_fd())?) } else { None };
    let state = State { rootfs: None, created: None, owner: None, ..container.state_as(Status::Creating) };
    let mut write = |stage, pid: i32| {
        if let Stage::Born(known) = stage {
            container.record.init = known.or_else(|| ProcessRef::of(pid));
            container.save_config(&bundle.text)?;
            return container.save();
        }
        match &options.pid_file {
            Some(path) => Ok(write_atomic(path, pid.to_string().as_bytes(), 0o644, Durability::Process)?),
            None => Ok(()),
        }
    };
    let launched = launch(Launch {
        plan,
        state,
        console_socket,
        container: None,
        start_socket,
        record: &mut write,
        trace: options.trace.is_some(),
    })?;
    container.is_ready()?;
    if let Some(path) = &options.pidfd_socket {
        let sent = connect_to(path).and_then(|socket| {
            crate::channel::send_with_fds(socket.as_fd(), b"pidfd", &[launched.pidfd.as_fd()])
                .context(|| format!("send the pidfd to {}", path.display()))
        });
        if let Err(e) = sent {
            let _ = carboy_sys::signal::pidfd_kill(launched.pidfd.as_fd(), 9);
            return Err(e);
        }
    }
    Ok(launched)
}

/// Connects to a listening socket of the caller.
pub fn connect_to(path: &Path) -> Result<OwnedFd> {
    let what = || format!("connect to {}", path.display());
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).context(what)?;
    connect(&socket, &SocketAddrUnix::new(path).context(what)?).context(what)?;
    Ok(socket)
}

/// `start.sock` in a folder. By its descriptor, as an address holds 107 bytes only.
fn listen_in(folder: BorrowedFd<'_>) -> Result<OwnedFd> {
    let what = || "listen on start.sock";
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).context(what)?;
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/start.sock", folder.as_raw_fd())).context(what)?;
    bind(&socket, &address).context(what)?;
    listen(&socket, 1).context(what)?;
    Ok(socket)
}

/// Descriptors of socket activation (sd_listen_fds(3)).
fn listen_fds() -> Result<u32> {
    match std::env::var("LISTEN_FDS") {
        Ok(count) if std::env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string()) => {
            count.parse().map_err(|_| Error::Usage(format!("LISTEN_FDS={count} is no number")))
        }
        _ => Ok(0),
    }
}

/// All of them must be there: descriptors of this process's own would take the places of missing ones. Then 3 + `count` is no overflow.
pub fn check_preserved(count: u32) -> Result<()> {
    for raw in 3..count.saturating_add(3) {
        std::fs::metadata(format!("/proc/self/fd/{raw}"))
            .map_err(|e| Error::Usage(format!("please check that preserved-fd {raw} (of {count}) is present: {e}")))?;
    }
    Ok(())
}

/// The steps as they are shown.
pub fn reports(plan: &Plan) -> Vec<carboy_wire::plan::StepReport> {
    plan.steps.iter().map(Step::report).collect()
}
