//! The data that crosses our own process boundaries: what the engine tells the monitor, what the monitor answers, the frames of
//! an attach connection, and the report of steps that `explain` and `--trace` print.
//!
//! Pure data, no I/O: engine, monitor and runtime link this crate instead of each other.
#![forbid(unsafe_code)]

pub mod attach;
pub mod monitor;
pub mod plan;
pub mod runtime_log;
