//! To be written.
#![warn(unsafe_op_in_unsafe_fn)]
pub mod seccomp;
