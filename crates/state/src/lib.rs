//! Records on disk: atomic writes, locks held by flock, processes known by PID and start time.
//!
//! Every state file of Carboy goes through this crate. It knows nothing of containers or images.
//!
//! Invariants callers may trust: a reader sees a whole old or a whole new file, never a part; after a crash, likewise; a lock
//! ends with its holder, however the holder ends.
#![forbid(unsafe_code)]

pub mod fault;
pub mod file;
pub mod lock;
pub mod process;
pub mod tree;
