//! `system …` and `image prune`: what the store takes, giving it back, and checking it.

mod check;
mod df;
mod prune;

pub(super) use prune::images as prune_images;

use super::info;
use crate::args::{Global, SystemCommand};
use crate::failure::Outcome;

pub(super) fn system(global: &Global, command: SystemCommand) -> Outcome {
    match command {
        SystemCommand::Df(args) => df::df(global, &args),
        SystemCommand::Prune(args) => prune::system(global, &args),
        SystemCommand::Check(args) => check::check(global, &args),
        SystemCommand::Info(args) => info::info(global, &args),
    }
}
