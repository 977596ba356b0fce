//! `carboy`, the command line: translates arguments into the engine's requests and prints what it answers. It decides nothing.
//!
//! One file per command in `commands`, one per group of arguments in `args`. Owns the terminal: raw mode, its size, the detach keys,
//! colours and tables. Docker's exit codes and formats wherever scripts depend on them.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // Front ends print.

mod args;
mod attach;
mod commands;
mod failure;
mod format;
mod logtime;
mod output;
mod progress;
mod registry;
mod settings;
mod terminal;
mod units;

use clap::{CommandFactory, FromArgMatches};
use failure::Failure;
use std::ffi::OsString;
use std::process::ExitCode;

/// What `fuzz/` tries of this crate: skopeo's YAML of `sync` is read, or refused in one line.
#[cfg(feature = "fuzz")]
pub use commands::fuzz_sync_yaml;

/// Entry point of `carboy`.
pub fn main() -> ExitCode {
    // What is made for containers has the modes that are asked for, whatever the user's umask.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let matches = match parse(&std::env::args_os().collect::<Vec<_>>()) {
        Ok(matches) => matches,
        Err(error) => return usage(&error),
    };
    let cli = match args::Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let default_code = cli.command.error_code();
    match commands::dispatch(cli) {
        Ok(code) => exit_code(code),
        Err(Failure::BrokenPipe) => exit_code(128 + 13),
        Err(failure) => {
            output::error_line(&failure.to_string());
            exit_code(failure.code().unwrap_or(default_code))
        }
    }
}

/// Docker's switches take a value too (`--rm=false`); the help is simpler without, so that is tried only when needed.
fn parse(args: &[OsString]) -> Result<clap::ArgMatches, clap::Error> {
    match args::Cli::command().try_get_matches_from(args) {
        Err(error) if error.kind() == clap::error::ErrorKind::TooManyValues => {
            args::with_switch_values(args::Cli::command()).try_get_matches_from(args)
        }
        result => result,
    }
}

fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(code as u8)
}

/// Help and version go to standard output; a mistake is one line and a hint, exit code 125 as Docker's.
fn usage(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            return ExitCode::from(125);
        }
        ErrorKind::MissingSubcommand if std::env::args_os().len() < 2 => {
            // The bare name asks for help, as with Docker.
            let _ = args::Cli::command().print_help();
            return ExitCode::SUCCESS;
        }
        ErrorKind::InvalidSubcommand => {
            output::error_line(&unknown_command(error));
            return ExitCode::from(125);
        }
        _ => {}
    }
    let text = error.to_string();
    let mut lines = text.lines().take_while(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let rest: Vec<&str> = lines.map(str::trim).collect();
    let message = if rest.is_empty() { first } else { format!("{first} {}", rest.join(", ")) };
    let unknown = match error.get(clap::error::ContextKind::InvalidArg) {
        Some(clap::error::ContextValue::String(option)) if error.kind() == ErrorKind::UnknownArgument => Some(option),
        _ => None,
    };
    if let Some((option, hint)) = unknown.and_then(|option| Some((option, args::instead_of(option)?))) {
        output::error_line(&format!("option '{option}' is not supported: {hint}"));
        return ExitCode::from(125);
    }
    output::error_line(&format!("{message}; see '{} --help'", args::command_words()));
    ExitCode::from(125)
}

/// Docker's words for a command that there is not, and which one may be meant.
fn unknown_command(error: &clap::Error) -> String {
    use clap::error::{ContextKind, ContextValue};
    let words = args::command_words();
    let asked = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(word)) => word.as_str(),
        _ => "",
    };
    let meant = match error.get(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::Strings(list)) if !list.is_empty() => format!("; did you mean {}?", list.join(" or ")),
        Some(ContextValue::String(one)) => format!("; did you mean {one}?"),
        _ => String::new(),
    };
    format!("unknown command: {words} {asked}{meant}; see '{words} --help'")
}
