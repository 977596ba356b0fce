//! After the program: the cleanup, step by step, each done whatever became of the one before.

use crate::error::{Error, chain};
use crate::runtime;
use crate::serve::{Ended, Serve};
use crate::step::{RUNTIME_LOG, Step};
use crate::{detach, rootfs};
use carboy_state::file::{Durability, sync_folder, write_json};
use carboy_state::tree::remove_tree;
use carboy_wire::monitor::Exit;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, unlinkat};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long, after everything in the container was killed, somebody else may hold an output open before it is given up.
const DRAIN_LIMIT: Duration = Duration::from_millis(500);

/// What the cleanup needs of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Cleanup {
    pub(crate) runtime: PathBuf,
    pub(crate) run_dir: PathBuf,
    pub(crate) steps: Vec<Step>,
}

/// Cleans up after a program that ran, and says how it ended.
pub(crate) fn after_program(serve: &mut Serve, ended: Ended, cleanup: &Cleanup) -> Exit {
    serve.drain();
    serve.accept();
    let mut exit = Exit {
        code: ended.code,
        signal: ended.signal,
        oom_killed: serve.oom.was_killed(),
        error: ended.error,
        at_ns: crate::serve::now_ns(),
    };
    serve.oom = Default::default();
    for step in cleanup.steps.iter().filter(|step| !matches!(step, Step::SyncExit(_))) {
        let result = cleanup.execute(step, Some(&exit));
        note(&mut exit, result);
        if matches!(step, Step::DeleteContainer(_)) {
            // Without a PID namespace, the program's children held its output until just now.
            let drained = serve.drain_until(Instant::now() + DRAIN_LIMIT).map(drop);
            note(&mut exit, drained);
            serve.outputs = [None, None];
            serve.log.end();
            let complaint = serve.log.complaint().map_or(Ok(()), |words| Err(Error::Invalid(words)));
            note(&mut exit, complaint);
        }
    }
    exit
}

/// What is left to do once everybody has been told.
pub(crate) fn after_all(cleanup: &Cleanup) -> Result<(), Error> {
    let mut steps = cleanup.steps.iter().filter(|step| matches!(step, Step::SyncExit(_)));
    steps.try_for_each(|step| cleanup.execute(step, None))
}

/// Undoes a start that failed; `delete` if the runtime may have made something.
pub(crate) fn after_failure(error: &Error, cleanup: &Cleanup, delete: bool, unmount: bool) -> Vec<String> {
    let exit = Exit {
        code: error.exit_code(),
        signal: None,
        oom_killed: false,
        error: Some(chain(error)),
        at_ns: crate::serve::now_ns(),
    };
    let mut failures = Vec::new();
    for step in &cleanup.steps {
        match step {
            Step::DeleteContainer(_) if !delete => continue,
            Step::UnmountRoot(_) if !unmount => continue,
            Step::SyncExit(_) => continue,
            _ => {}
        }
        if let Err(e) = cleanup.execute(step, Some(&exit)) {
            failures.push(chain(&e));
        }
    }
    failures
}

fn note(exit: &mut Exit, result: Result<(), Error>) {
    if let Err(e) = result {
        let words = chain(&e);
        exit.error = Some(exit.error.take().map_or(words.clone(), |earlier| format!("{earlier}; {words}")));
    }
}

impl Cleanup {
    fn execute(&self, step: &Step, exit: Option<&Exit>) -> Result<(), Error> {
        match step {
            Step::Serve => Ok(()),
            Step::DeleteContainer(args) => self.delete_container(args),
            Step::UnmountRoot(path) => rootfs::unmount_root(path),
            Step::RemoveRunFiles(paths) => paths.iter().try_for_each(|path| remove_file_or_folder(path)),
            Step::WriteExit(path) => exit.map_or(Ok(()), |exit| Ok(write_json(path, exit, Durability::Process)?)),
            Step::SyncExit(path) => sync_if_there(path),
            Step::RemoveTree(path) => Ok(remove_tree(path)?),
            other => Err(Error::Invalid(format!("not a step of the cleanup: {other:?}"))),
        }
    }

    fn delete_container(&self, args: &[String]) -> Result<(), Error> {
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(Error::call("open /dev/null"))?;
        let pid = runtime::start(&self.runtime, args, [null.as_fd(), null.as_fd(), null.as_fd()])?;
        let status = detach::wait_for(pid)?;
        if status.exit_status() == Some(0) {
            return Ok(());
        }
        Err(runtime::failure("delete", &self.runtime, status, &self.run_dir.join(RUNTIME_LOG), b""))
    }
}

/// The container may have been removed or started anew meanwhile, and then there is nothing to sync.
fn sync_if_there(path: &Path) -> Result<(), Error> {
    match File::open(path) {
        Ok(file) => file.sync_all().map_err(Error::io(format!("sync {}", path.display())))?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io(format!("open {}", path.display()))(e)),
    }
    Ok(path.parent().map_or(Ok(()), sync_folder)?)
}

/// A file, or a folder that is empty; no error if there is none.
fn remove_file_or_folder(path: &Path) -> Result<(), Error> {
    let result = match unlinkat(CWD, path, AtFlags::empty()) {
        Err(Errno::ISDIR) => unlinkat(CWD, path, AtFlags::REMOVEDIR),
        other => other,
    };
    match result {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(Error::at("remove", path)(e)),
    }
}
