//! `carboy-runtime`: an OCI runtime with runc's command line.
//!
//! A configuration becomes a list of steps ([`plan`]), which `explain` prints and `create`, `run` and `exec` perform: [`launch`]
//! outside the container, [`init`] inside. One process, one clone3, no re-execution. Knows nothing of images, networks or engines.
//!
//! ```text
//! commands/*  ──► container (record on disk)
//!     │
//!     ├──► plan: Spec + Host ──► Vec<Step> ──► report (explain, --trace)
//!     └──► launch (runtime's steps) ◄── channel ──► init (init's steps) ──► the program
//! ```
#![forbid(unsafe_code)]
#![allow(unreachable_pub, reason = "nothing but `main` leaves this crate: `pub` means for the other modules")]

mod args;
mod cgroups;
mod channel;
mod commands;
mod config;
mod container;
mod error;
mod filter;
mod foreground;
mod hooks;
mod host;
mod init;
mod launch;
mod log;
mod netlink;
mod plan;
mod protect;
mod report;
mod step;

pub use commands::main;
