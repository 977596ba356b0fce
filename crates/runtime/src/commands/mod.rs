//! One file per verb.

mod checkpoint;
mod create;
mod delete;
mod events;
mod exec;
mod explain;
mod features;
mod help;
mod kill;
mod list;
mod pause;
mod ps;
mod restore;
mod run;
mod snapshot;
mod spec;
mod start;
mod state;
mod update;

pub use create::connect_to;

use crate::args::{Globals, Parser, Verb};
use crate::error::{Context, Error, Result};
use rustix::fs::{Mode, OFlags};
use std::io::Write;

/// Entry point. Returns the exit status.
pub fn main() -> u8 {
    let mut parser = Parser::from_env();
    let parsed = open_streams().and_then(|()| Globals::parse(&mut parser));
    let (globals, verb) = match parsed {
        Ok(parsed) => parsed,
        Err(e) => {
            Globals::default().log.error(&e.to_string());
            return 1;
        }
    };
    let result = match verb {
        Verb::Version => print(&version()).map(|()| 0),
        Verb::Help => print(help::ALL).map(|()| 0),
        Verb::Do(verb) => dispatch(&verb, &globals, &mut parser),
    };
    result.unwrap_or_else(|(e, code)| {
        globals.log.error(&e.to_string());
        code
    })
}

/// Opens what is closed of the three streams on /dev/null, so that no descriptor of this process's own takes their place.
fn open_streams() -> Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    let mut fds = streams.each_ref().map(|stream| PollFd::new(stream, PollFlags::empty()));
    poll(&mut fds, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })).context(|| "poll the standard streams")?;
    for _ in fds.iter().filter(|fd| fd.revents().contains(PollFlags::NVAL)) {
        // The lowest number that is free: just that of the closed one. It is theirs from now on.
        let null = rustix::fs::open(c"/dev/null", OFlags::RDWR, Mode::empty()).context(|| "open /dev/null")?;
        std::mem::forget(null);
    }
    Ok(())
}

/// Does something with each container whose ID matches a POSIX extended regular expression, as crun: what fails with one is told of, and
/// neither keeps from the others nor makes the command fail.
fn for_each_match(globals: &Globals, pattern: &str, mut act: impl FnMut(&str) -> Result<()>) -> Result<u8> {
    let parsed = crate::pattern::parse(pattern);
    let parsed = parsed.map_err(|why| Error::Usage(format!("invalid regular expression {pattern:?}: {why}")))?;
    for id in list::names(globals)?.iter().filter(|id| parsed.is_match(id)) {
        match act(id) {
            // It has gone meanwhile.
            Ok(()) | Err(Error::NotFound) => {}
            Err(e) => globals.log.write("warning", &format!("{id}: {e}")),
        }
    }
    Ok(0)
}

/// Words that ask for help, and what gives it.
type Help = (&'static [&'static str], fn(&str) -> Option<String>);

const HELPS: [Help; 2] = [(&["--help", "-help", "-h", "-?"], help::of), (&["--usage"], help::usage)];

/// An error with the exit status that it means.
type Failure = (Error, u8);

fn dispatch(verb: &str, globals: &Globals, parser: &mut Parser) -> Result<u8, Failure> {
    let status = |result: Result<u8>, code: u8| result.map_err(|e| (e, code));
    for (words, answer) in HELPS {
        if parser.is_next(words)
            && let Some(text) = answer(verb)
        {
            return print(&text).map(|()| 0);
        }
    }
    if matches!(verb, "create" | "run" | "exec") {
        // Before anything else is done, as this begins anew. Only these make processes of the runtime's inside containers.
        crate::protect::executable().map_err(|e| (e, 1))?;
    }
    match verb {
        "create" => status(create::main(globals, parser), 1),
        "run" => status(run::main(globals, parser), 1),
        "start" => status(start::main(globals, parser), 1),
        "state" => status(state::main(globals, parser), 1),
        "kill" => status(kill::main(globals, parser), 1),
        "delete" => status(delete::main(globals, parser), 1),
        "exec" => status(exec::main(globals, parser), 255),
        "list" => status(list::main(globals, parser), 1),
        "ps" => status(ps::main(globals, parser), 1),
        "pause" => status(pause::main(globals, parser, true), 1),
        "resume" => status(pause::main(globals, parser, false), 1),
        "spec" => status(spec::main(parser), 1),
        "features" => status(features::main(parser), 1),
        "explain" => status(explain::main(globals, parser), 1),
        "update" => status(update::main(globals, parser), 1),
        "events" => status(events::main(globals, parser), 1),
        "checkpoint" => status(checkpoint::main(globals, parser), 1),
        "restore" => status(restore::main(globals, parser), 1),
        "help" | "h" => {
            let verb = parser.raw_args().ok().and_then(|mut words| words.next());
            let text = verb.and_then(|verb| help::of(verb.to_str()?));
            print(text.as_deref().unwrap_or(help::ALL)).map(|()| 0)
        }
        other => Err((Error::Usage(format!("no such command: {other}")), 1)),
    }
}

fn version() -> String {
    let (version, spec) = (env!("CARGO_PKG_VERSION"), carboy_oci::runtime::VERSION);
    // Where the build says what it was made from. Engines show this line.
    let commit = option_env!("CARBOY_COMMIT").map(|commit| format!("commit: {commit}\n")).unwrap_or_default();
    format!("carboy-runtime version {version}\n{commit}spec: {spec}\n")
}

fn print(text: &str) -> Result<(), Failure> {
    output(text).map_err(|e| (e, 1))
}

/// Writes to standard output; a reader that has gone is an error like any other.
fn output(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    let result = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    result.map_err(|e| Error::Other(format!("write to standard output: {e}")))
}

/// A value as indented JSON, as runc prints.
fn output_json<T: serde::Serialize>(value: &T) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::Other(format!("encode: {e}")))?;
    output(&format!("{text}\n"))
}
