//! Hooks: programs of the configuration, with the container's state on standard input (runtime-spec, "POSIX-platform Hooks").

use crate::error::{Context, Error, Result};
use crate::step::Moment;
use carboy_oci::runtime::Hook;
use carboy_oci::state::{State, Status};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// Runs hooks one after the other; the first that fails ends it.
pub fn run(moment: Moment, hooks: &[Hook], state: &State) -> Result<()> {
    let input = encode(state)?;
    hooks.iter().enumerate().try_for_each(|(index, hook)| run_numbered(moment, index, hook, &input))
}

/// Runs all hooks, whether one fails or not. Returns the failures.
pub fn run_all(moment: Moment, hooks: &[Hook], state: &State) -> Vec<Error> {
    let input = match encode(state) {
        Ok(input) => input,
        Err(e) => return vec![e],
    };
    let each = hooks.iter().enumerate();
    each.filter_map(|(index, hook)| run_numbered(moment, index, hook, &input).err()).collect()
}

fn encode(state: &State) -> Result<Vec<u8>> {
    let mut input = serde_json::to_vec(state).map_err(|e| Error::Other(format!("encode the state: {e}")))?;
    input.push(b'\n');
    Ok(input)
}

fn run_numbered(moment: Moment, index: usize, hook: &Hook, input: &[u8]) -> Result<()> {
    run_one(hook, input).map_err(|source| Error::Step {
        step: format!("error running {} hook #{index}", moment.name()),
        source: Box::new(source),
    })
}

/// Runs hooks from within the container's namespaces: the PID is the one there.
pub fn run_inside(moment: Moment, hooks: &[Hook], state: &State) -> Result<()> {
    let status = if moment == Moment::StartContainer { Status::Created } else { Status::Creating };
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    run(moment, hooks, &State { status, pid, ..state.clone() })
}

fn run_one(hook: &Hook, input: &[u8]) -> Result<()> {
    if !hook.path.starts_with('/') {
        return Err(Error::Other(format!("{:?} is not absolute", hook.path)));
    }
    let mut command = Command::new(&hook.path);
    if let Some((name, rest)) = hook.args.split_first() {
        command.arg0(name).args(rest);
    }
    command.env_clear().envs(hook.env.iter().filter_map(|entry| entry.split_once('=')));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context(|| format!("fork/exec {}", hook.path))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A hook that does not read its input has not failed.
        let _ = stdin.write_all(input);
    }
    let finished = wait(&child, hook.timeout).context(|| format!("wait for {}", hook.path))?;
    if !finished {
        let _ = child.kill();
        let _ = child.wait();
        return Err(Error::Other(format!(
            "{} timed out after {} s and was killed",
            hook.path,
            hook.timeout.unwrap_or(0)
        )));
    }
    let mut said = String::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = read_available(stderr, &mut said);
    }
    let status = child.wait().context(|| format!("wait for {}", hook.path))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Other(format!("{}: {status}, stderr: {}", hook.path, said.trim_end())))
}

/// Reads what a hook said, without waiting for daemons that it left with its descriptor.
fn read_available(stderr: std::process::ChildStderr, said: &mut String) -> std::io::Result<()> {
    rustix::io::ioctl_fionbio(&stderr, true)?;
    let mut bytes = Vec::new();
    let result = stderr.take(4096).read_to_end(&mut bytes);
    said.push_str(&String::from_utf8_lossy(&bytes));
    result.map(drop)
}

/// Waits until the process ends; false if it takes longer than the timeout.
fn wait(child: &Child, timeout_s: Option<i64>) -> Result<bool, rustix::io::Errno> {
    let Some(seconds) = timeout_s.filter(|seconds| *seconds > 0) else { return Ok(true) };
    let pid = Pid::from_raw(child.id() as i32).ok_or(rustix::io::Errno::SRCH)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let timeout = Timespec { tv_sec: seconds, tv_nsec: 0 };
    loop {
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e),
            Ok(0) => {
                pidfd_send_signal(&pidfd, Signal::KILL)?;
                return Ok(false);
            }
            Ok(_) => return Ok(true),
        }
    }
}
