//! The harness: an environment that belongs to one test, commands with a time limit, a terminal, a registry, and images.

pub(crate) mod cgroup;
pub(crate) mod command;
pub(crate) mod env;
pub(crate) mod http;
pub(crate) mod images;
pub(crate) mod leftovers;
pub(crate) mod registry;
pub(crate) mod terminal;
pub(crate) mod token;
pub(crate) mod user;
pub(crate) mod vm;

pub(crate) use command::Call;
pub(crate) use env::Env;
pub(crate) use registry::Registry;
pub(crate) use user::User;

use std::time::{Duration, Instant};

/// Polls until `done` holds; panics with `what` after `limit`.
pub(crate) fn wait_until(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + limit * slowness();
    while !done() {
        assert!(Instant::now() < end, "waited {limit:?} for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// By what to multiply time limits: a virtual machine without hardware help is slow.
pub(crate) fn slowness() -> u32 {
    if vm::is_guest() { 15 } else { 1 }
}
