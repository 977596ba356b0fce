//! The real `carboy-monitor` between a client that the tests play and OCI runtimes: Debian's runc and crun, and ours.
//!
//! Every container lives in a folder of its own below the system's temporary folder, with a busybox as its root.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests, and their harness")]

mod clients;
mod common;
mod ending;
mod input;
mod output;
mod rootless;
mod start;
