//! The engine: containers, from a request to a running program and back to nothing.
//!
//! Owns the containers' records, names, specs and volumes; launches monitors; executes programs in containers, signals, waits,
//! removes; makes good what a SIGKILL or a reboot left. Knows no terminal, no `$HOME` and no output format: front ends give it folders
//! and requests, and get records and file descriptors.
//!
//! There is no daemon and no state in memory: every process that opens the same folders sees the same containers. A container lives
//! as long as its monitor holds `monitor.lock`; whoever finds the lock free and no record of an end finishes the cleanup.
#![forbid(unsafe_code)]

mod copyup;
mod create;
mod draft;
mod engine;
mod error;
mod exec;
mod explain;
mod export;
mod garbage;
mod helper;
mod id;
mod images;
mod lifecycle;
mod logs;
mod plan;
mod prune;
mod record;
mod request;
mod rootless;
mod signal;
mod spec;
mod start;
mod union;
mod volumes;

pub use copyup::copy_up;
pub use engine::{Engine, EngineConfig};
pub use error::{Error, ErrorKind, Result, flat as error_chain};
pub use exec::{ExecRequest, PreparedExec};
pub use images::HELLO;
pub use lifecycle::DEFAULT_STOP_TIMEOUT;
pub use logs::{LogLine, LogOptions, LogReader};
pub use prune::{DiskUsage, Pruned};
pub use record::{Container, ImageUse, MountPoint, Record, Resolved, Status};
pub use request::{DeviceRequest, Limits, LogRequest, Network, RunRequest, SeccompRequest, Ulimit};
pub use signal::parse_signal;
pub use start::{RunFailed, Running, StartOptions};
pub use volumes::{TmpfsRequest, VolumeRequest, VolumeSource};
