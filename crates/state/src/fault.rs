//! Fault points: named places between two changes of a state on disk, where a test can have the process killed.
//!
//! They exist in builds with debug assertions only; in a release they are nothing at all. There `CARBOY_FAULT=<n>` kills the process, as
//! SIGKILL from outside would, at the n-th point that it comes to; the point's name goes to standard error first.

/// A place where a kill must do no harm.
#[cfg(debug_assertions)]
pub fn point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    static WANTED: OnceLock<Option<u64>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let wanted = WANTED.get_or_init(|| std::env::var("CARBOY_FAULT").ok()?.parse().ok());
    if wanted.is_some_and(|wanted| PASSED.fetch_add(1, Ordering::SeqCst) + 1 == wanted) {
        let _ = rustix::io::write(rustix::stdio::stderr(), format!("killed at {name}\n").as_bytes());
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Nothing: this is a release.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn point(_name: &str) {}
