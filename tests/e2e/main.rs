//! End to end: the built programs, as a person calls them, on the real kernel with images that other tools made.
//!
//! Every test has an environment of its own ([`common::Env`]): root and runroot in a temporary folder, no inherited variables, and at its end
//! a check that nothing is left behind. Tests run side by side; the one that looks at the whole machine is called `exclusive…` and runs
//! alone (see `.config/nextest.toml`). What needs root, or tools that only `dev/test` installs, is marked `#[ignore = "needs …"]` and so
//! reported; `dev/test` runs those too where it can.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests, and their harness")]

mod common;

mod archives;
mod certificates;
mod copy;
mod crash;
mod errors;
mod export;
mod hello;
mod lane;
mod life;
mod limits;
mod listing;
mod lists;
mod load;
mod look;
mod names;
mod policy;
mod progress;
mod pull;
mod push;
mod reach;
mod reads;
mod rootless;
mod run;
mod search;
mod stdio;
mod sync;
mod system;
mod templates;
mod tty;
mod whole;
