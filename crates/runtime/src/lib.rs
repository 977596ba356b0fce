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
mod criu;
mod error;
mod filter;
mod foreground;
mod hooks;
mod host;
mod init;
mod launch;
mod log;
mod netlink;
mod pattern;
mod plan;
mod protect;
mod report;
mod step;

pub use commands::main;

/// What `fuzz/` tries of this crate: a configuration is planned and shown, or refused.
#[cfg(feature = "fuzz")]
pub fn fuzz_config(data: &[u8]) {
    let Ok(spec) = serde_json::from_slice::<carboy_oci::runtime::Spec>(data) else { return };
    let request = plan::Request { id: "fuzzed".into(), bundle: "/bundle".into(), ..plan::Request::default() };
    let none = (cgroups::Placement::default(), cgroups::View::default());
    match plan::plan(&spec, &request, &plan::Host::default(), none.0, &none.1) {
        Ok(plan) => drop(plan.steps.iter().map(step::Step::report).collect::<Vec<_>>()),
        Err(e) => drop(e.to_string()),
    }
}
