//! `carboy-monitor`: one small process per container, which holds what the container has of the outside: its standard streams or
//! terminal, its log, its attach socket, the mount of its root, and in the end its exit code.
//!
//! It knows no image, no name and no network, and reads no spec: only [`carboy_wire::monitor::MonitorConfig`]. It has one thread.
//! What it does is computed first as [`step::Step`]s, which `explain` prints and `run` executes.
//!
//! If the monitor is killed, so that nobody holds `monitor.lock` and there is no `exit.json`, the program goes on without standard
//! streams (it gets SIGPIPE, or SIGHUP if it has a terminal) until the next command of the engine, which ends it with
//! `runtime delete --force`: as with docker, a container without its monitor does not keep running, because nobody could any more
//! tell its exit code or read its output. The kernel cannot be asked to do that: the program is not the monitor's child by birth.
#![forbid(unsafe_code)]

mod args;
mod client;
mod detach;
mod error;
mod finish;
mod input;
mod log;
mod oom;
mod rootfs;
mod run;
mod runtime;
mod serve;
mod socket;
mod start;
mod step;
mod userns;

use args::Command;
use error::{Error, NOT_MADE, chain};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// Entry point.
pub fn main() -> ExitCode {
    let result = args::parse(std::env::args_os().skip(1)).and_then(execute);
    result.unwrap_or_else(|e| {
        // Nobody is left to tell if this fails.
        let _ = writeln!(std::io::stderr(), "carboy-monitor: {}", chain(&e));
        ExitCode::from(e.exit_code() as u8)
    })
}

fn execute(command: Command) -> Result<ExitCode, Error> {
    match command {
        Command::Run { config, status_fd, attach_fd } => run::run(&config, status_fd, attach_fd),
        Command::Explain { config, json } => explain(&config, json),
        Command::UserNamespace { maps, command } => {
            userns::enter_new(&maps)?;
            userns::unshare_mounts()?;
            Err(replace_by(&command))
        }
        Command::Enter { pid, command } => {
            userns::join(pid)?;
            Err(replace_by(&command))
        }
        Command::Help => print(args::USAGE),
        Command::Version => print(concat!("carboy-monitor ", env!("CARGO_PKG_VERSION"), "\n")),
    }
}

fn print(text: &str) -> Result<ExitCode, Error> {
    std::io::stdout().write_all(text.as_bytes()).map_err(Error::io("write to standard output"))?;
    Ok(ExitCode::SUCCESS)
}

/// Executes the command in this process, which keeps its PID: signals and the exit code need no forwarding.
fn replace_by(command: &[OsString]) -> Error {
    let Some(program) = command.first().map(Path::new) else { return Error::Invalid("no command".into()) };
    let path = runtime::found(program);
    let prepared = runtime::c_string(path.as_os_str()).and_then(|path| {
        let pairs = std::env::vars_os().map(|(name, value)| [name, value].join(OsStr::new("=")));
        Ok((path, runtime::string_list(command)?, runtime::string_list(&pairs.collect::<Vec<_>>())?))
    });
    let (path, args, env) = match prepared {
        Ok(prepared) => prepared,
        Err(e) => return e,
    };
    // Rust ignores SIGPIPE at its start, and what is ignored stays so over execve.
    let _ = carboy_sys::signal::set_default(rustix::process::Signal::PIPE.as_raw());
    let source = carboy_sys::exec::execve(&path, &args, &env);
    let message = format!("execute {}: {source}", program.display());
    let code = match source {
        Errno::NOENT => 127,
        Errno::ACCESS | Errno::NOEXEC | Errno::ISDIR => 126,
        _ => NOT_MADE,
    };
    Error::Runtime { message, code }
}

fn explain(config: &Path, json: bool) -> Result<ExitCode, Error> {
    let config = run::read_config(config)?;
    let report = step::Plan::new(&config).report();
    if json {
        let text = serde_json::to_string(&report).map_err(|e| Error::io("encode the steps")(e.into()))?;
        return print(&(text + "\n"));
    }
    let mut text = String::new();
    for (number, step) in report.steps.iter().enumerate() {
        text += &format!("{:2}. {}: {} ({})\n", number + 1, step.name, step.why, step.from);
        for call in &step.calls {
            text += &format!("      {call}\n");
        }
    }
    print(&text)
}
