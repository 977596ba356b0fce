//! `run`, `create`, `start`, `attach`: a container, and this terminal in front of it.

use super::{explain, for_each, pull};
use crate::args::{AttachArgs, Global, PullPolicy, RunArgs, StartArgs};
use crate::attach::{AttachOptions, Ended, Signals, foreground, parse_detach_keys};
use crate::failure::{Failure, Outcome, usage};
use crate::{output, registry, settings, terminal};
use carboy_engine::{Engine, Error, RunRequest, Running, StartOptions};
use carboy_image::Image;
use carboy_wire::monitor::Exit;
use std::path::{Path, PathBuf};

pub(super) fn run(global: &Global, args: &RunArgs) -> Outcome {
    let mut request = args.request()?;
    let options = attach_options(&request, args)?;
    let detached = args.is_detached();
    if request.terminal && request.stdin_open && !detached && !terminal::stdin_is_terminal() {
        return Err(usage("the input device is not a TTY"));
    }
    let cidfile = args.cidfile.as_deref().map(CidFile::claim).transpose()?;
    let engine = settings::engine(global)?;
    engine.check(&request)?;
    let found = provide_image(global, &engine, &mut request, args)?;
    // Blocked only from here on, so that an interrupted pull ends at once; and before the start, so that none is lost.
    let signals = if detached { None } else { Some(Signals::take(options.signals)?) };
    let start = StartOptions { attach: !detached, trace: args.trace, terminal_size: terminal::size() };
    let running = engine.run(&request, found, start).map_err(|failed| {
        let code = start_code(&failed.error);
        Failure::from(failed.error).with_code(code)
    })?;
    if let Some(cidfile) = cidfile {
        cidfile.write(&running.id)?;
    }
    if args.trace {
        explain::print_trace(&running.trace, args.json)?;
    }
    match (running, signals) {
        (Running { id, attach: Some(stream), .. }, Some(signals)) => {
            let ended = foreground(&engine, &id, stream, &signals, &options);
            if request.remove && matches!(ended, Err(Failure::BrokenPipe)) {
                // `run --rm x | head`: nobody will ever read or miss what it writes on; a pipeline's other programs end likewise.
                let _ = engine.kill(&id, 9);
            }
            finish(&engine, &id, ended?)
        }
        (Running { id, .. }, _) => {
            output::line(&id)?;
            Ok(0)
        }
    }
}

pub(super) fn create(global: &Global, args: &RunArgs) -> Outcome {
    if args.is_detached() || args.trace {
        return Err(usage("create starts nothing: --detach and --trace belong to run"));
    }
    let mut request = args.request()?;
    let cidfile = args.cidfile.as_deref().map(CidFile::claim).transpose()?;
    let engine = settings::engine(global)?;
    engine.check(&request)?;
    let found = provide_image(global, &engine, &mut request, args)?;
    let id = engine.create(&request, found)?;
    if let Some(cidfile) = cidfile {
        cidfile.write(&id)?;
    }
    output::line(&id)?;
    Ok(0)
}

pub(super) fn start(global: &Global, args: &StartArgs) -> Outcome {
    let engine = settings::engine(global)?;
    if !args.attach && !args.interactive {
        return for_each(&args.names.containers, |name| {
            engine.start(name, StartOptions { terminal_size: terminal::size(), ..StartOptions::default() })?;
            Ok(Some(name.to_owned()))
        });
    }
    let [name] = &args.names.containers[..] else {
        return Err(usage("you cannot start and attach multiple containers at once"));
    };
    let container = engine.container(name)?;
    let options = AttachOptions {
        terminal: container.record.request.terminal,
        stdin: args.interactive && container.record.request.stdin_open,
        signals: true,
        detach_keys: parse_detach_keys(&args.detach_keys).map_err(usage)?,
    };
    let signals = Signals::take(true)?;
    let start = StartOptions { attach: true, trace: false, terminal_size: terminal::size() };
    let running = engine.start(name, start)?;
    let Some(stream) = running.attach else { return Ok(0) };
    let ended = foreground(&engine, &running.id, stream, &signals, &options)?;
    finish(&engine, &running.id, ended)
}

pub(super) fn attach(global: &Global, args: &AttachArgs) -> Outcome {
    let engine = settings::engine(global)?;
    let container = engine.container(&args.container)?;
    let request = &container.record.request;
    let options = AttachOptions {
        terminal: request.terminal,
        stdin: request.stdin_open && !args.no_stdin,
        signals: args.sig_proxy,
        detach_keys: parse_detach_keys(&args.detach_keys).map_err(usage)?,
    };
    if options.terminal && options.stdin && !terminal::stdin_is_terminal() {
        return Err(usage("the input device is not a TTY"));
    }
    let id = container.record.id.clone();
    let stream = engine.attach(&id)?;
    let signals = Signals::take(options.signals)?;
    let ended = foreground(&engine, &id, stream, &signals, &options)?;
    finish(&engine, &id, ended)
}

