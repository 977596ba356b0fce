//! Another program in a running container. The runtime is executed with the caller's own descriptors; nothing lies between.

use crate::draft::{json, now_ns};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::lifecycle::running;
use crate::record::{CONFIG, Container};
use crate::request::RunRequest;
use crate::{spec, union};
use carboy_oci::image::ContainerConfig;
use carboy_oci::runtime::{Process, Spec, User};
use carboy_state::file::{Durability, read_json, write_atomic};
use carboy_wire::runtime_log::{NOT_MADE, exit_code, logged_errors};
use std::ffi::OsString;
use std::path::PathBuf;

/// What to run in a container.
#[derive(Debug, Clone, Default)]
pub struct ExecRequest {
    /// Program and arguments.
    pub command: Vec<String>,
    /// `NAME=value`, over the container's.
    pub env: Vec<String>,
    /// Working directory; the container's when absent.
    pub workdir: Option<String>,
    /// `user[:group]`; the container's when absent.
    pub user: Option<String>,
    /// Whether it gets a terminal.
    pub terminal: bool,
    /// Whether it gets all capabilities.
    pub privileged: bool,
    /// Whether the runtime returns as soon as the program runs.
    pub detach: bool,
}

/// A call of the runtime, ready to be executed with the descriptors that the program is to have.
#[derive(Debug)]
pub struct PreparedExec {
    /// Program and arguments.
    pub words: Vec<OsString>,
    file: PathBuf,
    log: PathBuf,
}

impl PreparedExec {
    /// Why the runtime could not start the program, and the exit code that stands for it (126 or 127, as `docker exec`);
    /// `None` if the program ran. To be asked after the runtime has ended.
    pub fn failure(&self) -> Option<(String, i32)> {
        let message = logged_errors(&String::from_utf8_lossy(&std::fs::read(&self.log).ok()?));
        if message.is_empty() {
            return None;
        }
        let code = match exit_code(&message) {
            NOT_MADE => 126,
            code => code,
        };
        Some((message, code))
    }
}

impl Drop for PreparedExec {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
        let _ = std::fs::remove_file(&self.log);
    }
}

impl Engine {
    /// Prepares the runtime call. The process description is a file that is removed when the answer is dropped.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the container does not run; [`Error::Invalid`] for an unknown user.
    pub fn exec(&self, text: &str, request: &ExecRequest) -> Result<PreparedExec> {
        let container = self.container(text)?;
        let Some(started) = running(&container) else {
            return Err(Error::Conflict(format!("Container {} is not running", container.record.id)));
        };
        if request.command.is_empty() {
            return Err(Error::Invalid("No exec command specified".into()));
        }
        let root = PathBuf::from(format!("/proc/{}/root", started.pid));
        let process = exec_process(&container, request, root)?;
        let path = container.run_dir.join(format!("exec.{}.{}.json", std::process::id(), now_ns()));
        let log = path.with_extension("log");
        write_atomic(&path, &json("process.json", &process)?, 0o600, Durability::Process)?;
        let file = path.display().to_string();
        let log_file = log.display().to_string();
        let mut args = vec!["--log", &log_file, "--log-format", "json", "exec", "--process", &file];
        if request.detach {
            args.push("--detach");
        }
        if request.terminal {
            args.push("--tty");
        }
        args.push(&container.record.id);
        let words = self.runtime_words(&container, &args)?;
        Ok(PreparedExec { words, file: path, log })
    }
}

fn exec_process(container: &Container, request: &ExecRequest, root: PathBuf) -> Result<Box<Process>> {
    let spec: Spec = read_json(&container.dir.join(CONFIG))?;
    let mut process = spec.process.unwrap_or_default();
    let files = union::Union::open(&[root])?;
    let databases =
        spec::Databases { passwd: files.read("/etc/passwd", 4 << 20)?, group: files.read("/etc/group", 4 << 20)? };
    if let Some(user) = &request.user {
        let user = spec::resolve_user(user, &[], &databases)?;
        let single = container.record.user_namespace.as_ref().is_some_and(|maps| !maps.setuid_helpers);
        process.user = User {
            uid: user.uid,
            gid: user.gid,
            additional_gids: if single { Vec::new() } else { user.additional },
            ..User::default()
        };
        process.env.retain(|entry| !entry.starts_with("HOME="));
        process.env.push(format!("HOME={}", user.home));
    }
    process.terminal = request.terminal;
    process.console_size = None;
    let with_env = RunRequest { env: request.env.clone(), terminal: request.terminal, ..RunRequest::default() };
    let of_container = ContainerConfig { env: process.env.clone(), ..ContainerConfig::default() };
    process.env = spec::environment(&with_env, &of_container, &container.record.resolved.hostname, "/");
    if let Some(workdir) = &request.workdir {
        if !workdir.starts_with('/') {
            return Err(Error::Invalid(format!(
                "the working directory '{workdir}' is invalid, it needs to be an absolute path"
            )));
        }
        process.cwd.clone_from(workdir);
    }
    if request.privileged {
        let all = spec::effective_capabilities(&RunRequest { privileged: true, ..RunRequest::default() })?;
        if let Some(capabilities) = &mut process.capabilities {
            capabilities.bounding.clone_from(&all);
            capabilities.effective.clone_from(&all);
            capabilities.permitted = all;
        }
    }
    process.args.clone_from(&request.command);
    Ok(process)
}
