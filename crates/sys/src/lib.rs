//! To be written.
#![allow(unsafe_code, reason = "the one crate that may: it wraps what rustix lacks")]
#![warn(unsafe_op_in_unsafe_fn)]
pub mod resolver;
pub mod seccomp;
