//! System call filters: a profile of the OCI's shape becomes a BPF program, and Docker's default profile is written here as data.
//!
//! Owns the meaning of `linux.seccomp` (runtime-spec, "Seccomp") with libseccomp's and runc's reading of it, and the system call
//! numbers. Does not know how a filter is installed, and reads no file. Invariants: a program that [`compile`] returns ends every
//! path in a `RET`, only jumps forward, and has at most [`MAX_INSTRUCTIONS`] instructions.
//!
//! ```text
//! oci::runtime::Seccomp ──rules──► per architecture: sorted ranges of numbers → verdict ──bpf──► search tree
//! ```
#![forbid(unsafe_code)]

mod arch;
mod bpf;
mod compile;
mod conditions;
mod docker;
mod error;
mod profile;
mod rules;
mod table;
mod verdicts;

pub use arch::{Arch, architecture_names};
pub use bpf::MAX_INSTRUCTIONS;
pub use compile::{FLAGS, Filter, Summary, compile, compile_for, foreign, summary};
pub use docker::{Conditions, DockerProfile, KernelVersion};
pub use error::SeccompError;
pub use libc::sock_filter as SockFilter;
pub use profile::default_profile;
pub use rules::{ACTIONS, OPERATORS};
