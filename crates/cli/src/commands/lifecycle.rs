//! `stop`, `restart`, `kill`, `rm`, `rename`, `wait`.

use super::for_each;
use crate::args::{ExistsArgs, Global, KillArgs, Names, RenameArgs, RmArgs, StopArgs};
use crate::failure::Outcome;
use crate::settings;
use carboy_engine::{Error, StartOptions, parse_signal};

pub(super) fn stop(global: &Global, args: &StopArgs) -> Outcome {
    let engine = settings::engine(global)?;
    for_each(&args.names.containers, |name| {
        engine.stop(name, args.time)?;
        Ok(Some(name.to_owned()))
    })
}

pub(super) fn restart(global: &Global, args: &StopArgs) -> Outcome {
    let engine = settings::engine(global)?;
    for_each(&args.names.containers, |name| {
        engine.stop(name, args.time)?;
        engine.start(name, StartOptions::default())?;
        Ok(Some(name.to_owned()))
    })
}

pub(super) fn kill(global: &Global, args: &KillArgs) -> Outcome {
    let signal = parse_signal(&args.signal)?;
    let engine = settings::engine(global)?;
    for_each(&args.names.containers, |name| {
        engine.kill(name, signal)?;
        Ok(Some(name.to_owned()))
    })
}

pub(super) fn rm(global: &Global, args: &RmArgs) -> Outcome {
    let engine = settings::engine(global)?;
    for_each(&args.names.containers, |name| match engine.remove(name, args.force, args.volumes) {
        Ok(()) => Ok(Some(name.to_owned())),
        Err(Error::NoSuchContainer(_)) if args.force => Ok(None),
        Err(e) => Err(e.into()),
    })
}

pub(super) fn rename(global: &Global, args: &RenameArgs) -> Outcome {
    settings::engine(global)?.rename(&args.container, &args.name)?;
    Ok(0)
}

/// Says nothing: 0 if it is here, 1 if not.
pub(super) fn exists(global: &Global, args: &ExistsArgs) -> Outcome {
    match settings::engine(global)?.find(&args.name) {
        Ok(_) => Ok(0),
        Err(Error::NoSuchContainer(_)) => Ok(1),
        Err(e) => Err(e.into()),
    }
}

pub(super) fn wait(global: &Global, args: &Names) -> Outcome {
    let engine = settings::engine(global)?;
    for_each(&args.containers, |name| Ok(Some(engine.wait(name)?.code.to_string())))
}