fn attach_options(request: &RunRequest, args: &RunArgs) -> Result<AttachOptions, Failure> {
    Ok(AttachOptions {
        terminal: request.terminal,
        stdin: request.stdin_open,
        signals: args.sig_proxy,
        detach_keys: parse_detach_keys(&args.detach_keys).map_err(usage)?,
    })
}

/// The exit code of a foreground that has ended; what went wrong besides is said.
fn finish(engine: &Engine, id: &str, ended: Ended) -> Outcome {
    let exit: Exit = match ended {
        Ended::Exit(exit) => exit,
        Ended::Detached => return Ok(0),
        Ended::Lost => match engine.container(id) {
            Ok(container) => container.exit.unwrap_or_else(lost),
            Err(Error::NoSuchContainer(_)) => lost(),
            Err(e) => return Err(e.into()),
        },
    };
    if let Some(error) = &exit.error {
        output::error_line(error);
    }
    Ok(exit.code)
}

fn lost() -> Exit {
    Exit {
        code: 137,
        signal: Some(9),
        oom_killed: false,
        error: Some("the container's monitor was killed".into()),
        at_ns: 0,
    }
}

/// 126 and 127 as the runtime says, 125 for everything that is not the program's fault.
fn start_code(error: &Error) -> i32 {
    match error {
        Error::StartFailed { code, .. } => *code,
        _ => 125,
    }
}

/// Pulls the image as `--pull` says, and answers it, if it had to be looked for. A short name may mean an image of another registry, by
/// registries.conf: then it is that one's.
fn provide_image(
    global: &Global,
    engine: &Engine,
    request: &mut RunRequest,
    args: &RunArgs,
) -> Result<Option<Image>, Failure> {
    let Some(name) = request.image.clone() else { return Ok(None) };
    if engine.is_embedded(&name) {
        return Ok(None);
    }
    let here = find_here(engine, &name)?;
    if let Some((here, _)) = &here {
        request.image = Some(here.clone());
    }
    let wanted = match (args.pull, &here) {
        (PullPolicy::Never, _) | (PullPolicy::Missing, Some(_)) => false,
        (PullPolicy::Always, _) | (_, None) => true,
        (PullPolicy::Newer, Some((here, _))) => {
            pull::is_outdated(engine, here, args.tls_verify).map_err(|f| f.with_code(125))?
        }
    };
    if !wanted {
        return Ok(here.map(|(_, image)| image));
    }
    if args.pull == PullPolicy::Missing {
        eprintln!("Unable to find image '{name}' locally");
    }
    let pulled = pull::for_run(global, engine, &name, args.platform.as_deref(), args.tls_verify);
    let pulled = pulled.map_err(|f| f.with_code(125))?;
    // As it was typed, where that means the same.
    let found = engine.find_image(&name)?;
    if found.is_none() {
        request.image = Some(pulled);
    }
    Ok(found)
}

/// The image that is meant, and what it is called here.
fn find_here(engine: &Engine, name: &str) -> Result<Option<(String, Image)>, Failure> {
    if let Some(image) = engine.find_image(name)? {
        return Ok(Some((name.to_owned(), image)));
    }
    // What is no reference may still be the beginning of an ID, and was looked for as that.
    for meant in registry::candidates(name).unwrap_or_default() {
        let meant = meant.to_string();
        if let Some(image) = engine.find_image(&meant)? {
            return Ok(Some((meant, image)));
        }
    }
    Ok(None)
}

/// `--cidfile`: claimed before anything is made, as Docker does; removed again if nothing was.
struct CidFile {
    path: PathBuf,
    written: bool,
}

impl CidFile {
    fn claim(path: &Path) -> Result<Self, Failure> {
        match std::fs::OpenOptions::new().write(true).create_new(true).open(path) {
            Ok(_) => Ok(CidFile { path: path.to_owned(), written: false }),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Err(usage(format!(
                "container ID file found, make sure the other container isn't running or delete {}",
                path.display()
            ))),
            Err(e) => Err(usage(format!("failed to create the container ID file {}: {e}", path.display()))),
        }
    }

    fn write(mut self, id: &str) -> Result<(), Failure> {
        std::fs::write(&self.path, id)
            .map_err(|e| Failure::Other(anyhow::Error::new(e).context(format!("write {}", self.path.display()))))?;
        self.written = true;
        Ok(())
    }
}

impl Drop for CidFile {
    fn drop(&mut self) {
        if !self.written {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
