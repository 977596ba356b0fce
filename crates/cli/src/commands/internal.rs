//! `internal`: what an ordinary user's engine does with mapped IDs. Not for people.

use crate::args::{Global, InternalCommand};
use crate::failure::{Failure, Outcome};
use crate::settings;
use anyhow::Context;

pub(super) fn internal(global: &Global, command: InternalCommand) -> Outcome {
    match command {
        InternalCommand::RemoveTree { path } => {
            carboy_state::tree::remove_tree(&path).context("remove what mapped users own")?;
        }
        InternalCommand::ImportHello => {
            settings::engine(global)?.import_hello()?;
        }
        InternalCommand::EmptyTrash { locked } => {
            // Whoever ends the command that started this does not end this.
            let _ = rustix::process::setsid();
            settings::engine(global)?.empty_trash(locked)?;
        }
        InternalCommand::CopyUp { destination, target, lower } => {
            carboy_engine::copy_up(&lower, &destination, &target).map_err(Failure::from)?;
        }
    }
    Ok(0)
}
