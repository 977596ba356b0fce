//! Hooks: programs of the configuration, with the container's state on standard input (runtime-spec, "POSIX-platform Hooks").

use crate::error::{Context, Error, Result};
use crate::step::Moment;
use carboy_oci::runtime::Hook;
use carboy_oci::state::{State, Status};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

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
    let mut said = Vec::new();
    let finished = wait(&mut child, hook.timeout, &mut said).context(|| format!("wait for {}", hook.path))?;
    if !finished {
        let _ = child.kill();
        let _ = child.wait();
        return Err(Error::Other(format!(
            "{} timed out after {} s and was killed",
            hook.path,
            hook.timeout.unwrap_or(0)
        )));
    }
    let status = child.wait().context(|| format!("wait for {}", hook.path))?;
    if status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&said);
    Err(Error::Other(format!("{}: {status}, stderr: {}", hook.path, said.trim_end())))
}

/// How much of what a hook says is kept.
const MOST_SAID: usize = 4096;

/// Waits until the process ends, reading what it says meanwhile: without a reader it would be killed by its own words. Not for daemons that
/// it leaves with its descriptor. False if it takes longer than the timeout.
fn wait(child: &mut Child, timeout_s: Option<i64>, said: &mut Vec<u8>) -> Result<bool, rustix::io::Errno> {
    let pid = Pid::from_raw(child.id() as i32).ok_or(rustix::io::Errno::SRCH)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let end = timeout_s.map(|seconds| Instant::now() + Duration::from_secs(seconds.max(0) as u64));
    let mut stderr = child.stderr.take();
    if let Some(stderr) = &stderr {
        rustix::io::ioctl_fionbio(stderr, true)?;
    }
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let left = left.map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() });
        let mut fds = vec![PollFd::new(&pidfd, PollFlags::IN)];
        fds.extend(stderr.as_ref().map(|stderr| PollFd::new(stderr, PollFlags::IN)));
        let ready = match poll(&mut fds, left.as_ref()) {
            Err(rustix::io::Errno::INTR) => continue,
            result => result?,
        };
        let ended = !fds[0].revents().is_empty();
        if stderr.as_mut().is_some_and(|stderr| !take_words(stderr, said)) {
            stderr = None;
        }
        if ended || ready == 0 {
            return Ok(ended);
        }
    }
}

/// Reads what there is; false at its end.
fn take_words(stderr: &mut std::process::ChildStderr, said: &mut Vec<u8>) -> bool {
    let mut buffer = [0u8; 1024];
    loop {
        match stderr.read(&mut buffer) {
            Ok(0) => return false,
            Ok(length) => said.extend_from_slice(&buffer[..length.min(MOST_SAID - said.len().min(MOST_SAID))]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return e.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}
