//! The runtime as a program: real containers on the real kernel, from bundles around a static busybox.
//!
//! Needs root and /bin/busybox (busybox-static). Each test has a bundle, a state folder and cgroups of its own and takes them away
//! again, whether it passes or not.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod apparmor;
mod attacks;
mod cgroups;
mod checkpoint;
mod command_line;
mod common;
mod conformance;
mod errors;
mod exec;
mod fields;
mod hooks;
mod isolation;
mod life;
mod mounts;
mod network_devices;
mod own_image;
mod refused_calls;
mod scale;
mod selinux;
mod steps;
mod systemd;
mod terminal;
mod usage;
mod users;
