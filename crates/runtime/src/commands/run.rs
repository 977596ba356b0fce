//! `run`: create, start, and unless detached wait, forward signals, delete.

use super::create::{Bundle, Options, check_terminal, create};
use crate::args::{Globals, Parser};
use crate::container::Container;
use crate::error::{Error, Result};
use crate::foreground::{Foreground, block_signals, own_size};
use crate::launch::Launched;
use carboy_oci::runtime::Spec;
use carboy_state::file::{Durability, write_json};
use std::mem::ManuallyDrop;

/// `run`.
pub fn main(globals: &Globals, parser: &mut Parser) -> Result<u8> {
    let options = Options::parse(parser, true)?;
    // Its pieces are not given back one by one: the process ends with the container.
    let mut bundle = ManuallyDrop::new(Bundle::read(&options)?);
    check_terminal(&bundle.spec, &options, options.detach)?;
    if !options.detach {
        if let Some(process) = bundle.spec.process.as_mut().filter(|process| process.terminal) {
            process.console_size = own_size().or(process.console_size.take());
        }
        // From now on, so that none is lost between the birth of the process and the loop that forwards them.
        block_signals()?;
        if !options.no_subreaper && leaves_orphans(&bundle.spec) {
            let _ = carboy_sys::process::set_subreaper();
        }
    }
    let (container, launched) = create(globals, &options, &bundle, false).map_err(run_failed)?;
    if let (Some(path), Some(report)) = (&options.trace, &launched.report) {
        write_json(path, report, Durability::Process)?;
    }
    if options.detach {
        return Ok(0);
    }
    wait_and_delete(globals, &options, &bundle, container, launched)
}

/// Whether anything of the container's can come to be a child of this process: not out of a PID namespace, whose init it goes to.
fn leaves_orphans(spec: &Spec) -> bool {
    let linux = spec.linux.as_ref();
    let own = linux.is_some_and(|l| l.namespaces.iter().any(|n| n.kind == "pid" && n.path.is_none()));
    !own || spec.hooks.is_some()
}

fn run_failed(error: Error) -> Error {
    Error::Step { step: "run failed".into(), source: Box::new(error) }
}

fn wait_and_delete(
    globals: &Globals,
    options: &Options,
    bundle: &Bundle,
    container: Container,
    launched: Launched,
) -> Result<u8> {
    let result = Foreground::new(launched.pidfd, launched.console).and_then(Foreground::wait);
    if !options.keep {
        let hooks = bundle.spec.hooks.as_deref();
        let left = match &result {
            Ok(_) => super::delete::release(&container, hooks, Ok(())),
            Err(_) => super::delete::give_back(&container, hooks),
        };
        for left in left {
            globals.log.write("warning", &left.to_string());
        }
    }
    result
}
