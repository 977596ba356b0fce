//! `carboy-monitor run`: from the configuration to the released lock.

use crate::client::Client;
use crate::error::{Error, chain};
use crate::finish::{self, Cleanup};
use crate::oom::OomWatch;
use crate::serve::Serve;
use crate::start::Start;
use crate::step::Plan;
use carboy_state::file::read_json;
use carboy_state::lock::Lock;
use carboy_wire::attach;
use carboy_wire::monitor::{MonitorConfig, StartReport};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;

/// Runs one container. The spawner's process returns from here never (it exits with success once the monitor is on its own), or
/// with an error if it did not come to that; either way the status descriptor has been told.
pub(crate) fn run(config: &Path, status_fd: i32, attach_fd: Option<i32>) -> Result<ExitCode, Error> {
    let take = |fd: i32| carboy_sys::inherit::take(fd).map_err(Error::call(format!("descriptor {fd}")));
    let mut start = Start::default();
    start.status = Some(take(status_fd)?);
    start.attach = attach_fd.map(take).transpose()?;
    let config = match read_config(config) {
        Ok(config) => config,
        Err(e) => {
            report(start.status.take(), &failed(&e, &[]));
            return Err(e);
        }
    };
    let plan = Plan::new(&config);
    let cleanup = Cleanup { runtime: config.runtime.path.clone(), run_dir: config.run_dir.clone(), steps: plan.finish };
    match start.execute(&config, &plan.start) {
        Ok(()) => {
            let (serve, lock) = started(&config, start)?;
            drop((config, plan.start));
            serve_to_the_end(serve, lock, &cleanup)
        }
        Err(e) => {
            give_up(&mut start, &e, &cleanup);
            Err(e)
        }
    }
}

/// Reads the configuration, and checks what the rest relies on.
pub(crate) fn read_config(path: &Path) -> Result<MonitorConfig, Error> {
    let config: MonitorConfig = read_json(path)?;
    for (name, path) in
        [("container_dir", &config.container_dir), ("run_dir", &config.run_dir), ("bundle", &config.bundle)]
    {
        if !path.is_absolute() {
            return Err(Error::Invalid(format!("{name} {} is not absolute", path.display())));
        }
    }
    if let Some(path) = config.remove_on_exit.iter().find(|path| !path.is_absolute() || path.parent().is_none()) {
        return Err(Error::Invalid(format!("remove_on_exit: {} cannot be removed", path.display())));
    }
    Ok(config)
}

/// Tells the engine, and turns what the start made into what is to be served.
fn started(config: &MonitorConfig, mut start: Start) -> Result<(Serve, Lock), Error> {
    let missing = || Error::Invalid("the start is incomplete".into());
    let started = start.started.take().ok_or_else(missing)?;
    let pid = started.pid;
    let trace = config.trace.then(|| std::mem::take(&mut start.trace));
    report(start.status.take(), &StartReport::Started { started, trace });
    let mut serve = Serve {
        signals: start.signals.ok_or_else(missing)?,
        program: start.program.ok_or_else(missing)?,
        listener: start.listener,
        outputs: start.outputs,
        input: start.input,
        stdin_once: config.stdin_once,
        clients: start.attach.into_iter().map(|fd| Client::new(fd, true)).collect(),
        log: start.log,
        oom: OomWatch::of(pid),
        buffer: Vec::new(),
        settled: false,
        somebody_else_s: None,
    };
    serve.deliver_early(&start.early);
    Ok((serve, start.lock.ok_or_else(missing)?))
}

fn serve_to_the_end(mut serve: Serve, lock: Lock, cleanup: &Cleanup) -> Result<ExitCode, Error> {
    let ended = serve.until_end()?;
    let exit = finish::after_program(&mut serve, ended, cleanup);
    serve.listener = None;
    let text = serde_json::to_vec(&exit).map_err(|e| Error::io("encode the exit")(e.into()))?;
    serve.broadcast(attach::EXIT, &text);
    // The container has ended, however long a client takes to read what it wrote.
    drop(lock);
    finish::after_all(cleanup)?;
    serve.linger()?;
    Ok(ExitCode::SUCCESS)
}

fn give_up(start: &mut Start, error: &Error, cleanup: &Cleanup) {
    start.stop_runtime();
    // Without the lock, everything there is another monitor's.
    let lock = start.lock.take();
    let failures = match lock {
        Some(_) => finish::after_failure(error, cleanup, start.runtime_called, start.root_mounted),
        None => Vec::new(),
    };
    let held = lock.is_some();
    drop(lock);
    if let Some(socket) = start.attach.take() {
        Client::new(socket, true).discard_input();
    }
    report(start.status.take(), &failed(error, &failures));
    if held {
        // The record is there already; that it could not be synced concerns nobody who is still listening.
        let _ = finish::after_all(cleanup);
    }
}

fn failed(error: &Error, cleanup_failures: &[String]) -> StartReport {
    let mut message = chain(error);
    for failure in cleanup_failures {
        message += &format!("; then, cleaning up: {failure}");
    }
    StartReport::Failed { message, code: error.exit_code() }
}

/// Tells the engine. If it is gone, the container goes its way without it.
fn report(status: Option<OwnedFd>, report: &StartReport) {
    let Some(status) = status else { return };
    if let Ok(mut line) = serde_json::to_vec(report) {
        line.push(b'\n');
        let _ = File::from(status).write_all(&line);
    }
}
