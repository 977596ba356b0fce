//! `exec`: the runtime is run with this process's own descriptors, and its exit code is the program's.

use crate::args::{ExecArgs, Global, environment};
use crate::failure::{Outcome, usage};
use crate::{output, settings, terminal};
use anyhow::Context;
use carboy_engine::ExecRequest;
use carboy_sys::signal::{Mask, set_mask};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

/// INT, QUIT: those the terminal sends to the whole foreground group; the runtime passes them on.
const OF_THE_TERMINAL: [i32; 2] = [2, 3];

pub(super) fn exec(global: &Global, args: &ExecArgs) -> Outcome {
    let [container, command @ ..] = &args.words[..] else { return Err(usage("a container is needed")) };
    if command.is_empty() {
        return Err(usage("a program is needed: carboy exec [OPTIONS] CONTAINER COMMAND [ARG…]"));
    }
    if args.tty && args.interactive && !args.detach && !terminal::stdin_is_terminal() {
        return Err(usage("the input device is not a TTY"));
    }
    let engine = settings::engine(global)?;
    let request = ExecRequest {
        command: command.to_vec(),
        env: environment(&args.env_file, &args.env)?,
        workdir: args.workdir.clone(),
        user: args.user.clone(),
        terminal: args.tty,
        privileged: args.privileged,
        detach: args.detach,
    };
    let prepared = engine.exec(container, &request)?;
    let Some((program, words)) = prepared.words.split_first() else { return Ok(0) };
    let stdin = if args.interactive && !args.detach { Stdio::inherit() } else { Stdio::null() };
    let mut child = Command::new(program);
    child.args(words).stdin(stdin);
    if args.detach {
        child.stdout(Stdio::null()).stderr(Stdio::null());
    }
    let mut child = child.spawn().with_context(|| format!("start {}", program.display()))?;
    let mask = OF_THE_TERMINAL.iter().fold(Mask::EMPTY, |mask, signal| mask.with(*signal));
    set_mask(mask).context("block signals")?;
    let status = child.wait().context("wait for the runtime")?;
    if let Some((message, code)) = prepared.failure().filter(|_| !status.success()) {
        // Ours and runc have said it on standard error already; crun says it to its log alone.
        if args.detach || program.to_string_lossy().ends_with("crun") {
            output::error_line(&message);
        }
        return Ok(code);
    }
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}
