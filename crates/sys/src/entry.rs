//! A program's start without the standard library's preparations for threads, guard pages and signal stacks, which cost a small program
//! that is started often 16 system calls, one of them the reading of its memory map.

use std::ffi::c_int;

/// Defines a program's C `main`, which calls a `fn() -> u8` and exits with what it returns. Needs `#![no_main]`.
///
/// SIGPIPE is ignored as in any Rust program. Unlike there, standard output is not flushed at the end.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        /// Called by the C library's start-up code.
        #[unsafe(no_mangle)]
        pub extern "C" fn main() -> ::std::ffi::c_int {
            $crate::entry::enter($main)
        }
    };
}

/// What [`entry!`] calls.
pub fn enter(main: fn() -> u8) -> c_int {
    const SIGPIPE: c_int = 13;
    // SAFETY: ignoring a signal runs no code of ours.
    unsafe { libc::signal(SIGPIPE, libc::SIG_IGN) };
    c_int::from(main())
}
