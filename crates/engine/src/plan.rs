//! What the engine does to the disk for a container, as data: `explain` prints it, `create` and `start` execute it.

use crate::error::{Error, Result};
use crate::record::Folders;
use carboy_state::file::{Durability, write_atomic};
use carboy_wire::plan::{Actor, StepReport};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// One step of the engine's.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    pub(crate) action: Action,
    pub(crate) why: &'static str,
    pub(crate) from: String,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// Makes a folder, called `of` where it is shown; it may exist already if `existing` says so.
    Folder { of: &'static str, path: PathBuf, mode: u32, existing: bool },
    /// Claims a name: exclusive, with its content, in one system call.
    Claim { name: String, link: PathBuf, id: String },
    /// Writes a file.
    File { path: PathBuf, content: Vec<u8>, durability: Durability },
    /// Executes a program; done by whoever holds the descriptors it gets.
    Spawn { program: PathBuf, args: Vec<String> },
}

impl Step {
    pub(crate) fn new(action: Action, why: &'static str, from: impl Into<String>) -> Self {
        Step { action, why, from: from.into() }
    }

    /// As it is shown.
    pub(crate) fn report(&self) -> StepReport {
        let (name, calls) = match &self.action {
            Action::Folder { of, path, mode, .. } => {
                (format!("folder of the {of}"), vec![format!("mkdir({:?}, 0{mode:o})", path.display().to_string())])
            }
            Action::Claim { name, link, id } => (
                format!("claim the name {name}"),
                vec![format!(
                    "symlink({:?}, {:?})",
                    Folders::link_target(id).display().to_string(),
                    link.display().to_string()
                )],
            ),
            Action::File { path, content, durability } => {
                let sync = if *durability == Durability::Machine { ", fsync" } else { "" };
                let call = format!("write {} ({} bytes; temporary file{sync}, rename)", path.display(), content.len());
                (format!("write {}", tail(path)), vec![call])
            }
            Action::Spawn { program, args } => {
                let words = std::iter::once(program.display().to_string()).chain(args.iter().cloned());
                (
                    format!("start {}", tail(program)),
                    vec![format!("posix_spawn({})", words.collect::<Vec<_>>().join(" "))],
                )
            }
        };
        StepReport {
            actor: Actor::Engine,
            name,
            calls,
            why: self.why.to_owned(),
            from: self.from.clone(),
            took_ns: None,
            error: None,
        }
    }

    /// Does it. A name that is taken is an `AlreadyExists` of the symbolic link, for the caller to judge.
    pub(crate) fn execute(&self) -> Result<()> {
        match &self.action {
            Action::Folder { path, mode, existing, .. } => match make_folder(path, *mode) {
                Err(e) if *existing && e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
                result => result.map_err(Error::at("make folder", path)),
            },
            Action::Claim { link, id, .. } => {
                symlink(Folders::link_target(id), link).map_err(Error::at("claim name", link))
            }
            Action::File { path, content, durability } => {
                write_atomic(path, content, 0o644, *durability).map_err(Error::from)
            }
            Action::Spawn { program, .. } => Err(Error::Helper {
                program: program.display().to_string(),
                message: "internal error: a program is not started by the plan".into(),
            }),
        }
    }
}

/// Makes a folder of exactly this mode, whatever the umask.
pub(crate) fn make_folder(path: &Path, mode: u32) -> std::io::Result<()> {
    std::fs::DirBuilder::new().mode(mode).create(path)?;
    rustix::fs::chmod(path, rustix::fs::Mode::from_raw_mode(mode)).map_err(Into::into)
}

/// Collects reports with times, if wanted.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    steps: Option<Vec<StepReport>>,
}

impl Trace {
    pub(crate) fn new(wanted: bool) -> Self {
        Trace { steps: wanted.then(Vec::new) }
    }

    /// Executes a step.
    pub(crate) fn step(&mut self, step: &Step) -> Result<()> {
        self.timed(|| step.report(), || step.execute())
    }

    /// Executes several.
    pub(crate) fn steps(&mut self, steps: &[Step]) -> Result<()> {
        steps.iter().try_for_each(|step| self.step(step))
    }

    /// Does anything, with its report.
    pub(crate) fn timed<T>(
        &mut self,
        report: impl FnOnce() -> StepReport,
        act: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let Some(steps) = &mut self.steps else { return act() };
        let begin = Instant::now();
        let result = act();
        let mut report = report();
        report.took_ns = Some(begin.elapsed().as_nanos() as u64);
        report.error = result.as_ref().err().map(Error::chain);
        steps.push(report);
        result
    }

    /// Adds steps that took `took_ns` together; the time is put on the first.
    pub(crate) fn group(&mut self, mut reports: Vec<StepReport>, took_ns: u64) {
        let Some(steps) = &mut self.steps else { return };
        if let Some(first) = reports.first_mut() {
            first.took_ns.get_or_insert(took_ns);
        }
        steps.append(&mut reports);
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.steps.is_some()
    }

    /// The reports so far.
    pub(crate) fn take(&mut self) -> Vec<StepReport> {
        self.steps.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

fn tail(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
